"""`lungcad analyze`: the whole road from one chest CT to a folder of results."""

import argparse
import math
import sys
import time
from pathlib import Path

from LungCADLib.settings import Patient, Settings

_VOLUME_SUFFIXES = (".nii.gz", ".nrrd", ".nhdr", ".nii", ".mha", ".mhd", ".dcm")
_SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
_ANSWERS = {"yes": True, "no": False, "unknown": None}
_QUESTIONS = {
    "family_history_lung_cancer": ("--family-history", "lung cancer in a first-degree relative"),
    "family_history_cancer": ("--family-history-any", "any cancer in a first-degree relative"),
    "emphysema": ("--emphysema", "emphysema on this or an earlier CT"),
    "extrathoracic_cancer": ("--extrathoracic-cancer", "a cancer outside the chest more than five years ago"),
    "known_cancer": ("--known-cancer", "a known cancer"),
    "immunosuppressed": ("--immunosuppressed", "immunosuppression"),
    "high_risk": ("--high-risk", "high risk in the reader's judgement, for Fleischner 2017"),
}
_ENGINES = {
    "lung_engine": ("--lungs", "outlines the lungs"),
    "detector": ("--detector", "finds the nodules"),
    "outliner": ("--outline", "outlines the nodules"),
    "malignancy": ("--malignancy", "rates the nodules"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Offer the input, where results go, what is known about the patient, and the engines."""
    default = Settings()
    parser.add_argument("input", metavar="INPUT", help="DICOM folder, DICOMDIR or file; NRRD, NIfTI or MetaImage file")
    parser.add_argument(
        "--out", metavar="DIR", help="folder for the results (default: INPUT's name with -lungcad, here)"
    )
    parser.add_argument("--force", action="store_true", help="write into a folder that holds other files too")
    parser.add_argument("--series", metavar="UID", help="the series to read, as `lungcad series` lists it")
    parser.add_argument(
        "--json", action="store_true", help="print study.json on standard output, and nothing else there"
    )
    parser.add_argument("--profile", action="store_true", help="print time by stage and peak memory")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default=default.device)
    parser.add_argument("--threshold", type=_fraction, metavar="SCORE", help="report marks scored this or more, 0 to 1")
    parser.add_argument(
        "--min-diameter", type=_millimeters, metavar="MM", default=default.min_diameter_mm,
        help="report nodules of this mean diameter or more (default: %(default)s)",
    )  # fmt: skip

    patient = parser.add_argument_group("patient", "for the risk equations; what nobody says makes the risk a range")
    patient.add_argument(
        "--age", type=_years, metavar="YEARS", help="on the day of the scan (default: from the header)"
    )
    patient.add_argument("--sex", type=str.lower, choices=tuple(_SEXES), help="(default: from the header)")
    smoking = patient.add_mutually_exclusive_group()
    smoking.add_argument("--smoker", action="store_true", dest="ever_smoker", default=None, help="smokes or smoked")
    smoking.add_argument("--never-smoker", action="store_false", dest="ever_smoker", default=None)
    patient.add_argument("--years-since-quit", type=_years, metavar="YEARS", help="0 for a current smoker")
    for field, (option, text) in _QUESTIONS.items():
        patient.add_argument(option, dest=field, choices=tuple(_ANSWERS), default="unknown", help=text)
    patient.add_argument("--pet", choices=("none", "faint", "moderate", "intense", "unknown"), default="unknown",
                         help="FDG uptake of the most suspicious nodule")  # fmt: skip

    engines = parser.add_argument_group("engines", "`lungcad models` lists them")
    for field, (option, text) in _ENGINES.items():
        help_text = f"{text} (default: {getattr(default, field)})"
        engines.add_argument(option, dest=field, metavar="ENGINE", default=getattr(default, field), help=help_text)


def run(args: argparse.Namespace) -> int:
    """Analyze one scan and write, then show, its results."""
    started = time.perf_counter()
    from LungCADLib.cli import screen
    from LungCADLib.compute import choose_device, peak_memory_mb
    from LungCADLib.jobs import output
    from LungCADLib.jobs.request import Request
    from LungCADLib.jobs.run import run as run_request
    from LungCADLib.pipeline import SHARES
    from LungCADLib.progress import Progress

    settings = _settings(args)
    folder = Path(args.out) if args.out else Path.cwd() / f"{_name(Path(args.input))}-lungcad"
    output.check_folder(folder, args.force)
    if settings.device in ("cuda", "mps"):
        choose_device(settings.device)

    messages = screen.messages()
    with screen.following(messages) as report:
        progress = Progress(report=report, shares=SHARES)
        study = run_request(Request(Path(args.input), folder, series=args.series, settings=settings), progress)

    if args.json:
        sys.stdout.buffer.write((folder / "study.json").read_bytes())
    else:
        console = screen.output()
        screen.show_study(study, console)
        for name, what in output.RESULTS.items():
            if (folder / name).exists():
                console.print(f"{what}: {folder / name}")
    if args.profile:
        screen.show_profile(progress.timing_s, time.perf_counter() - started, peak_memory_mb(), messages)
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    ever_smoker = args.ever_smoker
    if args.years_since_quit is not None:
        if ever_smoker is False:
            args.usage_error("argument --years-since-quit: not allowed with argument --never-smoker")
        if args.age is not None and args.years_since_quit > args.age:
            args.usage_error("argument --years-since-quit: longer ago than --age")
        ever_smoker = True
    patient = Patient(
        age_years=args.age,
        sex=_SEXES[args.sex] if args.sex else None,  # type: ignore[arg-type]
        ever_smoker=ever_smoker,
        years_since_quit=args.years_since_quit,
        pet_uptake=None if args.pet == "unknown" else args.pet,
        **{field: _ANSWERS[getattr(args, field)] for field in _QUESTIONS},
    )
    return Settings(
        device=args.device,
        detection_threshold=args.threshold,
        min_diameter_mm=args.min_diameter,
        patient=patient,
        **{field: getattr(args, field) for field in _ENGINES},
    )


def _name(path: Path) -> str:
    """What to call the results of an input: its name without what says the format."""
    name = path.resolve().name
    suffix = next((suffix for suffix in _VOLUME_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or "scan"


def _fraction(text: str) -> float:
    return _number(text, 0, 1)


def _millimeters(text: str) -> float:
    return _number(text, 0, math.inf)


def _years(text: str) -> float:
    return _number(text, 0, 130)


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
    if not low <= value <= high or math.isinf(value):
        raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
    return value
