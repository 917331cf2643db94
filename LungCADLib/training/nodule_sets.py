"""Nodules cut out of CTs with a reader's outline, as the files of crops and of boxes hold them.

A file of crops (`crops.npz`): `hu` and `mask` (n, z, y, x) at 1 mm with the nodule in the middle, `name`, `patient`,
`series`; ratings: one row per crop with `Filename` and `texture`. A file of boxes (`vois.npz`): `hu` and `mask` flat,
box i from `start[i]` to `start[i + 1]` (the last one to the end) with `shape[i]`, `spacing[i]` and `origin[i]` in
(z, y, x), LPS mm; `name`, `patient`, `series`; ratings: one row per box with `name`, `coordX`, `coordY`, `coordZ` (LPS
mm) and `Texture_value`. Other characteristics stand under their names, or their names with `_value`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.masks import in_plane_diameter_mm
from LungCADLib.scan import Geometry, Header, Scan
from LungCADLib.study import Xyz
from LungCADLib.training.arrays import read_arrays

_NAMES = ("name", "patient", "series")
_CENTER = ("coordX", "coordY", "coordZ")

CHARACTERISTICS = ("subtlety", "margin", "lobulation", "spiculation", "texture", "sphericity", "malignancy")
"""LIDC's, each rated from 1 to 5."""

Arrays = dict[str, NDArray]


@dataclass(frozen=True, eq=False)
class Case:
    """One nodule: its surroundings, the reader's outline bool (z, y, x), and where a person would click.

    `ratings` holds what the readers said of `CHARACTERISTICS`, 1 to 5, as far as they did.
    """

    name: str
    patient: str
    series: str
    scan: Scan
    truth: NDArray[np.bool_]
    click_lps_mm: Xyz
    ratings: Mapping[str, float]

    @property
    def texture(self) -> float | None:
        """From 1 (ground glass) to 5 (solid)."""
        return self.ratings.get("texture")

    @property
    def diameter_mm(self) -> float:
        """Of the ball with the volume of the reader's outline; of the disc with its area where there is one slice."""
        if len(self.truth) == 1:
            return in_plane_diameter_mm(self.truth, self.scan.spacing)
        return float(np.cbrt(6 / np.pi * self.truth.sum() * self.scan.geometry.voxel_mm3))


def read_crops(path: Path, ratings: Path | None) -> list[Case]:
    """The nodules of a file of crops; the click is the crop's middle.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout, or the ratings belong to other crops.
    """
    arrays = read_arrays(path, "hu", "mask", *_NAMES)
    hu, mask = arrays["hu"], arrays["mask"]
    if hu.ndim != 4 or mask.shape != hu.shape:
        raise InputError(
            f"{path}: hu has shape {hu.shape} and mask {mask.shape}; crops need both alike as (n, z, y, x)."
        )
    _check_names(path, arrays, len(hu))
    rows = _ratings(ratings, path, "Filename", ("texture",), arrays["name"]) if ratings else [{}] * len(hu)
    cases = []
    for i, row in enumerate(rows):
        scan = Scan(_hounsfield(path, hu[i]), Geometry(hu[i].shape, (1.0, 1.0, 1.0)), Header(source=str(path)))
        middle = scan.geometry.to_lps((np.array(scan.hu.shape) - 1) / 2)
        cases.append(_case(path, arrays, i, scan, mask[i], middle, _characteristics(ratings, i, row, "{}")))
    return cases


def read_vois(path: Path, ratings: Path) -> list[Case]:
    """The nodules of a file of boxes; the click is the center in the ratings.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout, or the ratings belong to other boxes.
    """
    arrays = read_arrays(path, "hu", "mask", "start", "shape", "spacing", "origin", *_NAMES)
    hu, mask, shape = arrays["hu"], arrays["mask"], arrays["shape"]
    if hu.ndim != 1 or mask.shape != hu.shape:
        raise InputError(f"{path}: hu has shape {hu.shape} and mask {mask.shape}; boxes need both alike and flat.")
    if shape.ndim != 2 or shape.shape[1] != 3:
        raise InputError(f"{path}: shape has shape {shape.shape}; boxes need (n, 3) in (z, y, x).")
    for key in ("spacing", "origin"):
        if arrays[key].shape != shape.shape:
            raise InputError(f"{path}: {key} has shape {arrays[key].shape}; boxes need {shape.shape} like shape.")
    _check_names(path, arrays, len(shape))
    ends = _ends(path, arrays["start"], shape, len(hu))
    rows = _ratings(ratings, path, "name", (*_CENTER, "Texture_value"), arrays["name"])
    cases = []
    for i, row in enumerate(rows):
        size = tuple(int(n) for n in shape[i])
        part = slice(int(arrays["start"][i]), int(ends[i]))
        spacing, origin = (tuple(float(v) for v in arrays[key][i]) for key in ("spacing", "origin"))
        if not all(np.isfinite(spacing)) or min(spacing) <= 0:
            raise InputError(f"{path}: box {i} has spacing {spacing}; it must be positive mm in (z, y, x).")
        geometry = Geometry(size, spacing, origin[::-1])  # type: ignore[arg-type]
        scan = Scan(_hounsfield(path, hu[part].reshape(size)), geometry, Header(source=str(path)))
        center = np.array([_number(ratings, i, row, key) for key in _CENTER], float)
        index = geometry.to_index(center)
        if not ((index >= -0.5) & (index <= np.array(size) - 0.5)).all():
            raise InputError(f"{ratings}: row {i + 1} has its center {center.tolist()} outside box {i} of {path}.")
        said = _characteristics(ratings, i, row, "{}_value")
        cases.append(_case(path, arrays, i, scan, mask[part].reshape(size), center, said))
    return cases


def read_vendors(path: Path) -> dict[str, str]:
    """Who made the scanner, by series, from LIDC's table of metadata (`Series UID`, `Manufacturer`).

    Raises
    ------
    InputError
        If it is not that table.
    """
    rows = read_table(path, ("Series UID", "Manufacturer"), "LIDC's table of metadata")
    words = {row["Series UID"]: row["Manufacturer"].split()[:1] for row in rows}
    return {series: w[0] if len(w[0]) < 3 else w[0].capitalize() for series, w in words.items() if w}


def _case(
    path: Path,
    arrays: Arrays,
    i: int,
    scan: Scan,
    mask: NDArray,
    click: NDArray[np.float64],
    ratings: Mapping[str, float],
) -> Case:
    truth = mask > 0
    name, patient, series = (str(arrays[key][i]) for key in _NAMES)
    if not truth.any():
        raise InputError(f"{path}: the mask of nodule {i} ({name}) is empty; leave the nodule out.")
    x, y, z = (float(v) for v in click)
    return Case(name, patient, series, scan, truth, (x, y, z), ratings)


def _characteristics(path: Path | None, i: int, row: dict[str, str], pattern: str) -> dict[str, float]:
    """What a row says of the characteristics; a column is named by the pattern, whatever its capitals."""
    columns = {column.lower(): column for column in row}
    said = {}
    for name in CHARACTERISTICS:
        column = columns.get(pattern.format(name))
        number = _number(path, i, row, column) if column else None
        if number is not None:
            said[name] = number
    return said


def _hounsfield(path: Path, hu: NDArray) -> NDArray[np.int16]:
    if hu.dtype.kind not in "iuf" or not np.isfinite(hu).all():
        raise InputError(f"{path}: hu is not all numbers; it must hold HU.")
    return np.ascontiguousarray(hu).astype(np.int16)


def _check_names(path: Path, arrays: Arrays, n: int) -> None:
    if not n:
        raise InputError(f"{path} holds no nodule.")
    for key in _NAMES:
        if arrays[key].shape != (n,):
            raise InputError(f"{path}: {key} has shape {arrays[key].shape}, but there are {n} nodules.")


def _ends(path: Path, start: NDArray, shape: NDArray, voxels: int) -> NDArray[np.int64]:
    """Where each box ends in the flat arrays."""
    n = len(shape)
    if start.ndim != 1 or len(start) not in (n, n + 1):
        raise InputError(f"{path}: start has shape {start.shape}; {n} boxes need {n} or {n + 1} of them.")
    ends = np.append(start, voxels)[1 : n + 1]
    wrong = np.flatnonzero((ends - start[:n] != np.prod(shape.astype(np.int64), axis=1)) | (shape < 1).any(axis=1))
    if len(wrong) or start[0] < 0 or ends[-1] > voxels:
        i = int(wrong[0]) if len(wrong) else 0
        raise InputError(
            f"{path}: box {i} has shape {shape[i].tolist()}, which does not fit its voxels {start[i]} to {ends[i]}."
        )
    return ends


def _ratings(path: Path, of: Path, key: str, columns: tuple[str, ...], names: NDArray) -> list[dict[str, str]]:
    """Rows of a table of ratings, one per nodule and in the nodules' order."""
    rows = read_table(path, (key, *columns), f"the table of ratings of {of.name}")
    if len(rows) != len(names):
        raise InputError(f"{path} has {len(rows)} rows, but {of} holds {len(names)} nodules; use its own ratings.")
    for i, (row, name) in enumerate(zip(rows, names.tolist(), strict=True)):
        if row[key] != name:
            raise InputError(f"{path}: row {i + 1} is of {row[key]!r}, but nodule {i} of {of} is {name!r}.")
    return rows


def read_table(path: Path, columns: tuple[str, ...], what: str) -> list[dict[str, str]]:
    """Rows of a CSV file that must have some columns; `what` says in the messages what file is wanted.

    Raises
    ------
    InputError
        If it is not there, no table, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            rows = list(table)
            found = table.fieldnames or ()
    except FileNotFoundError:
        raise InputError(f"{path} is not there; it should be {what}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({type(error).__name__}); get it again.") from None
    for column in columns:
        if column not in found:
            raise InputError(f"{path} has no column {column!r}; it is not {what}.")
    return rows


def _number(path: Path | None, i: int, row: dict[str, str], column: str) -> float | None:
    """A number of a row; None for an empty rating."""
    text = (row.get(column) or "").strip()
    if not text and column not in _CENTER:
        return None
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise InputError(f"{path}: row {i + 1} has {column} {text!r}, which is not a number.")
    return number
