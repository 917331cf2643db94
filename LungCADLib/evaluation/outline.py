"""`lungcad evaluate outline`: an outline engine against readers' outlines, from one click per nodule."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LungCADLib.evaluation.outline_card import card
from LungCADLib.evaluation.outline_engines import NETWORK, Outlined, outline_all, slice_cases
from LungCADLib.evaluation.outline_figures import (
    LEAST_PATIENTS,
    Result,
    beside,
    columns,
    figures,
    strata,
    strata_rows,
    whole_columns,
    whole_rows,
)
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.training.nodule_sets import Case, read_crops, read_vendors, read_vois
from LungCADLib.training.slice_sets import read_slices

SETS = ("crops", "vois", "slices")
"""In the order in which they are shown; `DATA` says where each stands in a folder of data."""

DATA = {"crops": "lidc-crops/crops.npz", "vois": "lidc-vois/vois.npz", "slices": "lidc-slices/slices.npz"}
METADATA = "tables/LIDC-IDRI_MetaData.csv"

PROTOCOL = (
    "One click per nodule: the middle of a crop or slice, the annotated center of a box; the engine sees the CT and "
    "the click, never the reader's outline. The lung around it is found in the cut-out itself.",
    "Means over nodules; in parentheses 95% intervals over 2,000 draws of patients, not for fewer than "
    f"{LEAST_PATIENTS} patients. HD95 is the larger of the two "
    "directed 95th percentiles between surface voxels; surface Dice is by area, on slices by length. A cut-out ends "
    "the outline: where a nodule touches its edge, both outlines end there, and boxes end soon above and below the "
    "nodule, which hides what an outline would leak there.",
    "Sizes are diameters of the ball with the volume of the reader's outline, on slices of the disc with its area; "
    "texture up to 2 is non-solid, up to 4 part-solid. The outline of a box is what half of the readers agree on; "
    "those of crops and slices are one reader's.",
)
ENGINE_NOTES = {
    "classical": "The six constants of the classical engine were chosen on LIDC's 93 crops and on every third of its "
    "702 boxes, so on these files its figures are a little too good.",
    NETWORK: "A patient of `lidc-folds.csv` is outlined by the one of the five networks that never saw that patient; "
    "everyone else by the mean of the five, as in use. On slices it draws as their one reader did, elsewhere as in "
    "use.",
}
NOT_TUNED_ON = '"Patients not tuned on" have no nodule among these crops, nor among every third of these boxes.'

TUNED_EVERY = 3
WORST = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    for name in SETS:
        parser.add_argument(f"--{name}", type=Path, action=_InOrder, dest="files", metavar="FILE", help=f"{name}.npz")
    parser.add_argument(
        "--ratings", type=Path, action=_InOrder, dest="files", metavar="FILE",
        help="the table of the file named before it (default: ratings.csv beside that file)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help="without files: the folder of lidc-crops, lidc-vois, lidc-slices and tables (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--metadata", type=Path, metavar="FILE", help="LIDC-IDRI_MetaData.csv: adds figures by scanner vendor"
    )
    parser.add_argument(
        "--engine", default=NETWORK, help="the outline engine (default: %(default)s, with classical beside it)"
    )
    parser.add_argument("--worst", type=Path, metavar="DIR", help=f"write pictures of the {WORST} least alike outlines")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument("--card", type=Path, metavar="DIR", help="write the model card outline.md there")


def run(args: argparse.Namespace) -> int:
    """Outline every nodule, compare, print."""
    from LungCADLib.nodules import outliner

    outliner(args.engine)
    chosen = _chosen(args)
    metadata = args.metadata or (None if args.files else args.data / METADATA)
    vendors = read_vendors(metadata) if metadata and metadata.is_file() else {}
    if args.metadata:
        vendors = read_vendors(args.metadata)
    cases: dict[str, list[Case]] = {}
    for name, files in chosen.items():
        cases[name], own = _read(name, files)
        vendors |= own
    tuned_on = None
    if {"crops", "vois"} <= cases.keys():
        tuned_on = {case.patient for case in cases["crops"] + cases["vois"][::TUNED_EVERY]}
    found = {name: _test(args, name, some, vendors, tuned_on) for name, some in cases.items()}

    if args.json:
        plain = {name: result.plain() for name, result in found.items()}
        sys.stdout.write(json.dumps(plain if len(plain) > 1 else next(iter(plain.values()))) + "\n")
    else:
        _show(args.engine, found)
    if args.card:
        from LungCADLib.weights import bundled_members

        (args.card / "outline.md").write_text(card(bundled_members("outline")[1], found), encoding="utf-8")
    return 0


def _test(
    args: argparse.Namespace, name: str, some: list[Case], vendors: Mapping[str, str], tuned_on: set[str] | None
) -> Result:
    """The figures of an engine on one set, and those of the classical one beside the network's."""
    engines = [args.engine]
    if args.engine == NETWORK and name != "slices":
        engines.append("classical")
    tuned_on = tuned_on if "classical" in engines else None
    notes = [*PROTOCOL, *(ENGINE_NOTES[engine] for engine in engines if engine in ENGINE_NOTES)]
    notes += [NOT_TUNED_ON] if tuned_on is not None else []
    groups, patients = strata(some, vendors, tuned_on), [case.patient for case in some]
    overlaps = []
    for engine in engines:
        with _bar(f"Outlining {name}, {engine}", len(some)) as step:
            outlined = outline_all(some, engine, step, name)
        overlaps.append([one.overlap for one in outlined])
        if args.worst and engine == args.engine:
            _draw_worst(args.worst, name, some, outlined)
    found = figures(overlaps[0], patients, groups)
    if len(overlaps) > 1:
        found |= beside(overlaps[0], overlaps[1], patients, groups)
    return Result(groups, found, notes)


class _InOrder(argparse.Action):
    """Collects (option, path) pairs, so that each --ratings finds the file it belongs to."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*before, (self.option_strings[0].lstrip("-"), value)])


@dataclass
class Files:
    """One set of nodules on disk."""

    nodules: Path
    ratings: Path | None = None


def _chosen(args: argparse.Namespace) -> dict[str, Files]:
    """The sets named on the command line, crops first."""
    given: list[tuple[str, Path]] = args.files or []
    # With a single set there is no doubt whose ratings they are, wherever they stand.
    if len(given) == 2:
        given = sorted(given, key=lambda pair: pair[0] == "ratings")
    sets: dict[str, Files] = {}
    last: Files | None = None
    for option, path in given:
        if option != "ratings":
            if option in sets:
                args.usage_error(f"--{option} is given twice; evaluate one file of each kind at a time")
            last = sets[option] = Files(path)
        elif last is None or last.ratings:
            args.usage_error(f"--ratings {path} must follow the file it belongs to")
        else:
            last.ratings = path
    if not sets:
        sets = {name: Files(args.data / path) for name, path in DATA.items() if (args.data / path).is_file()}
    if args.card and args.engine != NETWORK:
        args.usage_error("--card is of the network; leave --engine away")
    if not sets:
        args.usage_error("nothing to evaluate on: give --crops FILE, --vois FILE or --slices FILE, or --data DIR")
    return {name: sets[name] for name in SETS if name in sets}


def _read(name: str, files: Files) -> tuple[list[Case], dict[str, str]]:
    """The nodules of a set, and vendors by series where the set itself tells them."""
    table = files.nodules.with_name("ratings.csv")
    if name == "slices":
        return slice_cases(read_slices(files.nodules, files.ratings or table), str(files.nodules))
    if name == "vois":
        return read_vois(files.nodules, files.ratings or table), {}
    # Crops are clicked in the middle, so they can do without ratings, but for the strata of density.
    return read_crops(files.nodules, files.ratings or (table if table.is_file() else None)), {}


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


def _draw_worst(folder: Path, name: str, cases: Sequence[Case], outlined: Sequence[Outlined]) -> None:
    from LungCADLib.evaluation.outline_pictures import comparison
    from LungCADLib.pictures import png

    folder.mkdir(parents=True, exist_ok=True)
    worst = sorted(range(len(cases)), key=lambda i: outlined[i].overlap.dice)[:WORST]
    for rank, i in enumerate(worst, 1):
        file = folder / f"{name}-{rank:02d}-dice{100 * outlined[i].overlap.dice:02.0f}-nodule{i}.png"
        file.write_bytes(png(comparison(cases[i], outlined[i].mask)))


def _show(engine: str, found: Mapping[str, Result]) -> None:
    console = page()
    for name, result in found.items():
        with_classical = "dice_classical" in result.figures
        title = f"Outline engine {engine} on {name}" + (", classical beside it" if with_classical else "")
        show_table(console, title, whole_columns(with_classical), whole_rows(result.figures))
        show_table(console, f"{name}, in parts", columns(with_classical), strata_rows(result.figures, result.groups))
    for note in dict.fromkeys(note for result in found.values() for note in result.notes):
        console.print(note)
