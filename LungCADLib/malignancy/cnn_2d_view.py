"""A nodule's largest slice as the 2D CNN sees it: a square around it, enlarged to the same number of pixels.

The paper (field name "004": M. Rocamora Valenti et al., Deep Learning for Lung Nodule Classification in CT Images,
Universitat Politècnica de València) takes normalized crops of 124 x 124 pixels and says neither how wide they are nor
how they are normalized. Here a crop is twice as wide as the nodule, and intensities are the lung window's. One sampling
serves training and use: from native pixels straight to the network's grid.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 124
"""Side of what the network sees; the paper's."""

NATIVE_PIXELS = 71
"""Side of the square of native pixels that is looked at: that of the files it learned from, so that use shows no more
than training did."""

TIMES_DIAMETER, LEAST_MM = 2.0, 20.0
"""Width of a scaled crop: of the nodule's long axis, and the least. Nodules of 10 mm and more fill half of it, so only
among smaller ones does it show how large they are."""

FIXED_MM = 31.0
"""Width of a fixed crop: 0.25 mm per pixel, and room for the largest nodule (30 mm by definition)."""


class Crop(StrEnum):
    """How wide the square around a nodule is."""

    SCALED = "scaled"
    FIXED = "fixed"


def widths_mm(
    crop: Crop, diameter_mm: NDArray[np.float64], spacing_mm: NDArray[np.float64], pixels: int
) -> NDArray[np.float64]:
    """Width (n,) of the crops around nodules.

    Parameters
    ----------
    crop
        Which kind.
    diameter_mm
        (n,) long axes.
    spacing_mm
        (n, 2): between native pixel centers in (y, x).
    pixels
        Side of the square of native pixels at hand; a scaled crop is no wider, so that it has no empty border.
    """
    if crop is Crop.FIXED:
        return np.full(len(diameter_mm), FIXED_MM)
    wanted = np.maximum(TIMES_DIAMETER * diameter_mm, LEAST_MM)
    out: NDArray[np.float64] = np.minimum(wanted, pixels * spacing_mm.min(axis=1))
    return out


def views(hu: "Tensor", spacing_mm: "Tensor", width_mm: "Tensor", turn: "Tensor | None" = None) -> "Tensor":
    """What the network sees of slices.

    Parameters
    ----------
    hu
        float32 (n, y, x) at native pixels, the nodule around pixel (y // 2, x // 2).
    spacing_mm
        (n, 2): between pixel centers in (y, x).
    width_mm
        (n,) as `widths_mm` gives them.
    turn
        (n, 2, 2): takes places of the view to places of the slices, both (y, x) from the middle: turned, mirrored,
        zoomed. None leaves them as they are.

    Returns
    -------
    Tensor
        float32 (n, 1, `PIXELS`, `PIXELS`): the lung window scaled to 0..1, linear between pixels; beyond them, what the
        nearest one shows.
    """
    import torch
    from torch.nn.functional import grid_sample

    low, high = LUNG_WINDOW_HU
    gray = ((hu - low) / (high - low)).clamp(0, 1)
    steps = (torch.arange(PIXELS, dtype=torch.float32) - (PIXELS - 1) / 2) / PIXELS
    place = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    at_mm = width_mm[:, None, None, None] * place
    if turn is not None:
        at_mm = torch.einsum("nij,nyxj->nyxi", turn, at_mm)
    native = at_mm / spacing_mm[:, None, None]
    size = torch.tensor(hu.shape[1:], dtype=torch.float32)
    grid = ((2 * (native + size.div(2, rounding_mode="floor")) + 1) / size - 1).flip(-1)
    return grid_sample(gray[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
