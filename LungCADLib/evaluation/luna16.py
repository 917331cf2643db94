"""`lungcad evaluate froc`: marks in the layout of a LUNA16 submission, by the rules of LUNA16 (`froc.py`).

The files are LUNA16's own: `annotations.csv` and `annotations_excluded.csv` with seriesuid, coordX, coordY, coordZ (LPS
mm) and diameter_mm, `seriesuids.csv` with one series UID a line, and a submission with seriesuid, the coordinates and
probability. The scans are those of `seriesuids.csv`: what other files say of others does not count, so one of the ten
subsets is evaluated by giving its UIDs.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.evaluation.classification import Estimate
from LungCADLib.evaluation.froc import RATES, RESAMPLES, Scored, froc, hits, interval, resampled, score_marks
from LungCADLib.evaluation.froc_figure import svg
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.training.nodule_sets import read_table

COORDINATES = ("coordX", "coordY", "coordZ")
SERIES, DIAMETER, PROBABILITY = "seriesuid", "diameter_mm", "probability"

DECIMALS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--detections", type=Path, required=True, metavar="FILE",
        help="CSV: seriesuid,coordX,coordY,coordZ,probability (LPS mm)",
    )  # fmt: skip
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="annotations.csv of LUNA16: the nodules")
    parser.add_argument(
        "--excluded", type=Path, metavar="FILE", help="annotations_excluded.csv: neither right nor wrong to mark"
    )
    parser.add_argument("--seriesuids", type=Path, metavar="FILE", help="seriesuids.csv: the scans, one UID a line")
    parser.add_argument(
        "--tables", type=Path, metavar="DIR", default=Path("../shared/data/tables"),
        help="folder of those three where they are not named (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="of the draws of scans (default: 0)")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the curve as an SVG picture")


def run(args: argparse.Namespace) -> int:
    """Read, match, print."""
    series = read_series(args.seriesuids or args.tables / "seriesuids.csv")
    nodules = read_findings(args.annotations or args.tables / "annotations.csv", DIAMETER)
    excluded = read_findings(args.excluded or args.tables / "annotations_excluded.csv", DIAMETER)
    marks = read_findings(args.detections, PROBABILITY)
    matched = match(series, marks, nodules, excluded)
    if not matched.nodules:
        raise InputError(
            f"None of the nodules lies in a series of {args.seriesuids or args.tables / 'seriesuids.csv'}; "
            "give the UIDs of scans with nodules."
        )
    found = figures(matched, args.seed)
    if args.plot:
        args.plot.write_text(svg(froc(matched.scans)), encoding="utf-8")
    if args.json:
        numbers = {
            name: {k: round(v, DECIMALS) for k, v in (("value", f.value), ("low", f.low), ("high", f.high), ("n", f.n))}
            for name, f in found.items()
        }
        sys.stdout.write(json.dumps({**numbers, **matched.counts}) + "\n")
        return 0
    console = page()
    texts = {name.replace("_", " "): f"{f.value:.3f} ({f.low:.3f} to {f.high:.3f})" for name, f in found.items()}
    show_table(console, "LUNA16's FROC", ("", "value"), list(texts.items()))
    show_table(console, "Counts", ("", ""), [(name.replace("_", " "), f"{n:,}") for name, n in matched.counts.items()])
    console.print(
        "A mark hits a nodule when it lies nearer to its center than the radius; sensitivities at so many false marks "
        f"per scan, CPM their mean. Intervals: 95 %, over {RESAMPLES:,} draws of scans."
    )
    return 0


@dataclass(frozen=True, eq=False)
class Findings:
    """Places of some series: `center_mm` (n, 3) LPS, and `number` (n,), a diameter in mm or a score."""

    center_mm: NDArray[np.float64]
    number: NDArray[np.float64]


NONE = Findings(np.zeros((0, 3)), np.zeros(0))


def read_series(path: Path) -> list[str]:
    """The series UIDs, one a line, with or without the heading "seriesuid".

    Raises
    ------
    InputError
        If the file cannot be read, is empty, or names a series twice.
    """
    try:
        lines = [line.strip().strip('"') for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read; it must name one series UID a line.") from None
    found = [line for line in lines if line and line != SERIES]
    uid, times = Counter(found).most_common(1)[0] if found else ("", 0)
    if times != 1 or any("," in one for one in found):
        what = f"names {uid} {times} times" if times > 1 else "is no list of series UIDs"
        raise InputError(f"{path} {what}; it must name each scan once, one UID a line.")
    return found


def read_findings(path: Path, number: str) -> dict[str, Findings]:
    """The rows of a CSV file by series.

    Parameters
    ----------
    path
        Has seriesuid, coordX, coordY, coordZ and `number`.
    number
        Name of the column that matters beside the place.

    Raises
    ------
    InputError
        If the file is missing or of another layout, or a number is none.
    """
    columns = (*COORDINATES, number)
    rows: dict[str, list[list[float]]] = {}
    for i, row in enumerate(read_table(path, (SERIES, *columns), "a table of LUNA16")):
        try:
            values = [float(row[column]) for column in columns]
        except (TypeError, ValueError):
            values = [np.nan]
        if not np.isfinite(values).all():
            raise InputError(f"{path}: row {i + 1} needs numbers in {', '.join(columns)}.")
        rows.setdefault(row[SERIES], []).append(values)
    return {uid: Findings(np.array(of)[:, :3], np.array(of)[:, 3]) for uid, of in rows.items()}


@dataclass(frozen=True, eq=False)
class Matched:
    """Marks of every scan, matched; and how many of what there were."""

    scans: list[Scored]
    counts: dict[str, int]

    @property
    def nodules(self) -> int:
        return self.counts["nodules"]


def match(
    series: list[str], marks: dict[str, Findings], nodules: dict[str, Findings], excluded: dict[str, Findings]
) -> Matched:
    """Match the marks of each scan with its nodules and with what is excluded."""
    scans, twice = [], 0
    for uid in series:
        here, true, other = (of.get(uid, NONE) for of in (marks, nodules, excluded))
        scans.append(
            score_marks(here.center_mm, here.number, true.center_mm, true.number, other.center_mm, other.number)
        )
        on = hits(here.center_mm, true.center_mm, true.number).sum(axis=0)
        twice += int((on - 1).clip(min=0).sum())
    found = sum(int(np.isfinite(scan.nodules).sum()) for scan in scans)
    known = set(series)
    counts = {
        "scans": len(series),
        "nodules": sum(len(scan.nodules) for scan in scans),
        "nodules_hit_by_any_mark": found,
        "marks": sum(len(of.number) for uid, of in marks.items() if uid in known),
        "false_marks": sum(len(scan.false) for scan in scans),
        "further_hits_on_a_nodule": twice,
        "marks_in_other_series": sum(len(of.number) for uid, of in marks.items() if uid not in known),
    }
    return Matched(scans, counts)


def figures(matched: Matched, seed: int = 0) -> dict[str, Estimate]:
    """CPM and the sensitivities at LUNA16's rates, with intervals over scans."""
    curve, drawn = froc(matched.scans), resampled(matched.scans, seed)
    names = ("cpm", *(f"sensitivity_at_{rate:g}" for rate in RATES))
    values = (curve.cpm, *curve.at)
    return {
        name: Estimate(value, *interval(drawn[:, k]), matched.nodules)
        for k, (name, value) in enumerate(zip(names, values, strict=True))
    }
