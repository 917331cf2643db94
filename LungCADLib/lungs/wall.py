"""What the wall hides: nodules and masses that touch it look like wall to a threshold."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.lungs.airways import carina
from LungCADLib.lungs.grid import COARSE_MM, Mask, closing, components, dilate, erode, filled, opening

DENT_MM = 10.0
"""Radius of the ball that closes dents on every side of a lung, the hilum's too."""
COSTAL_MM = 50.0
"""Radius on the side of the ribs, where lungs are convex: a ball this large enters a 30 mm dent by 2 mm only."""
SHEET_MM = 3.0
"""What the large ball fills in thinner than twice this is the wall's own shape."""
SPINE_MM = 30.0
"""Nearer to the midline than this, the large ball would fill in vertebrae."""
RIB_HU = 200
INWARD_MM = 8.0
"""A dent is at the ribs if at least this much lung lies between it and the mediastinum."""
MASS_MM = 10.0
"""Radius of the ball a mass must hold where only the other lung tells that lung should be there."""
MASS_MOST_ML = 250.0
MEDIASTINUM_MM = (20.0, 35.0)
"""How far the mediastinum reaches to the right and, with the aortic arch, to the left of the midline."""
SPREAD_MM = 8.0
TISSUE_HU = (-400, 150)
SMOOTH_VOXELS = 5
"""A sharp kernel's noise must not break a mass into crumbs."""


def with_dents(hu: NDArray[np.int16], right: Mask, left: Mask, middle: float) -> tuple[Mask, Mask]:
    """Both lungs with their vessels, nodules and the dents in their walls.

    Parameters
    ----------
    hu
        (z, y, x) on the coarse grid.
    right, left
        bool (z, y, x), the lungs' air.
    middle
        x index between the lungs.
    """
    lungs = [filled(lung) for lung in (right, left)]
    behind = _beyond_lung(lungs[0] | lungs[1], middle) & (hu < RIB_HU)
    whole = []
    for lung in lungs:
        closed = closing(lung, DENT_MM)
        dents = _closing_on_half_grid(lung, COSTAL_MM) & behind & ~lung
        whole.append(filled(closed | (dilate(opening(dents, SHEET_MM), SHEET_MM) & dents)))
    right_whole = whole[0] & ~lungs[1]
    return right_whole, whole[1] & ~right_whole


def masses(hu: NDArray[np.int16], right: Mask, left: Mask, airway: Mask, inside: Mask, middle: float) -> Mask:
    """Large soft-tissue bodies above the carina that lie where the other side has lung.

    Below it the heart, the liver and the stomach do so in everybody.

    Parameters
    ----------
    hu, airway, inside
        On the coarse grid, as everywhere in this package.
    right, left
        bool (z, y, x), from `with_dents`.
    middle
        x index of the plane of symmetry.
    """
    found = np.zeros_like(right)
    if not airway.any():
        return found
    smooth = ndimage.uniform_filter(hu, SMOOTH_VOXELS)
    tissue = (smooth > TISSUE_HU[0]) & (smooth < TISSUE_HU[1]) & inside & ~right & ~left & ~airway
    tissue[: carina(airway)] = False
    middle = _symmetry(right, left, middle)
    x = (np.arange(hu.shape[2]) - middle) * COARSE_MM
    lateral = (x < -MEDIASTINUM_MM[0]) | (x > MEDIASTINUM_MM[1])
    for other in (right, left):
        place = _mirrored(other, middle) & tissue
        cores = erode(place & lateral, MASS_MM)
        labels, sizes = components(dilate(cores, MASS_MM + SPREAD_MM) & place)
        found |= (sizes * COARSE_MM**3 / 1000 <= MASS_MOST_ML)[labels] & (labels > 0)
    return found


def _beyond_lung(lungs: Mask, middle: float) -> Mask:
    """Where a ray from the mediastinum has already crossed lung, away from the spine, slice by slice."""
    _, height, width = lungs.shape
    rows = np.flatnonzero(lungs.any(axis=(0, 2)))
    if not rows.size:
        return np.zeros_like(lungs)
    center_y = float(rows[0] + rows[-1]) / 2
    y, x = np.mgrid[:height, :width]
    radius = np.rint(np.hypot(y - center_y, x - middle)).astype(np.intp)
    turns = 360
    angle = np.rint(np.arctan2(y - center_y, x - middle) / (2 * np.pi) * turns).astype(np.intp) % turns
    theta, r = np.meshgrid(np.arange(turns) * 2 * np.pi / turns, np.arange(radius.max() + 1), indexing="ij")
    ray_y, ray_x = np.rint(center_y + r * np.sin(theta)).astype(int), np.rint(middle + r * np.cos(theta)).astype(int)
    valid = (ray_y >= 0) & (ray_y < height) & (ray_x >= 0) & (ray_x < width)
    polar = lungs[:, ray_y.clip(0, height - 1), ray_x.clip(0, width - 1)] & valid
    crossed = np.cumsum(polar, axis=2, dtype=np.uint16) >= INWARD_MM / COARSE_MM
    return crossed[:, angle, radius] & (np.abs(x - middle) * COARSE_MM > SPINE_MM)


def _closing_on_half_grid(lung: Mask, mm: float) -> Mask:
    even = np.pad(lung, [(0, n % 2) for n in lung.shape])
    depth, height, width = (n // 2 for n in even.shape)
    half = np.asarray(even.reshape(depth, 2, height, 2, width, 2).any(axis=(1, 3, 5)))
    closed = closing(half, mm, 2 * COARSE_MM)
    return np.repeat(np.repeat(np.repeat(closed, 2, 0), 2, 1), 2, 2)[tuple(slice(0, n) for n in lung.shape)]


def _symmetry(right: Mask, left: Mask, otherwise: float) -> float:
    """The x index halfway between the lungs' outer edges: a mass pushes the trachea aside, but not the ribs."""
    middles = []
    for in_right, in_left in zip(right, left, strict=True):
        if in_right.any() and in_left.any():
            outer_right, outer_left = np.nonzero(in_right)[1].min(), np.nonzero(in_left)[1].max()
            middles.append((outer_right + outer_left) / 2)
    return float(np.median(middles)) if middles else otherwise


def _mirrored(mask: Mask, middle: float) -> Mask:
    """The mask reflected in the sagittal plane at x index `middle`."""
    source = np.rint(2 * middle - np.arange(mask.shape[2])).astype(int)
    inside = (source >= 0) & (source < mask.shape[2])
    return mask[:, :, source.clip(0, mask.shape[2] - 1)] & inside
