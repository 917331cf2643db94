"""The feature extractor of method 000: a small residual network on one axial slice.

Its first layers are those of the appearance network, so that it can begin with what that one has learned (transfer).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from LungCADLib.malignancy.appearance_network import WIDTH, AppearanceNetwork, Block
from LungCADLib.malignancy.slice_view import CHANNELS

FEATURES = 32
DROPPED = 0.2


class Seen(NamedTuple):
    """Features (n, `FEATURES`) and the log odds of suspicion (n,) that taught them."""

    features: Tensor
    suspicion: Tensor


class MembershipNetwork(nn.Module):
    """From views (n, `CHANNELS`, y, x) as `slice_view.views` makes them; y and x are multiples of 8."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(nn.Conv2d(CHANNELS, w, 3, 1, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU())
        self.down = nn.ModuleList([Block(w, 2 * w, 2), Block(2 * w, 4 * w, 2), Block(4 * w, 8 * w, 2)])
        self.gathered = nn.Sequential(nn.Dropout(DROPPED), nn.Linear(16 * w, FEATURES), nn.Tanh())
        self.answer = nn.Linear(FEATURES, 1)

    def forward(self, views: Tensor) -> Seen:
        x = self.stem(views)
        for block in self.down:
            x = block(x)
        features = self.gathered(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))
        return Seen(features, self.answer(features)[:, 0])

    def begin_with(self, other: AppearanceNetwork) -> None:
        """Take over the layers that the appearance network has, too.

        Raises
        ------
        ValueError
            If that network is of another width.
        """
        try:
            self.stem.load_state_dict(other.stem.state_dict())
            self.down.load_state_dict(other.down.state_dict())
        except RuntimeError:
            raise ValueError("A network of another width cannot be started from.") from None


def network_of(state: Mapping[str, Tensor]) -> MembershipNetwork:
    """The network of a state dict, ready to be asked."""
    network = MembershipNetwork(state["stem.0.weight"].shape[0])
    network.load_state_dict(dict(state))
    return network.eval()
