"""`lungcad train appearance`: the network that says how suspicious a slice looks, five times, and what is added to it.

It writes `appearance.safetensors` and, once all five networks are there, `appearance.json` with the coefficients that
turn their answers into opinions; `lungcad evaluate appearance` says how good they are.
"""

import argparse
from pathlib import Path

from LungCADLib.malignancy.appearance import NAME
from LungCADLib.training.members import add_training_arguments, train_members

STEPS = 1600
"""Batches of each member."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, STEPS)


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet; write both files when all five are there."""
    from LungCADLib.malignancy.slice_view import PIXEL_MM, SIDE_PIXELS
    from LungCADLib.training.appearance_data import SHARES, gather
    from LungCADLib.training.appearance_recipe import recipe

    pictures = gather(args.data)
    description = {
        "network": "AppearanceNetwork",
        "pixels": SIDE_PIXELS,
        "pixel_mm": PIXEL_MM,
        "pictures": len(pictures),
        "patients": len(set(pictures.patient.tolist())),
        "drawn": SHARES,
        "data": "LIDC-IDRI, CC BY 3.0; LUNA16, CC BY 4.0",
    }
    path = args.out / f"{NAME}.safetensors"
    before = path.stat().st_mtime_ns if path.is_file() else None
    train_members(NAME, lambda left_out: recipe(pictures, left_out, args.steps), description, args)
    if path.is_file() and path.stat().st_mtime_ns != before:
        _write_models(path, args.data)
    return 0


def _write_models(path: Path, data: Path) -> None:
    """Write `appearance.json` beside the networks."""
    from rich.console import Console

    from LungCADLib.malignancy.appearance_network import network_of
    from LungCADLib.training.appearance_data import SLICES
    from LungCADLib.training.appearance_fusion import fit_models
    from LungCADLib.training.slice_sets import read_slices
    from LungCADLib.weights import read_members, write_table

    members = [network_of(state) for state in read_members(path)[0]]
    models = fit_models(read_slices(data / SLICES / "slices.npz", data / SLICES / "ratings.csv"), members)
    path = path.with_suffix(".json")
    write_table(path, models)
    counts = models["training"]
    Console(highlight=False, soft_wrap=True).print(
        f"{path}: fitted on {counts['nodules']} slices ({counts['suspicious']} suspicious) of {counts['patients']} "
        "patients, each seen by a network that had not learned from that patient."
    )
