"""Runs the road on scans and phantoms with known nodules, and notes what became of every nodule and every mark."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection import unet_merge
from LungCADLib.detection.reduction import NAME
from LungCADLib.evaluation.detection_truth import Truth
from LungCADLib.evaluation.froc import Scored, hits, score_marks
from LungCADLib.phantom import usual_nodules, varied_phantom
from LungCADLib.pipeline import analyze
from LungCADLib.readers import read_scan
from LungCADLib.resources import resource
from LungCADLib.scan import Scan
from LungCADLib.settings import Settings
from LungCADLib.weights import bundled_members

LEAST_SCORE = 0.03
"""Marks down to this score are looked at, far below the operating point, to draw the whole curve."""

LEAST_MARK_MM = 3.0
"""Phantoms have nodules from 4 mm on; a mark may be measured a little smaller."""

IN_SAMPLE, OUT_OF_FOLD, UNSEEN = "in sample", "out of fold", "unseen"


@dataclass(frozen=True, eq=False)
class Walked:
    """A scan after the road.

    Attributes
    ----------
    name
        Of the scan.
    seen
        Whether the weights that were asked had learned from this patient.
    nodules
        One dict for each true nodule: `diameter_mm`, and what else is known of it.
    truth
        Their centers.
    marks_mm, scores, sizes_mm
        (m, 3) centers in LPS mm, (m,) scores and mean diameters of the marks, best first.
    """

    name: str
    seen: str
    nodules: list[dict[str, Any]]
    truth: Truth
    marks_mm: NDArray[np.float64]
    scores: NDArray[np.float64]
    sizes_mm: NDArray[np.float64]

    @property
    def scored(self) -> Scored:
        """By LUNA16's rules."""
        t = self.truth
        return score_marks(
            self.marks_mm, self.scores, t.nodules_mm, t.diameters_mm, t.excluded_mm, t.excluded_diameters_mm
        )

    def false(self, threshold: float, least_mm: float) -> NDArray[np.intp]:
        """Rows of the marks on nothing, of at least this score and mean diameter."""
        return np.flatnonzero(~self._on_nodules & ~self._on_excluded & self._counts(threshold, least_mm))

    def excluded(self, threshold: float, least_mm: float) -> NDArray[np.intp]:
        """Rows of the marks on what is neither right nor wrong to mark, of at least this score and mean diameter."""
        return np.flatnonzero(~self._on_nodules & self._on_excluded & self._counts(threshold, least_mm))

    def _counts(self, threshold: float, least_mm: float) -> NDArray[np.bool_]:
        return np.asarray((self.scores >= threshold) & (self.sizes_mm >= least_mm))

    @property
    def _on_nodules(self) -> NDArray[np.bool_]:
        return np.asarray(hits(self.marks_mm, self.truth.nodules_mm, self.truth.diameters_mm).any(axis=1))

    @property
    def _on_excluded(self) -> NDArray[np.bool_]:
        return np.asarray(hits(self.marks_mm, self.truth.excluded_mm, self.truth.excluded_diameters_mm).any(axis=1))


def walk(name: str, scan: Scan, truth: Truth, nodules: list[dict[str, Any]], engine: str) -> Walked:
    """Run the road with every mark down to `LEAST_SCORE`."""
    study = analyze(
        scan, Settings(detector=engine, detection_threshold=LEAST_SCORE, min_diameter_mm=LEAST_MARK_MM, max_nodules=200)
    )
    marks = sorted(study.nodules, key=lambda nodule: -nodule.score)
    return Walked(
        name,
        how_seen(scan.header.patient_id, engine),
        nodules,
        truth,
        np.array([m.center_lps_mm for m in marks], float).reshape(len(marks), 3),
        np.array([m.score for m in marks], float),
        np.array([m.mean_diameter_mm for m in marks], float),
    )


def walk_scan(path: Path, truth: Truth, engine: str) -> Walked:
    """The road on a scan on the disk."""
    scan = read_scan(path)
    listed = {entry["folder"]: entry["patient"] for entry in listed_scans()}
    for folder, patient in listed.items():
        # Some files of the list name no patient; their own member must speak all the same.
        if path.as_posix().endswith(folder):
            scan = replace(scan, header=replace(scan.header, patient_id=patient))
    nodules = [{"diameter_mm": float(d)} for d in truth.diameters_mm]
    return walk(path.as_posix(), scan, truth, nodules, engine)


def walk_phantom(seed: int, engine: str) -> Walked:
    """The road on a phantom with nodules as frequent as LIDC's, in any usual scan."""
    phantom = varied_phantom(seed, usual_nodules)
    truth = Truth.of([(nodule.center_lps_mm, nodule.diameter_mm) for nodule in phantom.nodules], [])
    nodules = [
        {"diameter_mm": n.diameter_mm, "density": n.density, "attachment": n.attachment} for n in phantom.nodules
    ]
    return walk(f"phantom {seed}", phantom.scan, truth, nodules, engine)


def listed_scans() -> list[dict[str, Any]]:
    """The scans that taught detection, with their lesions."""
    data = json.loads(resource("Models", "detection-scans.json").read_text(encoding="utf-8"))
    return list(data["scans"])


def truth_of_listed(entry: dict[str, Any]) -> Truth:
    """The known lesions of a listed scan; what is doubtful counts neither way."""
    lesions, doubtful = (
        [(lesion["lps_mm"], lesion["diameter_mm"]) for lesion in entry.get(key, [])] for key in ("lesions", "doubtful")
    )
    return Truth.of(lesions, doubtful)


def how_seen(patient: str | None, engine: str) -> str:
    """Whether the weights that speak of a patient have learned from the patient."""
    if engine in ("network", unet_merge.NAME):
        return OUT_OF_FOLD if patient in bundled_members(NAME)[1]["folds"] else UNSEEN
    if engine == "blobs":
        from LungCADLib.training.folds import fold_of_patient

        taught = {entry["patient"] for entry in listed_scans()} | set(fold_of_patient())
        return IN_SAMPLE if patient in taught else UNSEEN
    return UNSEEN
