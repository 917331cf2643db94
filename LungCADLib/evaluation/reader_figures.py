"""Every figure the reader-suspicion model is shown with, on development patients of LIDC.

Unless a name says otherwise, the protocol is three or more readers and a median malignancy rating that is not 3, a
nodule is positive when the median is above 3, and its probability comes from ten-fold cross-validation grouped by
patient. The ruler is the long axis; where it needs a probability, a logistic regression on the logarithm of the long
axis in the same folds.
"""

from collections.abc import Callable
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
    sensitivity_at_specificity,
)
from LungCADLib.evaluation.one_reader import one_against_the_rest
from LungCADLib.malignancy.reader_model import CALCIFICATION_TERMS, SHAPE_TERMS, ReaderModel
from LungCADLib.training.lidc_nodules import NoduleTable
from LungCADLib.training.reader_fit import LEAST_READERS, UNDECIDED, in_protocol, out_of_fold, suspicious

Metric = Callable[[Labels, Scores], float]
Figures = dict[str, Figure]

MODEL_AND_RULER: dict[str, Metric] = {
    "auc": auc,
    "average_precision": average_precision,
    "sensitivity_at_specificity_90": sensitivity_at_specificity,
    "accuracy": accuracy,
    "brier": brier,
    "ece": ece,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Probabilities (nodules,) in a whole table from models that did not see the nodule's patient."""

    model: Scores
    shape: Scores
    shape_calcification: Scores
    ruler: Scores


def out_of_fold_scores(table: NoduleTable, labels: Labels, used: Labels, seed: int) -> OutOfFold:
    """The whole model, its first terms alone, and the ruler, in the same folds."""
    shape, calcification = len(SHAPE_TERMS), len(SHAPE_TERMS + CALCIFICATION_TERMS)
    columns = (
        table.features,
        table.features[:, :shape],
        table.features[:, :calcification],
        np.log(table.long_axis_mm)[:, None],
    )
    return OutOfFold(*(out_of_fold(values, labels, used, table.patient, seed) for values in columns))


def figures(table: NoduleTable, packaged: ReaderModel, scores: OutOfFold, seed: int) -> Figures:
    """Every figure that needs no other outcome than the readers' opinion, by name."""
    used, labels = in_protocol(table), suspicious(table)
    found = _headline(table, scores, labels, used, seed)
    apparent = packaged.suspicion(table.features)[0]
    compare = _Comparison(table.patient[used], labels[used], seed)
    for name in ("auc", "accuracy", "brier"):
        found[f"{name}_apparent"] = compare.figure(MODEL_AND_RULER[name], apparent[used])
    found |= _other_protocols(table, seed)
    found["auc_one_reader_against_the_rest"] = _one_reader(table, seed)
    return found


class _Comparison:
    """Metrics of scores, and their differences, on the same cases and the same draws of patients."""

    def __init__(self, patients: NDArray, labels: Labels, seed: int) -> None:
        self.labels = labels
        self.resamples = Resamples(patients.tolist(), seed=seed)

    def figure(self, metric: Metric, scores: Scores, among: Labels | None = None) -> Figure:
        return self.resamples.figure(lambda i: metric(self.labels[i], scores[i]), self.labels, among)

    def difference(self, metric: Metric, first: Scores, second: Scores, among: Labels | None = None) -> Figure:
        return self.resamples.figure(
            lambda i: metric(self.labels[i], first[i]) - metric(self.labels[i], second[i]), self.labels, among
        )


def _headline(table: NoduleTable, scores: OutOfFold, labels: Labels, used: Labels, seed: int) -> Figures:
    compare = _Comparison(table.patient[used], labels[used], seed)
    model, ruler, long_axis = scores.model[used], scores.ruler[used], table.long_axis_mm[used]
    found = {name: compare.figure(metric, model) for name, metric in MODEL_AND_RULER.items()}
    # The AUC of the ruler is that of the millimeters themselves; folds would only add noise to it.
    found |= {
        f"{name}_ruler": compare.figure(metric, long_axis if name == "auc" else ruler)
        for name, metric in MODEL_AND_RULER.items()
    }
    found["auc_mean_diameter"] = compare.figure(auc, table.mean_diameter_mm[used])
    found["auc_shape"] = compare.figure(auc, scores.shape[used])
    found["accuracy_shape"] = compare.figure(accuracy, scores.shape[used])
    found["auc_shape_calcification"] = compare.figure(auc, scores.shape_calcification[used])
    found["auc_minus_ruler"] = compare.difference(auc, model, long_axis)
    found["accuracy_minus_ruler"] = compare.difference(accuracy, model, ruler)
    found["auc_shape_minus_ruler"] = compare.difference(auc, scores.shape[used], long_axis)
    found["auc_shape_minus_mean_diameter"] = compare.difference(auc, scores.shape[used], table.mean_diameter_mm[used])
    for low, high in SIZE_BANDS_MM:
        band = (long_axis >= low) & (long_axis < high)
        name = f"{low:.0f}_{high:.0f}_mm"
        found[f"auc_{name}"] = compare.figure(auc, model, band)
        found[f"auc_ruler_{name}"] = compare.figure(auc, long_axis, band)
        found[f"auc_shape_{name}"] = compare.figure(auc, scores.shape[used], band)
        found[f"auc_minus_ruler_{name}"] = compare.difference(auc, model, long_axis, band)
    return found


def _other_protocols(table: NoduleTable, seed: int) -> Figures:
    """The model refitted and cross-validated on other published selections of nodules."""
    enough = table.readers >= LEAST_READERS
    protocols = {
        "mean_not_3": (enough & (table.mean != UNDECIDED), table.mean > UNDECIDED),
        "one_reader_or_more": (table.median != UNDECIDED, table.median > UNDECIDED),
    }
    found: Figures = {}
    for name, (used, labels) in protocols.items():
        model = out_of_fold(table.features, labels, used, table.patient, seed)
        compare = _Comparison(table.patient[used], labels[used], seed)
        found[f"auc_{name}"] = compare.figure(auc, model[used])
        found[f"auc_ruler_{name}"] = compare.figure(auc, table.long_axis_mm[used])
    return found


def _one_reader(table: NoduleTable, seed: int) -> Figure:
    """How well one reader's rating tells whether the other three's median is above 3 (where it is not 3)."""
    found = one_against_the_rest([nodule.malignancy for nodule in table.nodules], table.patient.tolist())
    return _Comparison(found.patient, found.suspicious, seed).figure(auc, found.rating)


def pathology_figures(table: NoduleTable, scores: OutOfFold, diagnoses: dict[str, bool], seed: int) -> Figures:
    """The greatest suspicion among a patient's nodules against that patient's diagnosis.

    Every nodule that any reader outlined counts, whatever its ratings; the suspicion is out of fold. Beside it stand
    the longest long axis and the readers' own highest median rating.
    """
    patients = [p for p in dict.fromkeys(table.patient.tolist()) if p in diagnoses]

    def greatest(values: Scores) -> Scores:
        return np.array([values[table.patient == patient].max() for patient in patients])

    labels = np.array([diagnoses[patient] for patient in patients])
    compare = _Comparison(np.array(patients), labels, seed)
    model, ruler, readers = greatest(scores.model), greatest(table.long_axis_mm), greatest(table.median)
    return {
        "auc_pathology": compare.figure(auc, model),
        "auc_pathology_ruler": compare.figure(auc, ruler),
        "auc_pathology_readers": compare.figure(auc, readers),
        "auc_pathology_minus_ruler": compare.difference(auc, model, ruler),
    }
