"""Every figure of method 000, of each of its parts, of the ruler, and of other trainings put beside it.

Names without an ending are of the opinion, the head that sees features and memberships; `_cnn` are of the network
alone, `_kmeans` of the distances to the patterns, `_ruler` of the long axis. A band of size ends the name
(`auc_8_15_mm`), and so does what is subtracted (`auc_minus_ruler_8_15_mm`).
"""

from collections.abc import Callable, Sequence

from LungCADLib.evaluation.appearance_figures import METRICS as ALL_METRICS
from LungCADLib.evaluation.classification import Figure, Labels, Scores
from LungCADLib.evaluation.compare_figures import PARTS, RULER, Comparison

OPINION, CNN, KMEANS = "membership", "cnn", "kmeans"
"""Names of what is judged in a `Comparison`, beside its ruler and other trainings."""

METRICS: dict[str, Callable[[Labels, Scores], float]] = {
    name: ALL_METRICS[name]
    for name in ("auc", "accuracy", "sensitivity", "specificity", "brier", "ece", "calibration_slope")
}

Figures = dict[str, Figure]


def figures(found: Comparison, beside: Sequence[str] = ()) -> Figures:
    """Every figure by name; `beside` are the names of other trainings."""
    out: Figures = {}
    for name in (OPINION, CNN, KMEANS, RULER, *beside):
        ending = "" if name == OPINION else f"_{name}"
        out |= {f"{metric}{ending}": _figure(found, metric, name) for metric in METRICS}
        out |= {f"auc{ending}_{part}": found.auc(name, part) for part in PARTS}
        if name != RULER:
            out[f"auc{ending}_minus_ruler"] = found.difference(name, RULER)
            out |= {f"auc{ending}_minus_ruler_{part}": found.difference(name, RULER, part) for part in PARTS}
    for name in (CNN, KMEANS, *beside):
        out[f"auc_minus_{name}"] = found.difference(OPINION, name)
    return out


def _figure(found: Comparison, metric: str, name: str) -> Figure:
    if metric == "auc":
        return found.auc(name)
    said = found.said[name]
    return found.resamples.figure(lambda i: METRICS[metric](found.labels[i], said[i]), found.labels)
