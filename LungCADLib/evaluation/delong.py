"""Whether two areas under ROC curves, measured on the same cases, differ by more than chance.

DeLong et al., Biometrics 1988;44:837, without assuming anything of the scores' distribution; for several nodules of one
patient, which are not independent, Obuchowski, Biometrics 1997;53:567, who sums DeLong's components over each patient.
Where every patient has one nodule the two are the same.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import Estimate, Labels, Scores
from LungCADLib.malignancy.reader_model import NORMAL_95


def components(labels: Labels, scores: Scores) -> tuple[Scores, Scores]:
    """For each positive (p,) the share of negatives below it, and for each negative (n,) that of positives above it.

    Ties count one half. The mean of either is the AUC. By ranks, as Sun and Xu, IEEE Signal Process Lett 2014;21:1389.
    """
    from scipy.stats import rankdata

    positive, negative = scores[labels], scores[~labels]
    among_all = rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    below = (among_all[:m] - rankdata(positive)) / n
    above = 1 - (among_all[m:] - rankdata(negative)) / m
    return below, above


def covariance(
    labels: Labels, scores: NDArray[np.float64], patients: Sequence[Hashable] | None = None
) -> NDArray[np.float64]:
    """Covariance (k, k) of the AUCs of scores (k, cases); cases of one patient count together.

    NaN where fewer than two patients have positives, or negatives.
    """
    whose = np.unique(np.asarray(range(len(labels)) if patients is None else patients), return_inverse=True)[1]
    k, m = len(scores), int(labels.sum())
    n = len(labels) - m
    of_positives, of_negatives = whose[labels], whose[~labels]
    clusters = (len(set(of_positives.tolist())), len(set(of_negatives.tolist())), len(set(whose.tolist())))
    if min(clusters) < 2:
        return np.full((k, k), np.nan)
    both = [components(labels, one) for one in scores]
    # Deviations from the AUC, summed over each patient: (k, patients).
    size = int(whose.max()) + 1
    up = np.array([np.bincount(of_positives, below - below.mean(), size) for below, _ in both])
    down = np.array([np.bincount(of_negatives, above - above.mean(), size) for _, above in both])
    i10, i01, i = (count / (count - 1) for count in clusters)
    cross = up @ down.T
    return i10 * up @ up.T / m**2 + i01 * down @ down.T / n**2 + i * (cross + cross.T) / (m * n)


def difference(
    labels: Labels, one: Scores, other: Scores, patients: Sequence[Hashable] | None = None
) -> tuple[Estimate, float]:
    """The AUC of one less that of the other, with its 95% interval, and the two-sided p-value.

    NaN where the interval does not exist; p is 1 where the two rank alike.
    """
    spread = covariance(labels, np.array([one, other]), patients)
    value = float(components(labels, one)[0].mean() - components(labels, other)[0].mean())
    variance = float(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])
    if math.isnan(variance):
        return Estimate(value, math.nan, math.nan, len(labels)), math.nan
    error = math.sqrt(max(variance, 0.0))
    if error < 1e-12:
        return Estimate(value, value, value, len(labels)), 1.0 if abs(value) < 1e-12 else 0.0
    p = math.erfc(abs(value) / error / math.sqrt(2))
    return Estimate(value, value - NORMAL_95 * error, value + NORMAL_95 * error, len(labels)), p
