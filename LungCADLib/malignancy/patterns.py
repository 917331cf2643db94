"""Patterns in a space of features: K-means of each class, fuzzy membership, and the answers made of them.

Method 000's two ideas. *Patterns*: benign and malignant nodules have typical places in the space of the network's
features, found by K-means in each class alone; whoever lies nearer to a malignant place than to any benign one is
suspicious. *Membership*: fuzzy C-means, which knows no labels, says to what degree a nodule belongs to each of two
groups; these degrees become features of their own beside the network's. The paper gives no formulas; these are the
usual ones (Bezdek JC, Pattern recognition with fuzzy objective function algorithms, Plenum 1981).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

GROUPS = 2
FUZZIFIER = 2.0
"""Bezdek's m: 1 is hard clustering, and the larger the fuzzier; 2 is the usual."""

DECIMALS = 6
_AT_A_CENTER = 1e-12


def distances(features: Matrix, centers: Matrix) -> Matrix:
    """Euclidean distance (n, k) of features (n, d) to centers (k, d)."""
    out: Matrix = np.linalg.norm(features[:, None] - centers[None], axis=2)
    return out


def memberships(features: Matrix, centers: Matrix, fuzzifier: float = FUZZIFIER) -> Matrix:
    """Degree (n, c) to which each of n belongs to each of c groups; the degrees of one add up to 1.

    u_ik = 1 / Σ_j (‖x_k - c_i‖ / ‖x_k - c_j‖)^(2 / (m - 1)) (Bezdek 1981). What lies on a center belongs to it alone.
    """
    nearness = np.maximum(distances(features, centers), _AT_A_CENTER) ** (-2 / (fuzzifier - 1))
    out: Matrix = nearness / nearness.sum(axis=1, keepdims=True)
    return out


def nearer_to_malignant(features: Matrix, benign: Matrix, malignant: Matrix) -> Vector:
    """Distance (n,) to the nearest benign center less that to the nearest malignant: above 0, malignant is nearer."""
    out: Vector = distances(features, benign).min(axis=1) - distances(features, malignant).min(axis=1)
    return out


@dataclass(frozen=True, eq=False)
class Patterns:
    """What was fitted in the feature space of one network.

    Attributes
    ----------
    mean, scale
        (d,): features are centered and divided by these before anything else.
    benign, malignant
        (k, d) centers of each class.
    groups
        (`GROUPS`, d) centers of the fuzzy groups, the one with more malignant members last.
    head
        (d + `GROUPS` + 1,): coefficients of features and memberships, then the intercept.
    calibration
        (2, 2): slope and intercept that make log odds of the distances (first row) and of the head's answer (second);
        Platt's scaling.
    """

    mean: Vector
    scale: Vector
    benign: Matrix
    malignant: Matrix
    groups: Matrix
    head: Vector
    calibration: Matrix

    def answers(self, features: Matrix) -> "Answers":
        """What the patterns say of features (n, d)."""
        standard = (features - self.mean) / self.scale
        near = nearer_to_malignant(standard, self.benign, self.malignant)
        belongs = memberships(standard, self.groups)
        headed = np.column_stack([standard, belongs]) @ self.head[:-1] + self.head[-1]
        (slope, intercept), (slope_head, intercept_head) = self.calibration
        return Answers(slope * near + intercept, belongs[:, -1], slope_head * headed + intercept_head)

    def to_json(self) -> dict[str, Any]:
        """As lists of numbers by name."""
        return {f.name: np.round(getattr(self, f.name), DECIMALS).tolist() for f in fields(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Patterns":
        """The inverse of `to_json`, up to `DECIMALS`."""
        return Patterns(**{f.name: np.array(data[f.name], float) for f in fields(Patterns)})


@dataclass(frozen=True, eq=False)
class Answers:
    """Of n nodules: log odds (n,) by distance to the patterns, membership (n,) in the malignant group, log odds (n,) by
    the head that sees features and memberships.
    """

    nearest: Vector
    membership: Vector
    headed: Vector
