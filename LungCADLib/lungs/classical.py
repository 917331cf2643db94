"""Lungs by threshold, components and morphology: no weights, no GPU, a few seconds.

Everything is decided on a coarse cubic grid; the scan's own voxels only settle where exactly the outline runs. The
order of steps follows Hu 2001 (doi 10.1109/42.929615) and van Rikxoort 2009 (doi 10.1118/1.3147146): body, airspace by
an optimal threshold, airways out, right from left, then what the wall hides back in.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.lungs.answer import INNER, Body, answer, body
from LungCADLib.lungs.grid import COARSE_MM, Mask, components, connected_to, dilate, erode, finer
from LungCADLib.lungs.sides import midline, sides
from LungCADLib.lungs.wall import masses, with_dents
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan

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
OUTER = 20
"""Of 200 (`grid.finer`): below this is outside, and between this and `INNER` the voxel's HU decides."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What was found on the coarse grid; every mask is bool (z, y, x), and `limit`, between lung and tissue, is in the
    scan's own HU.
    """

    body: Body
    limit: float
    right: Mask
    left: Mask
    masses: Mask


def segment(scan: Scan, progress: Progress) -> Lungs:
    """The lungs by thresholds, components and morphology on a 2 mm grid.

    `LungCADLib.lungs.segment_lungs` says what comes back.
    """
    found = anatomy(scan, progress)
    labels = outlined(scan, found)
    progress.update(0.9)
    low = found.right | found.left | found.masses
    return answer("classical", scan, labels, found.body, low, found.masses)


def anatomy(scan: Scan, progress: Progress) -> Anatomy:
    """Body, airways and lungs of a scan on the coarse grid."""
    found = body(scan)
    hu, inside, airway = found.low.hu, found.inside, found.airway
    progress.update(0.4)
    limit = threshold(hu[inside])
    air = lung_air(hu, inside & ~dilate(airway, COARSE_MM), limit)
    middle = midline(hu, airway, inside)
    right, left = sides(hu, air, middle)
    progress.update(0.6)
    right, left = with_dents(hu, right, left, middle)
    right, left = right & inside & ~airway, left & inside & ~airway
    hidden = masses(hu, right, left, airway, inside, middle)
    progress.update(0.75)
    return Anatomy(found, limit - found.shift_hu, right, left, hidden)


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
    grid = found.body.low.geometry
    for label, lung in ((LungLabel.RIGHT, found.right), (LungLabel.LEFT, found.left)):
        box, share = finer(lung, grid, scan.geometry)
        labels[box][(share > INNER) | ((share > OUTER) & (scan.hu[box] < found.limit))] = label
    box, share = finer(found.body.airway, grid, scan.geometry)
    labels[box][share > INNER] = LungLabel.AIRWAY
    return labels
