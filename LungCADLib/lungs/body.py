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
    edge = seen & ~ndimage.binary_erosion(seen[0])[None]
    seeds = edge & ~core & (ndimage.uniform_filter(half, 5) < OUTSIDE_HU)
    outside = connected_to(~core & seen, seeds)
    inside = erode(~outside & seen | ~seen, SKIN_MM, step) & seen
    whole = np.repeat(np.repeat(np.repeat(inside, 2, 0), 2, 1), 2, 2)
    return whole[: hu.shape[0], : hu.shape[1], : hu.shape[2]]


def field_of_view(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Where the picture holds data: all of it, or the inscribed circle if the corners are padding; bool (1, y, x)."""
    _, height, width = hu.shape
    y, x = np.ogrid[:height, :width]
    radius = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    circle = radius < min(height, width) / 2 - 1
    corners = hu[:, radius > min(height, width) / 2 + 1]
    padded = corners.size > 0 and np.mean(corners == AIR_HU) > 0.98
    return (circle if padded else np.ones((height, width), bool))[None]
