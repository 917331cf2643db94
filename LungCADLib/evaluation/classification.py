"""How well scores tell positives from negatives, and how far probabilities can be believed.

Labels are bool (n,), True for positive; scores are float (n,), higher for positive; probabilities are scores in 0 to 1.
Intervals are 95% percentile intervals over resampled patients, because nodules of one patient are not independent.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]
Index = NDArray[np.intp]

ROUNDS = 2000
ECE_BINS = 15
DECIMALS = 6
"""Of figures in JSON."""

SIZE_BANDS_MM = ((6.0, 10.0), (8.0, 15.0), (10.0, 20.0))
"""Bands in which nodules are alike in size: from the first diameter up to, not including, the second."""


def auc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting one half.

    Mann-Whitney's U by ranks (Hanley and McNeil, Radiology 1982;143:29); NaN without both classes.
    """
    from scipy.stats import rankdata

    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(scores)[labels].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def _at_thresholds(labels: Labels, scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and false positives when everything scored at least this is called positive, from high score to low."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = labels[order].cumsum()[last_of_tie]
    return true, last_of_tie + 1 - true


def average_precision(labels: Labels, scores: Scores) -> float:
    """Precision weighted by the recall each threshold adds, without interpolation; NaN without a positive."""
    if not labels.any():
        return float("nan")
    true, false = _at_thresholds(labels, scores)
    gained = np.diff(true, prepend=0) / true[-1]
    return float((gained * true / (true + false)).sum())


def sensitivity_at_specificity(labels: Labels, scores: Scores, specificity: float = 0.9) -> float:
    """The best sensitivity of any threshold that keeps at least this specificity; NaN without both classes."""
    negatives = int((~labels).sum())
    if not negatives or not labels.any():
        return float("nan")
    true, false = _at_thresholds(labels, scores)
    kept = 1 - false / negatives >= specificity - 1e-12
    return float(true[kept].max(initial=0) / labels.sum())


def roc(labels: Labels, scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve from (0, 0) to (1, 1): 1 - specificity and sensitivity at every threshold, both classes given."""
    true, false = _at_thresholds(labels, scores)
    return np.append(0.0, false / (~labels).sum()), np.append(0.0, true / labels.sum())


def accuracy(labels: Labels, probabilities: Scores) -> float:
    """Share called right when a probability of one half or more is called positive."""
    return float(((probabilities >= 0.5) == labels).mean())


def sensitivity(labels: Labels, probabilities: Scores) -> float:
    """Share of positives with a probability of one half or more; NaN without any."""
    return float((probabilities[labels] >= 0.5).mean()) if labels.any() else math.nan


def specificity(labels: Labels, probabilities: Scores) -> float:
    """Share of negatives with a probability below one half; NaN without any."""
    return float((probabilities[~labels] < 0.5).mean()) if not labels.all() else math.nan


def brier(labels: Labels, probabilities: Scores) -> float:
    """Mean squared difference of probability and outcome (Brier, Monthly Weather Review 1950;78:1)."""
    return float(((probabilities - labels) ** 2).mean())


def reliability(labels: Labels, probabilities: Scores, bins: int = ECE_BINS) -> list[tuple[float, float, int]]:
    """Mean probability, share of positives and count in bins of equal mass, from low to high probability."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [(float(probabilities[part].mean()), float(labels[part].mean()), len(part)) for part in parts]


def ece(labels: Labels, probabilities: Scores, bins: int = ECE_BINS) -> float:
    """Expected calibration error over bins of equal mass: mean |mean probability - share of positives|, by count."""
    return sum(abs(mean - share) * n for mean, share, n in reliability(labels, probabilities, bins)) / len(labels)


def calibration_slope(labels: Labels, probabilities: Scores) -> float:
    """The coefficient of the log odds when the outcome is regressed on them: 1 when right, under 1 when overconfident.

    Cox, Biometrika 1958;45:562; Van Calster et al., BMC Medicine 2019;17:230.
    """
    log_odds = _log_odds(probabilities)
    return float(_logistic(np.column_stack([np.ones_like(log_odds), log_odds]), labels, np.zeros_like(log_odds))[1])


def calibration_intercept(labels: Labels, probabilities: Scores) -> float:
    """Calibration in the large: the shift of the log odds, their slope held at 1, that fits best; 0 when right.

    Van Calster et al., BMC Medicine 2019;17:230.
    """
    log_odds = _log_odds(probabilities)
    return float(_logistic(np.ones((len(log_odds), 1)), labels, log_odds)[0])


def _log_odds(probabilities: Scores) -> Scores:
    inside = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.log(inside / (1 - inside))


def _logistic(rows: NDArray[np.float64], labels: Labels, offset: Scores) -> NDArray[np.float64]:
    """Maximum-likelihood coefficients (k,) of rows (n, k) by Newton's method; NaN where they do not exist."""
    coefficients = np.zeros(rows.shape[1])
    for _ in range(50):
        expected = 1 / (1 + np.exp(-np.clip(rows @ coefficients + offset, -500, 500)))
        gradient = rows.T @ (labels - expected)
        curvature = rows.T @ (rows * (expected * (1 - expected))[:, None])
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            break
        coefficients += step
        if np.abs(step).max() < 1e-9:
            return coefficients
    return np.full(rows.shape[1], np.nan)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval and how many cases it rests on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Figure(Estimate):
    """An estimate, and how many of its cases are positive."""

    positive: int


def plain_figures(figures: Mapping[str, Estimate]) -> dict[str, dict[str, float | int | None]]:
    """Figures by name for JSON, rounded; null where a number does not exist."""
    return {
        name: {key: None if math.isnan(number) else round(number, DECIMALS) for key, number in asdict(figure).items()}
        for name, figure in figures.items()
    }


class Resamples:
    """Patients drawn with replacement, the same draws for every figure, so that differences are paired.

    Parameters
    ----------
    patients
        One per case.
    rounds
        How often to draw.
    seed
        Of the draws.
    """

    def __init__(self, patients: Sequence[Hashable], rounds: int = ROUNDS, seed: int = 0) -> None:
        cases_of: dict[Hashable, list[int]] = {}
        for case, patient in enumerate(patients):
            cases_of.setdefault(patient, []).append(case)
        cases = [np.array(found, np.intp) for found in cases_of.values()]
        generator = np.random.default_rng(seed)
        self.n = len(patients)
        self.draws: list[Index] = [
            np.concatenate([cases[i] for i in generator.integers(len(cases), size=len(cases))]) for _ in range(rounds)
        ]

    def figure(self, statistic: Callable[[Index], float], labels: Labels, among: Labels | None = None) -> Figure:
        """A statistic of case indices, on all cases and with its interval over the draws.

        Parameters
        ----------
        statistic
            Called with case indices (k,); draws in which it is NaN (one class missing) do not count.
        labels
            To count positives.
        among
            bool (n,): only these cases.
        """
        keep = np.ones(self.n, bool) if among is None else among
        found = self.estimate(statistic, keep)
        return Figure(found.value, found.low, found.high, found.n, int(labels[keep].sum()))

    def estimate(self, statistic: Callable[[Index], float], among: Labels) -> Estimate:
        """The same among bool (n,) cases that are neither positive nor negative."""
        drawn = np.array([statistic(draw[among[draw]]) for draw in self.draws])
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        return Estimate(float(statistic(np.flatnonzero(among))), float(low), float(high), int(among.sum()))
