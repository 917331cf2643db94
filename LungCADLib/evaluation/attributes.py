"""`lungcad evaluate attributes`: the network that rates how a nodule looks, against readers, on any file of nodules."""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import choose_device
from LungCADLib.evaluation.attributes_card import (
    PARTS_COLUMNS,
    SPICULATED_COLUMNS,
    card,
    columns,
    parts_rows,
    rows,
    spiculated_rows,
    title,
)
from LungCADLib.evaluation.attributes_figures import Figures, Rated, figures
from LungCADLib.evaluation.files import Files, add_file_arguments, chosen_files
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.malignancy import attributes
from LungCADLib.malignancy.attributes_views import Cut
from LungCADLib.scan import Scan
from LungCADLib.training.attribute_examples import cut_of, cuts_of
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.margin import LEAST_DICE
from LungCADLib.training.nodule_sets import Case, read_crops, read_vois
from LungCADLib.training.slice_sets import READERS, Slices, read_slices

DECIMALS = 6
"""Of figures in JSON."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_file_arguments(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--engine", metavar="NAME",
        help="show boxes and crops also with the outlines that this outline engine draws from a click",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument("--card", type=Path, metavar="DIR", help="write the model card attributes.md there")


def run(args: argparse.Namespace) -> int:
    """Rate, compare, print."""
    device = choose_device(args.device)
    sets: dict[str, Nodules] = {}
    for name, files in chosen_files(args).items():
        sets |= _read(name, files, args.engine)
    found = {}
    for name, nodules in sets.items():
        rated = rate(nodules, device)
        found[name] = Result(figures(rated), _notes(rated))
    if args.card:
        from LungCADLib.weights import bundled_members

        args.card.mkdir(parents=True, exist_ok=True)
        text = card(bundled_members(attributes.NAME)[1], {n: (one.figures, one.notes) for n, one in found.items()})
        (args.card / f"{attributes.NAME}.md").write_text(text, encoding="utf-8")
    if args.json:
        plain = {name: result.plain() for name, result in found.items()}
        sys.stdout.write(json.dumps(plain if len(plain) > 1 else next(iter(plain.values()))) + "\n")
    else:
        _show(found)
    return 0


@dataclass(frozen=True, eq=False)
class Nodules:
    """What every kind of file comes to: slices of each nodule to look at, and all else that figures need."""

    patients: list[str]
    cuts: list[tuple[Cut, ...]]
    readers: dict[str, NDArray[np.float64]]
    diameter_mm: NDArray[np.float64]
    vendor: list[str]
    hand: dict[str, NDArray[np.float64]]
    spiculated: NDArray[np.bool_] | None


def _read(name: str, files: Files, engine: str | None = None) -> dict[str, Nodules]:
    """The nodules of a file with their readers' outlines, and those in 3D also with an engine's."""
    if name == "slices":
        return {name: of_slices(read_slices(files.nodules, files.table))}
    cases = (read_vois if name == "vois" else read_crops)(files.nodules, files.table)
    found = {name: of_cases(cases)}
    if engine:
        found[f"{name}_{engine}"] = of_cases([other for case in cases if (other := _outlined(case, engine))])
    return found


def _outlined(case: Case, engine: str) -> Case | None:
    """The nodule with the outline an engine draws from its click, None where that is something else."""
    from LungCADLib.lungs.crop import crop_region
    from LungCADLib.nodules import outliner
    from LungCADLib.nodules.seed import candidate_at

    drawn = outliner(engine)(case.scan, crop_region(case.scan), candidate_at(case.scan, case.click_lps_mm))
    mask = drawn.full(case.scan.geometry.shape)
    if 2 * np.count_nonzero(mask & case.truth) < LEAST_DICE * (mask.sum() + case.truth.sum()):
        return None
    return replace(case, truth=mask)


def of_slices(slices: Slices) -> Nodules:
    """Nodules on their largest slice; the diameter is that of the disc with the outline's area."""
    return Nodules(
        slices.patient.tolist(),
        [(cut_of(slices, i),) for i in range(len(slices))],
        {name: slices.ratings[name] for name in attributes.WORDS},
        np.sqrt(4 / np.pi * slices.area_mm2),
        slices.vendor.tolist(),
        {},
        None,
    )


def of_cases(cases: Sequence[Case]) -> Nodules:
    """Nodules in 3D, with what `nodules/` measures by hand on the same outlines."""
    readers = {name: np.array([[case.ratings.get(name, np.nan)] for case in cases]) for name in attributes.WORDS}
    hand, spiculated = _by_hand(cases)
    return Nodules(
        [case.patient for case in cases],
        [cuts_of(case) for case in cases],
        readers,
        np.array([case.diameter_mm for case in cases]),
        [""] * len(cases),
        hand,
        spiculated,
    )


def _by_hand(cases: Sequence[Case]) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
    from LungCADLib.nodules.density import read_density
    from LungCADLib.nodules.margin import describe_margin
    from LungCADLib.nodules.patch import Patch
    from LungCADLib.nodules.shape import measure_shape

    rows, spiculated = [], []
    for case in cases:
        scan: Scan = case.scan
        patch = Patch(scan.hu.astype(np.float32), case.truth, np.ones_like(case.truth), scan.spacing)
        form = measure_shape(case.truth, scan.spacing)
        margin = describe_margin(patch, form)
        reading = read_density(patch, form.solidity, form.mean_diameter_mm)
        rows.append((margin.sharpness, margin.lobulation, margin.spiculation, reading.upper_hu, form.sphericity))
        spiculated.append(margin.spiculated)
    names = ("margin", "lobulation", "spiculation", "texture", "sphericity")
    return dict(zip(names, np.array(rows, float).T, strict=True)), np.array(spiculated)


def rate(nodules: Nodules, device: str) -> Rated:
    """What the networks say: a patient of `lidc-folds.csv` by the one that has not seen the patient, others by all."""
    members, fold_of = attributes.networks(), fold_of_patient()
    fold = np.array([fold_of.get(patient, FOLDS) for patient in nodules.patients])
    above = np.empty((len(fold), len(attributes.WORDS), attributes.GRADES - 1))
    grades = np.empty(above.shape[:2])
    for k in sorted(set(fold.tolist())):
        at = np.flatnonzero(fold == k)
        asked = members if k == FOLDS else members[k : k + 1]
        above[at] = attributes.chances_above(asked, [nodules.cuts[i] for i in at], device)
        grades[at] = attributes.grade(above[at], attributes.thresholds(k))
    return Rated(
        nodules.patients,
        nodules.readers,
        above,
        grades,
        nodules.diameter_mm,
        nodules.vendor,
        nodules.hand,
        nodules.spiculated,
    )


def _notes(rated: Rated) -> list[str]:
    own = sum(patient in fold_of_patient() for patient in rated.patients)
    notes = [
        f"{own} nodules are of patients in lidc-folds.csv, each rated by the one network of five that has not seen the "
        f"patient; {len(rated.patients) - own} are of others, rated by all five, as in use."
    ]
    several = max(ratings.shape[1] for ratings in rated.readers.values()) == READERS
    if not several:
        notes.append("One rating per nodule: of one reader (crops), or by majority (boxes).")
    return notes


@dataclass(frozen=True, eq=False)
class Result:
    """The figures of one set, and what to know about them."""

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


def _show(found: Mapping[str, Result]) -> None:
    console = page()
    for name, one in found.items():
        show_table(console, f"Attributes on {title(name)}", columns(one.figures), rows(one.figures))
        if spiculated := spiculated_rows(one.figures):
            show_table(console, "Rated spiculated (4 or 5)", SPICULATED_COLUMNS, spiculated)
        show_table(console, "Spearman in parts", PARTS_COLUMNS, parts_rows(one.figures))
        for note in one.notes:
            console.print(note)
        console.print()
