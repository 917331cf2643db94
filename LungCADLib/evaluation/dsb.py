"""`lungcad evaluate dsb`: the road on the patients of the Data Science Bowl 2017, to a submission and its log loss."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from LungCADLib.errors import InputError, OutputError
from LungCADLib.evaluation.dsb_figures import Row, losses
from LungCADLib.evaluation.dsb_run import Verdict, walk_patients
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.malignancy.patient_score import LEAK, noisy_or
from LungCADLib.settings import Settings
from LungCADLib.training.datasets.dsb2017 import Patient, patients

PROTOCOL = (
    "Log loss as Kaggle counts it (probabilities from 1e-15 to 1 - 1e-15), natural logarithms; intervals in "
    "parentheses: 95%, over 2,000 draws of patients. Ruler: logistic regression on the log of the mean diameter of the "
    "largest nodule. What is fitted or calibrated answers for each patient from all others. The base rate knows the "
    "share of cancers among these very patients; whoever does not beat it has learned nothing of them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", required=True,
        help="stage1_labels.csv (if there are labels) and stage1/ID or ID with each patient's DICOM files",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FILE", default=Path("submission.csv"), help="id,cancer (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs/dsb2017"),
        help="keeps what is done of each patient; the same command goes on from there (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--detector", default=Settings().detector, help="(default: %(default)s)")
    parser.add_argument("--outline", default=Settings().outliner, help="(default: %(default)s)")
    parser.add_argument("--malignancy", default=Settings().malignancy, help="(default: %(default)s)")
    parser.add_argument(
        "--leak", type=_share, metavar="P", default=LEAK,
        help="chance of a cancer that no nodule explains (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Walk the road for each patient, write the submission, print how well it does where there are labels."""
    everyone = patients(args.data)
    settings = Settings(detector=args.detector, outliner=args.outline, malignancy=args.malignancy)
    verdicts = walk_patients(everyone, settings, args.runs)
    done = [verdicts[patient.id] for patient in everyone]
    if all(one.error for one in done):
        raise InputError(
            f"None of the {len(done)} patients of {args.data} could be analyzed; the first: {done[0].error}"
        )
    probabilities = submitted(done, args.leak)
    write_submission(args.out, everyone, probabilities)
    rows = _rows(everyone, done, args.leak)
    failed = [(p.id, one.error) for p, one in zip(everyone, done, strict=True) if one.error]
    if args.json:
        found = {"patients": len(done), "failed": dict(failed), "figures": {row.name: row.to_json() for row in rows}}
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    console = page()
    shown: list[tuple[str, ...]] = [
        (p.id, "-" if p.cancer is None else str(int(p.cancer)), f"{probability:.3f}", *one.shown)
        for p, one, probability in zip(everyone, done, probabilities, strict=True)
    ]
    show_table(console, "Patients", ("id", "cancer", "score", "nodules", "largest", "seconds"), shown)
    for name, why in failed:
        console.print(f"{name} gets the others' mean: {why}")
    if rows:
        console.print(PROTOCOL, "")
        counted = f"{rows[0].log_loss.n} ({rows[0].log_loss.positive} with cancer)"
        table: list[tuple[str, ...]] = [(row.name, row.loss_text, row.auc_text) for row in rows]
        show_table(console, f"Patients with labels: {counted}", ("score", "log loss", "AUC"), table)
    console.print(f"Submission: {args.out}")
    return 0


def submitted(done: Sequence[Verdict], leak: float) -> list[float]:
    """What is written for each patient: the leaky noisy-or; the mean of the others for whom the road failed."""
    own = [None if one.error else noisy_or(one.contributions, leak) for one in done]
    there = [value for value in own if value is not None]
    return [sum(there) / len(there) if value is None else value for value in own]


def write_submission(path: Path, everyone: Sequence[Patient], probabilities: Sequence[float]) -> None:
    """Write id,cancer as the competition takes it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("id", "cancer"))
            writer.writerows((p.id, f"{value:.6f}") for p, value in zip(everyone, probabilities, strict=True))
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another --out.") from None


def _rows(everyone: Sequence[Patient], done: Sequence[Verdict], leak: float) -> list[Row]:
    """The figures on those who have a label and were analyzed; none without a patient of each kind."""
    known = [(p, one) for p, one in zip(everyone, done, strict=True) if p.cancer is not None and not one.error]
    labels = [bool(p.cancer) for p, _ in known]
    if len(set(labels)) < 2:
        return []
    return losses([p.id for p, _ in known], labels, [one for _, one in known], leak)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to below 1")
    return value
