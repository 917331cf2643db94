"""`lungcad evaluate cnn-2d`: the 2D CNN of paper 004 on slices and patches of patients it has not seen.

Slices count with three or more readers and a median malignancy that is not 3; patches count all, with the file's label.
A patient of `lidc-folds.csv` is judged by the one network of five that has not seen them, anyone else by the mean of
all. The ruler is the long axis; its probabilities are those of the appearance network's packaged regression on it,
fitted without the patient's fold.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.evaluation import training_curves
from LungCADLib.evaluation.classification import ROUNDS, plain_figures
from LungCADLib.evaluation.cnn_2d_card import NAMES, SETS, card, confusion_rows, parts_rows, report_rows, rows
from LungCADLib.evaluation.cnn_2d_figures import NETWORK, OTHER, Figures, confusion, figures, report
from LungCADLib.evaluation.compare_figures import RULER, Comparison
from LungCADLib.evaluation.compare_plots import roc_curves
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.evaluation.slice_files import add_file_arguments, check_files, read_files
from LungCADLib.malignancy import appearance, cnn_2d
from LungCADLib.malignancy.cnn_2d_view import Crop
from LungCADLib.training.appearance_fusion import LONG_AXIS, NO_FOLD, folds_of, in_protocol, unseen_probabilities
from LungCADLib.training.cnn_2d import COLUMNS as HELD_OUT_COLUMNS
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.nodule_sets import read_table
from LungCADLib.weights import bundled_members, read_members, write_table

if TYPE_CHECKING:
    from LungCADLib.malignancy.cnn_2d_network import Cnn2d


@dataclass(frozen=True, eq=False)
class Result:
    """What was said of one set, its figures, and what to know about them."""

    comparison: Comparison
    figures: Figures
    notes: list[str]

    @property
    def called(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Labels and the network's probabilities (n,)."""
        return self.comparison.labels, self.comparison.said[NETWORK]

    def numbers(self) -> dict[str, dict[str, float | int | None]]:
        """Every figure by name for JSON, null where it does not exist."""
        return plain_figures(self.figures)

    def plain(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            **self.numbers(),
            "confusion": confusion(*self.called),
            "report": report(*self.called),
            "notes": self.notes,
        }

    def roc(self) -> str:
        """The curves as an SVG picture, the ruler's dashed."""
        scores = {
            name: self.comparison.scores[name] for name in (RULER, NETWORK, OTHER) if name in self.comparison.said
        }
        return roc_curves(self.comparison.labels, {NAMES[name]: of for name, of in scores.items()}, paper=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_file_arguments(parser, cnn_2d.NAME)
    parser.add_argument(
        "--held-out", type=Path, metavar="FILE",
        help="held-out.csv of `lungcad train cnn-2d --split random`: the paper's own split",
    )  # fmt: skip
    parser.add_argument(
        "--beside", type=Path, metavar="FILE",
        help="the .safetensors of another training, such as of --crop fixed, to compare on the same nodules",
    )  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="write the curves of the training and ROC curves there as SVG"
    )


def run(args: argparse.Namespace) -> int:
    """Ask the networks, compare, print."""
    check_files(args)
    found = _judged(args)
    for folder in (args.plots, args.card):
        if folder:
            _draw(folder, found)
    if args.card:
        data = cnn_2d.packaged() | {"figures": {name: one.numbers() for name, one in found.items()}}
        write_table(args.card / f"{cnn_2d.NAME}.json", data)
        description = bundled_members(cnn_2d.NAME)[1]
        text = card(data["version"], description, {name: (one.figures, one.called) for name, one in found.items()})
        (args.card / f"{cnn_2d.NAME}.md").write_text(text, encoding="utf-8")
    plain = {name: one.plain() for name, one in found.items()}
    if args.json:
        sys.stdout.write(json.dumps(plain if len(plain) > 1 else next(iter(plain.values()))) + "\n")
    else:
        _show(found)
    return 0


def _judged(args: argparse.Namespace) -> dict[str, Result]:
    """The sets asked for, by name."""
    from LungCADLib.compute import choose_device

    device = choose_device(args.device)
    other = None if args.beside is None else read_networks(args.beside)
    slices, patches = read_files(args, unnamed=bool(args.card or not args.held_out))
    found: dict[str, Result] = {}
    if slices is not None:
        counting = slices.only(in_protocol(slices))
        if not len(counting):
            raise InputError(
                "No slice has three readers and a median malignancy that is not 3; there is nothing to test."
            )
        note = f"{len(counting)} of {len(slices)} slices count: three or more readers, median malignancy not 3."
        found["slices"] = judge(Cases.of_slices(counting), note, other, device)
    if patches is not None:
        note = "A patch is 32 native pixels wide, so that large nodules fill their crop."
        found["patches"] = judge(Cases.of_patches(patches), note, other, device)
    if args.held_out:
        found["random"] = read_held_out(args.held_out)
    return found


def judge(cases: Cases, note: str, other: "tuple[list[Cnn2d], Crop] | None" = None, device: str = "cpu") -> Result:
    """What the packaged networks, the ruler and another training say of nodules whose patients they have not seen.

    Parameters
    ----------
    cases
        All of them count.
    note
        What to know of the set.
    other
        Networks of another training, and how wide their crops are.
    device
        As `choose_device` gives it.
    """
    folds = folds_of(cases.patient)
    columns = {LONG_AXIS: np.log(cases.diameter_mm)}
    said = {
        NETWORK: unseen(list(cnn_2d.networks()), cnn_2d.packaged_crop(), cases, folds, device),
        RULER: unseen_probabilities(appearance.packaged(), "ruler", columns, folds),
    }
    if other is not None:
        said[OTHER] = unseen(*other, cases, folds, device)
    new = int((folds == NO_FOLD).sum())
    who = (
        f"{len(folds) - new} nodules are of patients in lidc-folds.csv, each judged by the one network of five that "
        f"has not seen the patient; {new} are of others, judged by all five networks, as in use."
    )
    comparison = Comparison(cases.suspicious, cases.diameter_mm, cases.patient, said, ROUNDS, seed=0)
    return Result(comparison, figures(comparison), [note, who])


def unseen(
    networks: "list[Cnn2d]", crop: Crop, cases: Cases, folds: NDArray[np.int64], device: str
) -> NDArray[np.float64]:
    """Probability (n,) by the network that has not seen the patient, or the mean of all of a stranger."""
    from LungCADLib.training.methods.cnn_2d import FittedCnn2d

    out = np.zeros(len(cases))
    for fold in set(folds.tolist()):
        rows = folds == fold
        asked = networks if fold == NO_FOLD else networks[fold : fold + 1]
        out[rows] = FittedCnn2d(asked, crop, device).predict(cases.only(rows))
    return out


def read_networks(path: Path) -> "tuple[list[Cnn2d], Crop]":
    """The networks in a file that `lungcad train cnn-2d` wrote, and how wide their crops are.

    Raises
    ------
    InputError
        If the file is missing, damaged or of other networks.
    """
    from LungCADLib.malignancy.cnn_2d_network import network_of

    members, said = read_members(path)
    if said.get("network") != "Cnn2d":
        raise InputError(f"{path} holds no networks of `lungcad train {cnn_2d.NAME}`; name a file that it wrote.")
    return [network_of(state) for state in members], Crop(said["crop"])


def read_held_out(path: Path) -> Result:
    """What a network trained by the paper's split says of the nodules that were held out.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another layout.
    """
    table = read_table(path, HELD_OUT_COLUMNS, f"written by `lungcad train {cnn_2d.NAME} --split random`")
    names = HELD_OUT_COLUMNS[1:]
    try:
        columns = {name: np.array([float(row[name]) for row in table]) for name in names}
    except ValueError:
        raise InputError(f"{path} holds something that is not a number; train again.") from None
    if not len(table) or not all(np.isfinite(column).all() for column in columns.values()):
        raise InputError(f"{path} holds no nodule, or something that is not a number; train again.")
    patients = np.array([row["patient"] for row in table])
    said = {NETWORK: columns["probability"], RULER: columns["ruler"]}
    comparison = Comparison(columns["suspicious"] > 0, columns["diameter_mm"], patients, said, ROUNDS, seed=0)
    shared = int(columns["learned_from_patient"].sum())
    note = (
        f"A random split, as the paper's: of the patients of {shared} of the {len(table)} nodules, the network has "
        "learned from another nodule. One network, not five."
    )
    return Result(comparison, figures(comparison), [note])


def _draw(folder: Path, found: dict[str, Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"curves": training_curves.svg(bundled_members(cnn_2d.NAME)[1]["curves"])}
    pictures |= {f"roc-{name}": one.roc() for name, one in found.items()}
    for name, picture in pictures.items():
        (folder / f"{cnn_2d.NAME}-{name}.svg").write_text(picture, encoding="utf-8")


def _show(found: dict[str, Result]) -> None:
    console = page()
    for name, one in found.items():
        columns, lines = rows(one.figures, name)
        show_table(console, f"2D CNN of paper 004 on {SETS[name]}", columns, lines)
        columns, lines = parts_rows(one.figures)
        show_table(console, f"AUC on {SETS[name]}, in parts", columns, lines)
        for title, (columns, lines) in (
            ("Confusion matrix", confusion_rows(*one.called)),
            ("Classification report", report_rows(*one.called)),
        ):
            show_table(console, title, columns, lines)
        for note in one.notes:
            console.print(note)
        console.print()
