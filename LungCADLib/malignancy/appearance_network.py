"""The appearance network: a small residual network on one axial slice.

It finds the nodule (a coarse outline), gathers what it sees inside and around it, and answers two things: how
suspicious the readers of LIDC would find it, and what they would say of its characteristics. The outline and the
characteristics are there to teach it where and at what to look; only suspicion and diameter are used.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from LungCADLib.malignancy.slice_view import CHANNELS

WIDTH = 16
TRAITS = 9
"""LIDC's seven characteristics, calcification and the diameter."""

DIAMETER = TRAITS - 1


class Answer(NamedTuple):
    """Log odds of suspicion (n,), traits as shares of their scales (n, `TRAITS`), and outline (n, 1, y / 2, x / 2)."""

    suspicion: Tensor
    traits: Tensor
    outline: Tensor


class Block(nn.Module):
    """Two convolutions beside a shortcut; the first may halve the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        inner = relu(self.first_norm(self.first(x)))
        return relu(self.second_norm(self.second(inner)) + self.shortcut(x))


class AppearanceNetwork(nn.Module):
    """From views (n, `CHANNELS`, y, x) as `slice_view.views` makes them; y and x are multiples of 8."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(nn.Conv2d(CHANNELS, w, 3, 1, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU())
        self.down = nn.ModuleList([Block(w, 2 * w, 2), Block(2 * w, 4 * w, 2), Block(4 * w, 8 * w, 2)])
        self.sideways = nn.ModuleList([nn.Conv2d(k * w, 2 * w, 1) for k in (2, 4, 8)])
        self.joined = nn.Sequential(nn.Conv2d(2 * w, 2 * w, 3, 1, 1, bias=False), nn.BatchNorm2d(2 * w), nn.ReLU())
        self.outline = nn.Conv2d(2 * w, 1, 1)
        self.hidden = nn.Sequential(nn.Dropout(0.1), nn.Linear(8 * w + 4 * w + 1, 4 * w), nn.ReLU(), nn.Dropout(0.1))
        self.answer = nn.Linear(4 * w, 1 + TRAITS)

    def forward(self, views: Tensor) -> Answer:
        x = self.stem(views)
        levels = []
        for block in self.down:
            x = block(x)
            levels.append(x)
        up = self.sideways[2](levels[2])
        for level, sideways in ((levels[1], self.sideways[1]), (levels[0], self.sideways[0])):
            up = sideways(level) + interpolate(up, scale_factor=2.0, mode="nearest")
        joined = self.joined(up)
        outline = self.outline(joined)
        inside = outline.sigmoid()
        area = inside.sum(dim=(2, 3))
        of_nodule = (joined * inside).sum(dim=(2, 3)) / area.clamp_min(1.0)
        around = joined.mean(dim=(2, 3))
        seen = torch.cat([x.mean(dim=(2, 3)), of_nodule, around, torch.log(area + 1.0)], dim=1)
        answer = self.answer(self.hidden(seen))
        return Answer(answer[:, 0], answer[:, 1:], outline)


def network_of(state: Mapping[str, Tensor]) -> AppearanceNetwork:
    """The network of a state dict, ready to be asked."""
    network = AppearanceNetwork(state["stem.0.weight"].shape[0])
    network.load_state_dict(dict(state))
    return network.eval()
