"""`lungcad train unet-merge`: teaches the slice U-Net of the detector "unet-merge", one member per fold."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import choose_device
from LungCADLib.detection.merging import distance_merging, slice_components
from LungCADLib.detection.slice_reader import PIXEL_MM, SliceReader, Slices
from LungCADLib.detection.slice_unet import WIDTHS, slice_unet
from LungCADLib.detection.unet_merge import NAME
from LungCADLib.scan import Geometry
from LungCADLib.training.members import add_training_arguments, is_finished, train_folds
from LungCADLib.training.reduction import folds
from LungCADLib.training.slice_canvases import Canvases, Place
from LungCADLib.training.slice_sheets import NODULE, NOTHING, UNKNOWN, Ground, Sheets, read_ground
from LungCADLib.training.trainer import Recipe, train
from LungCADLib.weights import write_members

if TYPE_CHECKING:
    from torch import Tensor, nn

STEPS = 600
"""Batches of each member, half of them before what it wrongly took for nodules is shown more often."""

BATCH = 4
LEARNING_RATE = 3e-3
AVERAGED_OVER = 60
PHANTOMS = 6

MINED_EVERY = 2
"""Every so many slices are looked through for what is wrongly taken for a nodule."""

MOST_OF_A_SHEET = 400
"""Such places of one scan, the likeliest."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, STEPS)


def run(args: argparse.Namespace) -> int:
    """Read what there is, teach the members, write them once all are there."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    with console.status("data") as status:
        ground = read_ground(args.data, PHANTOMS, args.seed, status.update)
    device = choose_device(args.device)

    def member(fold: int, done: Callable[[int], None]) -> "nn.Module":
        return train_member(ground.without(fold), fold, args.runs / f"fold-{fold}", args.steps, args.seed, device, done)

    def finished(fold: int) -> bool:
        return is_finished(args.runs / f"fold-{fold}" / "2", args.steps - args.steps // 2)

    members = train_folds(NAME, args, member, finished)
    if members is None:
        return 0
    path = args.out / f"{NAME}.safetensors"
    write_members(path, [one.state_dict() for one in members], describe(ground, args.seed, args.steps))
    console.print(f"{path}; test it with `lungcad evaluate {NAME}`.")
    return 0


def train_member(
    ground: Ground,
    fold: int,
    folder: Path,
    steps: int,
    seed: int,
    device: str = "cpu",
    done: Callable[[int], None] = lambda steps: None,
) -> "nn.Module":
    """The member of a fold, on what is left without it, in two rounds; the second one shows hard places more often."""
    half = steps // 2
    first = train(recipe(Canvases(ground), half, fold), folder / "1", seed + 10 * fold, device, lambda at, of: done(at))
    hard: list[Place] = [] if is_finished(folder / "2", steps - half) else hard_places(first, ground.sheets, device)
    again = recipe(Canvases(ground, hard), steps - half, fold, first.state_dict())
    return train(again, folder / "2", seed + 10 * fold + 1, device, lambda at, of: done(half + at))


def recipe(canvases: Canvases, steps: int, fold: int, first: "Mapping[str, Tensor] | None" = None) -> Recipe:
    """Train on pictures, from weights or anew."""

    def network() -> "nn.Module":
        made = slice_unet(WIDTHS)
        if first is not None:
            made.load_state_dict(first)
        return made

    return Recipe(
        network,
        lambda rng: canvases(rng, BATCH),
        loss,
        steps,
        LEARNING_RATE,
        settings={"fold": fold, "widths": list(WIDTHS)},
        averaged_over=AVERAGED_OVER,
    )


def loss(
    network: "nn.Module", batch: tuple[NDArray[np.float32], NDArray[np.uint8]]
) -> "tuple[Tensor, dict[str, float]]":
    """Dice of all nodules of the batch together (MONAI's) plus cross-entropy, where the truth is known."""
    import torch
    from monai.losses import DiceLoss
    from torch.nn.functional import binary_cross_entropy_with_logits

    device = next(network.parameters()).device
    hu, truth = (torch.from_numpy(part).to(device) for part in batch)
    # Half precision doubles the speed on CPUs that know it too.
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "mps"):
        logits = network(hu)
    logits, nodule, known = logits.float(), (truth == NODULE).float(), (truth != UNKNOWN).float()
    dice = DiceLoss(batch=True)((torch.sigmoid(logits) * known)[:, None], (nodule * known)[:, None])
    entropy = binary_cross_entropy_with_logits(logits, nodule, weight=known)
    return dice + entropy, {"dice": float(dice.detach()), "entropy": float(entropy.detach())}


def hard_places(network: "nn.Module", sheets: Sequence[Sheets], device: str = "cpu") -> list[Place]:
    """Where a network takes something for a nodule that is none, weighted by how sure it is."""
    reader = SliceReader([network.state_dict()], {"widths": list(WIDTHS), "folds": {}}, device)  # type: ignore[arg-type]
    places = []
    for k, sheet in enumerate(sheets):
        hu, truth = sheet.hu[::MINED_EVERY], sheet.truth[::MINED_EVERY]
        slices = Slices(hu, sheet.region[::MINED_EVERY], Geometry(hu.shape, (1.0, PIXEL_MM, PIXEL_MM)))
        found = []
        for z, seen in enumerate(reader.probabilities(slices, None)):
            for part in distance_merging(slice_components(seen, (PIXEL_MM, PIXEL_MM), z)):
                if (truth[z][tuple(part.pixels.T)] == NOTHING).all():
                    y, x = (round(mm / PIXEL_MM) for mm in part.center_mm)
                    found.append(Place(k, (z * MINED_EVERY, y, x), part.probability))
        places += sorted(found, key=lambda place: -place.weight)[:MOST_OF_A_SHEET]
    return places


def describe(ground: Ground, seed: int, steps: int) -> dict[str, Any]:
    """What the file says of itself."""
    with_nodule = sum(piece.has_nodule for piece in ground.pieces)
    return {
        "widths": list(WIDTHS),
        "folds": folds(),
        "training": {
            "pieces": with_nodule,
            "empty_pieces": len(ground.pieces) - with_nodule,
            "nodules": len(ground.nodules),
            "slices": sum(len(sheet.hu) for sheet in ground.sheets),
            "phantoms": PHANTOMS,
            "seed": seed,
            "steps": steps,
            "batch": BATCH,
        },
    }
