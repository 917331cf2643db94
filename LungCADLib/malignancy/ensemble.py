"""The ensemble: one opinion made of the other engines', by how far each could be believed on nodules it had not seen.

A ridge-penalized logistic regression on the log odds of the opinions. Its coefficients lie in
`Resources/Models/ensemble.json`, made by `lungcad compare --card`.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.reader_model import MEANING, ReaderModel
from LungCADLib.malignancy.tested import tested_sentence
from LungCADLib.study import Opinion
from LungCADLib.weights import bundled_table

NAME = "ensemble"

FURTHEST = 1e-3
"""Probabilities nearer than this to 0 or 1 count as this near: no engine was tested to be surer."""


def log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of probabilities that are not surer than `FURTHEST`."""
    inside = np.clip(probabilities, FURTHEST, 1 - FURTHEST)
    out: NDArray[np.float64] = np.log(inside / (1 - inside))
    return out


@cache
def packaged() -> dict[str, Any]:
    """`ensemble.json` as plain data: the regression, what it was fitted on, and the figures it was tested with.

    Raises
    ------
    InputError
        If the file is missing or not the one that was released.
    """
    return bundled_table(NAME)


def members() -> tuple[str, ...]:
    """The engines whose opinions it needs, by name."""
    return tuple(term["name"] for term in packaged()["terms"])


def combine(opinions: Sequence[Opinion]) -> Opinion:
    """One opinion of the members' opinions; `low` and `high` are what other patients to learn from would have given.

    Raises
    ------
    KeyError
        If a member has not given its opinion.
    """
    data = packaged()
    said = {opinion.model: opinion.value for opinion in opinions}
    values = log_odds(np.array([said[name] for name in members()]))
    value, low, high = ReaderModel.from_json(data).suspicion(values)
    return Opinion(
        NAME, data["version"], float(value), float(low), float(high), MEANING, tested_sentence(data["figures"])
    )
