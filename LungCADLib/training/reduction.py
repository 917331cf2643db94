"""`lungcad train reduction`: teaches the network that tells nodules from other candidates, one member per fold.

With `--further` the packaged members are taught on, each with the candidates that it has learned from before.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import choose_device, predict
from LungCADLib.detection.features import NAMES
from LungCADLib.detection.reduction import BUDGET, NAME
from LungCADLib.detection.reduction_network import WIDTHS, reduction_network
from LungCADLib.detection.views import SIDE
from LungCADLib.resources import resource
from LungCADLib.training.candidates import KINDS, STORED_SIDE, Candidates, ground_candidates
from LungCADLib.training.detection_grounds import crop_grounds, scan_grounds
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.insertions import box_nodules, inserted_candidates, stamp_nodules
from LungCADLib.training.members import add_training_arguments
from LungCADLib.training.nodule_sets import read_vois
from LungCADLib.training.phantom_grounds import phantom_grounds
from LungCADLib.training.reduction_recipe import FURTHER_RATE, RATE, Scaling, recipe
from LungCADLib.training.trainer import CHECKPOINT, train
from LungCADLib.weights import State, bundled_members, write_members

if TYPE_CHECKING:
    from torch import nn

STEPS = 300
"""Batches of each member, half of them before the hard candidates are chosen anew."""

PHANTOMS = 10
REAL_REPEATS, PHANTOM_REPEATS = 12, 3
MOST_OTHERS, MOST_OTHERS_OF_A_PHANTOM = 800, 250
"""Candidates kept of a scan or a crop that are no nodules, half of them those that score best by their numbers."""

OPERATING_LOG_ODDS = 1.9
"""What the members say of a candidate, each of the patients it has not seen, where there are at most two false marks of
4 mm or more in a scan; it becomes the score 0.5."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, STEPS)
    parser.add_argument(
        "--further", action="store_true", help="start from the packaged members, at a lower rate, instead of anew"
    )


def run(args: argparse.Namespace) -> int:
    """Make the candidates, teach the members, write them once all are there."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(highlight=False, soft_wrap=True)
    with console.status("candidates") as status:
        candidates = kept_candidates(args.runs / f"candidates-{args.seed}.npz", args.data, args.seed, status.update)
    device = choose_device(args.device)
    before, steps_before = _before() if args.further else ((None,) * FOLDS, [])

    def member(k: int, done: Callable[[int], None] = lambda steps: None) -> "nn.Module":
        folder = args.runs / f"fold-{k}"
        return train_member(candidates, k, folder, args.steps, args.seed, device, done, before[k])

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(f"Training {NAME}", total=args.steps * len(args.folds))
        for turn, fold in enumerate(args.folds):

            def done(steps: int, before: int = turn * args.steps) -> None:
                bars.update(bar, completed=before + steps)

            member(fold, done)
    missing = [k for k in range(FOLDS) if not is_finished(args.runs / f"fold-{k}", args.steps, args.further)]
    if missing:
        names = " ".join(map(str, missing))
        console.print(f"Trained; {NAME}.safetensors will be written when these are too: --folds {names}")
        return 0
    members = [member(k) for k in range(FOLDS)]
    description = describe_members(candidates, members, args.seed, args.steps, device)
    description["training"]["steps_before"] = steps_before
    console.print(json.dumps(description["training"]))
    path = args.out / f"{NAME}.safetensors"
    write_members(path, [member.state_dict() for member in members], description)
    console.print(f"{path}; test it with `lungcad evaluate detection`.")
    return 0


def _before() -> tuple[tuple[State, ...], list[int]]:
    """The packaged members, and how many batches each has learned from, run by run."""
    members, description = bundled_members(NAME)
    training = description["training"]
    return members, [*training.get("steps_before", []), training["steps"]]


def folds() -> dict[str, int]:
    """The fold in which each patient and each scan of the list is tested, by patient and by folder."""
    listed = json.loads(resource("Models", "detection-scans.json").read_text(encoding="utf-8"))["scans"]
    return fold_of_patient() | {entry[key]: entry["fold"] for entry in listed for key in ("folder", "patient")}


def kept_candidates(path: Path, data: Path, seed: int, follow: Callable[[str], None]) -> Candidates:
    """The candidates of a seed, made unless an earlier run kept them."""
    if path.is_file():
        return Candidates.load(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    candidates = make_candidates(data, seed, follow)
    candidates.save(path)
    return candidates


def make_candidates(data: Path, seed: int, follow: Callable[[str], None]) -> Candidates:
    """All that the members learn from."""
    known = folds()

    def fold(name: str) -> int:
        return known.get(name, -1)

    grounds = [
        *scan_grounds(data, resource("Models", "detection-scans.json"), follow, BUDGET),
        *crop_grounds(data / "lidc-crops" / "crops.npz", follow),
    ]
    rng = np.random.default_rng([seed, 0])
    parts = ground_candidates(grounds, fold, "real", REAL_REPEATS, MOST_OTHERS, rng, follow)
    nodules = [
        *box_nodules(read_vois(data / "lidc-vois" / "vois.npz", data / "lidc-vois" / "ratings.csv")),
        *stamp_nodules(data / "lidc-stamps" / "stamps.npz"),
    ]
    parts += inserted_candidates(nodules, grounds, fold, np.random.default_rng([seed, 1]), follow)
    return Candidates.join([*parts, *phantom_candidates(seed, follow)])


def phantom_candidates(seed: int, follow: Callable[[str], None]) -> list[Candidates]:
    """Those of phantoms."""
    rng = np.random.default_rng([seed, 2])
    most, parts = MOST_OTHERS_OF_A_PHANTOM, []
    for ground in phantom_grounds(PHANTOMS, seed, follow, BUDGET):
        parts += ground_candidates([ground], lambda name: -1, "phantom", PHANTOM_REPEATS, most, rng, follow)
    return parts


def train_member(
    candidates: Candidates,
    fold: int,
    folder: Path,
    steps: int,
    seed: int,
    device: str = "cpu",
    done: Callable[[int], None] = lambda steps: None,
    before: State | None = None,
) -> "nn.Module":
    """The member that sees nothing of a fold's patients.

    It learns in two rounds; in the second, what is no nodule is drawn by what the first round made of it. One that has
    learned `before` has its first round behind it.
    """
    mine = candidates.take(~(candidates.folds == fold).any(axis=1))
    scaling = scaling_of(candidates)
    half = _first_round(steps, before is not None)
    settings = {"fold": fold, "further": before is not None}
    first = reduction_network()
    if before is not None:
        first.load_state_dict(before)
    else:
        anew = recipe(mine, scaling, mine.hardness, half, settings=settings)
        first = train(anew, folder / "1", seed + 10 * fold, device, lambda at, of: done(at))
    hardness = mine.hardness
    if not is_finished(folder, steps, before is not None):
        hardness = (1 / (1 + np.exp(-log_odds(first, mine, scaling, device)))).astype(np.float32)
    rate = RATE if before is None else FURTHER_RATE
    again = recipe(mine, scaling, hardness, steps - half, first.state_dict(), settings, rate)
    return train(again, folder / "2", seed + 10 * fold + 1, device, lambda at, of: done(half + at))


def is_finished(folder: Path, steps: int, further: bool = False) -> bool:
    """Whether a member's last round is done."""
    import torch

    path, wanted = folder / "2" / CHECKPOINT, steps - _first_round(steps, further)
    return path.is_file() and bool(torch.load(path, map_location="cpu", weights_only=True)["done"] == wanted)


def _first_round(steps: int, further: bool) -> int:
    """So many of the batches are of a member's first round."""
    return 0 if further else steps // 2


def scaling_of(candidates: Candidates) -> Scaling:
    """Of the real candidates' numbers, as float32 that JSON keeps."""
    real = candidates.numbers[candidates.kind == KINDS.index("real")]
    return Scaling(real.mean(0), real.std(0) + np.float32(1e-3))


def log_odds(
    network: "nn.Module", candidates: Candidates, scaling: Scaling, device: str = "cpu"
) -> NDArray[np.float32]:
    """(n,) of candidates, looked at straight."""
    import torch

    aside = (STORED_SIDE - SIDE) // 2
    inner = slice(aside, aside + SIDE)
    views = torch.from_numpy(np.ascontiguousarray(candidates.views[:, :, inner, inner, inner]))
    return predict(network.eval(), [views, torch.from_numpy(scaling(candidates.numbers))], device).numpy()


def describe_members(
    candidates: Candidates, members: "list[nn.Module]", seed: int, steps: int, device: str
) -> dict[str, Any]:
    """What the file says of itself: architecture, scaling, calibration, who is tested by which member."""
    scaling = scaling_of(candidates)
    own, truth, weight = [], [], []
    for fold, member in enumerate(members):
        tested = (candidates.folds[:, 0] == fold) & (candidates.kind == KINDS.index("real"))
        if not tested.any():
            continue
        rows = candidates.take(tested)
        own.append(log_odds(member, rows, scaling, device))
        truth.append(rows.nodule)
        times = np.bincount(rows.source[rows.nodule], minlength=1)
        weight.append(np.where(rows.nodule, 1 / np.maximum(times[np.maximum(rows.source, 0)], 1), 1.0))
    slope = steepness(np.concatenate(own), np.concatenate(truth), np.concatenate(weight))
    return {
        "widths": list(WIDTHS),
        "features": list(NAMES),
        "mean": scaling.mean.tolist(),
        "scale": scaling.scale.tolist(),
        "slope": slope,
        "intercept": -slope * OPERATING_LOG_ODDS,
        "folds": folds(),
        "training": {
            "candidates": len(candidates),
            "nodules": int((np.bincount(candidates.source[candidates.nodule]) > 0).sum()),
            "seed": seed,
            "steps": steps,
        },
    }


def steepness(log_odds: NDArray, nodule: NDArray[np.bool_], weight: NDArray) -> float:
    """The factor that makes log odds those of the candidates at hand (Platt 1999), up to how frequent nodules are."""
    from sklearn.linear_model import LogisticRegression

    return float(LogisticRegression(C=1e3).fit(log_odds[:, None], nodule, weight).coef_[0, 0])
