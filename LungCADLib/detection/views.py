"""What the reduction network looks at: each candidate at two scales, cut from the lungs' grid.

The near view shows form and edge, the far one what the candidate hangs on. Both grow with large candidates, so that a
mass looks as a nodule does.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIDE = 24
"""Voxels along each side of a view."""

SPACINGS_MM = (1.0, 2.0)
"""Of the near and the far view's voxels, for a candidate of up to `LARGE_RADIUS_MM`."""

LARGE_RADIUS_MM = 7.0
"""Views of a larger candidate are as much coarser as it is larger."""

WINDOW_HU = (-1000.0, 400.0)
NO_DATA = 0
"""Value of a view's voxel beyond the scan; 1 to 255 span the window."""


def pyramid(hu: NDArray[np.int16], levels: int = 3) -> list[NDArray[np.float32]]:
    """HU (z, y, x) at 1 mm within the window, and at 2, 4, ... mm: means over 8 voxels each."""
    out = [np.clip(hu, *WINDOW_HU).astype(np.float32)]
    while len(out) < levels:
        even = np.pad(out[-1], [(0, n % 2) for n in out[-1].shape], mode="edge")
        z, y, x = (n // 2 for n in even.shape)
        out.append(even.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5)))
    return out


def views(
    levels: list[NDArray[np.float32]],
    index: NDArray[np.float64],
    radius_mm: NDArray[np.float64],
    turns: NDArray[np.float64] | None = None,
    side: int = SIDE,
) -> NDArray[np.uint8]:
    """Both views of each candidate.

    Parameters
    ----------
    levels
        As `pyramid` makes them.
    index
        (n, 3) centers as (z, y, x) on the 1 mm grid.
    radius_mm
        (n,) of the candidates.
    turns
        (n, 3, 3) matrices from the view's axes to the grid's; None looks along them.
    side
        Voxels along each side.

    Returns
    -------
    uint8 (n, 2, z, y, x): `NO_DATA` beyond the grid, 1 to 255 across the window.
    """
    out = np.empty((len(index), len(SPACINGS_MM), side, side, side), np.uint8)
    axis = np.arange(side) - (side - 1) / 2
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    low, high = WINDOW_HU
    for i, center in enumerate(index):
        zoom = max(float(radius_mm[i]) / LARGE_RADIUS_MM, 1.0)
        turned = offsets if turns is None else np.einsum("ij,jzyx->izyx", turns[i], offsets)
        for scale, spacing in enumerate(SPACINGS_MM):
            step = spacing * zoom
            level = min(int(np.log2(step) + 0.5), len(levels) - 1)
            size = 2.0**level
            at = (turned * step + (center - (size - 1) / 2)[:, None, None, None]) / size
            hu = ndimage.map_coordinates(levels[level], at, np.float32, order=1, mode="constant", cval=np.nan)
            grays = np.rint((hu - low) * (254 / (high - low)) + 1)
            out[i, scale] = np.where(np.isnan(hu), NO_DATA, grays)
    return out
