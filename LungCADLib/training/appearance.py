"""`lungcad train appearance`: the network that says how suspicious a slice looks, five times, and what is added to it.

It writes `appearance.safetensors` and, once all five networks are there, `appearance.json` with the coefficients that
turn their answers into opinions; `lungcad evaluate appearance` says how good they are.
"""

import argparse

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
    return train_members(NAME, lambda left_out: recipe(pictures, left_out, args.steps), description, args)
