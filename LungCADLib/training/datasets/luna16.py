"""LUNA16: MetaImage volumes in ten official subsets, and a table of nodules.

Setio AAA et al., Med Image Anal 42:1-13, 2017 (https://luna16.grand-challenge.org): `subset0` to `subset9` hold 888 CTs
as `SERIES.mhd` with its `.raw` or `.zraw`, and `annotations.csv` the 1,186 nodules that three or more of LIDC's four
readers marked: `seriesuid`, center in LPS mm (`coordX`, `coordY`, `coordZ`) and `diameter_mm`, no outline. A subset is
a fold.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from LungCADLib.errors import InputError
from LungCADLib.progress import Progress
from LungCADLib.scan import Geometry
from LungCADLib.training.datasets.layout import AnnotatedNodule, CaseReport, Report, ScanCase
from LungCADLib.training.lidc_database import find_database, patient_of_series
from LungCADLib.training.nodule_sets import read_table

FOLDS = 10
SCANS, NODULES = 888, 1186
TABLE = "annotations.csv"
TABLE_FOLDERS = ("", "CSVFILES", "evaluationScript/annotations")
"""Where the publisher's downloads and its evaluation put the table."""

_SUBSET = re.compile(r"subset([0-9])", re.IGNORECASE)
_NUMBERS = ("coordX", "coordY", "coordZ", "diameter_mm")


class Luna16:
    """A folder with the subsets, all or some, and the table."""

    name = "luna16"
    title = "LUNA16 (Zenodo, doi 10.5281/zenodo.3723295, CC BY 4.0)"
    expects = f"a folder with {TABLE} ({', '.join(('seriesuid', *_NUMBERS))}) and subset0 to subset9 of .mhd files"

    def recognizes(self, folder: Path) -> bool:
        """By the table and one volume in a subset."""
        return _table(folder) is not None and next(_volumes(folder), None) is not None

    def check(self, folder: Path, progress: Progress) -> Report:
        """Every volume's header and data file, and every series of the table. Voxels are not read."""
        nodules = self._nodules(folder)
        volumes = sorted(_volumes(folder))
        met: dict[str, Path] = {}
        reports = []
        for i, (fold, path) in enumerate(volumes):
            broken = []
            if path.stem in met:
                broken.append(f"{path} is also there as {met[path.stem]}; a series may be in one subset only.")
            met.setdefault(path.stem, path)
            reports.append(_report(path, fold, nodules.get(path.stem, []), broken))
            progress.update((i + 1) / len(volumes), path.name)
        here = {fold for fold, _ in volumes}
        for series, rows in nodules.items():
            if series not in met and len(here) == FOLDS:
                sentence = f"{TABLE} has {len(rows)} nodules of {series}, whose .mhd file is in no subset."
                reports.append(CaseReport.of(series, missing=[sentence]))
        notes = (*_notes(here, volumes, nodules), *_shared(volumes, _patients()))
        return Report(self.name, str(folder), tuple(reports), notes)

    def cases(self, folder: Path) -> Iterator[ScanCase]:
        """One volume after the other with its nodules; the fold is the subset.

        LUNA16 does not name patients: without LIDC's annotation database the series stands for the patient.
        """
        from LungCADLib.readers import read_scan

        nodules, patients = self._nodules(folder), _patients()
        for fold, path in sorted(_volumes(folder)):
            scan = read_scan(path)
            found = tuple(
                AnnotatedNodule(str(i + 1), (row[0], row[1], row[2]), row[3], readers=3)
                for i, row in enumerate(nodules.get(path.stem, []))
            )
            yield ScanCase(path.stem, patients.get(path.stem, path.stem), scan, found, fold=fold)

    def _nodules(self, folder: Path) -> dict[str, list[tuple[float, ...]]]:
        """Center and diameter by series."""
        path = _table(folder)
        if path is None or next(_volumes(folder), None) is None:
            raise InputError(f"{folder} is not LUNA16; expected {self.expects}.")
        found: dict[str, list[tuple[float, ...]]] = {}
        for i, row in enumerate(read_table(path, ("seriesuid", *_NUMBERS), "LUNA16's table of nodules")):
            try:
                numbers = tuple(float(row[name]) for name in _NUMBERS)
            except ValueError:
                numbers = (np.nan,)
            if not np.isfinite(numbers).all() or numbers[-1] <= 0:
                raise InputError(f"{path}: row {i + 1} has no center and diameter in mm; get the table again.")
            found.setdefault(row["seriesuid"], []).append(numbers)
        return found


def _table(folder: Path) -> Path | None:
    return next((path for name in TABLE_FOLDERS if (path := folder / name / TABLE).is_file()), None)


def _volumes(folder: Path) -> Iterator[tuple[int, Path]]:
    """Subset and header of every volume; a subset may lie in a folder of its own name, as unpacking often makes it."""
    if not folder.is_dir():
        return
    for place in sorted(folder.iterdir()):
        match = _SUBSET.fullmatch(place.name)
        if match and place.is_dir():
            yield from ((int(match[1]), path) for path in sorted(place.rglob("*.mhd")))


def _report(path: Path, fold: int, nodules: list[tuple[float, ...]], broken: list[str]) -> CaseReport:
    from LungCADLib.readers.volumes import check_meta_image

    missing: list[str] = []
    try:
        check_meta_image(path)
    except InputError as error:
        (missing if "is missing" in str(error) else broken).append(str(error))
    else:
        grid = _grid(path)
        outside = [row for row in nodules if grid is not None and not _inside(grid, row[:3])]
        if outside:
            center = ", ".join(f"{v:g}" for v in outside[0][:3])
            broken.append(f"{path}: {len(outside)} of its nodules lie outside the volume, such as that at ({center}).")
    return CaseReport.of(f"subset{fold} {path.stem}", missing, broken)


def _grid(path: Path) -> Geometry | None:
    """The volume's grid by its header; None where the header is damaged in a way only reading shows."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    direction = np.array(reader.GetDirection()).reshape(3, 3)
    return Geometry(reader.GetSize()[::-1], reader.GetSpacing()[::-1], reader.GetOrigin(), direction)


def _inside(grid: Geometry, lps: tuple[float, ...]) -> bool:
    index = grid.to_index(lps)
    return bool(((index >= -0.5) & (index <= np.array(grid.shape) - 0.5)).all())


def _patients() -> dict[str, str]:
    """LIDC's patients by series; none where the annotation database is not installed."""
    try:
        return patient_of_series(find_database())
    except InputError:
        return {}


def _shared(volumes: list[tuple[int, Path]], patients: dict[str, str]) -> Iterator[str]:
    """Whose volumes are in several subsets, which as folds would be tested on patients they were learned from."""
    folds: dict[str, set[int]] = {}
    for fold, path in volumes:
        if path.stem in patients:
            folds.setdefault(patients[path.stem], set()).add(fold)
    twice = sorted(patient for patient, of in folds.items() if len(of) > 1)
    if twice:
        yield f"Patients with volumes in several subsets, split by patient instead: {', '.join(twice)}."


def _notes(
    here: set[int], volumes: list[tuple[int, Path]], nodules: dict[str, list[tuple[float, ...]]]
) -> Iterator[str]:
    absent = sorted(set(range(FOLDS)) - here)
    if absent:
        yield f"Without subset {', '.join(map(str, absent))}; series of the table that are not here may be there."
    total = sum(len(rows) for rows in nodules.values())
    if not absent and (len(volumes), total) != (SCANS, NODULES):
        yield f"{len(volumes)} volumes and {total} nodules; the whole set has {SCANS} and {NODULES}."


SET = Luna16()
