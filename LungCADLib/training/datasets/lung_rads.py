"""The Lung-RADS slice set: pickled tables of CT slices with a mask and a Lung-RADS class, read without unpickling.

Nam D, Panina A, Pak A: Lung cancer segmentation dataset with Lung-RADS class, Mendeley Data V1, 2024, doi
10.17632/5rr22hgzwr.1. `lung_cancer_train.pkl` holds 708 rows and `lung_cancer_test.pkl` 264: `label1` (the class),
`mask` (the radiologist's), `hu_array_old` (HU) and `hu_array` (the same, with zero outside the lungs as a threshold
found them, which nobody checked). Arrays are single slices of 512 x 512, some with a first axis of length one, in
whatever number type; where HU were multiplied by zero, outside is -0.0.

No row says of which patient it is, nor how wide a pixel is, and LIDC's images are in part the same: a network that has
seen this set cannot be tested on LIDC, and this set cannot be split by patient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask
from LungCADLib.progress import Progress
from LungCADLib.scan import AIR_HU, Geometry, Header, Scan
from LungCADLib.training.arrays import read_arrays
from LungCADLib.training.datasets.layout import AnnotatedNodule, CaseReport, Report, ScanCase
from LungCADLib.training.datasets.pandas_pickle import PickledTable

LABEL, MASK, HU, LUNG_HU = "label1", "mask", "hu_array_old", "hu_array"
COLUMNS = (LABEL, MASK, HU, LUNG_HU)
CLASSES = ("LR2", "LR3", "LR4A", "LR4B", "LR4X")
"""Lung-RADS categories as the set spells them, from least to most suspicious."""

SUSPICIOUS = frozenset({"LR4A", "LR4B", "LR4X"})
"""Lung-RADS calls category 4 suspicious or very suspicious, and 2 and 3 benign (v2022, American College of Radiology).
"""

FILES = ("lung_cancer_train.pkl", "lung_cancer_test.pkl")
HIGHEST_HU = np.iinfo(np.int16).max
UNKNOWN_PIXELS = "The set does not say how wide a pixel is; lengths are in pixels."


@dataclass(frozen=True, eq=False)
class Row:
    """One slice: `hu` and `lung_hu` int16 (y, x), -1024 outside; `mask` bool (y, x); one of `CLASSES`."""

    hu: NDArray[np.int16]
    lung_hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    label: str


@dataclass(frozen=True, eq=False)
class SliceSet:
    """A converted set as columns of equal length n: `hu` int16 and `mask` bool (n, y, x), `label` (n,) of `CLASSES`."""

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    label: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.hu)

    @property
    def suspicious(self) -> NDArray[np.bool_]:
        """Category 4 (n,)."""
        return np.isin(self.label, list(SUSPICIOUS))


def open_table(path: Path) -> PickledTable:
    """A pickle of the set, as a table to be read row by row.

    Raises
    ------
    InputError
        If it is no such table.
    """
    table = PickledTable(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        table.__exit__(None, None, None)
        raise InputError(
            f"{path} has no column {missing[0]!r}; the Lung-RADS set's table has {', '.join(COLUMNS)}, and this one "
            f"{', '.join(table.columns) or 'none'}."
        )
    return table


def row_of(table: PickledTable, i: int) -> Row:
    """Row i, whatever its number types and axes of length one.

    Raises
    ------
    InputError
        If its arrays are no slices of one shape, hold no HU, or the mask or the label is missing.
    """
    where = f"{table.path}: row {i}"
    label = table.columns[LABEL][i]
    if label not in CLASSES:
        raise InputError(f"{where} has the label {label!r}; it must be one of {', '.join(CLASSES)}.")
    mask, hu, lung = (_slice(table, column, i) for column in (MASK, HU, LUNG_HU))
    if not mask.shape == hu.shape == lung.shape:
        raise InputError(f"{where} has a mask of {mask.shape}, HU of {hu.shape} and {lung.shape}; they must be alike.")
    for values in (hu, lung):
        if not np.isfinite(values).all() or values.min() < -HIGHEST_HU or values.max() > HIGHEST_HU:
            raise InputError(f"{where} holds values that are no HU.")
    inside = mask != 0
    if not inside.any():
        raise InputError(f"{where} has an empty mask: its nodule is not outlined.")
    return Row(_hounsfield(hu), _hounsfield(without_zeros(lung, hu, inside)), inside, label)


def without_zeros(lung: NDArray, hu: NDArray, mask: NDArray[np.bool_]) -> NDArray:
    """HU within the lungs (y, x) with air where zero, or minus zero, stands for outside.

    A pixel that is 0 HU in the CT itself stays where the mask says that it is a nodule's.
    """
    outside = (lung == 0) & ~(mask & (hu == 0))
    out: NDArray = np.where(outside, AIR_HU, lung)
    return out


def _slice(table: PickledTable, column: str, i: int) -> NDArray:
    values = table.array(column, i)
    flat = values.squeeze()
    if flat.ndim != 2:
        raise InputError(
            f"{table.path}: row {i} has an array of shape {values.shape} in column {column!r}; it must be one slice."
        )
    return flat


def _hounsfield(values: NDArray) -> NDArray[np.int16]:
    return np.maximum(np.rint(values), AIR_HU).astype(np.int16)


def read_slice_set(path: Path) -> SliceSet:
    """A set as `lungcad data convert` wrote it.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another layout.
    """
    if path.suffix == ".pkl":
        raise InputError(f"{path} is a pickle; convert it first with `lungcad data convert {path} --out FILE.npz`.")
    hu, mask, label = read_arrays(path, "hu", "mask", "label").values()
    n = len(hu)
    if hu.ndim != 3 or hu.dtype != np.int16 or mask.shape != hu.shape or label.shape != (n,) or not n:
        raise InputError(
            f"{path}: hu has shape {hu.shape}, mask {mask.shape}, label {label.shape}; a converted Lung-RADS set has "
            "int16 (n, y, x), (n, y, x) and (n,)."
        )
    strange = sorted(set(label.tolist()) - set(CLASSES))
    if strange:
        raise InputError(f"{path} has the label {strange[0]!r}; it must be one of {', '.join(CLASSES)}.")
    empty = np.flatnonzero(~(mask > 0).any(axis=(1, 2)))
    if len(empty):
        raise InputError(f"{path}: the mask of slice {empty[0]} is empty; leave the slice out.")
    return SliceSet(hu, mask > 0, label)


class LungRads:
    """A folder with one or both of the set's pickles."""

    name = "lung-rads"
    title = "Lung cancer segmentation dataset with Lung-RADS class (Mendeley Data, doi 10.17632/5rr22hgzwr.1)"
    expects = f"a folder with {FILES[0]} and {FILES[1]}, pickled tables with the columns {', '.join(COLUMNS)}"

    def recognizes(self, folder: Path) -> bool:
        """By the names of the files."""
        return bool(self._tables(folder))

    def check(self, folder: Path, progress: Progress) -> Report:
        """Every row; a case is named by its file and row."""
        paths = self._wanted(folder)
        reports = []
        for k, path in enumerate(paths):
            try:
                table = open_table(path)
            except InputError as error:
                reports.append(CaseReport.of(path.name, broken=[str(error)]))
                continue
            with table:
                for i in range(len(table)):
                    reports.append(self._checked(table, i))
                    progress.update((k + (i + 1) / len(table)) / len(paths), f"{path.name}, row {i}")
        absent = [name for name in FILES if name not in {path.name for path in paths}]
        notes = [f"{name} is not there." for name in absent]
        notes.append("No row says of which patient it is; some are LIDC's: never test on LIDC what has seen this set.")
        return Report(self.name, str(folder), tuple(reports), tuple(notes))

    def cases(self, folder: Path) -> Iterator[ScanCase]:
        """Each row as a CT of one slice; lengths are in pixels, since the set has no other."""
        for path in self._wanted(folder):
            with open_table(path) as table:
                for i in range(len(table)):
                    try:
                        row = row_of(table, i)
                    except InputError:
                        continue
                    yield _case(path, i, row)

    def _checked(self, table: PickledTable, i: int) -> CaseReport:
        name = f"{table.path.stem}-{i}"
        try:
            row_of(table, i)
        except InputError as error:
            missing = "empty mask" in str(error)
            return CaseReport.of(name, **{"missing" if missing else "broken": [str(error)]})
        return CaseReport.of(name)

    def _tables(self, folder: Path) -> list[Path]:
        return [folder / name for name in FILES if (folder / name).is_file()]

    def _wanted(self, folder: Path) -> list[Path]:
        paths = self._tables(folder)
        if not paths:
            raise InputError(f"{folder} is not the Lung-RADS set; expected {self.expects}.")
        return paths


def _case(path: Path, i: int, row: Row) -> ScanCase:
    shape = (1, *row.hu.shape)
    geometry = Geometry(shape, (1.0, 1.0, 1.0))
    scan = Scan(row.hu[None], geometry, Header(source=f"{path}, row {i}"), warnings=(UNKNOWN_PIXELS,))
    y, x = np.argwhere(row.mask).mean(axis=0)
    diameter = float(2 * np.sqrt(row.mask.sum() / np.pi))
    nodule = AnnotatedNodule(
        "1", (float(x), float(y), 0.0), diameter, BoxMask((0, 0, 0), row.mask[None]).trimmed(), label=row.label
    )
    name = f"{path.stem}-{i}"
    # Nobody knows whose slice it is; each counts as a patient of its own, which is why the set cannot be split fairly.
    return ScanCase(name, name, scan, (nodule,))


SET = LungRads()
