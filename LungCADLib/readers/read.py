"""The stage's one door: a path in, a Scan out."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.progress import Progress
from LungCADLib.readers import volumes
from LungCADLib.readers.build import build
from LungCADLib.readers.catalog import Series, SeriesInfo, catalog, choose, refuse_damaged
from LungCADLib.readers.orient import upright
from LungCADLib.readers.plausible import MIN_LUNG_ML, check, lung_ml
from LungCADLib.scan import Geometry, Header, Scan

# Reading headers takes about this part of reading a folder.
_HEADERS_PART = 0.3


def list_series(path: Path) -> list[SeriesInfo]:
    """Every DICOM series below a folder, in a DICOMDIR, or beside one file; the preferred one first.

    Only headers are read. Files that are not DICOM are ignored.

    Raises
    ------
    InputError
        If the path does not exist or cannot be opened.
    """
    with _door(path):
        return catalog(Path(path)).infos()


def read_scan(path: Path, series: str | None = None, progress: Progress | None = None) -> Scan:
    """A chest CT from a DICOM folder, DICOMDIR or file, or from a NRRD, NIfTI or MetaImage file.

    Parameters
    ----------
    path
        A folder is searched with everything below it. For one DICOM slice the series it belongs to is read from its
        folder.
    series
        Series Instance UID to read. Without it the best CT is chosen: of the chest, axial, not derived; then by
        coverage (up to 300 mm), thin slices and a soft kernel, where 50 mm of coverage weigh as much as 1.25 mm of
        thickness and a sharp kernel costs half of that. The choice is named in the scan's warnings.
    progress
        Told how far reading is, within the caller's stage.

    Returns
    -------
    Scan
        int16 HU in (z, y, x) with z toward the head, y toward the back and x toward the left as nearly as the
        acquisition allows. `files` are in the order of the slices as acquired; after a sagittal or coronal stack, or
        where gaps were filled, there is not one file per z.

    Raises
    ------
    InputError
        If there is no readable chest CT; the message is one sentence that names the file and the reason.
    """
    path, progress = Path(path), progress or Progress()
    with _door(path):
        is_volume = path.is_file() and volumes.kind(path)
        if is_volume and series is not None:
            raise InputError(f"{path} is a volume file without series; leave --series out.")
        scan = _from_volume(path) if is_volume else _from_dicom(path, series, progress)
    progress.update(1.0)
    if lung_ml(scan.hu, scan.geometry) < MIN_LUNG_ML:
        scan = replace(scan, warnings=(*scan.warnings, "No lung-like air was found in the scan; is this a chest CT?"))
    return scan


@contextmanager
def _door(path: Path) -> Iterator[None]:
    """What every reading has around it.

    pydicom's remarks on files that bend the standard stay inside: what matters is refused or in the scan's warnings.
    What the operating system refuses becomes one sentence.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{error.filename or path} cannot be opened: {reason}.") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into memory; give one series or crop it to the chest.") from None


def _from_volume(path: Path) -> Scan:
    volume = volumes.read_volume(path)
    hu, geometry = upright(volume.hu, volume.geometry)
    return Scan(hu, geometry, Header(source=str(path)), warnings=volume.warnings)


def _from_dicom(path: Path, uid: str | None, progress: Progress) -> Scan:
    found = catalog(path, lambda done: progress.update(_HEADERS_PART * done))
    chosen, remarks = choose(found, uid or found.uid)
    refuse_damaged(found, chosen)
    hu, geometry, more = _build(chosen, progress)
    first = chosen.first
    assert chosen.stack is not None
    frame = chosen.stack.frames[0]
    if first.lossy:
        remarks.append("The images were compressed with loss; small differences in HU are not real.")
    if chosen.repeats:
        remarks.append(f"{chosen.repeats} copies of files that are there already were ignored.")
    return Scan(
        hu=hu,
        geometry=geometry,
        header=replace(first.header, source=str(path), slice_thickness_mm=frame.thickness),
        files=tuple(dict.fromkeys(str(f.file) for f in chosen.stack.frames)),
        warnings=(*remarks, *more),
    )


def _build(chosen: Series, progress: Progress) -> tuple[NDArray[np.int16], Geometry, tuple[str, ...]]:
    assert chosen.stack is not None
    hu, geometry, remarks = build(
        chosen.stack, lambda done: progress.update(_HEADERS_PART + (1 - _HEADERS_PART) * done)
    )
    try:
        check(hu, float(hu.min()), float(hu.max()))
    except InputError as error:
        raise InputError(f"Series {chosen.uid} in {chosen.first.file.parent} is not a chest CT: {error}.") from None
    hu, geometry = upright(hu, geometry)
    return hu, geometry, remarks
