"""LIDC nodules as the road would measure them, with what their readers said.

Each nodule is the consensus of its readers' outlines, measured by the code that measures nodules at run time. What
needs the CT itself, calcification and density, comes from the readers' ratings.
"""

import csv
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.malignancy.reader_model import Signs, features
from LungCADLib.nodules.shape import ShapeMeasures, measure_shape
from LungCADLib.resources import resource
from LungCADLib.study import Density
from LungCADLib.training.lidc_database import Annotation, consensus, nodules, outlines, read_scans

PATIENTS = "lidc-patients.csv"
"""In `Resources/Models`: which LIDC patients are for development and which are kept for independent tests."""

USES = ("development", "independent")

BENIGN_RATINGS = frozenset({1, 2, 3, 5})
"""LIDC's calcification ratings popcorn, laminated, solid and central; 4 is non-central, 6 is absent."""

NON_SOLID_TEXTURE, PART_SOLID_TEXTURE = 2, 4
"""A median texture up to these is non-solid, or part-solid; LIDC rates 1 non-solid, 3 part-solid, 5 solid."""


@dataclass(frozen=True)
class ReadNodule:
    """One nodule of one patient: its `malignancy` rating by each reader, and the signs of the consensus outline."""

    patient: str
    malignancy: tuple[int, ...]
    long_axis_mm: float
    signs: Signs


@dataclass(frozen=True, eq=False)
class NoduleTable:
    """Nodules as columns of equal length."""

    nodules: tuple[ReadNodule, ...]

    @cached_property
    def patient(self) -> NDArray[np.str_]:
        return np.array([n.patient for n in self.nodules])

    @cached_property
    def readers(self) -> NDArray[np.int64]:
        """How many readers outlined each nodule."""
        return np.array([len(n.malignancy) for n in self.nodules])

    @cached_property
    def median(self) -> NDArray[np.float64]:
        """Median malignancy rating, 1 to 5."""
        return np.array([np.median(n.malignancy) for n in self.nodules])

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Mean malignancy rating, 1 to 5."""
        return np.array([np.mean(n.malignancy) for n in self.nodules])

    @cached_property
    def long_axis_mm(self) -> NDArray[np.float64]:
        return np.array([n.long_axis_mm for n in self.nodules])

    @cached_property
    def mean_diameter_mm(self) -> NDArray[np.float64]:
        return np.array([n.signs.mean_diameter_mm for n in self.nodules])

    @cached_property
    def features(self) -> NDArray[np.float64]:
        """(nodules, terms) in the order of `reader_model.TERMS`."""
        return np.array([features(n.signs) for n in self.nodules])


def independent_patients(path: Path | None = None) -> frozenset[str]:
    """Patients kept for independent tests, from a CSV file with the columns patient and use; the packaged one if None.

    Raises
    ------
    InputError
        If the file is not such a table.
    """
    path = path or resource("Models", PATIENTS)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: the list of patients cannot be read ({error}); give another with --patients."
        ) from None
    for row in rows or [{}]:
        if not row.get("patient") or row.get("use") not in USES:
            raise InputError(
                f"{path}: the list of patients needs the columns patient and use, with use {' or '.join(USES)}; "
                f"this row has not: {row}."
            )
    return frozenset(row["patient"] for row in rows if row["use"] == "independent")


def collect(database: Path, independent: Collection[str]) -> NoduleTable:
    """Every nodule in the database but those of independent patients, which are not read.

    A nodule whose readers agree on no voxel is left out: it cannot be measured.

    Raises
    ------
    InputError
        If there is none, or the file is not the database.
    """
    found = []
    for scan in read_scans(database, without=independent):
        for annotations in nodules(scan):
            outline = consensus(outlines(annotations, scan))
            if outline.any():
                found.append(read_nodule(scan.patient, annotations, measure_shape(outline, scan.spacing)))
    if not found:
        raise InputError(f"{database}: without the independent patients no nodule is left; check the list of patients.")
    return NoduleTable(tuple(found))


def read_nodule(patient: str, annotations: tuple[Annotation, ...], shape: ShapeMeasures) -> ReadNodule:
    """What the readers said of a nodule, and the signs of its outline."""
    benign = [a.ratings["calcification"] in BENIGN_RATINGS for a in annotations]
    signs = signs_of_shape(shape, 2 * sum(benign) >= len(benign), _density([a.ratings["texture"] for a in annotations]))
    return ReadNodule(patient, tuple(a.ratings["malignancy"] for a in annotations), shape.long_axis_mm, signs)


def signs_of_shape(shape: ShapeMeasures, benign_calcification: bool, density: Density) -> Signs:
    """The model's signs of an outline as `measure_shape` measured it."""
    return Signs(shape.mean_diameter_mm, shape.elongation, shape.solidity, benign_calcification, density)


def _density(textures: list[int]) -> Density:
    median = np.median(textures)
    if median <= NON_SOLID_TEXTURE:
        return "non-solid"
    return "part-solid" if median <= PART_SOLID_TEXTURE else "solid"
