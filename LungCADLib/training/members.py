"""Five networks of one kind, each trained without the patients of one fold, in one file of weights."""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LungCADLib.compute import choose_device
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.trainer import CHECKPOINT, Recipe, train

if TYPE_CHECKING:
    from torch import nn


def add_training_arguments(parser: argparse.ArgumentParser, name: str, steps: int, unit: str = "steps") -> None:
    """What the command line of every network's training says; `unit` is what its length is counted in."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help="folder with lidc-slices, lidc-vois and lidc-crops (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(), help="where to write (default: here)")
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs") / name,
        help="checkpoints and TensorBoard logs; the same command goes on from there (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="of everything random (default: 0)")
    parser.add_argument(f"--{unit}", type=int, metavar="N", default=steps, help="per network (default: %(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--folds", type=int, nargs="+", choices=range(FOLDS), metavar="K", default=list(range(FOLDS)),
        help="train only these of the five; the file is written when all are there (default: all)",
    )  # fmt: skip


def train_members(
    name: str,
    recipe: Callable[[Collection[str]], Recipe],
    description: Mapping[str, Any],
    args: argparse.Namespace,
    learned: "Callable[[Sequence[nn.Module]], Mapping[str, Any]]" = lambda members: {},
) -> int:
    """Train the folds asked for, with a bar that says how long it takes, and write `NAME.safetensors` if all are there.

    Parameters
    ----------
    name
        Of the network.
    recipe
        Called with the patients to leave out.
    description
        What the file says of itself besides seed and steps.
    args
        What `add_training_arguments` offers.
    learned
        Called with all five; adds to what the file says of itself.

    Returns
    -------
    int
        0 for the shell.
    """
    from rich.console import Console

    from LungCADLib.weights import write_members

    device = choose_device(args.device)
    fold_of = fold_of_patient()
    recipes = [recipe({p for p, fold in fold_of.items() if fold == k}) for k in range(FOLDS)]

    def member(k: int, done: Callable[[int], None]) -> Any:
        return train(recipes[k], args.runs / f"fold-{k}", args.seed + k, device, lambda at, of: done(at))

    members = train_folds(name, args, member, lambda k: is_finished(args.runs / f"fold-{k}", args.steps))
    if members is None:
        return 0
    path = args.out / f"{name}.safetensors"
    said = {**description, "seed": args.seed, "steps": args.steps, **learned(members)}
    write_members(path, [one.state_dict() for one in members], said)
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{path}: {FOLDS} networks, {path.stat().st_size / 1e6:.1f} MB; test it with `lungcad evaluate {name}`.")
    return 0


def train_folds(
    name: str,
    args: argparse.Namespace,
    member: "Callable[[int, Callable[[int], None]], nn.Module]",
    finished: Callable[[int], bool],
) -> "list[nn.Module] | None":
    """Train the folds asked for, with a bar that says how long it takes.

    Parameters
    ----------
    name
        Of the network.
    args
        What `add_training_arguments` offers.
    member
        Trains a fold, or goes on, and tells how many of its steps are done; what is finished is only read.
    finished
        Whether a fold is.

    Returns
    -------
    list[nn.Module] or None
        All five; None where some are missing, after saying which.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"Training {name}", total=args.steps * len(args.folds))
        for turn, k in enumerate(args.folds):
            before = turn * args.steps
            member(k, lambda done, before=before: progress.update(task, completed=before + done))  # type: ignore[misc]
    missing = [k for k in range(FOLDS) if not finished(k)]
    if missing:
        rest = " ".join(map(str, missing))
        out = Console(highlight=False, soft_wrap=True)
        out.print(f"Trained; {name}.safetensors will be written when these are too: --folds {rest}")
        return None
    return [member(k, lambda done: None) for k in range(FOLDS)]


def is_finished(folder: Path, steps: int) -> bool:
    """Whether the run in a folder has done all its steps."""
    import torch

    path = folder / CHECKPOINT
    return path.is_file() and bool(torch.load(path, map_location="cpu", weights_only=True)["done"] == steps)
