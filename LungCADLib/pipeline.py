"""The road: from a scan to a Study. Every entrance (panel, command line, batch, tests, benchmark) goes through here."""

import platform
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from LungCADLib import __version__, guidelines
from LungCADLib.detection import detector
from LungCADLib.lungs import lung_engine
from LungCADLib.malignancy import rater
from LungCADLib.masks import BoxMask, Lungs, Masks
from LungCADLib.nodules import MOST_OUTLINED, Outliner, impression, measure_nodule, nodule_score, outliner
from LungCADLib.progress import Progress
from LungCADLib.resources import resource
from LungCADLib.scan import Scan
from LungCADLib.settings import Patient, Settings
from LungCADLib.study import Candidate, Exam, Nodule, Provenance, ScanInfo, Study

SHARES: dict[str, float] = {"read": 3, "lungs": 4, "candidates": 7, "nodules": 4, "opinions": 1, "write": 4}
"""About how long each stage takes, for the progress bar."""

SAME_NODULE_OVERLAP = 0.3
"""Two outlines that share more than this part of the smaller one are one nodule."""


def analyze(scan: Scan, settings: Settings | None = None, progress: Progress | None = None) -> Study:
    """Find, outline, measure, rate and categorize the nodules of a scan.

    Parameters
    ----------
    scan
        The CT.
    settings
        What the run was told.
    progress
        Told how far the work is, and asked whether to stop.

    Returns
    -------
    Study
        With its masks.

    Raises
    ------
    InputError
        If the settings name an engine that does not exist.
    Cancelled
        If `progress` says so.
    """
    settings, progress = settings or Settings(), progress or Progress(shares=SHARES)
    find_lungs, detect = lung_engine(settings.lung_engine), detector(settings.detector)
    outline, rate = outliner(settings.outliner), rater(settings.malignancy)
    patient = _patient(settings.patient, scan)

    with progress.stage("lungs"):
        lungs = find_lungs(scan, progress)
    nothing_yet = guidelines.assess([], patient, lungs_evaluable=False)
    progress.found(_study(scan, lungs, [], {}, nothing_yet, patient, settings, progress))
    with progress.stage("candidates"):
        candidates = detect(scan, lungs, progress) if lungs.labels.any() else []
    with progress.stage("nodules"):
        nodules, outlines = _nodules(scan, lungs, candidates[:MOST_OUTLINED], outline, settings, progress)
    with progress.stage("opinions"):
        for nodule in nodules:
            nodule.suspicion = rate(nodule)
            nodule.opinions = [nodule.suspicion]
        verdict = lungs.info.verdict
        exam = guidelines.assess(nodules, patient, lungs_evaluable=verdict.complete and verdict.status != "failed")

    study = _study(scan, lungs, nodules, outlines, exam, patient, settings, progress)
    progress.found(study)
    return study


def write_results(study: Study, scan: Scan, out: Path) -> dict[str, Path]:
    """Write the files of a study into an existing folder: JSON, CSV, segmentation, report, and the scene.

    Without slicer-core there is no scene, and the study's warnings say so.

    Returns
    -------
    The files by kind.
    """
    from LungCADLib import report, scene

    started = time.perf_counter()
    files = {"scene": out / "scene.mrb"}
    try:
        scene.write_scene(study, scan, files["scene"])
    except scene.SceneUnavailable as missing:
        study.warnings.append(str(missing))
        files = {}
    study.timing_s["scene"] = time.perf_counter() - started
    return {**report.write_results(study, scan, out), **files}


def _study(
    scan: Scan,
    lungs: Lungs,
    nodules: list[Nodule],
    outlines: dict[str, BoxMask],
    exam: Exam,
    patient: Patient,
    settings: Settings,
    progress: Progress,
) -> Study:
    """What is known so far as a study with its masks."""
    study = Study(
        scan=ScanInfo(
            header=scan.header,
            shape=scan.geometry.shape,
            spacing_mm=scan.geometry.spacing,
            origin_lps_mm=scan.geometry.origin,
            direction=tuple(float(v) for v in np.ravel(scan.geometry.direction)),
        ),
        lungs=lungs.info,
        nodules=nodules,
        exam=exam,
        warnings=[*scan.warnings, *(f"Lungs: {reason}" for reason in lungs.info.verdict.reasons)],
        timing_s=dict(progress.timing_s),
        provenance=_provenance(replace(settings, patient=patient)),
    )
    study.masks = Masks(scan.geometry, lungs.labels, outlines)
    return study


def _nodules(
    scan: Scan, lungs: Lungs, candidates: list[Candidate], outline: Outliner, settings: Settings, progress: Progress
) -> tuple[list[Nodule], dict[str, BoxMask]]:
    """Outline candidates, score the outlines, and measure what is likely enough, best first.

    What is too small, or lies in an outline that scored better, is left out.
    """
    outlines, impressions = [], []
    for done, candidate in enumerate(candidates):
        progress.update(0.8 * done / len(candidates))
        outlines.append(outline(scan, lungs.region, candidate))
        impressions.append(impression(scan, lungs.region, outlines[-1], candidate))
    if not candidates:
        return [], {}
    scores = nodule_score().predict(np.array(impressions))
    threshold = settings.detection_threshold
    threshold = nodule_score().operating_point if threshold is None else threshold

    nodules: list[Nodule] = []
    kept: dict[str, BoxMask] = {}
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] < threshold or len(nodules) == settings.max_nodules:
            break
        if any(_shared(outlines[i], other) > SAME_NODULE_OVERLAP for other in kept.values()):
            continue
        name = f"N{len(nodules) + 1}"
        nodule = measure_nodule(scan, lungs, outlines[i], id=name, score=float(scores[i]))
        if nodule.mean_diameter_mm >= settings.min_diameter_mm:
            nodules.append(nodule)
            kept[name] = outlines[i]
        progress.update(0.8)
    return nodules, kept


def _shared(one: BoxMask, other: BoxMask) -> float:
    """The part of the smaller outline that lies in the other."""
    low = np.maximum(one.start, other.start)
    high = np.minimum(np.add(one.start, one.mask.shape), np.add(other.start, other.mask.shape))
    if (high <= low).any():
        return 0.0
    parts = [
        mask.mask[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, mask.start, strict=True))]
        for mask in (one, other)
    ]
    return float((parts[0] & parts[1]).sum() / max(min(one.mask.sum(), other.mask.sum()), 1))


def _patient(patient: Patient, scan: Scan) -> Patient:
    """The patient with age and sex from the header where nobody said."""
    age, sex = scan.header.patient_age_years, scan.header.patient_sex
    return replace(
        patient,
        age_years=age if patient.age_years is None else patient.age_years,
        sex=sex if patient.sex is None and sex in ("female", "male") else patient.sex,  # type: ignore[arg-type]
    )


def _provenance(settings: Settings) -> Provenance:
    versions = {"python": platform.python_version()}
    for package in ("numpy", "scipy", "SimpleITK", "pydicom"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # Slicer brings some of its own without metadata
            versions[package] = "unknown"
    return Provenance(
        lungcad=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions,
        weights=dict(_weights()),
        settings=settings,
        device="cpu",
    )


@cache
def _weights() -> tuple[tuple[str, str], ...]:
    """SHA-256 of the weights this road uses, by file name."""
    names = ("blob-score.json", "nodule-score.json", "reader-model.json")
    return tuple((name, sha256(resource("Models", name).read_bytes()).hexdigest()) for name in names)
