"""What a comparison learns from and is tested on: which nodules count, who is in which fold, and that nobody is in two.

Everything learns from nodules with a median malignancy that is not 3, by one reader or more; slices count in a test
when three or more readers rated them, patches always.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.evaluation.one_reader import OneReader, one_against_the_rest
from LungCADLib.malignancy.slice_view import square
from LungCADLib.training.appearance_fusion import NO_FOLD
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.nodule_sets import read_table
from LungCADLib.training.patch_sets import read_patches
from LungCADLib.training.reader_fit import LEAST_READERS
from LungCADLib.training.slice_sets import Slices, read_slices

INNER_FOLDS = 3
"""Of the training set, where there is a test set: only the ensemble needs them, and each trains every member once."""

ALIKE_PIXELS = 24
"""The middle of a slice by which the same nodule is recognized under two names."""

SLICES, PATCHES, TEST = "slices", "patches", "test"
"""Names of the sets: cross-validated slices, cross-validated patches, slices kept for the test."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Nodules to be judged, all of which count.

    `fold` (n,) is that of the patient, `NO_FOLD` where whoever learned from any fold may judge; `readers` holds what
    each reader of the file's nodules said and what the others thought, None where the file does not tell.
    """

    name: str
    file: Path
    cases: Cases
    fold: NDArray[np.int64]
    readers: OneReader | None = None


@dataclass(frozen=True, eq=False)
class Design:
    """Who learns from what, and is asked what.

    Attributes
    ----------
    learn
        Every nodule to learn from.
    fold
        (n,) of `learn`, from 0.
    asked
        The sets that figures are made of.
    crossed
        Whether every fold is judged by what learned from the others; if not, one fit judges the test set.
    packaged
        Whether the bundled member of a fold has not seen that fold's patients, nor anyone in a test set.
    warnings
        What makes the figures too good, in sentences.
    """

    learn: Cases
    fold: NDArray[np.int64]
    asked: tuple[Asked, ...]
    crossed: bool
    packaged: bool
    warnings: tuple[str, ...] = ()

    @property
    def own(self) -> Asked:
        """The nodules of `learn` that would count in a test, in their folds."""
        rows = counting(self.learn)
        return Asked(SLICES, self.asked[0].file, self.learn.only(rows), self.fold[rows])


def counting(cases: Cases) -> NDArray[np.bool_]:
    """Which nodules count in a test (n,)."""
    out: NDArray[np.bool_] = cases.readers >= LEAST_READERS
    return out


def crossed(
    slices: tuple[Path, Path], patches: tuple[Path, Path] | None, folds: Path | None, seed: int, retrain: bool
) -> Design:
    """Cross-validation on slices, and what each fold's fit says of that fold's patches.

    Parameters
    ----------
    slices, patches
        Each a file and its table.
    folds
        A file of patients and folds; None takes the packaged one where it has every patient, or else makes five.
    seed
        Of folds made here.
    retrain
        Whether bundled members may not be used.

    Raises
    ------
    InputError
        If a file cannot be used, or a fold leaves too little to learn from.
    """
    read = read_slices(*slices)
    learn = Cases.of_slices(read)
    fold_of = _folds(slices[0], learn, folds, seed, FOLDS)
    fold = _in_folds(learn.patient, fold_of)
    own = counting(learn)
    asked = [Asked(SLICES, slices[0], learn.only(own), fold[own], _readers(read))]
    if patches:
        cases = Cases.of_patches(read_patches(*patches))
        asked.append(Asked(PATCHES, patches[0], cases, _in_folds(cases.patient, fold_of)))
    _both_kinds(slices[0], learn, fold)
    _something_to_test(asked[0])
    bundled = fold_of_patient()
    packaged = not retrain and all(bundled.get(p) == f for p, f in fold_of.items() if p in set(learn.patient.tolist()))
    packaged &= all(fold_of.get(p, NO_FOLD) == bundled.get(p, NO_FOLD) for one in asked for p in one.cases.patient)
    return Design(learn, fold, tuple(asked), True, packaged, _two_names(slices[0], learn, slices[0], learn))


def held_out(slices: tuple[Path, Path], test: tuple[Path, Path], seed: int, retrain: bool) -> Design:
    """One set to learn from and another to be tested on.

    Raises
    ------
    InputError
        If a file cannot be used, or a patient is in both sets.
    """
    learn, read = Cases.of_slices(read_slices(*slices)), read_slices(*test)
    cases = Cases.of_slices(read)
    shared = sorted(set(learn.patient.tolist()) & set(cases.patient.tolist()))
    if shared:
        more = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
        raise InputError(
            f"{shared[0]}{more} is in both {slices[0]} and {test[0]}; a test needs patients that nothing learned from: "
            "leave them out of one."
        )
    warnings = _two_names(slices[0], learn, test[0], cases)
    bundled = fold_of_patient()
    packaged = not retrain and set(learn.patient.tolist()) <= bundled.keys()
    packaged &= not set(cases.patient.tolist()) & bundled.keys()
    fold_of = bundled if packaged else _made_folds(slices[0], learn, seed, INNER_FOLDS)
    fold = _in_folds(learn.patient, fold_of)
    _both_kinds(slices[0], learn, fold)
    cases = cases.only(counting(cases))
    asked = Asked(TEST, test[0], cases, np.full(len(cases), NO_FOLD), _readers(read))
    _something_to_test(asked)
    return Design(learn, fold, (asked,), False, packaged, warnings)


def _readers(slices: Slices) -> OneReader:
    said = [row[np.isfinite(row)].tolist() for row in slices.ratings["malignancy"]]
    return one_against_the_rest(said, slices.patient.tolist())


def _folds(path: Path, learn: Cases, folds: Path | None, seed: int, count: int) -> Mapping[str, int]:
    patients = set(learn.patient.tolist())
    if folds:
        found = read_folds(folds)
        strangers = patients - found.keys()
        if strangers:
            raise InputError(f"{folds} has no fold for {min(strangers)}, who is in {path}; add a row.")
        return found
    bundled = fold_of_patient()
    return bundled if patients <= bundled.keys() else _made_folds(path, learn, seed, count)


def read_folds(path: Path) -> dict[str, int]:
    """Fold by patient from a CSV file with the columns patient and fold; folds are numbered from 0.

    Raises
    ------
    InputError
        If the file is missing or of another layout, a patient stands in two folds, or a fold is empty.
    """
    found: dict[str, int] = {}
    for i, row in enumerate(read_table(path, ("patient", "fold"), "a table of folds")):
        text = row["fold"].strip()
        if not text.isdecimal():
            raise InputError(f"{path}: row {i + 1} has fold {text!r}; folds are whole numbers from 0.")
        fold = found.setdefault(row["patient"], int(text))
        if fold != int(text):
            raise InputError(
                f"{path}: {row['patient']} is in fold {fold} and in fold {text}; a patient belongs to one."
            )
    missing = set(range(max(found.values(), default=0) + 1)) - set(found.values())
    if missing or len(set(found.values())) < 2:
        raise InputError(f"{path} must name two folds or more, numbered from 0 without a gap.")
    return found


def _made_folds(path: Path, learn: Cases, seed: int, count: int) -> dict[str, int]:
    """Folds by patient, balanced by label."""
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(learn.patient.tolist())) < count or len(set(learn.suspicious.tolist())) < 2:
        raise InputError(f"{path} has too few patients, or nodules of one kind only; {count} folds need more.")
    out: dict[str, int] = {}
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for k, (_, held) in enumerate(split.split(learn.suspicious, learn.suspicious, learn.patient)):
        out |= dict.fromkeys(learn.patient[held].tolist(), k)
    return out


def _in_folds(patients: NDArray[np.str_], fold_of: Mapping[str, int]) -> NDArray[np.int64]:
    return np.array([fold_of.get(patient, NO_FOLD) for patient in patients.tolist()], np.int64)


def _both_kinds(path: Path, learn: Cases, fold: NDArray[np.int64]) -> None:
    for k in sorted(set(fold.tolist())):
        if len(set(learn.suspicious[fold != k].tolist())) < 2:
            raise InputError(
                f"{path}: without the patients of fold {k} there are no nodules of both kinds (median malignancy "
                "above and below 3) to learn from; give more."
            )


def _something_to_test(asked: Asked) -> None:
    if len(set(asked.cases.suspicious.tolist())) < 2:
        raise InputError(
            f"{asked.file}: a test needs nodules of both kinds by {LEAST_READERS} or more readers with a median "
            f"malignancy that is not 3, and there are {len(asked.cases)}."
        )


def _two_names(file: Path, cases: Cases, other_file: Path, other: Cases) -> tuple[str, ...]:
    """A warning where a picture stands under two patients: one nodule, learned from and tested on."""
    seen = dict(zip(_pictures(cases), cases.patient.tolist(), strict=True))
    whose = zip(_pictures(other), other.patient.tolist(), strict=True)
    twice = [(seen[picture], patient) for picture, patient in whose if seen.get(picture, patient) != patient]
    if not twice:
        return ()
    return (
        f"ONE SLICE UNDER TWO PATIENTS, {len(twice)} TIMES (first: {twice[0][0]} in {file}, {twice[0][1]} in "
        f"{other_file}): figures are too good where a nodule was learned from and tested on.",
    )


def _pictures(cases: Cases) -> list[bytes]:
    middle = (cases.hu.shape[1] // 2, cases.hu.shape[2] // 2)
    return [sha256(square(hu, middle, ALIKE_PIXELS).tobytes()).digest() for hu in cases.hu]
