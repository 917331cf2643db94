"""The two networks of a WGAN-GP for square pictures: a generator and a critic.

Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017 (arXiv 1704.00028): the critic has no batch
normalization, since the penalty is on the gradient at each picture alone.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

LATENT = 128
WIDTH = 64

_DOUBLINGS = 3
_FACTOR = 2**_DOUBLINGS


def first_side(side: int) -> int:
    """The side of the coarsest maps of pictures of this side.

    Raises
    ------
    ValueError
        If the side cannot be halved three times.
    """
    if side < _FACTOR or side % _FACTOR:
        raise ValueError(f"Pictures of {side} pixels cannot be halved three times; use a multiple of {_FACTOR}.")
    return side // _FACTOR


class Generator(nn.Module):
    """From random numbers (n, latent) to pictures (n, 1, side, side) in -1..1.

    A linear layer to 4w maps of side / 8 pixels, then three times: nearest doubling, 3x3 convolution, batch
    normalization, ReLU (4w, 2w, w, w / 2 maps); a 3x3 convolution and tanh end it.
    """

    def __init__(self, side: int, width: int = WIDTH, latent: int = LATENT) -> None:
        super().__init__()
        self.latent = latent
        small = first_side(side)
        self.start = nn.Sequential(nn.Linear(latent, 4 * width * small**2), nn.Unflatten(1, (4 * width, small, small)))
        maps = (4 * width, 2 * width, width, width // 2)
        self.up = nn.Sequential(*(_doubling(a, b) for a, b in pairwise(maps)))
        self.picture = nn.Conv2d(maps[-1], 1, 3, 1, 1)

    def forward(self, numbers: Tensor) -> Tensor:
        return torch.tanh(self.picture(self.up(self.start(numbers))))


class Critic(nn.Module):
    """From pictures (n, 1, side, side) to a score (n,), higher for what looks real.

    Three 4x4 convolutions of stride 2 (w, 2w, 4w maps) with leaky ReLU (0.2), and a linear layer.
    """

    def __init__(self, side: int, width: int = WIDTH) -> None:
        super().__init__()
        maps = (1, width, 2 * width, 4 * width)
        layers = [nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)) for a, b in pairwise(maps)]
        self.down = nn.Sequential(*layers)
        self.score = nn.Linear(maps[-1] * first_side(side) ** 2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.score(self.down(pictures).flatten(1))[:, 0]
        return out


def _doubling(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
