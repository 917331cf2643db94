"""The 2D CNN of paper "004" (M. Rocamora Valenti et al., section III), layer by layer.

Three convolutions of 32, 64 and 64 filters, "each followed by batch normalization" and max pooling; 128 fully
connected units with ReLU, dropout of 30 %, and 2 units whose softmax is the probability of benign and malignant. The
paper says neither the filters' size (3 x 3, padded) nor the convolutions' activation (ReLU) nor the pooling's size
(2 x 2): 124 pixels become 62, 31 and 15, so 14,400 features are connected, and there are 1,899,650 parameters.
"""

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

from LungCADLib.malignancy.cnn_2d_view import PIXELS

FILTERS = (32, 64, 64)
HIDDEN = 128
DROPOUT = 0.3
CLASSES = 2
"""Benign, malignant."""


def block(inputs: int, filters: int) -> nn.Sequential:
    """Convolution, batch normalization, pooling, ReLU: after pooling the same as before, at a quarter of the cost."""
    return nn.Sequential(nn.Conv2d(inputs, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.MaxPool2d(2), nn.ReLU())


class Cnn2d(nn.Module):
    """From views (n, 1, `PIXELS`, `PIXELS`) to the two logits (n, 2) that the softmax takes."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, *FILTERS)
        self.features = nn.Sequential(*(block(a, b) for a, b in pairwise(widths)))
        side = PIXELS // 2 ** len(FILTERS)
        self.answer = nn.Sequential(
            nn.Flatten(),
            nn.Linear(FILTERS[-1] * side**2, HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, CLASSES),
        )

    def forward(self, views: Tensor) -> Tensor:
        logits: Tensor = self.answer(self.features(views))
        return logits


def network_of(state: Mapping[str, Tensor]) -> Cnn2d:
    """The network of a state dict, ready to be asked."""
    network = Cnn2d()
    network.load_state_dict(dict(state))
    return network.eval()
