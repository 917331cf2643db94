"""Central slices of nodules as 32 x 32 patches without outlines, as the files of patches hold them.

A file of patches (`patches.npz`): `patch` (n, y, x) at native pixels, scaled to 0..1; its table: one row per patch and
in the patches' order, with `ElementSpacingX` (mm), `diameter_mm`, `malignant` (0 or 1, from the readers' ratings) and
`patient`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.training.arrays import read_arrays
from LungCADLib.training.nodule_sets import read_table

_NUMBERS = ("ElementSpacingX", "diameter_mm", "malignant")


@dataclass(frozen=True, eq=False)
class Patches:
    """Nodules as columns of equal length n: `patch` float32 (n, y, x) from 0 to 1."""

    patch: NDArray[np.float32]
    spacing_mm: NDArray[np.float64]
    diameter_mm: NDArray[np.float64]
    malignant: NDArray[np.bool_]
    patient: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.patch)


def read_patches(path: Path, table: Path) -> Patches:
    """The nodules of a file of patches and its table.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout, or the table belongs to other patches.
    """
    patch = read_arrays(path, "patch")["patch"]
    if patch.ndim != 3 or not len(patch) or patch.dtype.kind not in "iuf" or not np.isfinite(patch).all():
        raise InputError(f"{path}: patch has shape {patch.shape}; it must hold numbers as (n, y, x).")
    rows = read_table(table, (*_NUMBERS, "patient"), f"the table of {path.name}")
    if len(rows) != len(patch):
        raise InputError(f"{table} has {len(rows)} rows, but {path} holds {len(patch)} patches; use its own table.")
    columns = {name: np.array([_number(table, i, row, name) for i, row in enumerate(rows)]) for name in _NUMBERS}
    spacing, diameter, malignant = columns.values()
    return Patches(
        patch.astype(np.float32), spacing, diameter, malignant > 0, np.array([row["patient"] for row in rows])
    )


def _number(path: Path, i: int, row: dict[str, str], column: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = np.nan
    if not np.isfinite(number) or (number <= 0 and column != "malignant"):
        raise InputError(f"{path}: row {i + 1} has {column} {row[column]!r}; it must be a number.")
    return number
