"""`lungcad data list`: the data sets that can be checked and read, and what a folder of each holds."""

import argparse
import json
import sys

from LungCADLib.training.datasets import SETS, data_set


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument("--json", action="store_true", help="print the list as one JSON array")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from rich.console import Console

    sets = [data_set(name) for name in SETS]
    if args.json:
        rows = [{"name": one.name, "title": one.title, "expects": one.expects} for one in sets]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for one in sets:
        console.print(f"{one.name}: {one.title}")
        console.print(f"  {one.expects}")
    return 0
