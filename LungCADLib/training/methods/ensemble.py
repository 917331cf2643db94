"""The ensemble of the comparison: the members' opinions of nodules they had not seen, combined by a regression.

Its members were chosen before any of its figures was looked at: every engine that has an opinion of its own. The fusion
has none, being a combination of two of them, nor have the papers' own baselines.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.ensemble import log_odds
from LungCADLib.malignancy.reader_model import ReaderModel
from LungCADLib.training.reader_fit import fit

KEY = "ensemble"
TITLE = "Ensemble"

MEMBERS: dict[str, str] = {
    "reader-model": "reader-model",
    "appearance": "appearance",
    "000": "membership",
    "001": "lung-rads-cnn",
    "003": "calm",
    "004": "cnn-2d",
}
"""Key of the method to name of the engine."""

Said = Mapping[str, NDArray[np.float64]]
"""Probabilities (n,) by key."""


def rows(said: Said) -> NDArray[np.float64]:
    """What the regression adds up (n, members): log odds of the members' probabilities."""
    return np.column_stack([log_odds(said[key]) for key in MEMBERS])


def combination(said: Said, labels: NDArray[np.bool_]) -> ReaderModel:
    """The ridge-penalized logistic regression on probabilities by members that had not seen the nodules' patients."""
    return fit(rows(said), labels, tuple(MEMBERS.values()))
