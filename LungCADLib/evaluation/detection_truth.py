"""What readers marked in a scan: the nodules to find, and what is neither right nor wrong to mark.

A file of nodules is JSON in one of two layouts.

- What several readers said (`nodules_readers.json` of the data at hand): `nodules` with `lps` (mm), `diameter_mm` and
  `readers`, `small_marks` and `non_nodules` with `lps`. As in LUNA16, at least three readers make a nodule; what fewer
  marked, what is below 3 mm, and what readers saw and took for something else are excluded.
- A list of objects with `center_lps_mm` (x, y, z) and `diameter_mm`: all are nodules.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.evaluation.froc import UNKNOWN_DIAMETER_MM

LEAST_READERS = 3
SMALL_MARK_MM = 3.0


@dataclass(frozen=True, eq=False)
class Truth:
    """Centers (n, 3) in LPS mm and diameters (n,) in mm of the nodules, and of what is excluded."""

    nodules_mm: NDArray[np.float64]
    diameters_mm: NDArray[np.float64]
    excluded_mm: NDArray[np.float64]
    excluded_diameters_mm: NDArray[np.float64]

    @staticmethod
    def of(nodules: list[tuple[Any, float]], excluded: list[tuple[Any, float]]) -> "Truth":
        """From (center, diameter) pairs."""
        return Truth(*_columns(nodules), *_columns(excluded))


def read_truth(path: Path) -> Truth:
    """Read a file of nodules.

    Raises
    ------
    InputError
        If it is not there or has another layout.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({type(error).__name__}); check the path.") from None
    try:
        if isinstance(data, list):
            return Truth.of([(item["center_lps_mm"], item["diameter_mm"]) for item in data], [])
        rated = [(item["lps"], item["diameter_mm"], item["readers"] >= LEAST_READERS) for item in data["nodules"]]
        excluded = [(center, diameter) for center, diameter, agreed in rated if not agreed]
        excluded += [(item["lps"], SMALL_MARK_MM) for item in data.get("small_marks", [])]
        excluded += [(item["lps"], UNKNOWN_DIAMETER_MM) for item in data.get("non_nodules", [])]
        return Truth.of([(center, diameter) for center, diameter, agreed in rated if agreed], excluded)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no file of nodules ({type(error).__name__}: {error}); give a list of objects with "
            "center_lps_mm (x, y, z) and diameter_mm."
        ) from None


def _columns(found: list[tuple[Any, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centers = np.array([center for center, _ in found], float).reshape(len(found), 3)
    return centers, np.array([diameter for _, diameter in found], float)
