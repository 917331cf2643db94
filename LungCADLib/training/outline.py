"""`lungcad train outline`: teaches the network that outlines nodules, one member per fold of patients.

With `--further` the packaged members are taught on, each with the patients that it has learned from before.
"""

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING

from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.members import add_training_arguments, train_members
from LungCADLib.training.outline_batch import DRAWN, draw
from LungCADLib.training.outline_cases import read_lessons
from LungCADLib.training.outline_loss import loss
from LungCADLib.training.trainer import Recipe

if TYPE_CHECKING:
    from torch import nn

NAME = "outline"

STEPS = 1500
"""Batches of each member."""

LEARNING_RATE, FURTHER_RATE = 3e-3, 1.5e-3

ALTERED, FURTHER_ALTERED = 1.0, 0.5
"""How much nodules are altered at random: members that are taught on see them more as they are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, STEPS)
    parser.add_argument(
        "--further", action="store_true", help="start from the packaged members, at a lower rate, instead of anew"
    )


def run(args: argparse.Namespace) -> int:
    """Read the nodules, train the members, write them into one file."""
    from LungCADLib.nodules.field import CHANNELS, PIXELS
    from LungCADLib.nodules.unet import WIDTHS, slice_unet
    from LungCADLib.weights import bundled_members

    members, before = bundled_members(NAME) if args.further else ((), {})
    steps_before = [*before.get("steps_before", []), before["steps"]] if before else []
    lessons = read_lessons(args.data)

    def recipe(left_out: Collection[str]) -> Recipe:
        taught = {style: [one for one in some if one.patient not in left_out] for style, some in lessons.items()}
        fold = fold_of_patient()[min(left_out)]

        def network() -> "nn.Module":
            made = slice_unet(CHANNELS)
            if members:
                made.load_state_dict(members[fold])
            return made

        return Recipe(
            network=network,
            batch=lambda random: draw(taught, random, FURTHER_ALTERED if members else ALTERED),
            loss=loss,
            steps=args.steps,
            learning_rate=FURTHER_RATE if members else LEARNING_RATE,
            settings={
                "nodules": {style: len(some) for style, some in taught.items()},
                "drawn": dict(DRAWN),
                "steps_before": steps_before,
            },
        )

    description = {
        "network": "SliceUNet",
        "channels": CHANNELS,
        "widths": list(WIDTHS),
        "pixels": PIXELS,
        "steps_before": steps_before,
        "trained_on": {style: len(some) for style, some in lessons.items()},
        "data": "LIDC-IDRI, CC BY 3.0",
    }
    return train_members(NAME, recipe, description, args)
