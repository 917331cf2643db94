"""The pipeline on the Lung-RADS slice set itself: whole slices, and as many classes as the set has.

The set does not say how wide a pixel is, so a slice is brought to a number of pixels, not to millimeters.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import choose_device, predict
from LungCADLib.errors import InputError
from LungCADLib.malignancy.lung_rads_cnn import WINDOWS_HU
from LungCADLib.malignancy.slice_view import sampled, views
from LungCADLib.training.datasets.lung_rads import CLASSES, SliceSet, read_slice_set

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork
    from LungCADLib.training.lung_rads_cnn_recipe import Batch
    from LungCADLib.training.trainer import Recipe

SIDE = 256
STRIDE = 32
"""Of the encoder, which must divide the side."""

BATCH = 8
SHIFTED = 0.05
"""Largest shift in training, as a share of the side."""


def train_set(args: argparse.Namespace, pretrained: "Mapping[str, Tensor] | None") -> int:
    """Train one network on a converted set and write it."""
    from rich.console import Console
    from rich.progress import Progress

    from LungCADLib.training.lung_rads_cnn import SET, SET_NAME
    from LungCADLib.training.trainer import train
    from LungCADLib.weights import write_members

    if args.side % STRIDE or args.side < STRIDE:
        args.usage_error(f"--side {args.side}: it must be a multiple of {STRIDE}")
    slices = read_slice_set(args.set)
    classes = classes_of(slices)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Training {SET_NAME}", total=args.steps)
        made = recipe(slices, classes, args.steps, args.width, args.side, pretrained)
        network = train(
            made, args.runs / SET_NAME, args.seed, choose_device(args.device),
            lambda done, of: bar.update(task, completed=done),
        )  # fmt: skip
    path: Path = args.out / f"{SET_NAME}.safetensors"
    said = {
        "network": "LungRadsNetwork", "width": args.width, "pretrained": pretrained is not None, "side": args.side,
        "classes": classes, "slices": len(slices), "data": SET, "seed": args.seed, "steps": args.steps,
    }  # fmt: skip
    write_members(path, [network.state_dict()], said)
    Console(highlight=False, soft_wrap=True).print(
        f"{path}: one network, {path.stat().st_size / 1e6:.1f} MB; test it with `lungcad evaluate lung-rads-cnn --set "
        f"TEST.npz --weights {path}`, and never on LIDC, which is in part in the set."
    )
    return 0


def classes_of(slices: SliceSet) -> list[str]:
    """The Lung-RADS classes that a set has, from least to most suspicious.

    Raises
    ------
    InputError
        If there is but one.
    """
    there = set(slices.label.tolist())
    classes = [name for name in CLASSES if name in there]
    if len(classes) < 2:
        raise InputError(f"The set has one class only ({', '.join(classes)}); there is nothing to tell apart.")
    return classes


def recipe(
    slices: SliceSet,
    classes: list[str],
    steps: int,
    width: float,
    side: int = SIDE,
    pretrained: "Mapping[str, Tensor] | None" = None,
) -> "Recipe":
    """Of a network that learns from all slices of a set; each class is drawn equally often."""
    from LungCADLib.training import lung_rads_cnn_recipe as shared
    from LungCADLib.training.trainer import Recipe

    return Recipe(
        lambda: shared.network(len(classes), width, pretrained),
        batches(slices, classes, side),
        shared.loss,
        steps,
        shared.LEARNING_RATE,
        shared.WEIGHT_DECAY,
        settings={"slices": len(slices), "side": side, "width": width, "pretrained": pretrained is not None},
        averaged_over=shared.AVERAGED_OVER,
    )


def batches(slices: SliceSet, classes: list[str], side: int) -> "Callable[[np.random.Generator], Batch]":
    """Draws slices and alters them: turned, mirrored, moved, with other HU and noise."""
    import torch

    from LungCADLib.training.appearance_recipe import as_scanned_otherwise, turns
    from LungCADLib.training.lung_rads_cnn_recipe import Batch

    label = np.array([classes.index(name) for name in slices.label.tolist()])
    share = (1 / np.bincount(label, minlength=len(classes)))[label]
    share /= share.sum()
    size = np.array(slices.hu.shape[1:])

    def batch(random: np.random.Generator) -> Batch:
        rows = random.choice(len(slices), BATCH, p=share)
        hu = torch.from_numpy(as_scanned_otherwise(random, slices.hu[rows]).astype(np.float32))
        center = (size - 1) / 2 + random.uniform(-SHIFTED, SHIFTED, (BATCH, 2)) * size
        at = torch.from_numpy(center.astype(np.float32)), torch.from_numpy(turns(random, BATCH).astype(np.float32))
        mask = torch.from_numpy(slices.mask[rows].astype(np.float32))[:, None]
        step = float(size.max()) / side
        outline = sampled(mask, at[0], torch.ones(BATCH, 2), at[1], side=side, pixel_mm=step)
        seen = _seen(hu, at[0], side, step, at[1])
        return Batch(seen, outline, torch.from_numpy(label[rows]))

    return batch


def _seen(hu: "Tensor", center: "Tensor", side: int, step: float, turn: "Tensor | None" = None) -> "Tensor":
    """Whole slices in the networks' windows: (n, windows + 1, `side`, `side`), `step` pixels apart."""
    import torch

    ones = torch.ones(len(hu), 2)
    return views(hu, torch.ones_like(hu), center, ones, turn, windows_hu=WINDOWS_HU, side=side, pixel_mm=step)


def asked(
    network: "LungRadsNetwork", slices: SliceSet, side: int, device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """What a network of the set says of whole slices as they are.

    Returns
    -------
    tuple
        Probability of each class by the segmented image and by the whole one (2, n, classes); the outline bool
        (n, side, side), and the set's mask on the same grid.
    """
    import torch

    hu = torch.from_numpy(slices.hu.astype(np.float32))
    size = np.array(slices.hu.shape[1:])
    center = torch.from_numpy(((size - 1) / 2).astype(np.float32)).repeat(len(hu), 1)
    step = float(size.max()) / side
    seen = _seen(hu, center, side, step)

    def ask(some: "Tensor") -> "Tensor":
        answer = network(some)
        both = torch.stack([answer.segmented.softmax(dim=1), answer.whole.softmax(dim=1)], dim=1)
        return torch.cat([both.flatten(1), answer.outline.flatten(1)], dim=1)

    out = predict(ask, seen, device, [network]).numpy()
    classes = (out.shape[1] - side * side) // 2
    chances = out[:, : 2 * classes].reshape(len(hu), 2, classes).transpose(1, 0, 2)
    mask = torch.from_numpy(slices.mask.astype(np.float32))[:, None]
    truth = sampled(mask, center, torch.ones(len(hu), 2), side=side, pixel_mm=step)[:, 0].numpy() >= 0.5
    return chances.astype(np.float64), out[:, 2 * classes :].reshape(truth.shape) > 0, truth
