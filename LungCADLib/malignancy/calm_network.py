"""CALM's networks: a convolutional encoder, clusters of what it sees, and a classifier that is told the cluster.

Paper 003, sections 4 and 5. Each picture becomes the features of the encoder's last pooling; the features are brought
to a common scale; the nearer of two centers, by a dissimilarity that was learned, is the picture's cluster; a small
network classifies the features with the cluster appended as one of two ones.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, one_hot, relu

Padding = Literal["same", "valid"]

SIDE_PIXELS = 40
KERNELS = (5, 3, 3)
MAPS = 50
CLUSTERS = 2
HIDDEN = (128, 32)
CLASSES = 2
"""All of section 4 and 5 of paper 003."""


class Encoder(nn.Module):
    """From pictures (n, 1, 40, 40) in 0..1 to features (n, f): three times convolution, ReLU and pooling by 2.

    Paper 003 does not say how convolutions treat the border. "same" pads with air and leaves 50 x 5 x 5 = 1,250
    features, "valid" does not pad and leaves 50 x 3 x 3 = 450.
    """

    def __init__(self, padding: Padding = "same") -> None:
        super().__init__()
        inputs = (1, MAPS, MAPS)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, MAPS, k, padding=k // 2 if padding == "same" else 0)
            for a, k in zip(inputs, KERNELS, strict=True)
        )

    def pooled(self, pictures: Tensor, layers: int = len(KERNELS)) -> Tensor:
        """The maps (n, 50, y, x) after so many layers; the pictures themselves after none."""
        x = pictures
        for layer in self.layers[:layers]:
            x = max_pool2d(relu(layer(x)), 2)
        return x

    def forward(self, pictures: Tensor) -> Tensor:
        return self.pooled(pictures).flatten(1)


def features_of(padding: Padding) -> int:
    """How many features an encoder makes."""
    side = SIDE_PIXELS
    for kernel in KERNELS:
        side = (side if padding == "same" else side - kernel + 1) // 2
    return MAPS * side**2


def classifier(inputs: int) -> nn.Sequential:
    """From rows (n, inputs) to log odds of two classes before the softmax (n, 2): 128, 32, 2 with leaky ReLU."""
    first, second = HIDDEN
    return nn.Sequential(
        nn.Linear(inputs, first), nn.LeakyReLU(), nn.Linear(first, second), nn.LeakyReLU(), nn.Linear(second, CLASSES)
    )


def augmented(features: Tensor, cluster: Tensor, clusters: int = CLUSTERS) -> Tensor:
    """Features (n, d) with the cluster of each (n,) appended as one of `clusters` ones: (n, d + clusters)."""
    return torch.cat([features, one_hot(cluster, clusters).to(features.dtype)], dim=1)


def dissimilarity(features: Tensor, centers: Tensor, importance: Tensor) -> Tensor:
    """How unlike each row is each center, (n, k): the sum over features of importance times absolute difference.

    Section 5.2 of paper 003. Its formula has an index k where the sum runs over n; we read one index.

    Parameters
    ----------
    features
        (n, d).
    centers
        (k, d).
    importance
        (d,).
    """
    return torch.stack([(features - center).abs() @ importance for center in centers], dim=1)


class CalmNetwork(nn.Module):
    """One member: from pictures (n, 1, 40, 40) in 0..1 to the probability (n,) of the second class."""

    mean: Tensor
    scale: Tensor
    centers: Tensor
    importance: Tensor

    def __init__(self, padding: Padding = "same") -> None:
        super().__init__()
        d = features_of(padding)
        self.encoder = Encoder(padding)
        self.classifier = classifier(d + CLUSTERS)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.register_buffer("centers", torch.zeros(CLUSTERS, d))
        self.register_buffer("importance", torch.ones(d))

    def features(self, pictures: Tensor) -> Tensor:
        """What the encoder sees, on the common scale (n, d)."""
        scaled: Tensor = (self.encoder(pictures) - self.mean) / self.scale
        return scaled

    def clusters(self, features: Tensor) -> Tensor:
        """The nearer center (n,) of features as `features` gives them."""
        return dissimilarity(features, self.centers, self.importance).argmin(dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Probability (n,) of features as `features` gives them."""
        out: Tensor = self.classifier(augmented(features, self.clusters(features))).softmax(dim=1)[:, 1]
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classify(self.features(pictures))


def network_of(state: Mapping[str, Tensor]) -> CalmNetwork:
    """The network of a file's weights, ready to use."""
    network = CalmNetwork("valid" if len(state["mean"]) == features_of("valid") else "same")
    network.load_state_dict(dict(state))
    return network.eval()
