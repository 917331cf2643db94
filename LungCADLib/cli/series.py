"""`lungcad series`: what is in a folder of DICOM files, and which series `lungcad analyze` would read."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from LungCADLib.readers import SeriesInfo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Offer the folder and the form of the answer."""
    parser.add_argument("input", metavar="DIR", help="a folder (searched with everything below it), DICOMDIR or file")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print the series, the one that would be read first."""
    from LungCADLib.errors import InputError
    from LungCADLib.readers import list_series

    found = list_series(Path(args.input))
    if args.json:
        sys.stdout.write(json.dumps([asdict(series) for series in found], indent=2, default=str) + "\n")
    elif found:
        _show(found)
    else:
        raise InputError(f"{args.input} holds no DICOM series.")
    return 0


def _show(found: "list[SeriesInfo]") -> None:
    from LungCADLib.cli import screen

    console = screen.output()
    patients = {series.patient_id or series.study_uid for series in found if series.usable}
    for series in found:
        best = "read by default" if len(patients) == 1 else "readable"
        verdict = best if series.rank == 0 else "readable" if series.usable else f"not read: {series.reason}"
        facts = [f"patient {series.patient_id or 'unnamed'}", series.modality, series.description]
        facts.append(f"{series.slices} slices")
        if series.spacing:
            facts.append(f"{series.spacing[0]:.2f} mm apart")
        if series.slice_thickness_mm:
            facts.append(f"{series.slice_thickness_mm:.2f} mm thick")
        facts += [series.orientation, series.kernel]
        console.print(f"{series.series_uid}  {verdict}")
        console.print(f"    {', '.join(fact for fact in facts if fact)}")
    if len(patients) > 1:
        console.print(f"{len(patients)} patients: name one series with `lungcad analyze --series`.")
