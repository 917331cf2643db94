"""Every figure of the 2D CNN of paper 004, the ruler's beside it, and, if asked, those of another training.

Names without an ending are the network's; `_ruler` and `_other` are of those. Classes are called at one half, as the
softmax's greater unit says. A band of size ends the name (`auc_8_15_mm`).
"""

from collections.abc import Callable
from typing import Any

from LungCADLib.evaluation.classification import (
    Figure,
    Labels,
    Scores,
    accuracy,
    auc,
    brier,
    ece,
    sensitivity,
    specificity,
)
from LungCADLib.evaluation.compare_figures import PARTS, RULER, Comparison

NETWORK, OTHER = "network", "other"
"""Names of what is judged in a `Comparison`, beside its ruler."""

CLASSES = ("benign", "suspicious")

Figures = dict[str, Figure]


def precision(labels: Labels, probabilities: Scores) -> float:
    """Share of those called positive that are; NaN where nobody is."""
    called = probabilities >= 0.5
    return float(labels[called].mean()) if called.any() else float("nan")


def f1(labels: Labels, probabilities: Scores) -> float:
    """Harmonic mean of precision and sensitivity, 2 TP / (2 TP + FP + FN); NaN without any positive, real or called."""
    called = probabilities >= 0.5
    both = int(called.sum()) + int(labels.sum())
    return 2 * int((called & labels).sum()) / both if both else float("nan")


METRICS: dict[str, Callable[[Labels, Scores], float]] = {
    "auc": auc,
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "precision": precision,
    "f1": f1,
    "brier": brier,
    "ece": ece,
}

PAPER = {"auc": 0.87, "accuracy": 0.80, "sensitivity": 0.86, "specificity": 0.76, "precision": 0.75, "f1": 0.80}
"""What the paper reports of 425 held-out nodules, its tables 1 and 2 and figure 1."""


def figures(found: Comparison) -> Figures:
    """Every figure by name."""
    out: Figures = {}
    endings = {name: "" if name == NETWORK else f"_{name}" for name in (NETWORK, RULER, OTHER) if name in found.said}
    for name, ending in endings.items():
        out |= {f"{metric}{ending}": _figure(found, metric, name) for metric in METRICS}
        out |= {f"auc{ending}_{part}": found.auc(name, part) for part in PARTS}
    pairs = [(NETWORK, RULER), *([(OTHER, RULER), (NETWORK, OTHER)] if OTHER in found.said else [])]
    for one, other in pairs:
        for part in ("", *PARTS):
            name = f"auc{endings[one]}_minus_{other}" + (f"_{part}" if part else "")
            out[name] = found.difference(one, other, part)
    return out


def _figure(found: Comparison, metric: str, name: str) -> Figure:
    if metric == "auc":
        return found.auc(name)
    said = found.said[name]
    return found.resamples.figure(lambda i: METRICS[metric](found.labels[i], said[i]), found.labels)


def confusion(labels: Labels, probabilities: Scores) -> list[list[int]]:
    """Counts by actual class (rows) and called class (columns), benign first."""
    from sklearn.metrics import confusion_matrix

    counts: list[list[int]] = confusion_matrix(labels, probabilities >= 0.5, labels=[False, True]).tolist()
    return counts


def report(labels: Labels, probabilities: Scores) -> dict[str, Any]:
    """Scikit-learn's classification report: precision, recall, F1 and support of each class, and their means."""
    from sklearn.metrics import classification_report

    found: dict[str, Any] = classification_report(
        labels,
        probabilities >= 0.5,
        labels=[False, True],
        target_names=CLASSES,
        output_dict=True,
        zero_division=0,
    )
    return found
