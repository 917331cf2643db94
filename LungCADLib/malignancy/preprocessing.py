"""Named steps on CT pictures before a network sees them: erosion, noise removal, enhancement, inversion, segmentation.

Paper 000 lists them without amounts; these are the plainest reading of each, in HU, so that one step can be told from
another. Each takes pictures (..., y, x) at native pixels and gives int16 HU of the same shape; beyond the edge a
picture goes on as it ends there.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU
from LungCADLib.scan import AIR_HU

SIDE = 3
"""Pixels of the square in which erosion, median and mean look."""

LUNG_HU = -400.0
"""Below it is air or lung, above it tissue: halfway between the two (about -850 and 50 HU)."""


class Step(StrEnum):
    """The steps that change a picture, by their names on the command line."""

    ERODE = "erode"
    DENOISE = "denoise"
    ENHANCE = "enhance"
    INVERT = "invert"
    SEGMENT = "segment"


def eroded_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks (..., y, x) without the pixels that touch the outside, corners included: erosion by 3x3, once.

    What lies beyond the picture takes nothing away, as in OpenCV's `erode`, which paper 000 uses.
    """
    from scipy import ndimage

    out: NDArray[np.bool_] = ndimage.binary_erosion(mask, np.ones(_window(mask), bool), border_value=1)
    return out


def eroded(hu: NDArray) -> NDArray[np.int16]:
    """The lowest of each pixel and its eight neighbors: gray erosion by 3x3, once. Bright things shrink by a pixel."""
    from scipy import ndimage

    return _hu(ndimage.grey_erosion(hu, size=_window(hu), mode="nearest"))


def denoised(hu: NDArray) -> NDArray[np.int16]:
    """The median of each pixel and its eight neighbors: single outliers go, edges stay."""
    from scipy import ndimage

    return _hu(ndimage.median_filter(hu, size=_window(hu), mode="nearest"))


def enhanced(hu: NDArray) -> NDArray[np.int16]:
    """Unsharp masking: what differs from the mean of the 3x3 around it differs twice as much."""
    from scipy import ndimage

    smooth = ndimage.uniform_filter(hu.astype(np.float64), size=_window(hu), mode="nearest")
    return _hu(2 * hu - smooth)


def inverted(hu: NDArray) -> NDArray[np.int16]:
    """Bright for dark within the lung window (-1000 to 400 HU)."""
    low, high = LUNG_WINDOW_HU
    return _hu(low + high - np.clip(hu, low, high))


def lung_field(hu: NDArray) -> NDArray[np.bool_]:
    """Where the lungs are in whole axial slices (..., y, x): air that does not reach the edge, its holes filled.

    Vessels and nodules that lung surrounds are filled in; those that touch the chest wall are lost, which is why the
    road finds lungs in another way (`LungCADLib.lungs`).
    """
    from scipy import ndimage

    out = np.zeros(hu.shape, bool)
    for place in np.ndindex(hu.shape[:-2]):
        parts, count = ndimage.label(hu[place] < LUNG_HU)
        edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
        inner = ~np.isin(np.arange(count + 1), edge)
        inner[0] = False
        out[place] = ndimage.binary_fill_holes(inner[parts])
    return out


def segmented(hu: NDArray) -> NDArray[np.int16]:
    """Whole slices with everything but the lungs made air."""
    return _hu(np.where(lung_field(hu), hu, AIR_HU))


STEPS = {
    Step.ERODE: eroded,
    Step.DENOISE: denoised,
    Step.ENHANCE: enhanced,
    Step.INVERT: inverted,
    Step.SEGMENT: segmented,
}

OF_PATCHES = (Step.ERODE, Step.DENOISE, Step.ENHANCE, Step.INVERT)
"""Steps that make sense around a nodule; segmentation needs the whole slice."""


def preprocessed(hu: NDArray, steps: Sequence[Step]) -> NDArray[np.int16]:
    """Pictures (..., y, x) after some steps, one after the other."""
    out = _hu(hu)
    for step in steps:
        out = STEPS[step](out)
    return out


def rotations(hu: NDArray, side: int, every_degrees: int = 10) -> NDArray[np.int16]:
    """A picture turned clockwise in equal steps, and its middle cut out of each: (360 / step, side, side).

    Turned first and cut afterwards, so that the corners of the copies show what was scanned there and not a filling;
    for that the picture must be at least √2 times as wide as the copies.

    Parameters
    ----------
    hu
        (y, x), the nodule around pixel (y // 2, x // 2).
    side
        Pixels of a copy's side, of the same size as the picture's.
    every_degrees
        A divisor of 360; paper 000 takes 10, which makes 36 copies.

    Raises
    ------
    ValueError
        If the picture is too small, or the step is none.
    """
    from scipy import ndimage

    if every_degrees < 1 or 360 % every_degrees:
        raise ValueError(f"A full turn has no equal steps of {every_degrees} degrees.")
    if min(hu.shape) < np.ceil(side * np.sqrt(2)):
        raise ValueError(f"A picture of {hu.shape} is too small to cut {side} x {side} pixels out at every angle.")
    steps = np.arange(side) - side // 2
    y, x = np.meshgrid(steps, steps, indexing="ij")
    copies = []
    for degrees in range(0, 360, every_degrees):
        # y grows downward: what stands above the middle (y < 0) is on its right (x > 0) after a quarter clockwise.
        sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
        at = [hu.shape[0] // 2 + y * cosine - x * sine, hu.shape[1] // 2 + y * sine + x * cosine]
        copies.append(ndimage.map_coordinates(hu.astype(np.float32), at, order=1, mode="nearest"))
    return _hu(np.stack(copies))


def _window(pictures: NDArray) -> tuple[int, ...]:
    return (*(1 for _ in pictures.shape[:-2]), SIDE, SIDE)


def _hu(values: NDArray) -> NDArray[np.int16]:
    out: NDArray[np.int16] = np.round(values).astype(np.int16)
    return out
