"""The network that rates how a nodule looks."""

from itertools import pairwise
from typing import TYPE_CHECKING

from LungCADLib.malignancy.attributes import GRADES, WORDS
from LungCADLib.malignancy.attributes_descriptors import DESCRIPTORS
from LungCADLib.malignancy.attributes_views import CHANNELS
from LungCADLib.weights import State

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTHS = (16, 32, 64)
"""Features at half, quarter and eighth resolution."""

DESCRIBED = 64
"""Features made of the descriptors."""

DROPPED = 0.3
"""Share of the features left out in each step of training."""

DROPPED_DESCRIPTORS = 0.1


def attribute_network() -> "nn.Module":
    """From views (n, channels, y, x) and their descriptors (n, d) to log odds (n, attributes, grades - 1), untrained.

    A residual network (He et al., CVPR 2016) pooled by mean and by maximum, beside a layer that reads the descriptors.
    Number t of an attribute's log odds is that of a rating above t + 1; they fall from each to the next by
    construction, so no grade's probability is negative.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class AttributeNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first = nn.Conv2d(CHANNELS, WIDTHS[0], 5, stride=2, padding=2, bias=False)
            self.stem = nn.Sequential(first, nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
            self.blocks = nn.Sequential(*(_block(a, b) for a, b in pairwise(WIDTHS)))
            self.described = nn.Sequential(
                nn.BatchNorm1d(DESCRIPTORS),
                nn.Dropout(DROPPED_DESCRIPTORS),
                nn.Linear(DESCRIPTORS, DESCRIBED),
                nn.ReLU(),
            )
            self.dropout = nn.Dropout(DROPPED)
            self.linear = nn.Linear(2 * WIDTHS[-1] + DESCRIBED, len(WORDS) * (GRADES - 1))

        def forward(self, views: "Tensor", descriptors: "Tensor") -> "Tensor":
            x = self.blocks(self.stem(views))
            features = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), self.described(descriptors)], dim=1)
            numbers = self.linear(self.dropout(features)).reshape(len(views), len(WORDS), GRADES - 1)
            first, steps = numbers.split([1, GRADES - 2], dim=2)
            return torch.cat([first, first - functional.softplus(steps).cumsum(dim=2)], dim=2)

    return AttributeNetwork()


def _block(before: int, after: int) -> "nn.Module":
    """Two convolutions, the first of which halves the resolution, beside a shortcut."""
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.Conv2d(after, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
            )
            self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1, bias=False))

        def forward(self, x: "Tensor") -> "Tensor":
            return functional.relu(self.body(x) + self.shortcut(x))

    return Block()


def network_of(state: State) -> "nn.Module":
    """The network of a state dict, ready to be asked."""
    network = attribute_network()
    network.load_state_dict(state)
    return network.eval()
