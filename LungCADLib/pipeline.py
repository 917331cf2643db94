"""The road: from a scan to a Study. Every entrance (panel, command line, batch, tests, benchmark) goes through here."""

import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib import __version__, guidelines
from LungCADLib.compute import Used, choose_device, preferring, recording
from LungCADLib.detection import OPERATING_POINT, SECOND_LOOK, detector
from LungCADLib.engines import named, networks_can_run
from LungCADLib.lungs import lung_engine
from LungCADLib.malignancy import Engine, ensemble, raters
from LungCADLib.malignancy.attributes import rate_attributes, spiculated
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
    outline, rate = outliner(settings.outliner), raters(settings.malignancy)
    settings = replace(settings, patient=_patient(settings.patient, scan))

    with preferring(settings.device), recording() as used:
        with progress.stage("lungs"):
            lungs = find_lungs(scan, progress)
        nothing_yet = guidelines.assess([], settings.patient, lungs_evaluable=False)
        progress.found(_study(scan, lungs, [], {}, nothing_yet, settings, used, progress))
        with progress.stage("candidates"):
            candidates = detect(scan, lungs, progress) if lungs.labels.any() else []
        with progress.stage("nodules"):
            twice, threshold = settings.detector in SECOND_LOOK, settings.detection_threshold
            if threshold is None:
                threshold = nodule_score().operating_point if twice else OPERATING_POINT
            likely = candidates if twice else [one for one in candidates if one.score >= threshold]
            look = _second_look if twice else _as_scored
            marks = look(scan, lungs, likely[:MOST_OUTLINED], outline, progress)
            nodules, outlines = _nodules(scan, lungs, marks, threshold, settings)
        with progress.stage("opinions"):
            for done, nodule in enumerate(nodules):
                progress.update(done / len(nodules))
                judge(nodule, scan, outlines[nodule.id], rate)
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


def _second_look(
    scan: Scan, lungs: Lungs, candidates: list[Candidate], outline: Outliner, progress: Progress
) -> Iterator[tuple[float, BoxMask]]:
    """Candidates outlined and scored again by their outlines, highest score first."""
    outlines, seen = [], []
    for done, candidate in enumerate(candidates):
        progress.update(0.8 * done / len(candidates))
        outlines.append(outline(scan, lungs.region, candidate))
        seen.append(impression(scan, lungs.region, outlines[-1], candidate))
    scores = nodule_score().predict(np.array(seen)) if seen else np.zeros(0)
    yield from ((float(scores[i]), outlines[i]) for i in np.argsort(-scores, kind="stable"))


def _as_scored(
    scan: Scan, lungs: Lungs, candidates: list[Candidate], outline: Outliner, progress: Progress
) -> Iterator[tuple[float, BoxMask]]:
    """Candidates with the detector's scores, each outlined when asked for; not those that lie in an earlier outline."""
    outlines: list[BoxMask] = []
    for done, candidate in enumerate(candidates):
        progress.update(done / len(candidates))
        index = scan.geometry.to_index(candidate.center_lps_mm)
        if not any(_covers(other, index) for other in outlines):
            outlines.append(outline(scan, lungs.region, candidate))
            yield candidate.score, outlines[-1]


def _covers(outline: BoxMask, index: NDArray[np.float64]) -> bool:
    """Whether the voxel at an index (z, y, x) of the scan belongs to the outline."""
    z, y, x = np.rint(index).astype(int) - outline.start
    depth, height, width = outline.mask.shape
    return bool(0 <= z < depth and 0 <= y < height and 0 <= x < width and outline.mask[z, y, x])


def _nodules(
    scan: Scan, lungs: Lungs, marks: Iterable[tuple[float, BoxMask]], threshold: float, settings: Settings
) -> tuple[list[Nodule], dict[str, BoxMask]]:
    """Measure what is likely enough, best first; what is too small, or lies in a better one's outline, is left out."""
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


def judge(nodule: Nodule, scan: Scan, outline: BoxMask, raters: Sequence[Engine]) -> None:
    """Say in a measured nodule how it looks and how suspicious it is; the first rater's word is its suspicion."""
    if networks_can_run():
        nodule.attributes = rate_attributes(scan, outline, choose_device("auto"))
        nodule.margin.spiculated = spiculated(nodule.attributes)
    nodule.opinions = [rate(nodule, scan, outline) for rate in raters]
    nodule.suspicion = nodule.opinions[0]


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


_DETECTOR_WEIGHTS = {
    "blobs": ("blob-score.json", "nodule-score.json"),
    "network": ("blob-score.json", "reduction.safetensors"),
    "unet-merge": ("unet-merge.safetensors", "reduction.safetensors"),
}
_OUTLINER_WEIGHTS = {"network": ("outline.safetensors",)}
_NETWORKS_OF_OPINIONS = ("appearance.json", "appearance.safetensors", "attributes.safetensors")


@cache
def _weights(detector: str, outliner: str, malignancy: str) -> tuple[tuple[str, str], ...]:
    """SHA-256 of the bundled weights that a run uses, by file name."""
    names = [*_DETECTOR_WEIGHTS.get(detector, ()), *_OUTLINER_WEIGHTS.get(outliner, ()), "reader-model.json"]
    names += _NETWORKS_OF_OPINIONS if networks_can_run() else ()
    raters = [malignancy, *(ensemble.members() if malignancy == ensemble.NAME else ())]
    names += [f"{rater}.{suffix}" for rater in raters for suffix in ("json", "safetensors")]
    paths = {name: resource("Models") / name for name in names}
    return tuple((name, sha256(path.read_bytes()).hexdigest()) for name, path in paths.items() if path.is_file())
