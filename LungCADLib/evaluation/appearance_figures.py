"""Every figure the appearance network is shown with, on slices with outlines and on patches without.

On slices the protocol is three or more readers and a median malignancy rating that is not 3; a nodule is positive when
the median is above 3. On patches every nodule counts, and the file says which are positive. What a patient's nodule is
given comes from a network and from coefficients that have not seen the patient.

The ruler is the long axis on slices and the file's diameter on patches; where it needs a probability, a logistic
regression on its logarithm.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import (
    SIZE_BANDS_MM,
    Figure,
    Labels,
    Resamples,
    Scores,
    accuracy,
    auc,
    average_precision,
    brier,
    calibration_intercept,
    calibration_slope,
    ece,
    sensitivity,
    sensitivity_at_specificity,
    specificity,
)
from LungCADLib.training.lidc_nodules import NON_SOLID_TEXTURE, PART_SOLID_TEXTURE

Figures = dict[str, Figure]

LEAST_OF_A_KIND = 3
"""Strata with fewer positives or negatives have no AUC worth a number."""


METRICS: dict[str, Callable[[Labels, Scores], float]] = {
    "auc": auc,
    "average_precision": average_precision,
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "sensitivity_at_specificity_90": sensitivity_at_specificity,
    "brier": brier,
    "ece": ece,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}

RANKING = ("auc", "average_precision", "sensitivity_at_specificity_90")
"""Metrics that ask for the order only: the ruler's are of its millimeters, to which folds would only add noise."""

BESIDE = ("fusion", "ruler")
"""What the network is compared with in every figure; the rest, by AUC over all nodules."""


@dataclass(frozen=True, eq=False)
class Rated:
    """Nodules as columns of equal length n.

    `labels` (n,); `network` (n,) probabilities; `others` by name (n,): probabilities of "fusion" and "ruler", and
    whatever else ranks nodules; `ruler_mm` (n,); `patients` (n,); `strata` by name, bool (n,).
    """

    labels: Labels
    network: Scores
    others: Mapping[str, Scores]
    ruler_mm: NDArray[np.float64]
    patients: NDArray[np.str_]
    strata: Mapping[str, Labels]


def strata_of(vendor: NDArray[np.str_], texture: NDArray[np.float64]) -> dict[str, Labels]:
    """Strata of scanner vendor and density (by the readers' median texture), those without a nodule left out."""
    found = {name.lower(): vendor == name for name in sorted(set(vendor.tolist())) if name}
    non_solid, solid = texture <= NON_SOLID_TEXTURE, texture > PART_SOLID_TEXTURE
    found |= {"non_solid": non_solid, "part_solid": ~non_solid & ~solid & np.isfinite(texture), "solid": solid}
    return {name: among for name, among in found.items() if among.any()}


def figures(rated: Rated, differences: Sequence[tuple[str, str]], seed: int = 0) -> Figures:
    """Every figure by name.

    Those of the network have plain names (`auc`), those of others end in theirs (`auc_fusion`), and those of a part of
    the nodules in that (`auc_fusion_8_15_mm`, `auc_siemens`). A difference (first, second) of `differences` is
    `auc_fusion_minus_ruler`, or `auc_minus_ruler` where the first is the network (""), drawn with the same patients.
    """
    resamples, labels = Resamples(rated.patients.tolist(), seed=seed), rated.labels
    probabilities = {"": rated.network, **rated.others}
    scores = probabilities | {"ruler": rated.ruler_mm}

    def figure(metric: str, name: str, among: Labels | None = None) -> Figure:
        of = (scores if metric in RANKING else probabilities)[name]
        return estimate(resamples, lambda i: METRICS[metric](labels[i], of[i]), labels, among)

    def difference(one: str, other: str, among: Labels | None = None) -> Figure:
        return estimate(
            resamples, lambda i: auc(labels[i], scores[one][i]) - auc(labels[i], scores[other][i]), labels, among
        )

    found = {f"{m}{_ending(name)}": figure(m, name) for m in METRICS for name in ("", *BESIDE)}
    found |= {f"auc{_ending(name)}": figure("auc", name) for name in rated.others if name not in BESIDE}
    found |= {f"auc{_ending(a)}_minus_{b or 'network'}": difference(a, b) for a, b in differences}
    parts = {
        f"{low:.0f}_{high:.0f}_mm": (rated.ruler_mm >= low) & (rated.ruler_mm < high) for low, high in SIZE_BANDS_MM
    }
    for part, among in (parts | dict(rated.strata)).items():
        found |= {f"auc{_ending(name)}_{part}": figure("auc", name, among) for name in ("", *BESIDE)}
        found |= {f"auc{_ending(name)}_minus_ruler_{part}": difference(name, "ruler", among) for name in ("", "fusion")}
    return found


def _ending(name: str) -> str:
    return f"_{name}" if name else ""


def estimate(
    resamples: Resamples, statistic: Callable[[NDArray[np.intp]], float], labels: Labels, among: Labels | None = None
) -> Figure:
    """A statistic of case indices with its interval; NaN where too few nodules of a kind are there.

    For their sake draws would be lost, too.
    """
    keep = np.ones(len(labels), bool) if among is None else among
    positive = int(labels[keep].sum())
    if min(positive, int(keep.sum()) - positive) < LEAST_OF_A_KIND:
        return Figure(math.nan, math.nan, math.nan, int(keep.sum()), positive)
    with warnings.catch_warnings():
        # Draws without one of the classes are NaN and do not count.
        warnings.simplefilter("ignore", RuntimeWarning)
        return resamples.figure(statistic, labels, among)
