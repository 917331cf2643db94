"""`lungcad evaluate membership`: method 000 and its parts on slices and patches of patients they have not seen.

Slices count with three or more readers; once without those whose median malignancy is 3, as is usual, and once with
them as suspicious, as paper 000 counts. Patches count all, with the file's label. The ruler is the long axis; its
probabilities are those of the appearance network's packaged regression on it, fitted without the patient's fold.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from LungCADLib.errors import InputError
from LungCADLib.evaluation.classification import plain_figures
from LungCADLib.evaluation.compare_figures import Comparison
from LungCADLib.evaluation.compare_plots import reliability_sheet, roc_curves
from LungCADLib.evaluation.membership_card import NAMES, SETS, card, difference_rows, parts_rows, rows
from LungCADLib.evaluation.membership_figures import Figures, figures
from LungCADLib.evaluation.membership_judge import Trained, judge, packaged, read_trained
from LungCADLib.evaluation.preprocessing_sheet import phantom_sheet, sheet
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.evaluation.slice_files import add_file_arguments, check_files, read_files
from LungCADLib.malignancy import membership
from LungCADLib.pictures import png
from LungCADLib.training.label_rules import LabelRule
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.reader_fit import LEAST_READERS
from LungCADLib.weights import bundled_members, write_table

RULES = {"slices": LabelRule.LEAVE_OUT, "slices_at_least_3": LabelRule.SUSPICIOUS}


@dataclass(frozen=True, eq=False)
class Result:
    """What was said of one set, its figures, and what to know about them."""

    comparison: Comparison
    figures: Figures
    notes: list[str]

    def numbers(self) -> dict[str, dict[str, float | int | None]]:
        """Every figure by name for JSON, null where it does not exist."""
        return plain_figures(self.figures)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_file_arguments(parser, membership.NAME)
    parser.add_argument(
        "--beside", type=_named, nargs="+", default=[], metavar="NAME=FILE",
        help="the .safetensors of other trainings, such as with a GAN, to compare on the same nodules",
    )  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE",
        help="write a PNG of what each preprocessing step does to the first slice, and of its 36 turned copies",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Ask the networks, compare, print."""
    check_files(args)
    beside = {name: read_trained(path) for name, path in args.beside}
    cases = _cases(args)
    if args.sheet:
        first = next(iter(cases.values()))[0]
        args.sheet.write_bytes(png(sheet(first.hu[0], first.mask[0])))
    found = {name: _result(*of, beside, args.device) for name, of in cases.items()}
    if args.card:
        _write_card(args.card, found, beside)
    plain = {name: {**one.numbers(), "notes": one.notes} for name, one in found.items()}
    if args.json:
        sys.stdout.write(json.dumps(plain if len(plain) > 1 else next(iter(plain.values()))) + "\n")
    else:
        _show(found, list(beside))
    return 0


def _cases(args: argparse.Namespace) -> dict[str, tuple[Cases, str]]:
    """The nodules of each set, and which of a file's they are."""
    slices, patches = read_files(args)
    found: dict[str, tuple[Cases, str]] = {}
    if slices is not None:
        read = slices.only(slices.readers >= LEAST_READERS)
        for name, rule in RULES.items():
            counting = Cases.of_slices(read, rule) if len(read) else None
            if counting is None or not len(counting):
                raise InputError(f"No slice has three readers and counts ({rule}); there is nothing to test.")
            found[name] = (counting, f"{len(counting)} of {len(slices)} slices count: three or more readers, {rule}.")
    if patches is not None:
        found["patches"] = (Cases.of_patches(patches), "All patches count.")
    return found


def _result(cases: Cases, note: str, beside: Mapping[str, Trained], device: str) -> Result:
    from LungCADLib.compute import choose_device

    comparison, notes = judge(cases, packaged(), beside, choose_device(device))  # type: ignore[arg-type]
    return Result(comparison, figures(comparison, list(beside)), [note, *notes])


def _write_card(folder: Path, found: dict[str, Result], beside: Mapping[str, Trained]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = membership.NAME
    data = membership.packaged() | {"figures": {key: one.numbers() for key, one in found.items()}}
    data |= {"beside": {key: dict(one.said) for key, one in beside.items()}}
    write_table(folder / f"{name}.json", data)
    slices = found["slices"].comparison
    titles = {title: slices.scores[key] for key, title in NAMES.items()}
    (folder / f"{name}-roc.svg").write_text(roc_curves(slices.labels, titles, paper=True), encoding="utf-8")
    said = {title: slices.said[key] for key, title in NAMES.items()}
    (folder / f"{name}-reliability.svg").write_text(reliability_sheet(slices.labels, said), encoding="utf-8")
    (folder / f"{name}-steps.png").write_bytes(png(phantom_sheet()))
    centers = [(len(one.benign), len(one.malignant)) for one in membership.patterns()]
    parameters = sum(p.numel() for p in membership.networks()[0].parameters())
    page_text = card(
        data, bundled_members(name)[1], parameters, centers, {key: one.figures for key, one in found.items()}
    )
    (folder / f"{name}.md").write_text(page_text, encoding="utf-8")


def _show(found: Mapping[str, Result], beside: list[str]) -> None:
    console = page()
    for name, one in found.items():
        columns, lines = rows(one.figures)
        show_table(console, f"Method 000 on {SETS[name]}", columns, lines)
        columns, lines = parts_rows(one.figures)
        show_table(console, f"AUC on {SETS[name]}, in bands of size", columns, lines)
        columns, lines = difference_rows(one.figures, beside)
        show_table(console, f"Differences of AUC on {SETS[name]}", columns, lines)
        for note in one.notes:
            console.print(note)
        console.print()


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not path or not name.isidentifier() or name in NAMES:
        raise argparse.ArgumentTypeError(
            f"{text} is not NAME=FILE, as in gan=runs/membership-gan/membership.safetensors"
        )
    return name, Path(path)
