"""Lungs by threshold, components and morphology: no weights, no GPU, a few seconds.

Everything is decided on a coarse cubic grid; the scan's own voxels only settle where exactly the outline runs. The
order of steps follows Hu 2001 (doi 10.1109/42.929615) and van Rikxoort 2009 (doi 10.1118/1.3147146): body, airspace by
an optimal threshold, airways out, right from left, then what the wall hides back in.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from LungCADLib.lungs.airways import airways
from LungCADLib.lungs.body import STANDARD_AIR_HU, air_level, inside_body
from LungCADLib.lungs.grid import (
    COARSE_MM,
    Mask,
    bounding_box,
    coarse,
    components,
    connected_to,
    dilate,
    erode,
    finer,
    opening,
)
from LungCADLib.lungs.sides import midline, sides
from LungCADLib.lungs.verdict import LEAST_ML, Evidence, judge
from LungCADLib.lungs.wall import masses, with_dents
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import AIR_HU, Scan
from LungCADLib.study import LungsInfo

ML = COARSE_MM**3 / 1000
"""ml of one coarse voxel."""
CORE_MM = 4.0
"""Lung holds balls of this radius; fat creases and the skin's edge do not."""
LEAST_PIECE_ML = 20.0
LEAST_SHARE = 0.08
"""A piece of airspace is lung if it has at least this share of the largest piece's volume."""
GAS_HU = -930
"""A piece of which nine tenths are darker than this is gas in the gut: lung of that size has vessels."""
GAS_MOST_ML = 900.0
THRESHOLD_HU = (-650.0, -350.0)
"""Between these Otsu's threshold is believed."""
SAFE_MM = 15.0
"""Around any air within the body: where nodules are looked for when the lungs are not trusted."""
INNER, OUTER = 110, 20
"""Of 200 (`grid.finer`): above the first is inside, below the second outside, and the voxel's HU decides between."""
OPEN_MM2 = 1000.0
"""More lung than this on the first or last slice: it goes on beyond."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What was found on the coarse grid; every mask is bool (z, y, x).

    `low` is shifted so that air reads -1000 HU; `limit`, between lung and tissue, and `air_hu` are the scan's own HU.
    """

    low: Scan
    limit: float
    air_hu: float
    inside: Mask
    airway: Mask
    right: Mask
    left: Mask
    masses: Mask


def segment(scan: Scan, progress: Progress) -> Lungs:
    """The lungs of a scan; `LungCADLib.lungs.segment_lungs` says what comes back."""
    found = anatomy(coarse(scan), progress)
    labels = outlined(scan, found)
    progress.update(0.9)
    ml = {label: float(np.count_nonzero(labels == label)) * scan.geometry.voxel_mm3 / 1000 for label in LungLabel}
    verdict = judge(
        Evidence(
            right_ml=ml[LungLabel.RIGHT],
            left_ml=ml[LungLabel.LEFT],
            open_first=is_open(labels[0], scan),
            open_last=is_open(labels[-1], scan),
            edge_share=edge_share(found),
            air_hu=found.air_hu,
        )
    )
    if verdict.status == "failed":
        region = safe_region(scan, found)
        if ml[LungLabel.RIGHT] + ml[LungLabel.LEFT] < LEAST_ML:
            labels[:] = LungLabel.BACKGROUND
            ml = dict.fromkeys(LungLabel, 0.0)
    else:
        region = (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT)
        box, share = finer(found.masses, found.low.geometry, scan.geometry)
        region[box] |= (share > INNER) & (labels[box] != LungLabel.AIRWAY)
    info = LungsInfo(
        engine="classical",
        verdict=verdict,
        volume_ml=ml[LungLabel.RIGHT] + ml[LungLabel.LEFT],
        right_ml=ml[LungLabel.RIGHT],
        left_ml=ml[LungLabel.LEFT],
        airway_ml=ml[LungLabel.AIRWAY],
    )
    return Lungs(labels, region, info)


def anatomy(low: Scan, progress: Progress) -> Anatomy:
    """Body, airways and lungs of a scan on the coarse grid."""
    air_hu = air_level(low.hu)
    shift = np.int16(STANDARD_AIR_HU - air_hu)
    if shift:
        low = replace(low, hu=np.maximum(low.hu + shift, AIR_HU))
    inside = inside_body(low.hu)
    if inside.any():
        box = bounding_box(inside, 1)
        low, inside = low.crop(box), np.ascontiguousarray(inside[box])
        low = replace(low, hu=np.ascontiguousarray(low.hu))
    progress.update(0.2)
    limit = threshold(low.hu[inside])
    airway = airways(low.hu, inside)
    progress.update(0.4)
    air = lung_air(low.hu, inside & ~dilate(airway, COARSE_MM), limit)
    middle = midline(low.hu, airway, inside)
    right, left = sides(low.hu, air, middle)
    progress.update(0.6)
    right, left = with_dents(low.hu, right, left, middle)
    right, left = right & inside & ~airway, left & inside & ~airway
    hidden = masses(low.hu, right, left, airway, inside, middle)
    progress.update(0.75)
    return Anatomy(low, limit - float(shift), air_hu, inside, airway, right, left, hidden)


def threshold(hu: NDArray[np.int16]) -> float:
    """HU between lung and soft tissue by Otsu's method on the patient's voxels, kept within `THRESHOLD_HU`."""
    counts, edges = np.histogram(hu, bins=np.arange(-1024, 301, 4))
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sum_below = np.cumsum(counts * centers)
    apart = sum_below / np.maximum(below, 1) - (sum_below[-1] - sum_below) / np.maximum(above, 1)
    best = np.argmax(below.astype(float) * above * apart**2)
    return float(np.clip(centers[best], *THRESHOLD_HU))


def lung_air(hu: NDArray[np.int16], where: Mask, limit: float) -> Mask:
    """Air-filled pieces that are lung."""
    air = (hu < limit) & where
    labels, sizes = components(connected_to(air, erode(air, CORE_MM) & air))
    keep = np.zeros(sizes.shape, bool)
    largest = 0.0
    for label in np.argsort(sizes)[::-1]:
        ml = sizes[label] * ML
        if ml < max(LEAST_PIECE_ML, LEAST_SHARE * largest):
            break
        if ml < GAS_MOST_ML and np.percentile(hu[labels == label], 90) < GAS_HU:
            continue
        largest = max(largest, ml)
        keep[label] = True
    return keep[labels]


def outlined(scan: Scan, found: Anatomy) -> NDArray[np.uint8]:
    """The lung labels on the scan's grid, their outlines where the scan's own voxels cross the threshold."""
    labels = np.zeros(scan.hu.shape, np.uint8)
    grid = found.low.geometry
    for label, lung in ((LungLabel.RIGHT, found.right), (LungLabel.LEFT, found.left)):
        box, share = finer(lung, grid, scan.geometry)
        labels[box][(share > INNER) | ((share > OUTER) & (scan.hu[box] < found.limit))] = label
    box, share = finer(found.airway, grid, scan.geometry)
    labels[box][share > INNER] = LungLabel.AIRWAY
    return labels


def safe_region(scan: Scan, found: Anatomy) -> Mask:
    """Everything near air in the body, on the scan's grid; the whole body where it holds no air."""
    air = found.inside & (found.low.hu < THRESHOLD_HU[1])
    near = dilate(opening(air, COARSE_MM), SAFE_MM) & found.inside
    box, share = finer(near if near.any() else found.inside, found.low.geometry, scan.geometry)
    region = np.zeros(scan.hu.shape, bool)
    region[box] = share > INNER
    return region


def edge_share(found: Anatomy) -> float:
    """How much of the lungs' outline faces the air around the patient or the sides of the picture, 0 to 1."""
    sides = ((0, 0), (1, 1), (1, 1))
    lungs = np.pad(found.right | found.left | found.masses, sides)
    shell = dilate(lungs, COARSE_MM) & ~lungs
    return float((shell & ~np.pad(found.inside, sides)).sum() / max(shell.sum(), 1))


def is_open(axial: NDArray[np.uint8], scan: Scan) -> bool:
    """Whether a slice at the end of the scan still cuts through lung."""
    lung = (axial == LungLabel.RIGHT) | (axial == LungLabel.LEFT)
    return float(lung.sum()) * scan.spacing[1] * scan.spacing[2] > OPEN_MM2
