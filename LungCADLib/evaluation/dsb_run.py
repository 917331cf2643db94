"""The road for many patients: each one's result is kept as soon as it is there, and one that fails stops nobody."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from LungCADLib import __version__
from LungCADLib.errors import Cancelled, InputError
from LungCADLib.malignancy.patient_score import contributions
from LungCADLib.pipeline import analyze
from LungCADLib.readers import read_scan
from LungCADLib.settings import Settings
from LungCADLib.study import Study
from LungCADLib.training.datasets.dsb2017 import Patient


@dataclass(frozen=True)
class Verdict:
    """What is kept of a patient: what the nodules bring, the largest mean diameter (0: no nodule), or why it failed."""

    contributions: tuple[float, ...] = ()
    nodules: int = 0
    largest_mm: float = 0.0
    seconds: float = 0.0
    error: str = ""

    @property
    def shown(self) -> tuple[str, str, str]:
        """Nodules, the largest one and seconds, for a table."""
        if self.error:
            return "-", "-", "-"
        return str(self.nodules), f"{self.largest_mm:.1f} mm" if self.nodules else "-", f"{self.seconds:.0f}"


def walk_patients(
    everyone: Sequence[Patient],
    settings: Settings,
    runs: Path,
    analyze_folder: Callable[[Path, Settings], Study] | None = None,
) -> dict[str, Verdict]:
    """Analyze each patient who was not yet, and keep the result in `runs/ID.json`.

    A result of other settings or of another version counts as none; a patient who failed is tried again.

    Parameters
    ----------
    everyone
        The patients.
    settings
        Of the road.
    runs
        A folder; made if it is not there.
    analyze_folder
        From a patient's folder to the study; None is the road.

    Returns
    -------
    dict
        By patient's id, failed or not.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    walk = analyze_folder or (lambda folder, settings: analyze(read_scan(folder), settings))
    key = {"version": __version__, "detector": settings.detector, "outliner": settings.outliner}
    key["malignancy"] = settings.malignancy
    runs.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True, markup=False, highlight=False)
    verdicts: dict[str, Verdict] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Patients", total=len(everyone))
        for patient in everyone:
            bar.update(task, description=patient.id[:12])
            path = runs / f"{patient.id}.json"
            verdict = _kept(path, key) or _verdict(patient, settings, walk)
            if verdict.error:
                sys.stderr.write(f"{patient.id}: {verdict.error}\n")
            _keep(path, key, verdict)
            verdicts[patient.id] = verdict
            bar.advance(task)
    return verdicts


def _verdict(patient: Patient, settings: Settings, walk: Callable[[Path, Settings], Study]) -> Verdict:
    if patient.folder is None:
        return Verdict(error="there is no folder of DICOM files of this patient")
    started = time.perf_counter()
    try:
        study = walk(patient.folder, settings)
    except InputError as error:
        return Verdict(error=str(error))
    except Cancelled:
        raise
    except Exception as error:  # one scan's bug or lack of memory must not cost the others
        return Verdict(error=f"an error inside LungCAD ({type(error).__name__}: {error})")
    sizes = [nodule.mean_diameter_mm for nodule in study.nodules]
    seconds = time.perf_counter() - started
    return Verdict(tuple(contributions(study.nodules)), len(sizes), max(sizes, default=0.0), seconds)


def _kept(path: Path, key: dict[str, str]) -> Verdict | None:
    """What an earlier run with the same settings kept; None without one that ended well."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("of") != key or data["error"]:
            return None
        return Verdict(**{**data, "contributions": tuple(data["contributions"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _keep(path: Path, key: dict[str, str], verdict: Verdict) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"of": key, **asdict(verdict)}), encoding="utf-8")
    partial.replace(path)
