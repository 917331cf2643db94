"""Differentiable augmentation of real and generated pictures alike, so that a GAN learns from few examples.

Zhao S et al., Differentiable augmentation for data-efficient GAN training, NeurIPS 2020 (arXiv 2006.10738): what the
critic sees, real or generated, is drawn from the same distribution of transforms, and gradients flow through them back
to the generator. Only the spatial ones are used, translation and cutout, and flips: paper 000 found them more helpful
than brightness and noise, and a CT's brightness is a measurement.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

SHIFT = 1 / 8
"""Largest translation, as a share of the side (the authors' `translation`)."""

CUT = 1 / 2
"""Side of the square cut out, as a share of the side (the authors' `cutout`)."""

OUTSIDE = 0.0
"""What stands in the cut and beyond the shifted picture: the middle of pictures from -1 to 1."""


class Transform(NamedTuple):
    """What is done to each of n pictures.

    `flip` bool (n, 2): mirrored along (y, x); `shift` int64 (n, 2): pixels (y, x) that the content moves; `cut` int64
    (n, 2): the middle (y, x) of the square that is cut out, after the shift.
    """

    flip: Tensor
    shift: Tensor
    cut: Tensor


def draw(n: int, side: tuple[int, int], generator: torch.Generator | None = None) -> Transform:
    """Transforms for n pictures of a size (y, x), uniform; of torch's own random numbers without a generator."""

    def uniform(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (n,), generator=generator)

    most = [round(SHIFT * length) for length in side]
    return Transform(
        torch.stack([uniform(0, 1), uniform(0, 1)], dim=1) > 0,
        torch.stack([uniform(-one, one) for one in most], dim=1),
        torch.stack([uniform(0, length - 1) for length in side], dim=1),
    )


def apply(pictures: Tensor, transform: Transform) -> Tensor:
    """Pictures (n, c, y, x) flipped, shifted and cut; differentiable in the pictures."""
    n, _, *side = pictures.shape
    device = pictures.device
    flip, shift, cut = (part.to(device) for part in transform)
    places, inside, far = [], [], []
    for axis, length in enumerate(side):
        target = torch.arange(length, device=device).expand(n, length)
        source = target - shift[:, axis, None]
        inside.append((source >= 0) & (source < length))
        source = source.clamp(0, length - 1)
        places.append(torch.where(flip[:, axis, None], length - 1 - source, source))
        low = cut[:, axis, None] - round(CUT * length) // 2
        far.append((target < low) | (target >= low + round(CUT * length)))
    first = torch.arange(n, device=device)[:, None, None]
    # An index between slices puts its axes first: (n, y, x, c).
    moved = pictures[first, :, places[0][:, :, None], places[1][:, None, :]].movedim(3, 1)
    kept = inside[0][:, :, None] & inside[1][:, None, :] & (far[0][:, :, None] | far[1][:, None, :])
    return torch.where(kept[:, None], moved, torch.full_like(moved, OUTSIDE))


def diff_augment(pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Pictures (n, c, y, x) under transforms drawn for each; call it on real and on generated ones alike."""
    return apply(pictures, draw(len(pictures), (pictures.shape[2], pictures.shape[3]), generator))


def augmented(critic: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A critic that sees every picture, real, generated or between, only after `diff_augment`."""
    return lambda pictures: critic(diff_augment(pictures))
