"""Axial slices as the appearance network sees them: the same millimeters per pixel, two windows, and what is known.

One sampling for training and for use: from native pixels straight to the network's grid, so that what the network
learns from is as sharp as what it is asked about.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

PIXEL_MM = 0.75
SIDE_PIXELS = 40
"""30 mm: the largest nodule, by definition, and enough around most of them."""

CHANNELS = 3
"""Lung window, soft-tissue window, known."""

LUNG_WINDOW_HU = (-1000.0, 400.0)
"""What the files of patches are scaled to, so that they can be taught and asked as slices can."""

TISSUE_WINDOW_HU = (-100.0, 400.0)


def square(image: NDArray, center: tuple[int, int], side: int, outside: float = 0.0) -> NDArray:
    """The `side` x `side` pixels of an image (y, x) whose middle one, `side // 2`, is the pixel (y, x) of `center`."""
    out = np.full((side, side), outside, image.dtype)
    low = [c - side // 2 for c in center]
    inner = tuple(slice(max(0, -a), max(0, min(side, n - a))) for a, n in zip(low, image.shape, strict=True))
    outer = tuple(slice(max(0, a), max(0, min(n, a + side))) for a, n in zip(low, image.shape, strict=True))
    out[inner] = image[outer]
    return out


def views(
    hu: "Tensor",
    known: "Tensor",
    center: "Tensor",
    spacing_mm: "Tensor",
    turn: "Tensor | None" = None,
    *,
    windows_hu: tuple[tuple[float, float], ...] = (LUNG_WINDOW_HU, TISSUE_WINDOW_HU),
    side: int = SIDE_PIXELS,
    pixel_mm: float = PIXEL_MM,
) -> "Tensor":
    """What a network sees of slices; by default the appearance network.

    Parameters
    ----------
    hu
        (n, y, x).
    known
        (n, y, x): 1 where the pixel was scanned, 0 where it fills up the array.
    center, spacing_mm, turn, side, pixel_mm
        As `sampled` takes them.
    windows_hu
        Lowest and highest HU of each window.

    Returns
    -------
    Tensor
        float32 (n, windows + 1, `side`, `side`): the windows scaled to -1..1, 0 where nothing is known; and 1 where
        something is.
    """
    import torch

    # The HU of unknown pixels must not bleed into their neighbors: weighted by what is known, then divided by it.
    both = sampled(torch.stack([hu * known, known], dim=1), center, spacing_mm, turn, side=side, pixel_mm=pixel_mm)
    inside = both[:, 1:] > 0.5
    value = both[:, :1] / both[:, 1:].clamp_min(0.5)
    windows = [((value - low) / (high - low) * 2 - 1).clamp(-1, 1) for low, high in windows_hu]
    return torch.cat([torch.cat(windows, dim=1) * inside, inside.float()], dim=1)


def sampled(
    images: "Tensor",
    center: "Tensor",
    spacing_mm: "Tensor",
    turn: "Tensor | None" = None,
    *,
    side: int = SIDE_PIXELS,
    pixel_mm: float = PIXEL_MM,
) -> "Tensor":
    """Images on a network's grid, linear between their pixels and 0 beyond them.

    Parameters
    ----------
    images
        (n, c, y, x).
    center
        (n, 2): index (y, x) of what comes to the middle.
    spacing_mm
        (n, 2): between pixel centers in (y, x).
    turn
        (n, 2, 2): takes places of the view to places of the images, both (y, x) from the middle: turned, mirrored,
        stretched. None leaves them as they are.
    side, pixel_mm
        Of the grid.

    Returns
    -------
    Tensor
        (n, c, `side`, `side`).
    """
    import torch
    from torch.nn.functional import grid_sample

    steps = (torch.arange(side, dtype=torch.float32) - (side - 1) / 2) * pixel_mm
    place = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    at = place.expand(len(images), *place.shape)
    if turn is not None:
        at = torch.einsum("nij,nyxj->nyxi", turn, at)
    index = center[:, None, None] + at / spacing_mm[:, None, None]
    size = torch.tensor(images.shape[2:], dtype=torch.float32)
    grid = ((2 * index + 1) / size - 1).flip(-1)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def eight_sides(seen: "Tensor") -> "list[Tensor]":
    """The eight views (n, c, y, x) that quarter turns and a mirror make of each."""
    return [side.rot90(k, (2, 3)) for side in (seen, seen.flip(3)) for k in range(4)]
