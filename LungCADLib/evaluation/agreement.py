"""How well ordered ratings agree, with 95% intervals over patients drawn again and again.

Every statistic takes two columns (n,) and weights (draws, n), how often each case was drawn, and answers (draws,);
weights all 1 give the plain statistic. NaN where one of the columns does not vary.
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import Estimate, Resamples
from LungCADLib.malignancy.reader_model import NORMAL_95

Values = NDArray[np.float64]
Statistic = Callable[[Values, Values, Values], Values]

ROUNDS = 1000

LEAST_PATIENTS = 5
"""Drawing fewer patients again says nothing about others; the figure then comes without an interval."""

DRAWS_AT_ONCE = 100


def spearman(one: Values, other: Values, weights: Values) -> Values:
    """Rank correlation: Pearson's of the ranks, ties sharing their mean rank (Spearman, Am J Psychol 1904;15:72)."""
    a, b = _ranks(one, weights), _ranks(other, weights)
    total = weights.sum(axis=1, keepdims=True)
    a -= (weights * a).sum(axis=1, keepdims=True) / total
    b -= (weights * b).sum(axis=1, keepdims=True) / total
    products = ((weights * x * y).sum(axis=1) for x, y in ((a, b), (a, a), (b, b)))
    both, first, second = products
    return _ratio(both, np.sqrt(first * second))


def quadratic_kappa(one: Values, other: Values, weights: Values) -> Values:
    """Cohen's kappa with quadratic weights.

    1 - the mean squared difference over what chance would give, which is the sum of both variances and the squared
    difference of the means (Fleiss and Cohen, Educ Psychol Meas 1973;33:613); so ratings between grades, such as the
    median of two readers, have their place.
    """
    share = weights / weights.sum(axis=1, keepdims=True)
    mean_one, mean_other = share @ one, share @ other
    chance = share @ one**2 - mean_one**2 + share @ other**2 - mean_other**2 + (mean_one - mean_other) ** 2
    return 1 - _ratio(share @ (one - other) ** 2, chance)


def linear_kappa(one: Values, other: Values, weights: Values) -> Values:
    """Cohen's kappa with linear weights, for ordered categories given as whole numbers.

    1 - the mean difference, without sign, over what chance would give: the mean over every pair of a grade of the one
    and a grade of the other (Cohen, Psychol Bull 1968;70:213).
    """
    share = weights / weights.sum(axis=1, keepdims=True)
    levels = np.unique(np.concatenate([one, other]))
    first, second = (share @ (column[:, None] == levels).astype(float) for column in (one, other))
    chance = np.einsum("di,ij,dj->d", first, np.abs(levels[:, None] - levels), second)
    return 1 - _ratio(share @ np.abs(one - other), chance)


def mean_absolute_error(one: Values, other: Values, weights: Values) -> Values:
    """Mean difference in grades, without sign."""
    return _ratio(weights @ np.abs(one - other), weights.sum(axis=1))


def repeatability_percent(groups: Sequence[Values]) -> float:
    """Repeatability coefficient in percent: what two measurements of one thing differ by less than, 95 times of 100.

    1.96 * sqrt(2) * wCV, with wCV the within-subject coefficient of variation, the root of the mean of variance over
    squared mean (Raunig et al., Stat Methods Med Res 2015;24:27; QIBA).

    Parameters
    ----------
    groups
        Of each thing its measurements, two or more.
    """
    shares = [np.var(values, ddof=1) / np.mean(values) ** 2 for values in groups]
    return float(100 * NORMAL_95 * np.sqrt(2 * np.mean(shares)))


def _ranks(values: Values, weights: Values) -> Values:
    """Ranks (draws, n) of values of which each stands there as often as its weight says."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    mass = np.add.reduceat(weights[:, order], first, axis=1)
    middle = mass.cumsum(axis=1) - (mass - 1) / 2
    group = np.empty(len(values), np.intp)
    group[order] = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    return middle[:, group]


def _ratio(part: Values, whole: Values) -> Values:
    """NaN where the whole is nothing but rounding."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 1e-12)


class PatientDraws:
    """How often each case is drawn when patients are drawn with replacement: the same draws for every figure.

    Parameters
    ----------
    patients
        One per case.
    rounds
        How often to draw.
    """

    def __init__(self, patients: Sequence[Hashable], rounds: int = ROUNDS) -> None:
        self.patients = np.unique(np.asarray(patients), return_inverse=True)[1]
        n = len(patients)
        draws = Resamples(patients, rounds).draws
        self.counts = np.stack([np.bincount(draw, minlength=n) for draw in draws]).astype(np.uint16)

    def estimate(
        self, statistic: Statistic, one: Values, other: Values, case: NDArray[np.intp], n: int | None = None
    ) -> Estimate:
        """A statistic of two columns (k,), of which row i belongs to case `case[i]`, with its interval.

        `n` is what the figure is said to rest on, by default the rows. NaN without a row.
        """
        n = len(one) if n is None else n
        if not len(one):
            return Estimate(float("nan"), float("nan"), float("nan"), 0)
        value = float(statistic(one, other, np.ones((1, len(one))))[0])
        if len(set(self.patients[case].tolist())) < LEAST_PATIENTS:
            return Estimate(value, float("nan"), float("nan"), n)
        parts = []
        for at in range(0, len(self.counts), DRAWS_AT_ONCE):
            weights = self.counts[at : at + DRAWS_AT_ONCE][:, case].astype(np.float64)
            parts.append(statistic(one, other, weights[weights.any(axis=1)]))
        drawn = np.concatenate(parts)
        if np.isnan(drawn).all():
            return Estimate(value, float("nan"), float("nan"), n)
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        return Estimate(value, float(low), float(high), n)
