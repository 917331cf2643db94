"""Every figure of a comparison, on one set: each method's, the ruler's beside it, and the difference of any two.

A nodule's probability comes from what has not learned from its patient. The ruler ranks by the millimeters themselves;
where it needs a probability, by a logistic regression on their logarithm. Intervals are 95% percentile intervals over
patients drawn with replacement, the same draws for all; p-values are DeLong's with a patient's nodules together.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.appearance_figures import LEAST_OF_A_KIND, METRICS, RANKING
from LungCADLib.evaluation.classification import SIZE_BANDS_MM, Figure, Labels, Resamples, Scores, auc
from LungCADLib.evaluation.delong import difference as delong

RULER, READER = "ruler", "reader-model"

BESIDE = (RULER, READER)
"""What every method is compared with."""

PARTS = {f"{low:.0f}_{high:.0f}_mm": (low, high) for low, high in SIZE_BANDS_MM}
"""Bands of size: name, and limits in mm by the ruler."""

Figures = dict[str, Figure]


@dataclass(frozen=True)
class Difference(Figure):
    """A difference of two areas under curves, and how likely one as large is by chance."""

    p: float


class Comparison:
    """Methods on the nodules of one set.

    Parameters
    ----------
    labels
        bool (n,).
    ruler_mm, patients
        (n,).
    said
        Probabilities (n,) by method.
    rounds, seed
        Of the draws of patients.
    """

    def __init__(
        self,
        labels: Labels,
        ruler_mm: NDArray[np.float64],
        patients: NDArray[np.str_],
        said: Mapping[str, Scores],
        rounds: int,
        seed: int,
    ) -> None:
        self.labels, self.ruler_mm, self.patients, self.said = labels, ruler_mm, patients, said
        self.scores = {**said, RULER: ruler_mm}
        self.resamples = Resamples(patients.tolist(), rounds, seed)
        self._drawn: dict[tuple[str, str], NDArray[np.float64]] = {}

    def among(self, part: str) -> Labels:
        """bool (n,): the nodules of a part, "" for all."""
        if not part:
            return np.ones(len(self.labels), bool)
        low, high = PARTS[part]
        return (self.ruler_mm >= low) & (self.ruler_mm < high)

    def figures(self, name: str) -> Figures:
        """A method's figures by name; a band of size ends the name (`auc_8_15_mm`), and so does what is subtracted."""
        found = {_ended("auc", part): self.auc(name, part) for part in ("", *PARTS)}
        found |= {metric: self._figure(metric, name) for metric in METRICS if metric != "auc"}
        for other in BESIDE:
            if other in self.scores and other != name:
                start = f"auc_minus_{other.replace('-', '_')}"
                found |= {_ended(start, part): self.difference(name, other, part) for part in ("", *PARTS)}
        return found

    def auc(self, name: str, part: str = "") -> Figure:
        """Area under the curve among a part of the nodules; NaN where too few of a kind are there."""
        among = self.among(part)
        n, positive = int(among.sum()), int(self.labels[among].sum())
        if min(positive, n - positive) < LEAST_OF_A_KIND:
            return Figure(math.nan, math.nan, math.nan, n, positive)
        value = auc(self.labels[among], self.scores[name][among])
        return Figure(value, *_ends(self._draws(name, part)), n, positive)

    def difference(self, one: str, other: str, part: str = "") -> Difference:
        """The AUC of one less that of the other among a part of the nodules."""
        first, second = self.auc(one, part), self.auc(other, part)
        if math.isnan(first.value):
            return Difference(math.nan, math.nan, math.nan, first.n, first.positive, math.nan)
        low, high = _ends(self._draws(one, part) - self._draws(other, part))
        among = self.among(part)
        tested = (self.scores[one][among], self.scores[other][among], self.patients[among].tolist())
        p = delong(self.labels[among], *tested)[1]
        return Difference(first.value - second.value, low, high, first.n, first.positive, p)

    def pairs(self) -> dict[tuple[str, str], Difference]:
        """Every two methods, the later less the earlier."""
        return {(one, other): self.difference(other, one) for one, other in combinations(self.said, 2)}

    def _draws(self, name: str, part: str) -> NDArray[np.float64]:
        """AUC (rounds,), NaN in draws without one of the classes."""
        if (name, part) not in self._drawn:
            among, scores = self.among(part), self.scores[name]
            rows = [draw[among[draw]] for draw in self.resamples.draws]
            self._drawn[name, part] = np.array([auc(self.labels[i], scores[i]) for i in rows])
        return self._drawn[name, part]

    def _figure(self, metric: str, name: str) -> Figure:
        scores = (self.scores if metric in RANKING else self.said)[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # draws without one of the classes are NaN
            return self.resamples.figure(lambda i: METRICS[metric](self.labels[i], scores[i]), self.labels)


def _ended(name: str, part: str) -> str:
    return f"{name}_{part}" if part else name


def _ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    if np.isnan(drawn).all():
        return math.nan, math.nan
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)
