"""`lungcad train reduction`: teaches the network that tells nodules from other candidates, one member per fold."""

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
from LungCADLib.detection.reduction_network import WIDTHS
from LungCADLib.detection.views import SIDE
from LungCADLib.resources import resource
from LungCADLib.training.candidates import KINDS, STORED_SIDE, Candidates, ground_candidates
from LungCADLib.training.detection_grounds import crop_grounds, scan_grounds
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.insertions import box_nodules, inserted_candidates, stamp_nodules
from LungCADLib.training.nodule_sets import read_vois
from LungCADLib.training.phantom_grounds import phantom_grounds
from LungCADLib.training.reduction_recipe import Scaling, recipe
from LungCADLib.training.trainer import train

if TYPE_CHECKING:
    from torch import nn

STEPS = 500
"""Batches of each member, half of them before the hard candidates are chosen anew."""

PHANTOMS = 10
REAL_REPEATS, PHANTOM_REPEATS = 12, 3
MOST_OTHERS, MOST_OTHERS_OF_A_PHANTOM = 800, 250
"""Candidates kept of a scan or a crop that are no nodules, half of them those that score best by their numbers."""

OPERATING_POINT = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=Path("../shared/data"),
        help="folder with lidc-crops, lidc-vois, lidc-stamps and the scans (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(), help="where to write (default: here)")
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs", NAME), help="checkpoints (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--steps", type=int, metavar="N", default=STEPS, help="batches (default: %(default)s)")
    parser.add_argument(
        "--folds", type=int, nargs="+", metavar="K", choices=range(FOLDS), default=list(range(FOLDS)), help="members"
    )


def run(args: argparse.Namespace) -> int:
    """Make the candidates, teach the members, write them once all are there."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(highlight=False, soft_wrap=True)
    with console.status("candidates") as status:
        candidates = kept_candidates(args.runs / f"candidates-{args.seed}.npz", args.data, args.seed, status.update)
    device = choose_device(args.device)
    members: dict[int, nn.Module] = {}
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console) as bars:
        for fold in range(FOLDS):
            folder = args.runs / f"fold-{fold}"
            if fold not in args.folds and not finished(folder):
                continue
            bar = bars.add_task(f"member {fold}", total=args.steps)
            members[fold] = train_member(
                candidates,
                fold,
                folder,
                args.steps,
                args.seed,
                device,
                lambda done, bar=bar: bars.update(bar, completed=done),
            )
    if len(members) < FOLDS:
        console.print(f"{len(members)} of {FOLDS} members are there; train the others and all are written.")
        return 0
    description = describe_members(candidates, [members[k] for k in range(FOLDS)], args.seed, args.steps, device)
    console.print(json.dumps(description["training"]))
    from LungCADLib.weights import write_members

    path = args.out / f"{NAME}.safetensors"
    write_members(path, [members[k].state_dict() for k in range(FOLDS)], description)
    console.print(str(path))
    return 0


def fold_of() -> Callable[[str], int]:
    """The fold in which a patient, or a scan of the list of scans, is tested; -1 for one that nobody tests."""
    patients = fold_of_patient()
    scans = json.loads(resource("Models", "detection-scans.json").read_text(encoding="utf-8"))["scans"]
    named = {scan[key]: scan["fold"] for scan in scans for key in ("folder", "patient")}
    return lambda name: named.get(name, patients.get(name, -1))


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
    fold = fold_of()
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
) -> "nn.Module":
    """The member that sees nothing of a fold's patients.

    It learns in two rounds; in the second, what is no nodule is drawn by what the first round made of it.
    """
    mine = candidates.take(~(candidates.folds == fold).any(axis=1))
    scaling = scaling_of(candidates)
    half = steps // 2
    settings = {"fold": fold}
    first = train(
        recipe(mine, scaling, mine.hardness, half, settings=settings),
        folder / "1",
        seed + 10 * fold,
        device,
        lambda at, of: done(at),
    )
    hardness = 1 / (1 + np.exp(-log_odds(first, mine, scaling, device)))
    again = recipe(mine, scaling, hardness.astype(np.float32), steps - half, first.state_dict(), settings)
    return train(again, folder / "2", seed + 10 * fold + 1, device, lambda at, of: done(half + at))


def finished(folder: Path) -> bool:
    """Whether a member's second round has begun, which is as much as a look at the folder tells."""
    return (folder / "2").is_dir()


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
    network = network.to(device).eval()
    numbers = scaling(candidates.numbers)

    def answer(rows: "torch.Tensor") -> "torch.Tensor":
        i = rows.cpu().numpy()
        views = np.ascontiguousarray(candidates.views[i][:, :, inner, inner, inner])
        return network(torch.from_numpy(views).to(device), torch.from_numpy(numbers[i]).to(device))

    return predict(answer, torch.arange(len(candidates)), device).numpy()


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
    slope, intercept = calibrate(np.concatenate(own), np.concatenate(truth), np.concatenate(weight))
    return {
        "widths": list(WIDTHS),
        "features": list(NAMES),
        "mean": scaling.mean.tolist(),
        "scale": scaling.scale.tolist(),
        "slope": slope,
        "intercept": intercept,
        "operating_point": OPERATING_POINT,
        "folds": {},
        "training": {
            "candidates": len(candidates),
            "nodules": int((np.bincount(candidates.source[candidates.nodule]) > 0).sum()),
            "seed": seed,
            "steps": steps,
        },
    }


def calibrate(log_odds: NDArray, nodule: NDArray[np.bool_], weight: NDArray) -> tuple[float, float]:
    """Slope and intercept that make log odds those of the candidates at hand (Platt 1999)."""
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=1e3).fit(log_odds[:, None], nodule, weight)
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])
