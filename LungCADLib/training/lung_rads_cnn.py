"""`lungcad train lung-rads-cnn`: the Lung-RADS slice set's pipeline, on LIDC's slices or on the set itself.

On LIDC's slices (the default) it trains five members by fold and writes `lung-rads-cnn.safetensors` and, once all are
there, `lung-rads-cnn.json` with the coefficients that turn their answers into opinions; `lungcad evaluate
lung-rads-cnn` says how good they are. With `--set` it trains one network on a set that `lungcad data convert` wrote,
whole slices at a time, and writes `lung-rads-set.safetensors`; its answers are the classes that are in the set. Such a
network is never tested on LIDC, whose images are in part in the set under no name.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LungCADLib.errors import InputError
from LungCADLib.malignancy.lung_rads_cnn import ANSWERS, NAME, PIXEL_MM, SIDE_PIXELS, answers, still_views
from LungCADLib.malignancy.reader_model import Quantity, ReaderModel
from LungCADLib.training.appearance_fusion import folds_of
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.members import add_training_arguments, train_members
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.reader_fit import LEAST_READERS, fit
from LungCADLib.training.slice_sets import read_slices

if TYPE_CHECKING:
    from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork

VERSION = "1.0"
STEPS = 400
"""Batches of each member, or of the set's network."""

SET_NAME = "lung-rads-set"
LIDC, SET = "LIDC-IDRI, CC BY 3.0", "Lung-RADS slice set"
"""What the file of weights says that it was made of."""

SLICES = "lidc-slices"
QUANTITIES = {name: Quantity(f"log_odds_{name}", f"log odds of suspicion by the {name} image", "") for name in ANSWERS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    from LungCADLib.malignancy.lung_rads_cnn_network import WIDTHS
    from LungCADLib.training.lung_rads_cnn_recipe import WIDTH
    from LungCADLib.training.lung_rads_cnn_set import SIDE

    add_training_arguments(parser, NAME, STEPS)
    parser.add_argument(
        "--width", type=float, choices=WIDTHS, default=WIDTH, help="of MobileNetV2's layers (default: %(default)s)"
    )
    parser.add_argument(
        "--pretrained", type=Path, metavar="FILE",
        help="start the encoder from torchvision's weights of mobilenet_v2 in this file; needs --width 1.0",
    )  # fmt: skip
    parser.add_argument(
        "--set", type=Path, metavar="FILE.npz", help="train on a converted Lung-RADS set instead of LIDC's slices"
    )
    parser.add_argument(
        "--side", type=int, metavar="PIXELS", default=SIDE,
        help="with --set: the whole slice is brought to so many pixels, a multiple of 32 (default: %(default)s)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet, and write the files."""
    from LungCADLib.weights import read_state

    pretrained = read_state(args.pretrained) if args.pretrained else None
    if args.set:
        from LungCADLib.training.lung_rads_cnn_set import train_set

        return train_set(args, pretrained)
    from LungCADLib.training.lung_rads_cnn_recipe import BATCH, recipe

    cases = read_cases(args.data)
    description = {
        "network": "LungRadsNetwork",
        "width": args.width,
        "batch": BATCH,
        "pretrained": args.pretrained is not None,
        "pixels": SIDE_PIXELS,
        "pixel_mm": PIXEL_MM,
        "slices": len(cases),
        "patients": len(set(cases.patient.tolist())),
        "data": LIDC,
    }
    path = args.out / f"{NAME}.safetensors"
    before = path.stat().st_mtime_ns if path.is_file() else None
    train_members(
        NAME,
        lambda left_out: recipe(
            cases.only(~np.isin(cases.patient, list(left_out))), args.steps, args.width, pretrained=pretrained
        ),
        description,
        args,
    )
    if path.is_file() and path.stat().st_mtime_ns != before:
        write_models(path, cases)
    return 0


def read_cases(data: Path) -> Cases:
    """LIDC's slices to learn from, of patients who are in a fold.

    Raises
    ------
    InputError
        If the files are missing or damaged, or hold another patient.
    """
    cases = Cases.of_slices(read_slices(data / SLICES / "slices.npz", data / SLICES / "ratings.csv"))
    strangers = set(cases.patient.tolist()) - fold_of_patient().keys()
    if strangers:
        raise InputError(
            f"{data / SLICES} holds nodules of {min(strangers)}, who is in no fold (Models/lidc-folds.csv), "
            "and networks learn from no other patients; leave them out."
        )
    return cases


def write_models(path: Path, cases: Cases) -> None:
    """Write the coefficients beside the networks, and enter both into the list of released weights."""
    from rich.console import Console

    from LungCADLib.malignancy.lung_rads_cnn_network import network_of
    from LungCADLib.weights import read_members, write_table

    members = [network_of(state) for state in read_members(path)[0]]
    table = path.with_suffix(".json")
    models = fit_models(cases, members)
    write_table(table, models)
    counts = models["training"]
    Console(highlight=False, soft_wrap=True).print(
        f"{table}: fitted on {counts['nodules']} slices ({counts['suspicious']} suspicious) of {counts['patients']} "
        "patients, each seen by a network that had not learned from that patient."
    )


def fit_models(cases: Cases, members: "Sequence[LungRadsNetwork]", device: str = "cpu") -> dict[str, Any]:
    """What `lung-rads-cnn.json` holds before it is tested: a logistic regression on each answer's log odds.

    Fitted on what each patient's own member says of cases of three readers or more; of all, and without each fold.

    Raises
    ------
    InputError
        If too few cases are left to fit anything.
    """
    cases = cases.only(cases.readers >= LEAST_READERS)
    folds = folds_of(cases.patient)
    if any(len(set(cases.suspicious[folds != k].tolist())) < 2 for k in range(FOLDS)):
        raise InputError(
            f"Of the slices, {len(cases)} have {LEAST_READERS} readers; without the patients of one fold they must "
            "still be of both kinds."
        )
    said = unseen_answers(members, cases, device)

    def fitted(i: int, among: np.ndarray) -> dict[str, Any]:
        quantity = QUANTITIES[ANSWERS[i]]
        model = fit(said[among, i : i + 1], cases.suspicious[among], (quantity.name,))
        return {"version": VERSION, **model.to_json((quantity,))}

    return {
        "name": NAME,
        "version": VERSION,
        "training": {
            "protocol": "three or more readers, median malignancy not 3; positive: median above 3",
            "nodules": len(cases),
            "suspicious": int(cases.suspicious.sum()),
            "patients": len(set(cases.patient.tolist())),
        },
        "models": {name: fitted(i, folds == folds) for i, name in enumerate(ANSWERS)},
        "left_out": {name: [fitted(i, folds != k) for k in range(FOLDS)] for i, name in enumerate(ANSWERS)},
    }


def unseen_answers(members: "Sequence[LungRadsNetwork]", cases: Cases, device: str = "cpu") -> np.ndarray:
    """Log odds (n, `ANSWERS`) of the member that has not seen the case's patient, or the mean of all for a stranger."""
    folds = folds_of(cases.patient)
    out = np.zeros((len(cases), len(ANSWERS)))
    for fold in set(folds.tolist()):
        rows = folds == fold
        asked = members if fold < 0 else members[fold : fold + 1]
        out[rows] = answers(asked, still_views(cases.hu[rows], cases.spacing_mm[rows]), device).mean(axis=0)
    return out


def unseen_probabilities(data: dict[str, Any], said: np.ndarray, patients: np.ndarray, answer: str) -> np.ndarray:
    """Probability (n,) of log odds (n, `ANSWERS`) by coefficients that were fitted without the patient's fold."""
    folds, i = folds_of(patients), ANSWERS.index(answer)
    out = np.zeros(len(folds))
    for fold in set(folds.tolist()):
        fitted = data["models"][answer] if fold < 0 else data["left_out"][answer][fold]
        rows = folds == fold
        out[rows] = ReaderModel.from_json(fitted).suspicion(said[rows, i : i + 1])[0]
    return out
