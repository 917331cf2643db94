"""`lungcad evaluate outline`: an outline engine against readers' outlines, from one click per nodule."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from LungCADLib.compute import cores
from LungCADLib.evaluation.outline_figures import (
    COLUMNS,
    LEAST_PATIENTS,
    WHOLE_COLUMNS,
    Figures,
    Stratum,
    figures,
    strata,
    strata_rows,
    whole_rows,
)
from LungCADLib.evaluation.overlap import Overlap, overlap
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.masks import BoxMask
from LungCADLib.training.nodule_sets import Case, read_crops, read_vendors, read_vois

PROTOCOL = (
    "One click per nodule: the middle of a crop, the annotated center of a box; the engine sees the CT and the click, "
    "never the reader's outline. The lung around it is found in the cut-out itself.",
    "Means over nodules; in parentheses 95% intervals over 2,000 draws of patients, not for fewer than "
    f"{LEAST_PATIENTS} patients. HD95 is the larger of the two "
    "directed 95th percentiles between surface voxels; surface Dice is by area. A cut-out ends the outline: where a "
    "nodule touches its edge, both outlines end there, and boxes end soon above and below the nodule, which hides what "
    "an outline would leak there.",
    "Sizes are diameters of the ball with the volume of the reader's outline; texture up to 2 is non-solid, up to 4 "
    "part-solid.",
)
TUNING = {
    "classical": "The six constants of the classical engine were chosen on LIDC's 93 crops and on every third of its "
    "702 boxes, so on these files its figures are a little too good.",
}
NOT_TUNED_ON = '"Patients not tuned on" have no nodule among these crops, nor among every third of these boxes.'

TUNED_EVERY = 3

"""Columns of text where the output is not a terminal, which has its own width."""

DECIMALS = 6
WORST = 12
FEW = 100
"""Fewer nodules are outlined sooner than other processes start and load their packages."""

MOST_PROCESSES = 4
"""Each takes a few hundred MB."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument("--crops", type=Path, action=_InOrder, dest="files", metavar="FILE", help="crops.npz")
    parser.add_argument("--vois", type=Path, action=_InOrder, dest="files", metavar="FILE", help="vois.npz")
    parser.add_argument(
        "--ratings", type=Path, action=_InOrder, dest="files", metavar="FILE",
        help="the table of the --crops or --vois named before it (default: ratings.csv beside that file)",
    )  # fmt: skip
    parser.add_argument(
        "--metadata", type=Path, metavar="FILE", help="LIDC-IDRI_MetaData.csv: adds figures by scanner vendor"
    )
    parser.add_argument("--engine", default="classical", help="the outline engine (default: %(default)s)")
    parser.add_argument("--worst", type=Path, metavar="DIR", help=f"write pictures of the {WORST} least alike outlines")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Outline every nodule, compare, print."""
    from LungCADLib.nodules import outliner

    outliner(args.engine)
    chosen = _chosen(args)
    vendors = read_vendors(args.metadata) if args.metadata else {}
    cases = {name: _read(name, files) for name, files in chosen.items()}
    notes = [*PROTOCOL, TUNING[args.engine]] if args.engine in TUNING else list(PROTOCOL)
    tuned_on = None
    if args.engine in TUNING and len(cases) > 1:
        tuned_on = {case.patient for case in cases["crops"] + cases["vois"][::TUNED_EVERY]}
        notes.append(NOT_TUNED_ON)

    found = {}
    for name, some in cases.items():
        with _bar(f"Outlining {name}", len(some)) as step:
            outlined = outline_all(some, args.engine, step)
        groups = strata(some, vendors, tuned_on)
        patients = [case.patient for case in some]
        found[name] = Result(groups, figures([one.overlap for one in outlined], patients, groups), notes)
        if args.worst:
            _draw_worst(args.worst, name, some, outlined)

    if args.json:
        plain = {name: result.plain() for name, result in found.items()}
        sys.stdout.write(json.dumps(plain if len(plain) > 1 else next(iter(plain.values()))) + "\n")
    else:
        _show(args.engine, found)
    return 0


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
            args.usage_error(f"--ratings {path} must follow the --crops or --vois it belongs to")
        else:
            last.ratings = path
    if not sets:
        args.usage_error("nothing to evaluate on: give --crops FILE, --vois FILE, or both")
    return {name: sets[name] for name in ("crops", "vois") if name in sets}


def _read(name: str, files: Files) -> list[Case]:
    beside = files.nodules.with_name("ratings.csv")
    if name == "vois":
        return read_vois(files.nodules, files.ratings or beside)
    # Crops are clicked in the middle, so they can do without ratings, but for the strata of density.
    return read_crops(files.nodules, files.ratings or (beside if beside.is_file() else None))


@dataclass(frozen=True, eq=False)
class Outlined:
    """What the engine drew on a nodule, and how well that agrees with the reader."""

    mask: BoxMask
    overlap: Overlap


def outline_case(case: Case, engine: str) -> Outlined:
    """Outline one nodule from its click alone."""
    from LungCADLib.lungs.crop import crop_region
    from LungCADLib.nodules import outliner
    from LungCADLib.nodules.seed import candidate_at

    candidate = candidate_at(case.scan, case.click_lps_mm)
    mask = outliner(engine)(case.scan, crop_region(case.scan), candidate)
    return Outlined(mask, overlap(mask.full(case.scan.geometry.shape), case.truth, case.scan.spacing))


def outline_all(cases: Sequence[Case], engine: str, step: Callable[[], None] = lambda: None) -> list[Outlined]:
    """Outline every nodule, in the order given, on several processes where that pays; `step` is called after each."""
    processes = min(cores(), MOST_PROCESSES)
    work = partial(outline_case, engine=engine)
    if len(cases) < FEW or processes < 2:
        return list(_stepping(map(work, cases), step))
    with ProcessPoolExecutor(processes, get_context("spawn"), _one_thread) as pool:
        try:
            return list(_stepping(pool.map(work, cases, chunksize=4), step))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _one_thread() -> None:
    """Each process of several keeps to one core."""
    import SimpleITK as sitk
    import torch

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    torch.set_num_threads(1)


def _stepping(outlined: Iterable[Outlined], step: Callable[[], None]) -> Iterator[Outlined]:
    for one in outlined:
        step()
        yield one


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


@dataclass(frozen=True, eq=False)
class Result:
    """The figures of one set."""

    groups: list[Stratum]
    figures: Figures
    notes: list[str]

    def plain(self) -> dict[str, Any]:
        """Every figure by name for JSON, null where it does not exist, and the notes."""
        numbers = {
            name: {
                key: None if math.isnan(number) else round(number, DECIMALS) for key, number in asdict(figure).items()
            }
            for name, figure in self.figures.items()
        }
        return numbers | {"notes": self.notes}


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
        show_table(console, f"Outline engine {engine} on {name}", WHOLE_COLUMNS, whole_rows(result.figures))
        show_table(console, f"{name}, in parts", COLUMNS, strata_rows(result.figures, result.groups))
    for note in next(iter(found.values())).notes:
        console.print(note)
