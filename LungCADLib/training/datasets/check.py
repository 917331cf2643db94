"""`lungcad data check DIR`: which data set a folder is, and what of each case is complete, broken or missing."""

import argparse
import json
import sys
from pathlib import Path

from LungCADLib.training.datasets import SETS, data_set, recognize
from LungCADLib.training.datasets.layout import Report
from LungCADLib.training.datasets.screen import moving

MOST_SHOWN = 20
INCOMPLETE = 3
"""What the shell gets where a case is broken or missing, as for any input that cannot be used."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.epilog = "Exit code 3 where a case is broken or something of it is missing."
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--as", dest="name", choices=tuple(SETS), help="do not guess which set it is")
    parser.add_argument("--json", action="store_true", help="print every case as one JSON object")
    parser.add_argument("--all", action="store_true", help=f"print all problems, not the first {MOST_SHOWN}")


def run(args: argparse.Namespace) -> int:
    """Check, with a bar; Ctrl-C stops it."""
    one = data_set(args.name) if args.name else recognize(args.folder)
    with moving("check") as progress:
        report = one.check(args.folder, progress)
    if args.json:
        sys.stdout.write(json.dumps(report.to_json()) + "\n")
    else:
        show(one.title, report, None if args.all else MOST_SHOWN)
    return 0 if report.complete else INCOMPLETE


def show(title: str, report: Report, most: int | None) -> None:
    """Print the counts, the problems, and the notes."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{report.folder}: {title}")
    states = ", ".join(f"{report.count(state)} {state}" for state in ("complete", "broken", "missing"))
    console.print(f"{len(report.cases)} cases: {states}")
    wrong = [case for case in report.cases if case.problems]
    for case in wrong[:most]:
        for problem in case.problems:
            console.print(f"  {case.state:8} {case.case}: {problem}")
    if most is not None and len(wrong) > most:
        console.print(f"  and {len(wrong) - most} more cases; --all prints them, --json gives them to programs")
    for note in report.notes:
        console.print(f"Note: {note}")
