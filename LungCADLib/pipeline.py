"""The road: from a scan to a Study. Every entrance (panel, command line, batch, tests, benchmark) goes through here."""

import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from LungCADLib import __version__, guidelines
from LungCADLib.compute import Used, preferring, recording
from LungCADLib.detection import OPERATING_POINT, SECOND_LOOK, detector
from LungCADLib.engines import named, networks_can_run
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

WITHOUT_NETWORKS = "PyTorch is not installed: nodules were found, outlined and rated without networks, less well."

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
    settings, progress = _with_engines_named(settings or Settings()), progress or Progress(shares=SHARES)
    find_lungs, detect = lung_engine(settings.lung_engine), detector(settings.detector)
    outline, rate = outliner(settings.outliner), rater(settings.malignancy)
    settings = replace(settings, patient=_patient(settings.patient, scan))

    with preferring(settings.device), recording() as used:
        with progress.stage("lungs"):
            lungs = find_lungs(scan, progress)
        nothing_yet = guidelines.assess([], settings.patient, lungs_evaluable=False)
        progress.found(_study(scan, lungs, [], {}, nothing_yet, settings, used, progress))
        with progress.stage("candidates"):
            candidates = detect(scan, lungs, progress) if lungs.labels.any() else []
        with progress.stage("nodules"):
            marks = _marks(scan, lungs, candidates, outline, settings.detector in SECOND_LOOK, progress)
            nodules, outlines = _nodules(scan, lungs, marks, settings)
        with progress.stage("opinions"):
            for nodule in nodules:
                nodule.suspicion = rate(nodule, scan, outlines[nodule.id])
                nodule.opinions = [nodule.suspicion]
            verdict = lungs.info.verdict
            evaluable = verdict.complete and verdict.status != "failed"
            exam = guidelines.assess(nodules, settings.patient, lungs_evaluable=evaluable)
        study = _study(scan, lungs, nodules, outlines, exam, settings, used, progress)

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
    settings: Settings,
    used: Used,
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
        warnings=[
            *scan.warnings,
            *(f"Lungs: {reason}" for reason in lungs.info.verdict.reasons),
            *([] if networks_can_run() else [WITHOUT_NETWORKS]),
            *used.warnings,
        ],
        timing_s=dict(progress.timing_s),
        provenance=_provenance(settings, used.device),
    )
    study.masks = Masks(scan.geometry, lungs.labels, outlines)
    return study


def _marks(
    scan: Scan, lungs: Lungs, candidates: list[Candidate], outline: Outliner, second_look: bool, progress: Progress
) -> Iterator[tuple[float, BoxMask]]:
    """Outlined candidates with their scores, highest first; without a second look each is outlined when asked for."""
    looked_at = candidates[:MOST_OUTLINED]
    outlines: list[BoxMask] = []
    for done, candidate in enumerate(looked_at):
        progress.update(done / len(looked_at))
        outlines.append(outline(scan, lungs.region, candidate))
        if not second_look:
            yield candidate.score, outlines[-1]
    if second_look and looked_at:
        seen = [impression(scan, lungs.region, *pair) for pair in zip(outlines, looked_at, strict=True)]
        scores = nodule_score().predict(np.array(seen))
        yield from ((float(scores[i]), outlines[i]) for i in np.argsort(-scores, kind="stable"))


def _nodules(
    scan: Scan, lungs: Lungs, marks: Iterable[tuple[float, BoxMask]], settings: Settings
) -> tuple[list[Nodule], dict[str, BoxMask]]:
    """Measure what is likely enough, best first; what is too small, or lies in a better one's outline, is left out."""
    threshold = settings.detection_threshold
    if threshold is None:
        threshold = nodule_score().operating_point if settings.detector in SECOND_LOOK else OPERATING_POINT
    nodules: list[Nodule] = []
    kept: dict[str, BoxMask] = {}
    for score, outline in marks:
        if score < threshold or len(nodules) == settings.max_nodules:
            break
        if any(_shared(outline, other) > SAME_NODULE_OVERLAP for other in kept.values()):
            continue
        name = f"N{len(nodules) + 1}"
        nodule = measure_nodule(scan, lungs, outline, id=name, score=score)
        if nodule.mean_diameter_mm >= settings.min_diameter_mm:
            nodules.append(nodule)
            kept[name] = outline
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


def _with_engines_named(settings: Settings) -> Settings:
    """The settings with what "auto" stands for on this machine."""
    return replace(
        settings,
        detector=named(settings.detector, "network", "blobs"),
        outliner=named(settings.outliner, "network", "classical"),
        malignancy=named(settings.malignancy, "fusion", "reader-model"),
    )


def _patient(patient: Patient, scan: Scan) -> Patient:
    """The patient with age and sex from the header where nobody said."""
    age, sex = scan.header.patient_age_years, scan.header.patient_sex
    return replace(
        patient,
        age_years=age if patient.age_years is None else patient.age_years,
        sex=sex if patient.sex is None and sex in ("female", "male") else patient.sex,  # type: ignore[arg-type]
    )


def _provenance(settings: Settings, device: str) -> Provenance:
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
        weights=dict(_weights(settings.detector, settings.outliner, settings.malignancy)),
        settings=settings,
        device=device,
    )


_WEIGHTS = {
    "blobs": ("blob-score.json", "nodule-score.json"),
    "classical": (),
    "reader-model": ("reader-model.json",),
}
"""Files of weights by engine."""


@cache
def _weights(*engines: str) -> tuple[tuple[str, str], ...]:
    """SHA-256 of the weights that engines use, by file name."""
    names = dict.fromkeys(name for engine in engines for name in _WEIGHTS.get(engine, ()))
    return tuple((name, sha256(resource("Models", name).read_bytes()).hexdigest()) for name in names)
