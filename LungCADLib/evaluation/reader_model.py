"""`lungcad evaluate reader-model`: tests the packaged reader-suspicion model and fits it again to the same numbers."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from LungCADLib.evaluation.classification import Figure, reliability
from LungCADLib.evaluation.pathology import read_diagnoses
from LungCADLib.evaluation.reader_card import (
    COLUMNS,
    RELIABILITY_COLUMNS,
    TERM_COLUMNS,
    card,
    fitted_on,
    reliability_rows,
    table,
    term_rows,
)
from LungCADLib.evaluation.reader_figures import figures, out_of_fold_scores, pathology_figures
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.malignancy.reader_model import DECIMALS, MEANING, NAME, ReaderModel, packaged
from LungCADLib.training.lidc_database import find_database
from LungCADLib.training.lidc_nodules import collect, independent_patients
from LungCADLib.training.reader_fit import fit_reader_model, in_protocol, suspicious
from LungCADLib.training.reader_model import add_data_arguments, description
from LungCADLib.weights import write_table

SAME = 1e-5
"""Coefficients this close are the same: the file holds six decimals."""

"""Columns of text where the output is not a terminal, which has its own width."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_data_arguments(parser)
    parser.add_argument(
        "--pathology",
        type=Path,
        metavar="FILE",
        help="tcia-diagnosis-data-2012-04-20.xls from LIDC-IDRI on TCIA: compares with the patients' diagnoses",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"write {NAME}.json with its figures and {NAME}.md")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Test, refit, print; 1 where the refit does not give the packaged coefficients."""
    diagnoses = read_diagnoses(args.pathology) if args.pathology else {}
    nodules = collect(find_database(args.database), independent_patients(args.patients))
    shipped = packaged()
    data = {key: value for key, value in shipped.items() if key not in ("figures", "reliability")}
    seed = data["training"]["seed"]
    used, labels = in_protocol(nodules), suspicious(nodules)

    scores = out_of_fold_scores(nodules, labels, used, seed)
    found = figures(nodules, ReaderModel.from_json(data), scores, seed)
    if diagnoses:
        found |= pathology_figures(nodules, scores, diagnoses, seed)
    tested = data | {
        "reliability": [
            [round(mean, DECIMALS), round(share, DECIMALS), n]
            for mean, share, n in reliability(labels[used], scores.model[used])
        ],
        "figures": {name: _plain(figure) for name, figure in found.items()},
    }
    refit = _compare(shipped, tested, description(nodules, fit_reader_model(nodules, seed), seed))

    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        write_table(args.out / f"{NAME}.json", tested, indent=2)
        (args.out / f"{NAME}.md").write_text(card(tested, found), encoding="utf-8")
    if args.json:
        answer = tested["figures"] | {
            "reliability": tested["reliability"],
            "training": fitted_on(data),
            "refit": asdict(refit),
        }
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        _show(tested, found, refit)
    return 0 if refit.same else 1


@dataclass(frozen=True)
class Refit:
    """The packaged model against one fitted just now, and its packaged figures against those measured just now."""

    same: bool
    largest_difference: float
    largest_figure_difference: float | None


def _compare(shipped: Mapping[str, Any], tested: Mapping[str, Any], refit: Mapping[str, Any]) -> Refit:
    model = {key: shipped[key] for key in refit}
    difference = largest_difference(model, refit)
    figures_apart = None
    if "figures" in shipped:
        both = shipped["figures"].keys() & tested["figures"].keys()
        figures_apart = largest_difference(
            *({name: side["figures"][name] for name in both} for side in (shipped, tested))
        )
    return Refit(difference <= SAME, difference, figures_apart)


def _plain(figure: Figure) -> dict[str, float | int]:
    return {name: round(number, DECIMALS) for name, number in asdict(figure).items()}


def largest_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """The greatest difference of any number of two models as `reader-model.json` holds them, data counts included.

    Infinite where they do not have the same terms.
    """
    one, two = (_numbers(data) for data in (first, second))
    if one.keys() != two.keys():
        return float("inf")
    return max(abs(one[key] - two[key]) for key in one)


def _numbers(value: Any, path: str = "") -> dict[str, float]:
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: float(value)} if isinstance(value, int | float) else {f"{path}={value}": 0.0}
    return {key: number for name, part in items for key, number in _numbers(part, f"{path}/{name}").items()}


def _show(tested: Mapping[str, Any], found: Mapping[str, Figure], refit: Refit) -> None:
    console = page()
    counts = fitted_on(tested)
    console.print(
        f"Reader-suspicion model {tested['version']}: {MEANING}.\n"
        f"Fitted on {counts['nodules']} LIDC nodules ({counts['suspicious']} suspicious) of {counts['patients']} "
        f"development patients; {counts['kept']} of the protocol's {counts['all_nodules']} nodules are of patients "
        "kept for independent tests and were not used.\n"
    )
    show_table(
        console, f"Log odds: {tested['intercept']:+.3f} and, per standardized term,", TERM_COLUMNS, term_rows(tested)
    )
    show_table(console, "Ten-fold cross-validation by patient, 95% intervals", COLUMNS, table(found))
    show_table(console, "Reliability, cross-validated", RELIABILITY_COLUMNS, reliability_rows(tested))
    same = "the same coefficients" if refit.same else "OTHER COEFFICIENTS"
    console.print(f"Fitted again: {same} (largest difference {refit.largest_difference:.1e}).")
    if refit.largest_figure_difference is not None:
        console.print(f"Largest difference of a figure from the packaged one: {refit.largest_figure_difference:.1e}.")
