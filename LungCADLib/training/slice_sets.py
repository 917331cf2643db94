"""The largest axial slice of each nodule, as the files of slices hold them.

A file of slices (`slices.npz`): `hu` int16 and `mask` (n, y, x) at native pixels with the nodule in the middle,
`spacing` (n,) in mm, `patient`, `series`; ratings: one row per slice and in the slices' order, with `patient`,
`manufacturer` and each characteristic by up to four readers (`Malignancy_1` to `Malignancy_4` and so on; 0 or empty
where that reader did not mark the nodule).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.training.arrays import read_arrays
from LungCADLib.training.nodule_sets import CHARACTERISTICS, read_table

READERS = 4


@dataclass(frozen=True, eq=False)
class Slices:
    """Nodules as columns of equal length n.

    `hu` int16 (n, y, x), `mask` bool (n, y, x) by one reader, `spacing_mm` (n,), `patient` (n,), `vendor` (n,), and
    `ratings` by characteristic (n, 4), NaN where a reader did not mark the nodule.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]
    patient: NDArray[np.str_]
    vendor: NDArray[np.str_]
    ratings: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.hu)

    def only(self, rows: NDArray[np.bool_]) -> "Slices":
        """Some of the nodules."""
        ratings = {name: of[rows] for name, of in self.ratings.items()}
        columns = (self.hu, self.mask, self.spacing_mm, self.patient, self.vendor)
        return Slices(*(column[rows] for column in columns), ratings)  # type: ignore[arg-type, call-arg]

    @property
    def readers(self) -> NDArray[np.int64]:
        """How many rated each nodule's malignancy (n,)."""
        return np.isfinite(self.ratings["malignancy"]).sum(axis=1)

    @property
    def area_mm2(self) -> NDArray[np.float64]:
        """Of the reader's outline (n,)."""
        return self.mask.sum(axis=(1, 2)) * self.spacing_mm**2

    def median(self, characteristic: str) -> NDArray[np.float64]:
        """The readers' median (n,), NaN where nobody rated it."""
        return _over_readers(np.nanmedian, self.ratings[characteristic])

    def mean(self, characteristic: str) -> NDArray[np.float64]:
        """The readers' mean (n,), NaN where nobody rated it."""
        return _over_readers(np.nanmean, self.ratings[characteristic])


def read_slices(path: Path, ratings: Path) -> Slices:
    """The nodules of a file of slices and its table of ratings.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout, or the ratings belong to other slices.
    """
    arrays = read_arrays(path, "hu", "mask", "spacing", "patient")
    hu, mask, spacing, patient = (arrays[name] for name in ("hu", "mask", "spacing", "patient"))
    n = len(hu)
    if hu.ndim != 3 or mask.shape != hu.shape or not n:
        raise InputError(f"{path}: hu has shape {hu.shape} and mask {mask.shape}; slices need both alike as (n, y, x).")
    if spacing.shape != (n,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InputError(f"{path}: spacing must hold {n} positive pixel sizes in mm.")
    if patient.shape != (n,):
        raise InputError(f"{path}: patient has shape {patient.shape}, but there are {n} slices.")
    empty = np.flatnonzero(~(mask > 0).any(axis=(1, 2)))
    if len(empty):
        raise InputError(f"{path}: the mask of slice {empty[0]} is empty; leave the slice out.")
    names = {c: [f"{c.capitalize()}_{reader}" for reader in range(1, READERS + 1)] for c in CHARACTERISTICS}
    columns = ("patient", "manufacturer", *(name for of in names.values() for name in of))
    rows = read_table(ratings, columns, f"the table of ratings of {path.name}")
    if len(rows) != n:
        raise InputError(f"{ratings} has {len(rows)} rows, but {path} holds {n} slices; use its own ratings.")
    for i, (row, whose) in enumerate(zip(rows, patient.tolist(), strict=True)):
        if row["patient"] != whose:
            raise InputError(f"{ratings}: row {i + 1} is of {row['patient']!r}, but slice {i} of {path} of {whose!r}.")
    return Slices(
        np.ascontiguousarray(hu).astype(np.int16),
        mask > 0,
        spacing.astype(np.float64),
        patient,
        np.array([_vendor(row["manufacturer"]) for row in rows]),
        {
            c: np.array([[_rating(ratings, i, row, k) for k in of] for i, row in enumerate(rows)])
            for c, of in names.items()
        },
    )


def _rating(path: Path, i: int, row: dict[str, str], column: str) -> float:
    text = row[column].strip()
    try:
        number = float(text or 0)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 6:
        raise InputError(f"{path}: row {i + 1} has {column} {text!r}; a rating is a number from 1 to 5, or 0 for none.")
    return number or np.nan


def _over_readers(summary: Callable[..., NDArray[np.float64]], values: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.full(len(values), np.nan)
    rated = np.isfinite(values).any(axis=1)
    out[rated] = summary(values[rated], axis=1)
    return out


def _vendor(manufacturer: str) -> str:
    first = manufacturer.partition(" ")[0]
    return first if len(first) < 3 else first.capitalize()
