"""The Data Science Bowl 2017 (Kaggle): one folder of DICOM per patient, and who was found to have lung cancer.

    stage1_labels.csv     id,cancer: 1 for cancer diagnosed within a year of the scan, else 0
    stage1/ID/*.dcm       one CT; or ID/ beside the table

Patients of the folder that the table does not name have no label (the competition's test set).
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from LungCADLib.errors import InputError
from LungCADLib.progress import Progress
from LungCADLib.training.datasets.layout import CaseReport, DataSet, Report, ScanCase

LABELS = "stage1_labels.csv"
IMAGES = ("stage1", "stage2", "sample_images", ".")
"""Where below the folder the patients' folders may be; the first that is there counts."""


@dataclass(frozen=True)
class Patient:
    """A patient: the folder of the CT, None where it is not there, and the label, None where nobody gave one."""

    id: str
    folder: Path | None
    cancer: bool | None


def read_labels(path: Path) -> dict[str, bool]:
    """Whether each patient of a table `id,cancer` was found to have cancer.

    Raises
    ------
    InputError
        If the table is missing, damaged or of another layout, or names a patient twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({type(error).__name__}); get it again.") from None
    labels: dict[str, bool] = {}
    for number, row in enumerate(rows, 2):
        name, cancer = (row.get(column) or "" for column in ("id", "cancer"))
        if not name or cancer.strip() not in ("0", "1"):
            raise InputError(f"{path}, line {number}: expected id,cancer with cancer 0 or 1; found {dict(row)}.")
        if Path(name).name != name:
            raise InputError(f"{path}, line {number}: {name!r} is no name of a patient's folder.")
        if name in labels:
            raise InputError(f"{path}, line {number}: patient {name} stands in it twice; keep one line.")
        labels[name] = cancer.strip() == "1"
    if not labels:
        raise InputError(f"{path} names no patient; it needs a header id,cancer and one line for each.")
    return labels


def patients(folder: Path) -> list[Patient]:
    """Everyone in a folder, by id: those of the table, and those who have a folder only.

    Raises
    ------
    InputError
        If the folder has another layout.
    """
    labels = read_labels(folder / LABELS) if (folder / LABELS).is_file() else {}
    images = next((folder / name for name in IMAGES if (folder / name).is_dir()), None)
    there = {path.name: path for path in images.iterdir() if _is_patient(path)} if images else {}
    if not there:
        raise InputError(f"{folder} holds no folder of DICOM per patient; expected {SET.expects}.")
    return [Patient(name, there.get(name), labels.get(name)) for name in sorted({*labels, *there})]


def _is_patient(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name not in IMAGES


class _Dsb2017:
    name = "dsb2017"
    title = "Data Science Bowl 2017 (Kaggle)"
    expects = f"{LABELS} with id,cancer, and stage1/ID (or ID) with the DICOM files of each patient"

    def recognizes(self, folder: Path) -> bool:
        return (folder / LABELS).is_file()

    def check(self, folder: Path, progress: Progress) -> Report:
        from LungCADLib.readers import read_scan

        everyone, found = patients(folder), []
        for done, patient in enumerate(everyone):
            progress.update(done / len(everyone), patient.id)
            missing = ["no folder of DICOM files"] if patient.folder is None else []
            broken = []
            if patient.folder is not None:
                try:
                    read_scan(patient.folder)
                except InputError as error:
                    broken.append(str(error))
            found.append(CaseReport.of(patient.id, missing, broken))
        without = sum(patient.cancer is None for patient in everyone)
        notes = (f"{without} patients have no label.",) if without else ()
        return Report(self.name, str(folder), tuple(found), notes)

    def cases(self, folder: Path) -> Iterator[ScanCase]:
        from LungCADLib.readers import read_scan

        for patient in patients(folder):
            if patient.folder is not None:
                yield ScanCase(patient.id, patient.id, read_scan(patient.folder), cancer=patient.cancer)


SET: DataSet = _Dsb2017()
