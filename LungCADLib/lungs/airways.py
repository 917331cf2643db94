"""The trachea and the main bronchi."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.lungs.grid import COARSE_MM, Mask, dilate, opening

TRACHEA_HU = -800
TRACHEA_MM2 = (40.0, 900.0)
"""Lumen area on an axial slice."""
TRACHEA_MIN_MM = (16.0, 6.0)
"""Shortest run of slices believed to be a trachea: anywhere, and where the last slice cuts it off."""
WALL_HU = -500
"""Around a trachea there is mostly soft tissue; lung on one side is allowed."""
DEPTH_SHARE = (0.18, 0.75)
"""How far behind the front of the body it may be, as a share of the body's depth: gas in the colon lies in front."""
LUNG_MM2 = 3000.0
BELOW_APEX_MM = 20.0
"""Its top may be this much below the last slice with more lung than `LUNG_MM2`: tracheas come in from above."""
MIDLINE_SHARE = 0.18
"""How far from the middle of the body it may be, as a share of the body's width."""
GROW_HU = range(-960, -740, 20)
LEAK_ML = 25.0
"""A step of the growing threshold that adds more than this has broken into the lung."""
MOST_ML = 160.0
BOTH_BRONCHI_MM = 34.0
BRONCHUS_MM = 2.5
"""Branches of a smaller radius are left to the lung."""
IN_PLANE = np.array([[[0] * 3] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0] * 3] * 3], bool)


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
    windpipe = trachea(hu, inside)
    if not windpipe.any():
        return windpipe
    seeds = [_darkest(hu, windpipe, int(z)) for z in np.flatnonzero(windpipe.any(axis=(1, 2)))]
    image = sitk.GetImageFromArray(hu)
    grown = windpipe
    last = 0.0
    for limit in GROW_HU:
        now = sitk.GetArrayFromImage(sitk.ConnectedThreshold(image, seeds, -3000, limit)).view(bool)
        ml = float(now.sum()) * COARSE_MM**3 / 1000
        if ml > MOST_ML or (last > 5 and ml - last > LEAK_ML):
            break
        grown, last = now, ml
    return windpipe | (grown & dilate(opening(grown, BRONCHUS_MM), 2 * COARSE_MM))


def _darkest(hu: NDArray[np.int16], mask: Mask, z: int) -> tuple[int, int, int]:
    """The index (x, y, z) of the darkest voxel of a mask on one slice."""
    values = np.where(mask[z], hu[z], np.iinfo(np.int16).max)
    y, x = np.unravel_index(values.argmin(), values.shape)
    return int(x), int(y), z


def trachea(hu: NDArray[np.int16], inside: Mask) -> Mask:
    """The trachea's lumen as far as it stands alone on axial slices.

    The longest run of round dark spots of the right size near the middle of the body, each over the next.
    """
    dark = (hu < TRACHEA_HU) & inside
    labels, count = ndimage.label(dark, structure=IN_PLANE)
    area = np.bincount(labels.ravel(), minlength=count + 1) * COARSE_MM**2
    boxes = ndimage.find_objects(labels)
    columns = [np.flatnonzero(inside[z].any(axis=0)) for z in range(len(inside))]
    rows = [np.flatnonzero(inside[z].any(axis=1)) for z in range(len(inside))]
    spots = []
    for label in np.flatnonzero((area >= TRACHEA_MM2[0]) & (area <= TRACHEA_MM2[1])):
        if label == 0:
            continue
        z, y, x = boxes[label - 1]
        height, width = (y.stop - y.start) * COARSE_MM, (x.stop - x.start) * COARSE_MM
        across = columns[z.start]
        center_y, center_x = (y.start + y.stop - 1) / 2, (x.start + x.stop - 1) / 2
        off_middle = abs(center_x - (across[0] + across[-1]) / 2) / (across[-1] - across[0] + 1)
        depth = (center_y - rows[z.start][0]) / (rows[z.start][-1] - rows[z.start][0] + 1)
        central = off_middle < MIDLINE_SHARE and DEPTH_SHARE[0] < depth < DEPTH_SHARE[1]
        roundish = area[label] > 0.5 * height * width and max(height, width) < 2.2 * min(height, width)
        if roundish and central and _has_wall(hu[z.start], labels[z.start], int(label), y, x):
            spots.append((z.start, center_y, center_x, int(label)))
    lung = np.flatnonzero(np.count_nonzero(dark, axis=(1, 2)) * COARSE_MM**2 > LUNG_MM2)
    lowest_top = lung[-1] - BELOW_APEX_MM / COARSE_MM if lung.size else 0
    return np.isin(labels, _longest_run(spots, lowest_top, len(hu)))


def _longest_run(spots: list[tuple[int, float, float, int]], lowest_top: float, slices: int) -> list[int]:
    """The labels of the run of spots (z, y, x, label) that is longest, the higher one where two are equal."""
    reach = 8 / COARSE_MM
    runs: list[list[tuple[int, float, float, int]]] = []
    for spot in sorted(spots, reverse=True):
        for run in runs:
            z, y, x, _ = run[-1]
            if 0 < z - spot[0] <= 2 and np.hypot(y - spot[1], x - spot[2]) < reach:
                run.append(spot)
                break
        else:
            runs.append([spot])
    best = max((run for run in runs if run[0][0] >= lowest_top), key=len, default=[])
    reaches_top = bool(best) and best[0][0] >= slices - 2
    enough = TRACHEA_MIN_MM[1] if reaches_top else TRACHEA_MIN_MM[0]
    return [label for *_, label in best] if len(best) * COARSE_MM >= enough else []


def _has_wall(axial: NDArray[np.int16], labels: NDArray[np.int32], label: int, y: slice, x: slice) -> bool:
    """Whether a spot on a slice lies in soft tissue rather than in lung."""
    rows, columns = slice(max(0, y.start - 3), y.stop + 3), slice(max(0, x.start - 3), x.stop + 3)
    spot = labels[rows, columns] == label
    ring = ndimage.binary_dilation(spot, iterations=3) & ~ndimage.binary_dilation(spot)
    return bool(np.median(axial[rows, columns][ring]) > WALL_HU)


def carina(airway: Mask) -> int:
    """The z index at which the trachea divides: the highest slice with a lumen as wide as two bronchi side by side."""
    widths = [np.ptp(np.flatnonzero(axial.any(axis=0))) * COARSE_MM if axial.any() else 0.0 for axial in airway]
    wide = np.flatnonzero(np.array(widths) > BOTH_BRONCHI_MM)
    return int(wide[-1]) if wide.size else int(np.flatnonzero(airway.any(axis=(1, 2)))[0])
