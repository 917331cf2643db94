"""Every figure the attributes' network is shown with, beside readers, the ruler and what was made by hand.

Over nodules, against their readers together: Spearman's correlation of the expected rating with the readers' mean,
quadratically weighted kappa of the grade with the readers' median, mean absolute error of the expected rating against
the readers' mean; beside it the error of saying the most frequent rating of these nodules every time.

Where several readers rated, also over pairs: each reader against each other reader of the same nodule (`_readers`), and
the network against each single reader (`_one_reader`), which is what a reader can be compared with.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.agreement import (
    LEAST_PATIENTS,
    PatientDraws,
    Values,
    mean_absolute_error,
    quadratic_kappa,
    spearman,
)
from LungCADLib.evaluation.classification import Estimate, Resamples, auc, sensitivity_at_specificity
from LungCADLib.malignancy.attributes import SPICULATED_RATING, WORDS, expected
from LungCADLib.training.lidc_nodules import NON_SOLID_TEXTURE, PART_SOLID_TEXTURE

Figures = dict[str, Estimate]

MARKED = 4
"""A rating of 4 or 5 makes a nodule spiculated."""

SHRINKS_WITH_SIZE = ("margin", "texture", "sphericity")
"""Ratings that are lower for larger nodules; the ruler's sign is turned for them."""

SIZES_MM = (8.0, 15.0)


@dataclass(frozen=True, eq=False)
class Rated:
    """Nodules as their readers and the network rated them.

    `readers` by characteristic (n, readers), NaN where one did not rate; `above` (n, attributes, grades - 1) and
    `grades` (n, attributes) from the network; `hand` what is measured by hand, by characteristic (n,); `spiculated`
    bool (n,), what that calls spiculated; both are empty where there is no such measurement.
    """

    patients: Sequence[str]
    readers: Mapping[str, Values]
    above: Values
    grades: Values
    diameter_mm: Values
    vendor: Sequence[str]
    hand: Mapping[str, Values]
    spiculated: NDArray[np.bool_] | None = None

    def mean(self, name: str) -> Values:
        """The readers' mean rating (n,), NaN where nobody rated."""
        return _over_readers(np.nanmean, self.readers[name])

    def median(self, name: str) -> Values:
        """The readers' median rating (n,), NaN where nobody rated."""
        return _over_readers(np.nanmedian, self.readers[name])


def _over_readers(summary, values: Values) -> Values:  # type: ignore[no-untyped-def]
    out = np.full(len(values), np.nan)
    rated = np.isfinite(values).any(axis=1)
    out[rated] = summary(values[rated], axis=1)
    return out


def strata_of(rated: Rated) -> dict[str, tuple[str, NDArray[np.bool_]]]:
    """Parts of the nodules by size, density and vendor: name in JSON to words in a table and bool (n,)."""
    size, texture, vendor = np.digitize(rated.diameter_mm, SIZES_MM), rated.median("texture"), np.array(rated.vendor)
    a, b = (f"{edge:.0f}" for edge in SIZES_MM)
    parts = {
        f"below_{a}_mm": (f"below {a} mm", size == 0),
        f"{a}_{b}_mm": (f"{a} to {b} mm", size == 1),
        f"{b}_mm_or_more": (f"{b} mm or more", size == 2),
        "non_solid": ("non-solid", texture <= NON_SOLID_TEXTURE),
        "part_solid": ("part-solid", (texture > NON_SOLID_TEXTURE) & (texture <= PART_SOLID_TEXTURE)),
        "solid": ("solid", texture > PART_SOLID_TEXTURE),
    }
    parts |= {name.lower(): (name, vendor == name) for name in sorted(set(rated.vendor)) if name}
    return {name: part for name, part in parts.items() if part[1].any()}


def figures(rated: Rated) -> Figures:
    """Every figure by name, with intervals over patients; `n` counts nodules."""
    draws = PatientDraws(rated.patients)
    found: Figures = {}
    for column, name in enumerate(WORDS):
        found |= _of_attribute(rated, draws, name, column)
    for stratum, (_, among) in strata_of(rated).items():
        for column, name in enumerate(WORDS):
            mean = rated.mean(name)
            case = np.flatnonzero(among & np.isfinite(mean))
            value = expected(rated.above[case, column])
            found[f"spearman_{name}_{stratum}"] = draws.estimate(spearman, value, mean[case], case)
    found |= _means(rated, found)
    return found | _spiculation(rated)


def _of_attribute(rated: Rated, draws: PatientDraws, name: str, column: int) -> Figures:
    ratings, mean, median = rated.readers[name], rated.mean(name), rated.median(name)
    case = np.flatnonzero(np.isfinite(mean))
    value, grades = expected(rated.above[:, column]), rated.grades[:, column]

    def over_nodules(statistic, one: Values, other: Values) -> Estimate:  # type: ignore[no-untyped-def]
        return draws.estimate(statistic, one[case], other[case], case)

    sign = -1.0 if name in SHRINKS_WITH_SIZE else 1.0
    found = {
        f"spearman_{name}": over_nodules(spearman, value, mean),
        f"spearman_{name}_ruler": over_nodules(spearman, sign * rated.diameter_mm, mean),
        f"kappa_{name}": over_nodules(quadratic_kappa, grades, median),
        f"mae_{name}": over_nodules(mean_absolute_error, value, mean),
        f"mae_{name}_constant": over_nodules(mean_absolute_error, np.full(len(value), _most_frequent(ratings)), mean),
    }
    if name in rated.hand:
        found[f"spearman_{name}_hand"] = over_nodules(spearman, rated.hand[name], mean)
    if ratings.shape[1] > 1:
        at, a, b = _pairs(ratings)
        several = len(set(at.tolist()))
        for key, statistic in (("spearman", spearman), ("kappa", quadratic_kappa), ("mae", mean_absolute_error)):
            found[f"{key}_{name}_readers"] = draws.estimate(statistic, a, b, at, several)
            # The first reader of each pair, so that nodules count as often as among readers.
            own = value[at] if key == "spearman" else grades[at]
            found[f"{key}_{name}_one_reader"] = draws.estimate(statistic, own, a, at, several)
    return found


def _pairs(ratings: Values) -> tuple[NDArray[np.intp], Values, Values]:
    """Every ordered pair of different readers of one nodule: which nodule, what one says, what the other says."""
    at, first, second = [], [], []
    for i in range(ratings.shape[1]):
        for j in range(ratings.shape[1]):
            if i != j:
                both = np.flatnonzero(np.isfinite(ratings[:, i]) & np.isfinite(ratings[:, j]))
                at.append(both)
                first.append(ratings[both, i])
                second.append(ratings[both, j])
    return np.concatenate(at), np.concatenate(first), np.concatenate(second)


def _most_frequent(ratings: Values) -> float:
    values, counts = np.unique(ratings[np.isfinite(ratings)], return_counts=True)
    return float(values[counts.argmax()]) if len(values) else math.nan


def _means(rated: Rated, found: Figures) -> Figures:
    """Each measure's mean over the seven characteristics, without an interval where one has none."""
    out = {}
    for key in ("spearman", "kappa", "mae"):
        for ending in ("", "_readers", "_one_reader", "_ruler", "_constant"):
            parts = [found[f"{key}_{name}{ending}"] for name in WORDS if f"{key}_{name}{ending}" in found]
            if len(parts) == len(WORDS):
                value = float(np.mean([part.value for part in parts]))
                out[f"{key}_mean{ending}"] = Estimate(value, math.nan, math.nan, max(part.n for part in parts))
    return out


def _spiculation(rated: Rated) -> Figures:
    """Whether a nodule is rated spiculated: by the network and its rule, by hand, and both at the same specificity."""
    median = rated.median("spiculation")
    known = np.isfinite(median)
    truth = median >= MARKED
    score = expected(rated.above[:, list(WORDS).index("spiculation")])

    def sensitivity(called: NDArray[np.bool_], at: NDArray[np.intp]) -> float:
        return float(called[at][truth[at]].mean()) if truth[at].any() else math.nan

    def specificity(called: NDArray[np.bool_], at: NDArray[np.intp]) -> float:
        return float((~called[at][~truth[at]]).mean()) if (~truth[at]).any() else math.nan

    rule = score >= SPICULATED_RATING
    statistics: dict[str, Callable[[NDArray[np.intp]], float]] = {
        "auc_spiculated": lambda at: auc(truth[at], score[at]),
        "specificity_spiculated": lambda at: specificity(rule, at),
        "sensitivity_spiculated": lambda at: sensitivity(rule, at),
    }
    if rated.spiculated is not None:
        hand, by_hand = rated.spiculated, rated.hand["spiculation"]
        statistics |= {
            "auc_spiculated_hand": lambda at: auc(truth[at], by_hand[at]),
            "specificity_spiculated_hand": lambda at: specificity(hand, at),
            "sensitivity_spiculated_hand": lambda at: sensitivity(hand, at),
            "sensitivity_spiculated_as_specific": lambda at: sensitivity_at_specificity(
                truth[at], score[at], specificity(hand, at)
            ),
        }
    resamples = Resamples(rated.patients)
    few = len(set(np.asarray(rated.patients)[known].tolist())) < LEAST_PATIENTS
    out = {}
    for name, statistic in statistics.items():
        if few or not truth[known].any():
            value = float(statistic(np.flatnonzero(known)))
            out[name] = Estimate(value, math.nan, math.nan, int(known.sum()))
        else:
            out[name] = resamples.estimate(statistic, known)
    return out
