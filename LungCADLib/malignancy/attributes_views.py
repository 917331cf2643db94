"""What the attributes' network sees: axial slices of a nodule on one grid of millimeters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 48
PIXEL_MM = 0.75
"""36 mm: nearly every nodule of at most 30 mm with what is next to it, spicules of one pixel still there."""

LUNG_WINDOW_HU = (-1000.0, 200.0)
SOFT_WINDOW_HU = (-200.0, 300.0)
CHANNELS = 4
"""HU in the two windows as -1 to 1, the outline as 0 to 1, and 1 where the scan goes on."""

LEAST_AREA_SHARE = 0.5
MOST_SLICES = 5
"""Slices are looked at in which the nodule has at least this share of its largest area: at most so many of them."""

Turn = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cut:
    """An axial slice of a nodule: HU (y, x), outline bool (y, x), pixel sizes (y, x) in mm, center (y, x) in pixels."""

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    spacing: tuple[float, float]
    center: tuple[float, float]

    @staticmethod
    def of(hu: NDArray[np.int16], mask: NDArray[np.bool_], spacing: tuple[float, float]) -> "Cut":
        """A slice, centered where its outline is."""
        y, x = np.argwhere(mask).mean(axis=0)
        return Cut(hu, mask, spacing, (float(y), float(x)))


def slices_of(mask: NDArray[np.bool_]) -> list[int]:
    """The z of the slices to look at of an outline (z, y, x): the largest, and others evenly among the large ones."""
    area = mask.sum(axis=(1, 2))
    large = np.flatnonzero(area >= LEAST_AREA_SHARE * area.max())
    if len(large) <= MOST_SLICES:
        return [int(z) for z in large]
    return [int(large[round(i)]) for i in np.linspace(0, len(large) - 1, MOST_SLICES)]


_MM = (np.indices((SIDE, SIDE)).reshape(2, -1) - (SIDE - 1) / 2) * PIXEL_MM


def view(cut: Cut, turn: Turn | None = None, shift_mm: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float32]:
    """A slice on the network's grid, linear.

    Parameters
    ----------
    cut
        The slice; beyond its edges the edge's values go on and the last channel is 0.
    turn
        2 x 2, from the view's mm (y, x) to the slice's: rotation, reflection, scale.
    shift_mm
        Of the view's center from the slice's.

    Returns
    -------
    NDArray
        float32 (channels, y, x): HU, twice (not yet windowed), outline, whether the scan goes on.
    """
    from scipy import ndimage

    mm = _MM if turn is None else turn @ _MM
    at = (mm + np.array(shift_mm)[:, None]) / np.array(cut.spacing)[:, None] + np.array(cut.center)[:, None]
    out = np.empty((CHANNELS, SIDE * SIDE), np.float32)
    out[0] = ndimage.map_coordinates(cut.hu.astype(np.float32), at, order=1, mode="nearest")
    out[1] = out[0]
    out[2] = ndimage.map_coordinates(cut.mask.astype(np.float32), at, order=1, mode="constant")
    last = np.array(cut.hu.shape)[:, None] - 0.5
    out[3] = ((at > -0.5) & (at < last)).all(axis=0)
    return out.reshape(CHANNELS, SIDE, SIDE)


def windowed(views: NDArray[np.float32]) -> NDArray[np.float32]:
    """Views (..., channels, y, x) whose HU are brought to the two windows."""
    out = views.copy()
    for channel, (low, high) in enumerate((LUNG_WINDOW_HU, SOFT_WINDOW_HU)):
        hu = views[..., channel, :, :]
        out[..., channel, :, :] = np.clip((hu - low) / (high - low), 0, 1) * 2 - 1
    return out
