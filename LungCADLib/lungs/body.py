"""Which part of the scan is the patient: without the air around, the table, clothing and padding."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.lungs.grid import COARSE_MM, Mask, closing, components, connected_to, erode, opening
from LungCADLib.scan import AIR_HU

TISSUE_HU = -400
OUTSIDE_HU = -940
"""Air at the edge of the picture is around the patient below this; above, the picture's edge cuts through lung."""
SHELL_MM = 4.0
"""Sheets thinner than twice this (table top, blankets) are no body; no chest wall is thinner."""
WINDPIPE_MM = 12.0
"""Gaps narrower than twice this (nose, mouth, trachea) do not lead from outside into the body."""
SKIN_MM = 4.0
STANDARD_AIR_HU = -1000
CORNER = 16
"""A corner is this part of the picture's width and height."""
MIN_CORNER_VOXELS = 200
CORNER_SPREAD_HU = 40
"""Between quartiles: air is even, lung is not."""


def inside_body(hu: NDArray[np.int16]) -> Mask:
    """The patient with everything air-filled within, less the skin.

    Parameters
    ----------
    hu
        (z, y, x) on the coarse grid.

    Returns
    -------
    Mask
        bool (z, y, x) on the same grid; empty where there is no body.
    """
    half = hu[::2, ::2, ::2]
    step = 2 * COARSE_MM
    smooth = ndimage.uniform_filter(half, 3)
    tissue = opening(smooth > TISSUE_HU, SHELL_MM, step)
    labels, sizes = components(tissue)
    if sizes.max() == 0:
        return np.zeros(hu.shape, bool)
    core = closing(labels == sizes.argmax(), WINDPIPE_MM, step)
    seen = field_of_view(half)
    clean = ndimage.binary_erosion(seen[0], border_value=1)[None]
    edge = seen & ~ndimage.binary_erosion(clean[0])[None]
    seeds = edge & ~core & (_mean_where(half, clean) < OUTSIDE_HU)
    outside = connected_to(~core & clean, seeds)
    inside = erode(~outside, SKIN_MM, step) & clean
    whole = np.repeat(np.repeat(np.repeat(inside, 2, 0), 2, 1), 2, 2)
    return whole[: hu.shape[0], : hu.shape[1], : hu.shape[2]]


def field_of_view(hu: NDArray[np.int16]) -> Mask:
    """Where the picture holds data, bool (1, y, x): padding, often around a circle, is the same in every slice."""
    seen = (hu != AIR_HU).any(axis=0)
    return (seen if seen.any() else np.ones_like(seen))[None]


def air_level(hu: NDArray[np.int16]) -> float:
    """HU of the air around the patient, from the corners of the picture; -1000 unless it clearly reads otherwise.

    Parameters
    ----------
    hu
        (z, y, x) on the coarse grid.
    """
    _, height, width = hu.shape
    dy, dx = max(1, height // CORNER), max(1, width // CORNER)
    corners = [hu[:, y, x] for y in (slice(0, dy), slice(-dy, None)) for x in (slice(0, dx), slice(-dx, None))]
    values = np.concatenate([corner[corner != AIR_HU] for corner in corners])
    if values.size < MIN_CORNER_VOXELS:
        return float(STANDARD_AIR_HU)
    low, level, high = np.percentile(values, [25, 50, 75])
    homogeneous = high - low < CORNER_SPREAD_HU
    return (
        float(level) if homogeneous and abs(level - STANDARD_AIR_HU) > 40 and level < -700 else float(STANDARD_AIR_HU)
    )


def _mean_where(hu: NDArray[np.int16], where: Mask) -> NDArray[np.float32]:
    """The mean over 5 x 5 x 5 voxels of those that count; 0 where none does."""
    where = np.broadcast_to(where, hu.shape)
    total = ndimage.uniform_filter(np.where(where, hu, 0).astype(np.float32), 5)
    count = ndimage.uniform_filter(where.astype(np.float32), 5)
    return total / np.maximum(count, 1e-3)
