"""From a blob's features to a score from 0 to 1: a logistic regression and a small forest of boosted trees, averaged.

Both are plain numbers in one JSON file. The regression carries over to sizes nobody trained on, the trees see
combinations. `lungcad train detection` makes the file and prints how the score does on patients it has not seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.features import NAMES


@dataclass(frozen=True)
class Tree:
    """A regression tree as columns: inner node i goes to `left` when feature <= threshold, else to `right`.

    A leaf has feature -1 and its `value`.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) values for (n, f) features."""
        rows = np.arange(len(features))
        node = np.zeros(len(features), int)
        while True:
            feature = self.feature[node]
            inner = feature >= 0
            if not inner.any():
                return self.value[node]
            goes_left = features[rows, np.maximum(feature, 0)] <= self.threshold[node]
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)


@dataclass(frozen=True)
class BlobScore:
    """The score: the mean of both log-odds, as a probability.

    Attributes
    ----------
    mean, scale, coefficients, intercept
        The regression on standardized features.
    start, trees
        The boosted trees: log-odds are `start` plus the sum of the trees' values.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float
    start: float
    trees: tuple[Tree, ...]

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) scores from 0 to 1 for (n, len(NAMES)) features."""
        linear = (features - self.mean) / self.scale @ self.coefficients + self.intercept
        boosted = self.start + sum((tree.predict(features) for tree in self.trees), np.zeros(len(features)))
        return 1 / (1 + np.exp(-np.clip((linear + boosted) / 2, -30, 30)))

    def to_dict(self) -> dict[str, Any]:
        """The score as JSON-ready numbers."""
        return {
            "features": list(NAMES),
            "regression": {
                "mean": self.mean.tolist(),
                "scale": self.scale.tolist(),
                "coefficients": dict(zip(NAMES, self.coefficients.tolist(), strict=True)),
                "intercept": self.intercept,
            },
            "boosting": {
                "start": self.start,
                "trees": [{name: getattr(tree, name).tolist() for name in Tree.__annotations__} for tree in self.trees],
            },
        }

    @staticmethod
    def from_json(table: Mapping[str, Any]) -> "BlobScore":
        """The score in `blob-score.json`; the features must be this version's."""
        data = table["score"]
        if tuple(data["features"]) != NAMES:
            raise ValueError("The blob score was trained on other features; run `lungcad train detection` again.")
        regression, boosting = data["regression"], data["boosting"]
        return BlobScore(
            np.array(regression["mean"]),
            np.array(regression["scale"]),
            np.array([regression["coefficients"][name] for name in NAMES]),
            regression["intercept"],
            boosting["start"],
            tuple(Tree(**{name: np.array(column) for name, column in tree.items()}) for tree in boosting["trees"]),
        )
