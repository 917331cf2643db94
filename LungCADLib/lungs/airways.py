"""The trachea and the main bronchi."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.lungs.grid import COARSE_MM, Mask, dilate, opening

TRACHEA_HU = -800
TRACHEA_MM2 = (40.0, 900.0)
"""Lumen area on an axial slice."""
TRACHEA_MIN_MM = 16.0
"""Shortest run of slices believed to be a trachea."""
MIDLINE_SHARE = 0.18
"""How far from the middle of the body it may be, as a share of the body's width."""
GROW_HU = range(-960, -740, 20)
LEAK_ML = 25.0
"""A step of the growing threshold that adds more than this has broken into the lung."""
MOST_ML = 160.0
BRONCHUS_MM = 2.5
"""Branches of a smaller radius are left to the lung."""
IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]


def airways(hu: NDArray[np.int16], inside: Mask) -> Mask:
    """Lumen of the trachea and the large bronchi, by region growing that stops before it leaks.

    Parameters
    ----------
    hu
        (z, y, x) on the coarse grid.
    inside
        bool (z, y, x), the patient.

    Returns
    -------
    Mask
        bool (z, y, x); empty where no trachea is in the scan.
    """
    empty = np.zeros(hu.shape, bool)
    seeds = trachea(hu, inside)
    if not seeds:
        return empty
    image = sitk.GetImageFromArray(hu)
    grown = None
    last = 0.0
    for limit in GROW_HU:
        now = sitk.GetArrayFromImage(sitk.ConnectedThreshold(image, seeds, -3000, limit)).view(bool)
        ml = float(now.sum()) * COARSE_MM**3 / 1000
        if ml > MOST_ML or (last > 5 and ml - last > LEAK_ML):
            break
        grown, last = now, ml
    if grown is None:
        return empty
    wide = opening(grown, BRONCHUS_MM)
    return grown & dilate(wide, 2 * COARSE_MM)


def trachea(hu: NDArray[np.int16], inside: Mask) -> list[tuple[int, int, int]]:
    """Points (x, y, z) along the trachea, one for each slice in which it was found, from the top down.

    The longest run of round dark spots of the right size near the middle of the body, each over the next.
    """
    dark = (hu < TRACHEA_HU) & inside
    labels, count = ndimage.label(dark, structure=IN_PLANE)
    if not count:
        return []
    area = np.bincount(labels.ravel(), minlength=count + 1) * COARSE_MM**2
    right_size = np.flatnonzero((area >= TRACHEA_MM2[0]) & (area <= TRACHEA_MM2[1]))
    right_size = right_size[right_size > 0]
    boxes = ndimage.find_objects(labels)
    columns = [np.flatnonzero(row) for row in inside.any(axis=1)]
    spots: dict[int, list[tuple[float, float, float]]] = {}
    for label in right_size:
        z, y, x = boxes[label - 1]
        height, width = (y.stop - y.start) * COARSE_MM, (x.stop - x.start) * COARSE_MM
        here = columns[z.start]
        middle, broad = (here[0] + here[-1]) / 2, here[-1] - here[0]
        center_x, center_y = (x.start + x.stop - 1) / 2, (y.start + y.stop - 1) / 2
        roundish = area[label] > 0.5 * height * width and max(height, width) < 2.2 * min(height, width)
        if roundish and abs(center_x - middle) < MIDLINE_SHARE * broad:
            inner = labels[boxes[label - 1]] == label
            spots.setdefault(z.start, []).append((center_y, center_x, float(hu[boxes[label - 1]][inner].min())))
    return _longest_run(spots)


def _longest_run(spots: dict[int, list[tuple[float, float, float]]]) -> list[tuple[int, int, int]]:
    """The run of spots (y, x, HU) over consecutive slices that is longest, the higher one where two are equal."""
    reach = 8 / COARSE_MM
    runs: list[list[tuple[int, float, float]]] = []
    for z in sorted(spots, reverse=True):
        for y, x, _ in spots[z]:
            for run in runs:
                last_z, last_y, last_x = run[-1]
                if 0 < last_z - z <= 2 and np.hypot(last_y - y, last_x - x) < reach:
                    run.append((z, y, x))
                    break
            else:
                runs.append([(z, y, x)])
    best = max(runs, key=len, default=[])
    if len(best) * COARSE_MM < TRACHEA_MIN_MM:
        return []
    return [(round(x), round(y), z) for z, y, x in best]
