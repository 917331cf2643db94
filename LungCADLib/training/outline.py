"""`lungcad train outline`: teaches the network that outlines nodules, one member per fold of patients."""

import argparse
from collections.abc import Collection

from LungCADLib.training.members import add_training_arguments, train_members
from LungCADLib.training.outline_batch import DRAWN, draw
from LungCADLib.training.outline_cases import read_lessons
from LungCADLib.training.outline_loss import loss
from LungCADLib.training.trainer import Recipe

NAME = "outline"

STEPS = 1500
"""Batches of each member."""

LEARNING_RATE = 3e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, STEPS)


def run(args: argparse.Namespace) -> int:
    """Read the nodules, train the members, write them into one file."""
    from LungCADLib.nodules.field import CHANNELS, PIXELS
    from LungCADLib.nodules.unet import WIDTHS, slice_unet

    lessons = read_lessons(args.data)

    def recipe(left_out: Collection[str]) -> Recipe:
        taught = {style: [one for one in some if one.patient not in left_out] for style, some in lessons.items()}
        return Recipe(
            network=lambda: slice_unet(CHANNELS),
            batch=lambda random: draw(taught, random),
            loss=loss,
            steps=args.steps,
            learning_rate=LEARNING_RATE,
            settings={"nodules": {style: len(some) for style, some in taught.items()}, "drawn": dict(DRAWN)},
        )

    description = {
        "network": "SliceUNet",
        "channels": CHANNELS,
        "widths": list(WIDTHS),
        "pixels": PIXELS,
        "trained_on": {style: len(some) for style, some in lessons.items()},
        "data": "LIDC-IDRI, CC BY 3.0",
    }
    return train_members(NAME, recipe, description, args)
