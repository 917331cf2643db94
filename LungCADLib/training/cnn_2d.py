"""`lungcad train cnn-2d`: the 2D CNN of paper "004", five times by folds of patients, or once by the paper's own split.

By folds it writes `cnn-2d.safetensors` and `cnn-2d.json`; `lungcad evaluate cnn-2d` says how good the networks are. By
the paper's split (`--split random`: a random 70 % of the nodules, both kinds in proportion, whoever's they are) it
writes what one network says of the other 30 %, for `lungcad evaluate cnn-2d --held-out FILE`; a patient's nodules may
then stand on both sides, so that these figures are there to be compared with the paper's only.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LungCADLib.errors import InputError
from LungCADLib.malignancy.cnn_2d import NAME
from LungCADLib.malignancy.cnn_2d_view import Crop
from LungCADLib.training.members import add_training_arguments

if TYPE_CHECKING:
    from LungCADLib.training.methods.cases import Cases

EPOCHS = 50
"""The paper's."""

LEAST_READERS = 2
"""Of a nodule that is learned from: what one reader alone marked has the noisiest label, and without it the paper's 50
epochs take a third fewer steps. The paper does not say."""

HELD_OUT_SHARE = 0.3
HELD_OUT = "held-out.csv"
COLUMNS = ("patient", "suspicious", "diameter_mm", "probability", "ruler", "learned_from_patient")
"""Of `HELD_OUT`: the label, the long axis, what network and ruler say, and whether the network learned from another
nodule of the patient."""

VERSION = "1.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, EPOCHS, "epochs")
    parser.add_argument(
        "--crop", choices=[crop.value for crop in Crop], default=Crop.SCALED.value,
        help="width of what is seen: twice the nodule's, or the same for all (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--least-readers", type=int, choices=(1, 2, 3, 4), metavar="N", default=LEAST_READERS,
        help="learn from nodules that so many readers marked (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("patients", "random"), default="patients",
        help="five folds by patient, or the paper's: one network on a random 70%% of the nodules (default: patients)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet; write what came of it."""
    if args.epochs < 1:
        args.usage_error("--epochs must be at least 1")
    cases = gather(args.data, args.least_readers)
    return by_chance(cases, args) if args.split == "random" else by_folds(cases, args)


def gather(data: Path, least_readers: int) -> "Cases":
    """The slices in a folder of data with so many readers and a median malignancy that is not 3.

    Raises
    ------
    InputError
        If files are missing or damaged, a patient is in no fold, or a fold leaves nothing of one kind to learn from.
    """
    from LungCADLib.training.appearance_data import SLICES
    from LungCADLib.training.folds import FOLDS, fold_of_patient
    from LungCADLib.training.methods.cases import Cases
    from LungCADLib.training.slice_sets import read_slices

    path = data / SLICES / "slices.npz"
    slices = read_slices(path, path.with_name("ratings.csv"))
    cases = Cases.of_slices(slices.only(slices.readers >= least_readers))
    fold_of = fold_of_patient()
    strangers = set(cases.patient.tolist()) - fold_of.keys()
    if strangers:
        raise InputError(
            f"{path} holds nodules of {min(strangers)}, who is in no fold (Models/lidc-folds.csv), and networks learn "
            "from no other patients; leave them out."
        )
    folds = np.array([fold_of[patient] for patient in cases.patient.tolist()])
    if any(len(set(cases.suspicious[folds != k].tolist())) < 2 for k in range(FOLDS)):
        raise InputError(
            f"{path}: {len(cases)} slices have {least_readers} or more readers and a median malignancy that is not 3; "
            "without the patients of one fold they must still be of both kinds."
        )
    return cases


def by_folds(cases: "Cases", args: argparse.Namespace) -> int:
    """Five networks, each without the patients of one fold, in one file."""
    from rich.console import Console

    from LungCADLib.compute import choose_device
    from LungCADLib.training.cnn_2d_curve import read_curve
    from LungCADLib.training.cnn_2d_recipe import recipe, steps_per_epoch
    from LungCADLib.training.folds import FOLDS, fold_of_patient
    from LungCADLib.training.members import is_finished, train_folds
    from LungCADLib.training.trainer import train
    from LungCADLib.weights import write_members, write_table

    device, crop, fold_of = choose_device(args.device), Crop(args.crop), fold_of_patient()
    folds = np.array([fold_of[patient] for patient in cases.patient.tolist()])
    learned = [cases.only(folds != k) for k in range(FOLDS)]
    steps = [args.epochs * steps_per_epoch(len(some)) for some in learned]
    args.steps = max(steps)

    def member(k: int, done: Callable[[int], None]) -> Any:
        made = recipe(learned[k], crop, steps[k], held_out=cases.only(folds == k))
        return train(made, args.runs / f"fold-{k}", args.seed + k, device, lambda at, of: done(at))

    members = train_folds(NAME, args, member, lambda k: is_finished(args.runs / f"fold-{k}", steps[k]))
    if members is None:
        return 0
    said = {
        "network": "Cnn2d",
        "crop": crop.value,
        "epochs": args.epochs,
        "seed": args.seed,
        "least_readers": args.least_readers,
        "nodules": len(cases),
        "suspicious": int(cases.suspicious.sum()),
        "patients": len(set(cases.patient.tolist())),
        "curves": [read_curve(args.runs / f"fold-{k}") for k in range(FOLDS)],
        "data": "LIDC-IDRI, CC BY 3.0",
    }
    path = args.out / f"{NAME}.safetensors"
    write_members(path, [one.state_dict() for one in members], said)
    write_table(path.with_suffix(".json"), {"name": NAME, "version": VERSION})
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{path}: {FOLDS} networks, {path.stat().st_size / 1e6:.1f} MB; test it with `lungcad evaluate {NAME}`.")
    return 0


def by_chance(cases: "Cases", args: argparse.Namespace) -> int:
    """One network on 70 % of the nodules, whoever's they are; what it says of the others."""
    from rich.console import Console
    from rich.progress import Progress
    from sklearn.model_selection import train_test_split

    from LungCADLib.compute import choose_device
    from LungCADLib.training.folds import FOLDS
    from LungCADLib.training.methods import Run
    from LungCADLib.training.methods.cnn_2d import Cnn2dMethod
    from LungCADLib.training.methods.ruler import METHOD as RULER

    if args.folds != list(range(FOLDS)):
        args.usage_error("--folds belongs to --split patients")
    learned, held_out = (
        cases.only(np.sort(rows))
        for rows in train_test_split(
            np.arange(len(cases)), test_size=HELD_OUT_SHARE, stratify=cases.suspicious, random_state=args.seed
        )
    )
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Training {NAME}", total=1.0)
        run = Run(
            args.runs / "random",
            args.seed,
            choose_device(args.device),
            lambda share: bar.update(task, completed=share),
            args.epochs / EPOCHS,
        )
        fitted = Cnn2dMethod(Crop(args.crop)).fit(learned, run)
    rows = zip(
        held_out.patient.tolist(),
        held_out.suspicious.astype(int).tolist(),
        held_out.diameter_mm.tolist(),
        fitted.predict(held_out).tolist(),
        RULER.fit(learned, run).predict(held_out).tolist(),
        np.isin(held_out.patient, learned.patient).astype(int).tolist(),
        strict=True,
    )
    path = run.folder / HELD_OUT
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    partial.replace(path)
    Console(highlight=False, soft_wrap=True).print(
        f"{path}: {len(held_out)} nodules that one network has not seen, after it learned from {len(learned)}; print "
        f"the figures with `lungcad evaluate {NAME} --held-out {path}`."
    )
    return 0
