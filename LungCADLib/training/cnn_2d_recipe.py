"""How one 2D CNN of paper "004" is trained: as its section III says, and what we took where it is silent.

The paper's: Adam with a rate of 0.001, categorical cross entropy with class weights, batches of 20, 50 epochs, and
rotation, flipping and zooming in amounts that are not given. Ours: any angle, since a nodule has no upright; a mirror
for every second one; a zoom of at most 10 % either way. An epoch is as many batches as it takes to see every case once;
each batch is drawn anew, without a case twice in it, so that a step depends on its own random numbers alone. Gradients
are clipped, as for all networks here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from LungCADLib.malignancy.cnn_2d import SUSPICIOUS
from LungCADLib.malignancy.cnn_2d_network import Cnn2d
from LungCADLib.malignancy.cnn_2d_view import Crop, views, widths_mm
from LungCADLib.training.cnn_2d_curve import HeldOut, write_step
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.trainer import Recipe, constant

BATCH = 20
LEARNING_RATE = 1e-3

ZOOM = 0.1
"""Largest change of size, in the natural logarithm: between 0.90 and 1.11 times."""

LAST_WEIGHTS = 1
"""Steps over which weights are averaged: the paper takes those of the last step."""


class Batch(NamedTuple):
    """Views (n, 1, y, x), classes int64 (n,), and what a case of each class counts (2,)."""

    views: Tensor
    classes: Tensor
    weights: Tensor


def steps_per_epoch(n: int) -> int:
    """Batches that hold as many cases as there are, the last one perhaps fewer in the paper's count."""
    return -(-n // BATCH)


def recipe(cases: Cases, crop: Crop, steps: int, held_out: Cases | None = None) -> Recipe:
    """Of a network that learns from these cases.

    Parameters
    ----------
    cases
        To learn from; of both kinds.
    crop
        How wide their crops are.
    steps
        Batches.
    held_out
        If given, the run's folder holds a curve of how well the network does on these after each epoch.
    """
    return Recipe(
        lambda: Cnn2d().to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        batches(cases, crop),
        loss,
        steps,
        settings={"cases": len(cases), "crop": crop.value, "batch": BATCH, "zoom": ZOOM},
        averaged_over=LAST_WEIGHTS,
        optimizer=lambda network: torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True),
        rate=constant,
        watch=None if held_out is None else _watch(held_out, crop, steps_per_epoch(len(cases))),
    )


def batches(cases: Cases, crop: Crop) -> Callable[[np.random.Generator], Batch]:
    """Draws some of the cases and alters them."""
    weights = torch.from_numpy(class_weights(cases.suspicious))

    def batch(random: np.random.Generator) -> Batch:
        rows = random.choice(len(cases), min(BATCH, len(cases)), replace=False)
        some = cases.only(rows)
        return Batch(seen(some, crop, turns(random, len(rows))), classes(some), weights)

    return batch


def seen(cases: Cases, crop: Crop, turn: NDArray[np.float64] | None = None) -> Tensor:
    """What the network sees of cases: (n, 1, y, x), turned by (n, 2, 2) if given."""
    spacing = np.repeat(cases.spacing_mm[:, None], 2, axis=1)
    width = widths_mm(crop, cases.diameter_mm, spacing, min(cases.hu.shape[1:]))
    arrays = (cases.hu, spacing, width, *(() if turn is None else (turn,)))
    return views(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


def classes(cases: Cases) -> Tensor:
    """The unit of the softmax (n,) that is right."""
    return torch.from_numpy(np.where(cases.suspicious, SUSPICIOUS, 1 - SUSPICIOUS).astype(np.int64))


def class_weights(suspicious: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What a case of each class counts, so that both count alike: n / (2 n of the class), as scikit-learn balances."""
    counts = np.bincount(suspicious.astype(int), minlength=2)
    out: NDArray[np.float32] = (len(suspicious) / (2 * np.maximum(counts, 1))).astype(np.float32)
    return out


def turns(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(n, 2, 2): any angle, half of them mirrored, zoomed."""
    angle = random.uniform(0, 2 * np.pi, n)
    zoom = np.exp(random.uniform(-ZOOM, ZOOM, n))
    sign = random.choice([-1.0, 1.0], n)
    sine, cosine = np.sin(angle), np.cos(angle)
    turn = np.stack([np.stack([cosine, -sine * sign], -1), np.stack([sine, cosine * sign], -1)], 1)
    out: NDArray[np.float64] = turn * zoom[:, None, None]
    return out


def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, float]]:
    """Cross entropy, each case weighted by its class; beside it, unweighted, what the curve shows."""
    device = next(network.parameters()).device
    views, right, weights = (tensor.to(device) for tensor in batch)
    with torch.autocast(device.type, torch.bfloat16):
        logits = network(views.contiguous(memory_format=torch.channels_last))
    each = cross_entropy(logits.float(), right, reduction="none")
    correct = (logits.argmax(dim=1) == right).float()
    parts = {"cross_entropy": float(each.detach().mean()), "accuracy": float(correct.mean())}
    return (each * weights[right]).mean(), parts


def _watch(held_out: Cases, crop: Crop, epoch: int) -> Callable[[nn.Module, Path, int, Mapping[str, float]], None]:
    """Writes the curve: every step's batch, and the cases held out after each epoch."""
    shown, right = seen(held_out, crop), classes(held_out)

    def watch(network: nn.Module, folder: Path, done: int, parts: Mapping[str, float]) -> None:
        found = tested(network, shown, right) if done % epoch == 0 else None
        write_step(folder, done, parts["cross_entropy"], parts["accuracy"], found)

    return watch


def tested(network: nn.Module, shown: Tensor, right: Tensor) -> HeldOut:
    """Cross entropy and accuracy on views (n, 1, y, x) as they are; the network stays in training mode."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
        parts = [
            network(part.to(device).contiguous(memory_format=torch.channels_last)).float().cpu()
            for part in shown.split(BATCH)
        ]
    network.train()
    logits = torch.cat(parts)
    correct = (logits.argmax(dim=1) == right).float()
    return HeldOut(float(cross_entropy(logits, right)), float(correct.mean()))
