"""Your own cases: Slicer scenes, or CTs with an outline of their nodules beside them.

`NAME.mrb`; or a CT `NAME.nrrd` (`.nii.gz`, `.nii`, `.mha`, `.mhd`, or a folder of DICOM called `NAME`) and an outline
`NAME.seg.nrrd`, or `NAME-label`, `NAME_label`, `NAME-seg`, `NAME_seg` or `NAME_mask` with one of those endings. A table
`labels.csv` may say of each `case` its `label` (say, benign or malignant) and its `patient`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from LungCADLib.errors import InputError
from LungCADLib.progress import Progress
from LungCADLib.readers.volumes import SUFFIXES
from LungCADLib.scan import Scan
from LungCADLib.training.datasets.layout import AnnotatedNodule, CaseReport, Report, ScanCase
from LungCADLib.training.datasets.nodule_labels import read_nodules
from LungCADLib.training.datasets.slicer_scene import unpacked
from LungCADLib.training.datasets.tables import read_cases

TABLE = "labels.csv"
SCENE = ".mrb"
_OUTLINE = re.compile(r"(.+?)(?:\.seg|[-_](?:label|seg|segmentation|mask))", re.IGNORECASE)


@dataclass(frozen=True)
class _Files:
    """What belongs to one case: a scene, or a CT and an outline."""

    scene: Path | None = None
    ct: Path | None = None
    outline: Path | None = None


class Own:
    """A flat folder of scenes or pairs."""

    name = "own"
    title = "Your own: Slicer scenes, or CTs with segmentations"
    expects = (
        "a folder of Slicer scenes (.mrb), or of CTs (NAME.nrrd, .nii.gz, .mha or a DICOM folder NAME) with outlines "
        "beside them (NAME.seg.nrrd or NAME-label.nrrd)"
    )

    def recognizes(self, folder: Path) -> bool:
        """By one scene or one outline."""
        return any(files.scene or files.outline for files in _cases(folder).values())

    def check(self, folder: Path, progress: Progress) -> Report:
        """Every case is read whole: nothing else says whether an outline lies on its CT."""
        cases, table = self._wanted(folder), _table(folder)
        reports = []
        for i, (name, files) in enumerate(cases.items()):
            missing = _absent(files)
            broken: list[str] = []
            if not missing:
                try:
                    _read(files)
                except InputError as error:
                    (missing if "empty mask" in str(error) else broken).append(str(error))
            reports.append(CaseReport.of(name, missing, broken))
            progress.update((i + 1) / len(cases), name)
        reports += [
            CaseReport.of(name, missing=[f"{TABLE} has the case {name}, of which there is no file."])
            for name in table.keys() - cases.keys()
        ]
        return Report(self.name, str(folder), tuple(reports))

    def cases(self, folder: Path) -> Iterator[ScanCase]:
        """One case after the other that has both parts."""
        table = _table(folder)
        for name, files in self._wanted(folder).items():
            if not _absent(files):
                scan, nodules = _read(files)
                said = table.get(name, {})
                label = said.get("label", "").strip()
                nodules = tuple(replace(nodule, label=label) for nodule in nodules)
                patient = said.get("patient", "").strip() or scan.header.patient_id or name
                yield ScanCase(name, patient, scan, nodules)

    def _wanted(self, folder: Path) -> dict[str, _Files]:
        if not self.recognizes(folder):
            raise InputError(f"{folder} holds no cases of your own; expected {self.expects}.")
        return _cases(folder)


def _cases(folder: Path) -> dict[str, _Files]:
    """What belongs together, by name."""
    found: dict[str, _Files] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found[path.name] = replace(found.get(path.name, _Files()), ct=path)
            continue
        suffix = next((s for s in (*sorted(SUFFIXES, key=len, reverse=True), SCENE) if path.name.endswith(s)), None)
        if suffix is None:
            continue
        stem = path.name.removesuffix(suffix)
        match = _OUTLINE.fullmatch(stem)
        name, part = (match[1], "outline") if match else (stem, "scene" if suffix == SCENE else "ct")
        found[name] = replace(found.get(name, _Files()), **{part: path})
    # A folder without an outline is some other folder.
    return {name: files for name, files in found.items() if not (files.ct and files.ct.is_dir() and not files.outline)}


def _absent(files: _Files) -> list[str]:
    if files.scene:
        return []
    if files.ct is None:
        return [f"{files.outline} has no CT beside it; put it there under the same name."]
    return [] if files.outline else [f"{files.ct} has no outline beside it (missing mask): NAME.seg.nrrd."]


def _read(files: _Files) -> tuple[Scan, tuple[AnnotatedNodule, ...]]:
    from LungCADLib.readers import read_scan

    if files.scene:
        with unpacked(files.scene) as (ct, outline):
            scan = read_scan(ct)
            return scan, read_nodules(outline, scan)
    assert files.ct is not None and files.outline is not None
    scan = read_scan(files.ct)
    return scan, read_nodules(files.outline, scan)


def _table(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / TABLE
    return read_cases(path, "case", ("label",), "the table of your cases' labels") if path.is_file() else {}


SET = Own()
