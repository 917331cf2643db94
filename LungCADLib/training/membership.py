"""`lungcad train membership`: the feature extractors of method 000, five times, and the patterns in their features.

It writes `membership.safetensors` and, once all five networks are there, `membership.json` with the patterns;
`lungcad evaluate membership` says how good they are.
"""

import argparse
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LungCADLib.malignancy.membership import NAME
from LungCADLib.malignancy.preprocessing import OF_PATCHES, Step
from LungCADLib.training.label_rules import LabelRule
from LungCADLib.training.members import add_training_arguments, train_members

if TYPE_CHECKING:
    from LungCADLib.training.membership_recipe import Choices
    from LungCADLib.training.methods.cases import Cases
    from LungCADLib.training.trainer import Recipe

STEPS = 400
VERSION = "1.0"
TRANSFER, SCRATCH = "appearance", "scratch"

GAN_STEPS = 150
GAN_WIDTH = 32
GAN_RATE = 3e-4
"""Half the width and three times the rate of learning of paper 003's reading: there are few pictures, and little time.
"""

GENERATED = 500
"""Pictures that a GAN makes for one network."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, STEPS)
    parser.add_argument(
        "--start", default=TRANSFER, metavar="WHAT",
        help=f"first layers: {TRANSFER} (the packaged network's member of the same fold), {SCRATCH}, or a .safetensors "
        "file that `lungcad train appearance` wrote (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--label-rule", choices=[rule.value for rule in LabelRule], default=LabelRule.LEAVE_OUT.value, metavar="RULE",
        help=f"which nodules are suspicious, by the readers' median: {', '.join(LabelRule)}; the paper's is "
        f"{LabelRule.SUSPICIOUS} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--preprocess", nargs="*", choices=[step.value for step in OF_PATCHES], default=[], metavar="STEP",
        help=f"of every picture, in training and in use: {', '.join(OF_PATCHES)}; the paper's is erode (default: none; "
        "some pictures are altered in training anyway)",
    )  # fmt: skip
    parser.add_argument(
        "--gan-share", type=_share, default=0.0, metavar="SHARE",
        help="of each batch, suspicious nodules made by a GAN with DiffAugment that learned from the same cases "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--gan-steps", type=int, default=GAN_STEPS, metavar="N", help="of the GAN (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet; write both files when all five are there."""
    from LungCADLib.training.appearance_data import SLICES
    from LungCADLib.training.methods.cases import Cases
    from LungCADLib.training.slice_sets import read_slices

    slices = read_slices(args.data / SLICES / "slices.npz", args.data / SLICES / "ratings.csv")
    cases = Cases.of_slices(slices, LabelRule(args.label_rule))
    description = {
        "network": "MembershipNetwork",
        "start": args.start if args.start in (TRANSFER, SCRATCH) else "file",
        "label_rule": args.label_rule,
        "preprocess": args.preprocess,
        "gan_share": args.gan_share,
        "gan_steps": args.gan_steps if args.gan_share else 0,
        "data": "LIDC-IDRI, CC BY 3.0",
    }
    path = args.out / f"{NAME}.safetensors"
    before = path.stat().st_mtime_ns if path.is_file() else None
    train_members(NAME, lambda left_out: _recipe(cases, left_out, args), description, args)
    if path.is_file() and path.stat().st_mtime_ns != before:
        _write_patterns(path, cases, args)
    return 0


def _recipe(cases: "Cases", left_out: Collection[str], args: argparse.Namespace) -> "Recipe":
    """Of the member that never sees these patients; its GAN is trained first, where one is asked for."""
    from LungCADLib.training.folds import fold_of_patient
    from LungCADLib.training.membership_recipe import recipe
    from LungCADLib.training.methods.membership import held_out

    fold = fold_of_patient()[next(iter(left_out))]
    learned = cases.only(~np.isin(cases.patient, list(left_out)))
    learned = learned.only(~held_out(learned, args.seed + fold))
    return recipe(learned, args.steps, _choices(learned, fold, args))


def _choices(learned: "Cases", fold: int, args: argparse.Namespace) -> "Choices":
    from LungCADLib.malignancy import appearance
    from LungCADLib.malignancy.appearance_network import network_of
    from LungCADLib.training.membership_recipe import Choices
    from LungCADLib.weights import read_members

    start = None
    if args.start == TRANSFER:
        start = appearance.networks()[fold]
    elif args.start != SCRATCH:
        start = network_of(read_members(Path(args.start))[0][fold])
    generated = _generated(learned, fold, args) if args.gan_share and fold in args.folds else None
    return Choices(start, _steps(args), generated, args.gan_share)


def _generated(learned: "Cases", fold: int, args: argparse.Namespace) -> Any:
    """Pictures of suspicious nodules by a GAN that has seen what the network learns from, and nothing else."""
    from LungCADLib.compute import choose_device
    from LungCADLib.malignancy.preprocessing import preprocessed
    from LungCADLib.training.appearance_data import still_views
    from LungCADLib.training.diff_augment import diff_augment
    from LungCADLib.training.gan import GanRecipe, generate, train_gan

    of = learned.only(learned.suspicious)
    pictures = still_views(preprocessed(of.hu, _steps(args)), of.spacing_mm)[:, 0].numpy()
    made = GanRecipe(
        pictures,
        args.gan_steps,
        width=GAN_WIDTH,
        learning_rate=GAN_RATE,
        augment=diff_augment,
        settings={"augment": "DiffAugment"},
    )
    with _bar(f"GAN of fold {fold}", args.gan_steps) as step_done:
        folder = args.runs / f"gan-{fold}"
        generator = train_gan(made, folder, args.seed + fold, choose_device(args.device), step_done)
    return generate(generator, GENERATED, args.seed + fold)


@contextmanager
def _bar(title: str, steps: int) -> Iterator[Callable[[int, int], None]]:
    """A bar that says how long it takes."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=steps)
        yield lambda done, of: progress.update(task, completed=done)


def _write_patterns(path: Path, cases: "Cases", args: argparse.Namespace) -> None:
    """Write `membership.json` beside the networks."""
    from rich.console import Console

    from LungCADLib.malignancy.membership import PATTERNS
    from LungCADLib.malignancy.membership_network import network_of
    from LungCADLib.training.folds import FOLDS, fold_of_patient
    from LungCADLib.training.methods.membership import held_out, patterns_of
    from LungCADLib.weights import read_members, write_table

    fold_of = fold_of_patient()
    folds = np.array([fold_of[patient] for patient in cases.patient.tolist()])
    members = [network_of(state) for state in read_members(path)[0]]
    found = []
    for k in range(FOLDS):
        learned = cases.only(folds != k)
        held = held_out(learned, args.seed + k)
        found.append(patterns_of(members[k], learned, held, args.seed + k, _steps(args)).to_json())
    table = {
        "name": NAME,
        "version": VERSION,
        "training": {
            "label_rule": args.label_rule,
            "nodules": len(cases),
            "suspicious": int(cases.suspicious.sum()),
            "patients": len(set(cases.patient.tolist())),
        },
        PATTERNS: found,
    }
    path = path.with_suffix(".json")
    write_table(path, table)
    Console(highlight=False, soft_wrap=True).print(
        f"{path}: patterns of {len(cases)} nodules ({table['training']['suspicious']} suspicious) of "  # type: ignore[index]
        f"{table['training']['patients']} patients, of each network without the patients it has not seen."  # type: ignore[index]
    )


def _steps(args: argparse.Namespace) -> tuple[Step, ...]:
    return tuple(Step(name) for name in args.preprocess)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share from 0 to below 1")
    return share
