"""Which fold a LIDC patient is in: one split by patient for every network, fixed in a file."""

import csv
from functools import cache
from pathlib import Path

from LungCADLib.errors import InputError
from LungCADLib.resources import resource

FOLDS = 5
FILE = "lidc-folds.csv"
"""In `Resources/Models`: each development patient of the data at hand and the fold in which that patient is tested."""


@cache
def fold_of_patient() -> dict[str, int]:
    """Fold, 0 to 4, by patient; a patient who is not in it was seen by no network."""
    return read_folds(resource("Models", FILE))


def read_folds(path: Path) -> dict[str, int]:
    """Fold by patient, from a CSV file with the columns patient and fold.

    Raises
    ------
    InputError
        If a patient is in it twice: what was learned from the patient in one fold would be tested in another.
    """
    folds: dict[str, int] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            patient, fold = row["patient"], int(row["fold"])
            if patient in folds:
                raise InputError(
                    f"{path} has patient {patient} in fold {folds[patient]} and again in fold {fold}; a patient may be "
                    "in one fold only."
                )
            folds[patient] = fold
    return folds
