"""What makes opinions of the appearance network's answers: logistic regressions on slices it has not seen.

The network's answer to a slice comes from the member that never saw the slice's patient. One model only brings it to
a probability; others add the diameter, or the six signs of the reader-suspicion model as LungCAD measures them on the
slice; two leave the network out, for comparison. Each is fitted on all patients, for use, and without the patients
of each fold, to be tested on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.malignancy import appearance
from LungCADLib.malignancy.reader_model import BENIGN_CALCIFICATION, TERMS, Quantity, ReaderModel, Signs, features
from LungCADLib.nodules.density import read_density
from LungCADLib.nodules.patch import Patch
from LungCADLib.nodules.shape import measure_shape
from LungCADLib.training.appearance_data import UNDECIDED, still_views
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.reader_fit import LEAST_READERS, fit
from LungCADLib.training.slice_sets import Slices

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.appearance_network import AppearanceNetwork

VERSION = "1.0"

DIAMETER = TERMS[0].name
LONG_AXIS = "log_long_axis"
QUANTITIES = (
    Quantity(appearance.ANSWERS[0], "log odds of suspicion by the appearance network", ""),
    Quantity(appearance.ANSWERS[1], "natural logarithm of the diameter by the appearance network", "ln mm"),
    *TERMS,
    Quantity(LONG_AXIS, "natural logarithm of the long axis", "ln mm"),
)
MODELS: dict[str, tuple[str, ...]] = {
    **appearance.MODELS,
    "size": (*appearance.ANSWERS, DIAMETER),
    "signs": tuple(term.name for term in TERMS),
    "ruler": (LONG_AXIS,),
}
"""Every model in `appearance.json` and its terms."""

PENALTY = 0.1
"""Inverse weight of the squared coefficients, stronger than the reader model's: three of the terms are sizes."""

COPIES = 3
"""A slice is measured as one of several alike: a nodule as flat as one slice would count as blurred away."""

THICKNESS_MM = 2.0
"""Taken for the slices', of which the file says nothing; no sign depends on it."""

NO_FOLD = -1
"""Of patients whom no network has seen."""

Columns = Mapping[str, NDArray[np.float64]]


def in_protocol(slices: Slices) -> NDArray[np.bool_]:
    """Nodules of three or more readers whose median malignancy is not 3."""
    return (slices.readers >= LEAST_READERS) & (slices.median("malignancy") != UNDECIDED)


def suspicious(slices: Slices) -> NDArray[np.bool_]:
    """Nodules whose median malignancy is above 3."""
    out: NDArray[np.bool_] = slices.median("malignancy") > UNDECIDED
    return out


def folds_of(patients: NDArray[np.str_]) -> NDArray[np.int64]:
    """The fold of each patient, `NO_FOLD` for one whom no network has seen."""
    fold = fold_of_patient()
    return np.array([fold.get(patient, NO_FOLD) for patient in patients.tolist()])


def unseen_answers(
    members: "Sequence[AppearanceNetwork]", seen: "Tensor", folds: NDArray[np.int64], device: str = "cpu"
) -> NDArray[np.float64]:
    """Answers (n, 2) to views of patients of these folds: of the member that has not seen them, or of all (mean)."""
    import torch

    out = np.zeros((len(folds), len(appearance.ANSWERS)))
    for fold in set(folds.tolist()):
        rows = folds == fold
        asked = members if fold == NO_FOLD else members[fold : fold + 1]
        out[rows] = appearance.answers(asked, seen[torch.from_numpy(rows)], device).mean(axis=0)
    return out


@dataclass(frozen=True, eq=False)
class Measured:
    """What the outlines of slices measure: the reader model's terms (n, 6) and the long axis (n,)."""

    terms: NDArray[np.float64]
    long_axis_mm: NDArray[np.float64]


def measure(slices: Slices) -> Measured:
    """The signs of every slice, from the reader's outline, by the code that measures nodules in a CT."""
    each = [_measure(*one) for one in zip(slices.hu, slices.mask, slices.spacing_mm, strict=True)]
    terms, axes = (np.array(column) for column in zip(*each, strict=True))
    return Measured(terms, axes)


def _measure(hu: NDArray[np.int16], mask: NDArray[np.bool_], spacing_mm: float) -> tuple[NDArray[np.float64], float]:
    spacing = (THICKNESS_MM, float(spacing_mm), float(spacing_mm))
    outline = np.repeat(mask[None], COPIES, axis=0)
    form = measure_shape(outline, spacing)
    patch = Patch(
        np.repeat(hu[None].astype(np.float32), COPIES, axis=0), outline, np.ones(outline.shape, bool), spacing
    )
    reading = read_density(patch, form.solidity, form.mean_diameter_mm)
    calcified = reading.calcification in BENIGN_CALCIFICATION
    signs = Signs(form.mean_diameter_mm, form.elongation, form.solidity, calcified, reading.density)
    return features(signs), form.long_axis_mm


def columns_of(answers: NDArray[np.float64], measured: Measured) -> Columns:
    """The quantities of slices (n,) by name, from the networks' answers (n, 2) and what was measured."""
    terms = {term.name: measured.terms[:, i] for i, term in enumerate(TERMS)}
    return {**dict(zip(appearance.ANSWERS, answers.T, strict=True)), **terms, LONG_AXIS: np.log(measured.long_axis_mm)}


def fit_models(slices: Slices, members: "Sequence[AppearanceNetwork]", device: str = "cpu") -> dict[str, Any]:
    """What `appearance.json` holds before it is tested, from the slices that count.

    Raises
    ------
    InputError
        If too few of them count to fit anything.
    """
    slices = slices.only(in_protocol(slices))
    folds, labels = folds_of(slices.patient), suspicious(slices)
    if any(len(set(labels[folds != k].tolist())) < 2 for k in range(FOLDS)):
        raise InputError(
            f"Of the slices, {len(slices)} have {LEAST_READERS} readers and a median malignancy that is not "
            f"{UNDECIDED:.0f}; without the patients of one fold they must still be of both kinds."
        )
    answers = unseen_answers(members, still_views(slices.hu, slices.spacing_mm), folds, device)
    columns = columns_of(answers, measure(slices))
    everyone = np.ones(len(slices), bool)
    return {
        "name": appearance.NAME,
        "version": VERSION,
        "training": {
            "protocol": "three or more readers, median malignancy not 3; positive: median above 3",
            "nodules": len(slices),
            "suspicious": int(labels.sum()),
            "patients": len(set(slices.patient.tolist())),
        },
        "models": {name: _fitted(terms, columns, labels, everyone) for name, terms in MODELS.items()},
        "left_out": {
            name: [_fitted(terms, columns, labels, folds != k) for k in range(FOLDS)] for name, terms in MODELS.items()
        },
    }


def _fitted(
    terms: tuple[str, ...], columns: Columns, labels: NDArray[np.bool_], among: NDArray[np.bool_]
) -> dict[str, Any]:
    values = np.column_stack([columns[term] for term in terms])
    model = _to_scale(fit(values[among], labels[among], terms, PENALTY), values[among], labels[among])
    return {"version": VERSION, **model.to_json(QUANTITIES)}


def _to_scale(model: ReaderModel, values: NDArray[np.float64], labels: NDArray[np.bool_]) -> ReaderModel:
    """The model with all coefficients stretched alike, so that its probabilities are not too cautious on its own cases.

    The penalty is there to settle which term counts how much; it also draws all of them towards nothing.
    """
    said = model.suspicion(values)[0]
    log_odds = np.log(said / (1 - said))[:, None]
    spread = float(log_odds.std())
    stretched = fit(log_odds, labels, ("log_odds",)).coefficients
    slope = float(stretched[1]) / spread
    coefficients = slope * model.coefficients
    coefficients[0] += float(stretched[0]) - slope * float(log_odds.mean())
    return replace(model, coefficients=coefficients)


def unseen_probabilities(
    data: Mapping[str, Any], model: str, columns: Columns, folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probability (n,) by a model in `appearance.json` that was not fitted on the patient."""
    values = np.column_stack([columns[term] for term in MODELS[model]])
    out = np.zeros(len(folds))
    for fold in set(folds.tolist()):
        fitted = data["models"][model] if fold == NO_FOLD else data["left_out"][model][fold]
        rows = folds == fold
        out[rows] = ReaderModel.from_json(fitted).suspicion(values[rows])[0]
    return out
