"""The reduction network: tells nodules from everything else that is round, at two scales."""

from itertools import pairwise
from typing import TYPE_CHECKING

from LungCADLib.detection.features import NAMES
from LungCADLib.detection.views import SPACINGS_MM

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTHS = (16, 16, 32, 40)
"""Features of a tower at half resolution (twice), a quarter and an eighth."""

FOR_NUMBERS = 24
JOINED = 48
DROPPED = 0.3


def reduction_network(widths: tuple[int, ...] = WIDTHS) -> "nn.Module":
    """An untrained network.

    It takes views uint8 (n, 2, z, y, x) as `views.views` cuts them and the numbers float32 (n, f) of
    `features.describe`, standardized, and gives log odds (n,). Each view has its own plain tower of
    convolutions; means and maxima of what the towers see are read together with the numbers.
    """
    import torch
    from torch import nn

    class ReductionNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.towers = nn.ModuleList(_tower(widths) for _ in SPACINGS_MM)
            self.numbers = nn.Sequential(nn.Linear(len(NAMES), FOR_NUMBERS), nn.ReLU(), nn.Dropout(DROPPED))
            seen = 2 * widths[-1] * len(SPACINGS_MM) + FOR_NUMBERS
            self.answer = nn.Sequential(
                nn.Dropout(DROPPED), nn.Linear(seen, JOINED), nn.ReLU(), nn.Dropout(DROPPED), nn.Linear(JOINED, 1)
            )

        def forward(self, views: "Tensor", numbers: "Tensor") -> "Tensor":
            gray = (views.float() - 128) * (views > 0) / 64
            seen = [self.numbers(numbers)]
            for k, tower in enumerate(self.towers):
                deep = tower(gray[:, k : k + 1].contiguous(memory_format=torch.channels_last_3d))
                seen += [deep.mean(dim=(2, 3, 4)), deep.amax(dim=(2, 3, 4))]
            return self.answer(torch.cat(seen, 1))[:, 0]

    return ReductionNetwork()


def _tower(widths: tuple[int, ...]) -> "nn.Sequential":
    from torch import nn

    layers: list[nn.Module] = [nn.Conv3d(1, widths[0], 4, stride=2, padding=1, bias=False)]
    layers += [nn.BatchNorm3d(widths[0]), nn.ReLU()]
    for before, after in pairwise(widths):
        layers += _convolution(before, after) + _convolution(after, after)
        layers.append(nn.MaxPool3d(2))
    return nn.Sequential(*layers[:-1])


def _convolution(before: int, after: int) -> "list[nn.Module]":
    from torch import nn

    return [nn.Conv3d(before, after, 3, padding=1, bias=False), nn.BatchNorm3d(after), nn.ReLU()]
