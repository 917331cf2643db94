"""Lungs by threshold, components and morphology: no weights, no GPU, a few seconds.

Everything is decided on a coarse cubic grid; the scan's own voxels only settle where exactly the outline runs. The
order of steps follows Hu 2001 (doi 10.1109/42.929615) and van Rikxoort 2009 (doi 10.1118/1.3147146): body, airspace by
an optimal threshold, airways out, right from left, then what the wall hides back in.
"""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.lungs.airways import airways
from LungCADLib.lungs.body import inside_body
from LungCADLib.lungs.grid import (
    COARSE_MM,
    Mask,
    closing,
    coarse,
    components,
    connected_to,
    dilate,
    erode,
    filled,
    finer,
)
from LungCADLib.lungs.sides import sides
from LungCADLib.lungs.verdict import Evidence, judge
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.study import LungsInfo

ML = COARSE_MM**3 / 1000
"""ml of one coarse voxel."""
CORE_MM = 4.0
LEAST_PIECE_ML = 20.0
LEAST_SHARE = 0.08
"""A piece of airspace is lung if it has at least this share of the largest piece's volume."""
GAS_HU = -930
"""Nine tenths of a piece darker than this is gas in the gut: lung of that size has vessels."""
GAS_MOST_ML = 900.0
DENT_MM = 10.0
"""Radius of the ball that closes vessels, nodules and dents at the wall."""


def segment(scan: Scan, progress: Progress) -> Lungs:
    """The lungs of a scan; `LungCADLib.lungs.segment_lungs` says what comes back."""
    low = coarse(scan)
    progress.update(0.2)
    inside = inside_body(low.hu)
    limit = threshold(low.hu[inside])
    airway = airways(low.hu, inside)
    progress.update(0.4)
    air = lung_air(low.hu, inside & ~dilate(airway, COARSE_MM), limit)
    right, left = sides(low.hu, air, airway, inside)
    progress.update(0.6)
    right_whole, left_whole = whole(right), whole(left)
    right_whole &= ~left
    left_whole &= ~right_whole
    labels = np.zeros(scan.hu.shape, np.uint8)
    for label, mask, seen in ((LungLabel.RIGHT, right_whole, right), (LungLabel.LEFT, left_whole, left)):
        labels[refined(scan, mask & ~airway, low, limit)] = label
    labels[finer(airway, low.geometry, scan.geometry) > 100] = LungLabel.AIRWAY
    ml = np.bincount(labels.ravel(), minlength=4) * scan.geometry.voxel_mm3 / 1000
    region = (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT)
    verdict = judge(
        Evidence(
            right_ml=float(ml[1]),
            left_ml=float(ml[2]),
            open_first=is_open(region[0], scan),
            open_last=is_open(region[-1], scan),
            outside_share=0.0,
        )
    )
    info = LungsInfo(
        engine="classical",
        verdict=verdict,
        volume_ml=float(ml[1] + ml[2]),
        right_ml=float(ml[1]),
        left_ml=float(ml[2]),
        airway_ml=float(ml[3]),
    )
    return Lungs(labels, region, info)


def threshold(hu: NDArray[np.int16]) -> float:
    """HU between lung and soft tissue by Otsu's method on the patient's voxels, kept in the range that makes sense."""
    counts, edges = np.histogram(hu, bins=np.arange(-1024, 301, 4))
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    total = below[-1]
    if total == 0:
        return -500.0
    mean_below = np.cumsum(counts * centers) / np.maximum(below, 1)
    above = total - below
    mean_above = (np.sum(counts * centers) - np.cumsum(counts * centers)) / np.maximum(above, 1)
    best = np.argmax(below / total * (above / total) * (mean_below - mean_above) ** 2)
    return float(np.clip(centers[best], -650, -350))


def lung_air(hu: NDArray[np.int16], where: Mask, limit: float) -> Mask:
    """Air-filled pieces that are lung."""
    air = (hu < limit) & where
    air = connected_to(air, erode(air, CORE_MM) & air)
    labels, sizes = components(air)
    keep = np.zeros(sizes.shape, bool)
    order = np.argsort(sizes)[::-1]
    largest = 0.0
    for label in order:
        ml = sizes[label] * ML
        if ml < max(LEAST_PIECE_ML, LEAST_SHARE * largest):
            break
        piece = hu[labels == label]
        if ml < GAS_MOST_ML and np.percentile(piece, 90) < GAS_HU:
            continue
        largest = max(largest, ml)
        keep[label] = True
    return keep[labels]


def whole(lung: Mask) -> Mask:
    """A lung with its vessels, nodules and dents."""
    return filled(closing(filled(lung), DENT_MM))


def refined(scan: Scan, lung: Mask, low: Scan, limit: float) -> Mask:
    """The coarse lung on the scan's grid, its outline where the scan's own voxels cross the threshold."""
    share = finer(lung, low.geometry, scan.geometry)
    return (share > 110) | ((share > 20) & (scan.hu < limit))


def is_open(axial: Mask, scan: Scan) -> bool:
    """Whether a slice at the end of the scan still cuts through lung: more than 10 cm² of it."""
    return float(axial.sum()) * scan.spacing[1] * scan.spacing[2] > 1000
