"""`lungcad evaluate detection`: the whole road on scans with known nodules, or on phantoms, by LUNA16's rules."""

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from LungCADLib.compute import cores
from LungCADLib.detection import OPERATING_POINT, SECOND_LOOK, detector
from LungCADLib.detection.reduction import NAME
from LungCADLib.engines import named
from LungCADLib.errors import InputError
from LungCADLib.evaluation.detection_card import SCAN_COLUMNS, STRATA_AT, card, rows_of, scan_rows
from LungCADLib.evaluation.detection_crops import best_scores
from LungCADLib.evaluation.detection_figures import Figure, figures, strata
from LungCADLib.evaluation.detection_road import Walked, listed_scans, truth_of_listed, walk_phantom, walk_scan
from LungCADLib.evaluation.detection_truth import read_truth
from LungCADLib.evaluation.froc import froc
from LungCADLib.evaluation.froc_figure import svg
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.nodules.accept import nodule_score
from LungCADLib.settings import Settings
from LungCADLib.training.phantom_grounds import FIRST_SEED
from LungCADLib.weights import bundled_members

PROTOCOL = (
    "A nodule is found when the center of a mark lies nearer to its center than its radius; other marks are false "
    "unless they lie on an excluded finding. Intervals in parentheses: 95%, over 1,000 draws of scans."
)
SEEDS_APART = 1000
"""Between the phantoms of one `--seed` and of the next."""

CARD_PHANTOMS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument("--scan", type=Path, action="append", metavar="DIR", default=[], help="a CT; may be repeated")
    parser.add_argument(
        "--nodules", type=Path, action="append", metavar="FILE", default=[],
        help="JSON with the nodules of the scan named at the same place: nodules_readers.json, or a list of objects "
        "with center_lps_mm and diameter_mm",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help="without --scan and --phantoms: the folder of the scans that taught detection (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--phantoms", type=int, metavar="N", help="so many synthetic scans instead")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="which phantoms (default: %(default)s)")
    parser.add_argument("--engine", default=Settings().detector, help="the detector (default: %(default)s)")
    parser.add_argument("--threshold", type=float, metavar="P", help="score from which a mark counts")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the FROC curve as SVG")
    parser.add_argument(
        "--card", type=Path, metavar="DIR",
        help="test the network on the scans, the crops and 40 phantoms, and write the model card reduction.md there",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Walk the road, print what was found."""
    args.engine = named(args.engine, "network", "blobs")
    detector(args.engine)
    threshold = args.threshold
    if threshold is None:
        threshold = nodule_score().operating_point if args.engine in SECOND_LOOK else OPERATING_POINT
    if args.card:
        return _write_card(args, threshold)
    walked = list(_walked(args))
    found = figures(walked, threshold, Settings().min_diameter_mm)
    if args.plot:
        args.plot.write_text(svg(froc([one.scored for one in walked])), encoding="utf-8")
    if args.json:
        sys.stdout.write(json.dumps(_rounded(found)) + "\n")
        return 0
    console = page()
    console.print(PROTOCOL, "")
    show_table(console, "Scans", SCAN_COLUMNS, scan_rows(walked, threshold))
    show_table(console, f"Score {threshold:g} or more, engine {args.engine}", ("", "value", "n"), rows_of(found))
    if "cpm" in found:
        parts = rows_of(strata(walked, STRATA_AT))
        show_table(console, f"Sensitivity at {STRATA_AT:g} false mark per scan", ("nodules", "found", "n"), parts)
    return 0


def _walked(args: argparse.Namespace) -> Iterator[Walked]:
    if args.phantoms:
        if args.scan:
            raise InputError("Give --scan or --phantoms, not both.")
        first = SEEDS_APART * args.seed
        if not 0 <= first < FIRST_SEED - SEEDS_APART or args.phantoms > SEEDS_APART:
            raise InputError(f"--seed goes from 0 to {FIRST_SEED // SEEDS_APART - 2}, --phantoms to {SEEDS_APART}.")
        with ProcessPoolExecutor(min(cores(), 2)) as pool:
            seeds = range(first, first + args.phantoms)
            yield from pool.map(walk_phantom, seeds, [args.engine] * len(seeds))
        return
    if len(args.scan) != len(args.nodules):
        raise InputError(f"There are {len(args.scan)} --scan and {len(args.nodules)} --nodules; each needs the other.")
    for path, nodules in zip(args.scan, args.nodules, strict=True):
        yield walk_scan(path, read_truth(nodules), args.engine)
    if not args.scan:
        for entry in listed_scans():
            yield walk_scan(args.data / entry["folder"], truth_of_listed(entry), args.engine)


def _write_card(args: argparse.Namespace, threshold: float) -> int:
    """Test on everything at hand, and write the page that comes with the weights."""
    scans = [walk_scan(args.data / e["folder"], truth_of_listed(e), args.engine) for e in listed_scans()]
    crops = best_scores(args.data / "lidc-crops" / "crops.npz", args.engine)
    args.phantoms = args.phantoms or CARD_PHANTOMS
    phantoms = list(_walked(args))
    text = card(bundled_members(NAME)[1], scans, crops, phantoms, threshold)
    (args.card / f"{NAME}.md").write_text(text, encoding="utf-8")
    return 0


def _rounded(found: dict[str, Figure]) -> dict[str, Figure]:
    return {name: {key: round(value, 6) for key, value in figure.items()} for name, figure in found.items()}
