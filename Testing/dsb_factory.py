"""Data in the layout of the Data Science Bowl 2017: a tiny one for tests, and one of real CTs and a phantom.

`python Testing/dsb_factory.py OUT [DATA]` writes the latter, from the real CT data in DATA (../shared/data).
"""

import hashlib
import shutil
import sys
from pathlib import Path

import dicom_factory

REAL = {"cptac-lscc-c3n-00247/dicom": 1, "acrin-flt-breast-001-slab/dicom": 0}
"""Folders of real CTs and whether the patient had lung cancer."""


def patient_id(name: str) -> str:
    """32 hexadecimal digits, as the competition names patients."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def write_labels(folder: Path, labels: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name},{cancer}\n" for name, cancer in labels.items()]
    (folder / "stage1_labels.csv").write_text("id,cancer\n" + "".join(lines))


def tiny_twin(folder: Path, cancers: tuple[int, ...] = (1, 0, 1)) -> list[str]:
    """A body of 16 thick slices for each patient; the ids."""
    ids = [patient_id(f"tiny {k}") for k in range(len(cancers))]
    for name in ids:
        dicom_factory.save(folder / "stage1" / name, dicom_factory.axial(series=name, patient=name))
    write_labels(folder, dict(zip(ids, cancers, strict=True)))
    return ids


def real_twin(folder: Path, data: Path) -> None:
    """Two real CTs and a phantom without nodules."""
    from LungCADLib.phantom import make_phantom, write_phantom

    labels = {}
    for source, cancer in REAL.items():
        labels[patient_id(source)] = cancer
        shutil.copytree(data / source, folder / "stage1" / patient_id(source), dirs_exist_ok=True)
    labels[patient_id("phantom")] = 0
    phantom = make_phantom(1, nodules=[], spacing=(2.5, 0.8, 0.8))
    write_phantom(folder / "stage1" / patient_id("phantom"), phantom)
    write_labels(folder, labels)


if __name__ == "__main__":
    real_twin(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "../shared/data"))
