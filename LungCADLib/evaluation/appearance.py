"""`lungcad evaluate appearance`: the appearance network on slices and patches of patients it has not seen."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LungCADLib.compute import choose_device
from LungCADLib.errors import InputError
from LungCADLib.evaluation.appearance_card import COLUMNS, PARTS_COLUMNS, SETS, card, parts_rows, rows
from LungCADLib.evaluation.appearance_figures import Figures, Rated, figures, strata_of
from LungCADLib.evaluation.classification import plain_figures, reliability
from LungCADLib.evaluation.reliability_figure import Curve, svg
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.evaluation.slice_files import add_file_arguments, check_files, read_files
from LungCADLib.malignancy import appearance
from LungCADLib.malignancy.reader_model import ReaderModel
from LungCADLib.malignancy.reader_model import packaged as reader_model
from LungCADLib.training.appearance_data import patch_hu, still_views
from LungCADLib.training.appearance_fusion import (
    DIAMETER,
    LONG_AXIS,
    NO_FOLD,
    columns_of,
    folds_of,
    in_protocol,
    measure,
    suspicious,
    unseen_answers,
    unseen_probabilities,
)
from LungCADLib.training.patch_sets import Patches
from LungCADLib.training.slice_sets import Slices
from LungCADLib.weights import bundled_members, write_table

DIFFERENCES = {
    "slices": (
        ("", "ruler"), ("fusion", "ruler"), ("fusion", "reader_model"), ("fusion", "signs"), ("fusion", ""),
        ("size", "ruler"), ("", "reader_model"),
    ),
    "patches": (("", "ruler"), ("fusion", "ruler"), ("fusion", "")),
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_file_arguments(parser, appearance.NAME)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the reliability curves as an SVG picture")


def run(args: argparse.Namespace) -> int:
    """Ask the networks, compare, print."""
    check_files(args)
    slices, patches = read_files(args)
    device = choose_device(args.device)
    sets: dict[str, tuple[Rated, list[str]]] = {}
    if slices is not None:
        sets["slices"] = rate_slices(slices, device)
    if patches is not None:
        sets["patches"] = rate_patches(patches, device)
    found = {name: Result(rated, figures(rated, DIFFERENCES[name]), notes) for name, (rated, notes) in sets.items()}

    picture = svg({f"{SETS[name]}: {curve}": c for name, one in found.items() for curve, c in one.curves().items()})
    if args.plot:
        args.plot.write_text(picture, encoding="utf-8")
    plain = {name: one.plain() for name, one in found.items()}
    if args.card:
        args.card.mkdir(parents=True, exist_ok=True)
        data = appearance.packaged() | {"figures": {name: one.numbers() for name, one in found.items()}}
        write_table(args.card / "appearance.json", data)
        (args.card / "appearance-reliability.svg").write_text(picture, encoding="utf-8")
        parameters = sum(p.numel() for p in appearance.networks()[0].parameters())
        page_text = card(
            data, bundled_members(appearance.NAME)[1], parameters, {k: one.figures for k, one in found.items()}
        )
        (args.card / "appearance.md").write_text(page_text, encoding="utf-8")
    if args.json:
        sys.stdout.write(json.dumps(plain if len(plain) > 1 else next(iter(plain.values()))) + "\n")
    else:
        _show(found)
    return 0


def rate_slices(slices: Slices, device: str) -> tuple[Rated, list[str]]:
    """What is said of the slices that count, and what to know about it.

    Raises
    ------
    InputError
        If none of them counts.
    """
    n = len(slices)
    slices = slices.only(in_protocol(slices))
    if not len(slices):
        raise InputError("No slice has three readers and a median malignancy that is not 3; there is nothing to test.")
    folds, data = folds_of(slices.patient), appearance.packaged()
    answers = unseen_answers(appearance.networks(), still_views(slices.hu, slices.spacing_mm), folds, device)
    measured = measure(slices)
    columns = columns_of(answers, measured)
    unseen = {name: unseen_probabilities(data, name, columns, folds) for name in data["models"]}
    network = unseen.pop(appearance.ALONE_MODEL)
    others = unseen | {
        "area": slices.area_mm2,
        "reader_model": ReaderModel.from_json(reader_model()).suspicion(measured.terms)[0],
    }
    strata = strata_of(slices.vendor, slices.median("texture"))
    rated = Rated(suspicious(slices), network, others, measured.long_axis_mm, slices.patient, strata)
    note = f"{len(slices)} of {n} slices count: three or more readers, median malignancy not 3."
    return rated, [note, _who(folds)]


def rate_patches(patches: Patches, device: str) -> tuple[Rated, list[str]]:
    """What is said of every patch, and what to know about it; the fusion adds the diameter, patches have no outline."""
    folds, data = folds_of(patches.patient), appearance.packaged()
    answers = unseen_answers(appearance.networks(), still_views(patch_hu(patches), patches.spacing_mm), folds, device)
    columns = {
        **dict(zip(appearance.ANSWERS, answers.T, strict=True)),
        **dict.fromkeys((DIAMETER, LONG_AXIS), np.log(patches.diameter_mm)),
    }
    network, fusion, ruler = (
        unseen_probabilities(data, name, columns, folds) for name in (appearance.ALONE_MODEL, "size", "ruler")
    )
    others = {"fusion": fusion, "ruler": ruler}
    rated = Rated(patches.malignant, network, others, patches.diameter_mm, patches.patient, {})
    return rated, ["On patches the fusion adds the file's diameter, since they have no outline.", _who(folds)]


def _who(folds: "np.ndarray") -> str:
    new = int((folds == NO_FOLD).sum())
    return (
        f"{len(folds) - new} nodules are of patients in lidc-folds.csv, each judged by the one network of five, and by "
        f"coefficients, that have not seen the patient; {new} are of others, judged by all five networks, as in use."
    )


@dataclass(frozen=True, eq=False)
class Result:
    """What was said of one set, its figures, and what to know about them."""

    rated: Rated
    figures: Figures
    notes: list[str]

    def curves(self) -> dict[str, Curve]:
        """Reliability of the network and of the fusion."""
        said = {"network": self.rated.network, "fusion": self.rated.others["fusion"]}
        return {name: reliability(self.rated.labels, probabilities) for name, probabilities in said.items()}

    def numbers(self) -> dict[str, dict[str, float | int | None]]:
        """Every figure by name for JSON, null where it does not exist."""
        return plain_figures(self.figures)

    def plain(self) -> dict[str, Any]:
        """All of it for JSON."""
        curves = {f"reliability_{name}": curve for name, curve in self.curves().items()}
        return {**self.numbers(), **curves, "notes": self.notes}


def _show(found: Mapping[str, Result]) -> None:
    console = page()
    for name, one in found.items():
        show_table(console, f"Appearance network on {SETS[name]}", COLUMNS, rows(one.figures))
        show_table(console, f"AUC on {SETS[name]}, in parts", PARTS_COLUMNS, parts_rows(one.figures))
        for note in one.notes:
            console.print(note)
        console.print()
