"""Every figure CALM is shown with: its own, those of the paper's baselines beside it, and what tells less.

Accuracy, precision, recall and F1 call a probability of one half or more positive, as paper 003 does. Intervals are of
resampled patients, and differences are drawn with the same patients.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.appearance_figures import estimate, sensitivity
from LungCADLib.evaluation.classification import (
    Figure,
    Labels,
    Resamples,
    Scores,
    accuracy,
    auc,
    brier,
    calibration_slope,
    ece,
)

Figures = dict[str, Figure]

ROUNDS = 1000


def precision(labels: Labels, probabilities: Scores) -> float:
    """Share of positives among what is called positive; NaN without any."""
    called = probabilities >= 0.5
    return float(labels[called].mean()) if called.any() else math.nan


def f1(labels: Labels, probabilities: Scores) -> float:
    """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN); NaN without a positive, called or so."""
    called = probabilities >= 0.5
    both = int(called.sum() + labels.sum())
    return 2 * int((called & labels).sum()) / both if both else math.nan


METRICS: dict[str, Callable[[Labels, Scores], float]] = {
    "auc": auc,
    "accuracy": accuracy,
    "precision": precision,
    "recall": sensitivity,
    "f1": f1,
}
"""Those of the paper's table 1."""

CALIBRATION: dict[str, Callable[[Labels, Scores], float]] = {
    "brier": brier,
    "ece": ece,
    "calibration_slope": calibration_slope,
}
"""Of CALM alone."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Cases as columns of equal length n.

    `labels` (n,); `calm` (n,) its probabilities; `others` (n,) by name, probabilities of the baselines; `ranks` (n,) by
    name, scores that are no probabilities, the ruler's millimeters first where there is one; `patients` (n,); `parts`
    by name, bool (n,).
    """

    labels: Labels
    calm: Scores
    others: Mapping[str, Scores]
    ranks: Mapping[str, Scores]
    patients: NDArray[np.str_]
    parts: Mapping[str, Labels] = field(default_factory=dict)


def figures(judged: Judged, seed: int = 0) -> Figures:
    """Every figure by name.

    CALM's have plain names (`auc`), those of others end in theirs (`auc_nn`), those of a part in that (`auc_nn_crops`).
    `auc_minus_nn` is a difference, CALM's less the other's.
    """
    resamples, labels = Resamples(judged.patients.tolist(), ROUNDS, seed), judged.labels
    said = {"": judged.calm, **judged.others}
    scores = {**said, **judged.ranks}

    def figure(metric: Callable[[Labels, Scores], float], of: Scores, among: Labels | None = None) -> Figure:
        return estimate(resamples, lambda i: metric(labels[i], of[i]), labels, among)

    found = {_named(m, name): figure(metric, of) for m, metric in METRICS.items() for name, of in said.items()}
    found |= {name: figure(metric, judged.calm) for name, metric in CALIBRATION.items()}
    found |= {_named("auc", name): figure(auc, of) for name, of in judged.ranks.items()}
    for name in (*judged.others, *judged.ranks):
        found[f"auc_minus_{name}"] = difference(resamples, labels, auc, judged.calm, scores[name])
    for part, among in judged.parts.items():
        found |= {f"{_named('auc', name)}_{part}": figure(auc, of, among) for name, of in scores.items()}
    return found


def paired(
    labels: Labels, patients: Sequence[str], first: Scores, second: Scores, seed: int = 0
) -> dict[str, dict[str, Figure]]:
    """Each metric of two sets of probabilities of the same cases, and their difference: `first`, `second`, `minus`."""
    resamples = Resamples(patients, ROUNDS, seed)

    def figure(metric: Callable[[Labels, Scores], float], of: Scores) -> Figure:
        return estimate(resamples, lambda i: metric(labels[i], of[i]), labels)

    return {
        name: {
            "first": figure(metric, first),
            "second": figure(metric, second),
            "minus": difference(resamples, labels, metric, first, second),
        }
        for name, metric in METRICS.items()
    }


def difference(
    resamples: Resamples, labels: Labels, metric: Callable[[Labels, Scores], float], first: Scores, second: Scores
) -> Figure:
    """A metric of the first scores less that of the second."""
    return estimate(resamples, lambda i: metric(labels[i], first[i]) - metric(labels[i], second[i]), labels)


def _named(metric: str, name: str) -> str:
    return f"{metric}_{name}" if name else metric
