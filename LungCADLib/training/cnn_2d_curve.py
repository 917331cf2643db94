"""The course of a training: loss and accuracy of each epoch on what was learned from and on what was held out.

A run writes one line per step; a run that was killed and goes on writes the steps after its checkpoint again, with the
same numbers, and the last line of a step counts.
"""

import csv
from pathlib import Path
from typing import NamedTuple

FILE = "curve.csv"
_COLUMNS = ("step", "loss", "accuracy", "held_out_loss", "held_out_accuracy")

DECIMALS = 4


class HeldOut(NamedTuple):
    """Cross entropy and accuracy on cases that were not learned from."""

    loss: float
    accuracy: float


class Epoch(NamedTuple):
    """Means over an epoch's batches, altered and with dropout as they were learned from; held-out cases at its end."""

    loss: float
    accuracy: float
    held_out_loss: float
    held_out_accuracy: float


def write_step(folder: Path, step: int, loss: float, accuracy: float, held_out: HeldOut | None) -> None:
    """Add a step to a run's curve."""
    path = folder / FILE
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(_COLUMNS)
        writer.writerow((step, loss, accuracy, *(held_out or ("", ""))))


def read_curve(folder: Path) -> list[Epoch]:
    """The epochs of a run, those that came to their end."""
    with (folder / FILE).open(newline="", encoding="utf-8") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    epochs: list[Epoch] = []
    since: list[dict[str, str]] = []
    for step in sorted(rows):
        since.append(rows[step])
        if not rows[step]["held_out_loss"]:
            continue
        learned = (sum(float(row[name]) for row in since) / len(since) for name in ("loss", "accuracy"))
        held_out = (float(rows[step][name]) for name in ("held_out_loss", "held_out_accuracy"))
        epochs.append(Epoch(*(round(value, DECIMALS) for value in (*learned, *held_out))))
        since = []
    return epochs
