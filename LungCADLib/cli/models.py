"""`lungcad models`: the engines each stage can run, and the weights and lists that come with LungCAD."""

import argparse
import hashlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

# The option of `lungcad analyze` that takes the engine's name, and the stage whose registry has it.
_STAGES = (
    ("--lungs", "LungCADLib.lungs"),
    ("--detector", "LungCADLib.detection"),
    ("--outline", "LungCADLib.nodules"),
    ("--malignancy", "LungCADLib.malignancy"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing to choose."""


def run(args: argparse.Namespace) -> int:
    """Print engines by stage, then weights with their SHA-256."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from LungCADLib.cli import screen

    console = screen.output()
    engines = Table("Option", "Engine", "What it is", box=SIMPLE_HEAD, pad_edge=False)
    for option, package in _STAGES:
        for name, engine in import_module(package).ENGINES.items():
            summary = (engine.__doc__ or "").strip().split("\n")[0]
            engines.add_row(option, name, summary)
    console.print(engines)
    weights = Table("Bundled file", "KB", "SHA-256", box=SIMPLE_HEAD, pad_edge=False)
    for path in _weights():
        weights.add_row(path.name, f"{path.stat().st_size / 1024:.0f}", hashlib.sha256(path.read_bytes()).hexdigest())
    console.print(weights)
    return 0


def _weights() -> Iterator[Path]:
    """Files below `Resources/Models`, without the model cards beside them."""
    from LungCADLib.resources import resource

    yield from sorted(path for path in resource("Models").rglob("*") if path.is_file() and path.suffix != ".md")
