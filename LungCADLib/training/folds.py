"""Which fold a LIDC patient is in: one split by patient for every network, fixed in a file."""

import csv
from functools import cache

from LungCADLib.resources import resource

FOLDS = 5
FILE = "lidc-folds.csv"
"""In `Resources/Models`: each development patient of the data at hand and the fold in which that patient is tested."""


@cache
def fold_of_patient() -> dict[str, int]:
    """Fold, 0 to 4, by patient; a patient who is not in it was seen by no network."""
    with resource("Models", FILE).open(encoding="utf-8") as file:
        return {row["patient"]: int(row["fold"]) for row in csv.DictReader(file)}
