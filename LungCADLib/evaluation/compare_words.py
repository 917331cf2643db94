"""A comparison in words and tables: what the screen, the page, the card and the CSV file have in common."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from LungCADLib.evaluation.classification import Figure
from LungCADLib.evaluation.compare_figures import PARTS, READER, RULER, Difference
from LungCADLib.evaluation.compare_run import Compared, Result, title_of
from LungCADLib.evaluation.compare_sets import PATCHES, SLICES, TEST
from LungCADLib.training.methods import ensemble
from LungCADLib.training.reader_fit import LEAST_READERS

DECIMALS = 6

COLUMNS = ("method", "AUC", "AUC - ruler", "p", "accuracy", "sensitivity", "specificity", "Brier", "ECE")
MORE_COLUMNS = ("method", "avg. precision", "sens. at spec. 0.9", "slope", "intercept", "train", "per nodule")
PART_COLUMNS = ("method", *(f"{low:.0f} to {high:.0f} mm" for low, high in PARTS.values()))

SETS = {
    SLICES: "Slices, cross-validated by patient",
    PATCHES: "Patches, judged by what learned from the slices of other patients",
    TEST: "The test set, which nothing learned from",
}

Row = tuple[str, ...]


def table(result: Result) -> list[Row]:
    """In the order of `COLUMNS`, one row per method."""
    rows = []
    for key, figures in result.figures.items():
        less = figures.get("auc_minus_ruler")
        names = ("accuracy", "sensitivity", "specificity", "brier", "ece")
        difference = (text(less, signed=True), p_text(less)) if isinstance(less, Difference) else ("", "")
        rows.append((title_of(key), text(figures["auc"]), *difference, *(text(figures[name]) for name in names)))
    return rows


def more(compared: Compared, result: Result) -> list[Row]:
    """In the order of `MORE_COLUMNS`."""
    names = ("average_precision", "sensitivity_at_specificity_90", "calibration_slope", "calibration_intercept")
    return [
        (title_of(key), *(text(figures[name]) for name in names), *effort(compared, key))
        for key, figures in result.figures.items()
    ]


def effort(compared: Compared, key: str) -> tuple[str, str]:
    """How long it took to train and to judge."""
    found = compared.effort[key]
    trained = "loaded" if found.loaded and not found.train_s else _seconds(found.train_s)
    return trained + (", partly loaded" if found.loaded and found.train_s else ""), f"{found.predict_ms:.1f} ms"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def parts(result: Result) -> list[Row]:
    """AUC inside bands of size, in the order of `PART_COLUMNS`; the first row says how many nodules."""
    counts = [next(iter(result.figures.values()))[f"auc_{part}"] for part in PARTS]
    rows: list[Row] = [("nodules (suspicious)", *(f"{one.n} ({one.positive})" for one in counts))]
    for key, figures in result.figures.items():
        rows.append((title_of(key), *(text(figures[f"auc_{part}"]) for part in PARTS)))
    return rows


def text(figure: Figure, signed: bool = False) -> str:
    """A figure with its interval; a dash where it does not exist."""
    if math.isnan(figure.value):
        return "-"
    sign = "+" if signed else ""
    if math.isnan(figure.low):
        return f"{figure.value:{sign}.3f}"
    return f"{figure.value:{sign}.3f} ({figure.low:{sign}.3f} to {figure.high:{sign}.3f})"


def p_text(difference: Difference) -> str:
    """A p-value to as many digits as it deserves."""
    if math.isnan(difference.p):
        return "-"
    return "<0.001" if difference.p < 0.001 else f"{difference.p:.3f}"


def loud(compared: Compared) -> list[str]:
    """What to know before anything else: why these figures are not what they seem."""
    said = list(compared.design.warnings)
    if compared.how.scale != 1:
        said.append(
            f"ONLY {compared.how.scale:g} OF THE USUAL TRAINING WAS DONE (--scale): these figures show that everything "
            "runs, not how good a method is."
        )
    return said


def notes(compared: Compared) -> list[str]:
    """What to know before reading a number."""
    design, said = compared.design, loud(compared)
    said.append(
        f"Learned from {len(design.learn)} nodules of {len(set(design.learn.patient.tolist()))} patients (median "
        "malignancy not 3, one reader or more)"
        + (f", in {len(set(design.fold.tolist()))} folds by patient: whoever judges has not seen the patient."
           if design.crossed else "; no patient of the test set is among them.")
    )  # fmt: skip
    for name, result in compared.results.items():
        cases = result.asked.cases
        which = "every patch" if name == PATCHES else f"{LEAST_READERS} readers or more, median not 3"
        said.append(
            f"{SETS[name]}: {len(cases)} nodules ({int(cases.suspicious.sum())} suspicious) of "
            f"{len(set(cases.patient.tolist()))} patients ({which})."
        )
        if result.one_reader:
            said.append(
                f"For scale, one reader's rating tells there what the median of the other three is (not 3) with an AUC "
                f"of {text(result.one_reader)}: more than that is agreement with opinion, not knowledge of cancer."
            )
        if compared.left_out[name]:
            left = "; ".join(map(title_of, compared.left_out[name]))
            said.append(f"Left out there, since they measure outlines and patches have none: {left}.")
    loaded = [title_of(key) for key, cost in compared.effort.items() if cost.loaded and key != ensemble.KEY]
    if loaded:
        said.append(
            f"Loaded, not trained here: {'; '.join(loaded)} (the bundled member that has not seen the patient; "
            "--retrain trains)."
        )
    cost = compared.effort.get(ensemble.KEY)
    if cost and cost.loaded and not design.crossed:
        said.append(
            "The ensemble weighs its members by what their bundled versions, which saw nobody of the test set, say of "
            "the training set's patients that they had not seen either."
        )
    said.append(
        f"In parentheses 95 % intervals over {compared.how.rounds:,} draws of patients, the same for all methods; p: "
        "DeLong, a patient's nodules together. Suspicious is what readers' median rating says, not pathology."
    )
    return said


def verdict(result: Result) -> list[str]:
    """Which method earns its place beside a ruler, in plain sentences."""
    figures = result.figures
    ruler = figures[RULER]["auc"]
    said = [f"The ruler alone reaches an AUC of {text(ruler)}."]
    less = {key: one["auc_minus_ruler"] for key, one in figures.items() if key != RULER}
    beats = [key for key, one in less.items() if one.low > 0]
    worse = [key for key, one in less.items() if one.high < 0]
    unclear = [key for key in less if key not in (*beats, *worse)]
    if beats:
        said.append(f"Better than the ruler beyond chance: {_list(beats, less)}.")
    if unclear and less:
        said.append(f"Not to be told from the ruler: {_list(unclear, less)}.")
    if worse:
        said.append(f"Worse than the ruler: {_list(worse, less)}.")
    said.append(_who_earns(result, beats))
    return said


def _who_earns(result: Result, beats: list[str]) -> str:
    figures = result.figures
    if not beats:
        return "No method earns its place here: measure the nodule."
    best = max(beats, key=lambda key: figures[key]["auc"].value)
    if READER not in figures:
        return f"{title_of(best)} earns its place here: it has the highest AUC of those that beat the ruler."
    if best == READER or READER not in beats:
        return f"{title_of(best)} earns its place: it has the highest AUC of those that beat the ruler."
    less = figures[best]["auc_minus_reader_model"]
    if less.low > 0:
        return f"{title_of(best)} earns its place: it beats the reader-suspicion model, too, by {text(less, True)}."
    return (
        f"{title_of(best)} has the highest AUC, but cannot be told from the reader-suspicion model "
        f"({text(less, True)}), which is simpler and says why: the reader-suspicion model earns its place."
    )


def _list(keys: list[str], less: dict[str, Figure]) -> str:
    return "; ".join(f"{title_of(key)} {text(less[key], True)}" for key in keys)


def plain(compared: Compared) -> dict[str, Any]:
    """One object by method for JSON: its figures on the first set, and on the patches below `patches`."""
    out: dict[str, Any] = {}
    for name, result in compared.results.items():
        for key, figures in result.figures.items():
            all_of_it = {metric: numbers(figure) for metric, figure in figures.items()}
            if name == PATCHES:
                out.setdefault(key, _about(compared, key))["patches"] = all_of_it
            else:
                out[key] = _about(compared, key) | all_of_it
    for key, error in compared.errors.items():
        if key in (RULER, *compared.how.methods):
            out[key] = {"title": title_of(key), "error": error}
    return out


def _about(compared: Compared, key: str) -> dict[str, Any]:
    cost = compared.effort[key]
    times = {"train_s": round(cost.train_s, 3), "predict_ms": round(cost.predict_ms, 3)}
    return {"title": title_of(key), "loaded": cost.loaded, "scale": compared.how.scale, **times}


def numbers(figure: Figure) -> dict[str, float | int | None]:
    """A figure for JSON, null where it does not exist."""
    return {key: None if math.isnan(n) else round(n, DECIMALS) for key, n in asdict(figure).items()}


def as_csv(compared: Compared) -> str:
    """Every figure as one row: set, method, figure, value, interval, counts, p."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("set", "method", "figure", "value", "low", "high", "n", "positive", "p"))
    writer.writerows(_csv_rows(compared))
    return out.getvalue()


def _csv_rows(compared: Compared) -> Iterator[list[Any]]:
    for name, result in compared.results.items():
        for key, figures in result.figures.items():
            for metric, figure in figures.items():
                said = numbers(figure)
                columns = ("value", "low", "high", "n", "positive", "p")
                yield [name, key, metric, *("" if said.get(c) is None else said[c] for c in columns)]
    for key, cost in compared.effort.items():
        yield ["", key, "train_s", round(cost.train_s, 3), "", "", "", "", ""]
        yield ["", key, "predict_ms", round(cost.predict_ms, 3), "", "", "", "", ""]
    for key, error in compared.errors.items():
        yield ["", key, "error", error, "", "", "", "", ""]
