"""What a comparison leaves beside the weights: `compare.md` with its pictures, and the ensemble with its card."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from LungCADLib.errors import InputError
from LungCADLib.evaluation import compare_plots as plots
from LungCADLib.evaluation import compare_words as words
from LungCADLib.evaluation.compare_figures import READER, RULER
from LungCADLib.evaluation.compare_run import Compared, title_of
from LungCADLib.evaluation.compare_sets import SLICES
from LungCADLib.malignancy.ensemble import NAME
from LungCADLib.malignancy.reader_model import MEANING, Quantity
from LungCADLib.training.methods import ensemble
from LungCADLib.training.reader_fit import VERSION, with_covariance
from LungCADLib.weights import release

BANDS = ("", "_8_15_mm")


def write_card(compared: Compared, folder: Path) -> list[Path]:
    """Write `compare.md`, its pictures, and, where the ensemble was asked for, `ensemble.json` and `ensemble.md`.

    Returns
    -------
    The files.

    Raises
    ------
    InputError
        If the comparison was no full one on cross-validated slices, or a method failed.
    """
    if compared.how.scale != 1 or compared.errors or SLICES not in compared.results:
        raise InputError("A card needs every method's figures, cross-validated with the usual training; see above.")
    folder.mkdir(parents=True, exist_ok=True)
    texts = dict(_pictures(compared))
    texts["compare.md"] = _page(compared, list(texts))
    if ensemble.KEY in compared.how.methods:
        data = ensemble_table(compared)
        texts[f"{NAME}.json"] = json.dumps(data, indent=1) + "\n"
        texts[f"{NAME}.md"] = _ensemble_card(compared, data)
    for name, text in texts.items():
        partial = folder / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / name)
    if f"{NAME}.json" in texts:
        release(folder / f"{NAME}.json")
    return [folder / name for name in texts]


def ensemble_table(compared: Compared) -> dict[str, Any]:
    """What `ensemble.json` holds: the combination fitted on all nodules, and the figures of those fitted by fold."""
    result = compared.results[SLICES]
    comparison, figures = result.comparison, result.figures
    said = {key: comparison.said[key] for key in ensemble.MEMBERS}
    labels, patients = comparison.labels, comparison.patients
    model = ensemble.combination(said, labels)
    model = with_covariance(model, ensemble.rows(said), labels, patients, compared.how.seed)
    quantities = [Quantity(engine, f"log odds of the opinion of {engine}", "") for engine in ensemble.MEMBERS.values()]
    mine, ruler = figures[ensemble.KEY], figures[RULER]
    tested = {f"auc{band}": mine[f"auc{band}"] for band in BANDS}
    tested |= {f"auc_ruler{band}": ruler[f"auc{band}"] for band in BANDS}
    tested |= {name: mine[name] for name in ("auc_minus_ruler", "auc_minus_reader_model", "accuracy", "brier", "ece")}
    return {
        "name": NAME,
        "version": VERSION,
        "training": {
            "protocol": "three or more readers, median malignancy not 3; positive: median above 3; each opinion by "
            "what had not seen the patient",
            "nodules": len(labels),
            "suspicious": int(labels.sum()),
            "patients": len(set(patients.tolist())),
            "seed": compared.how.seed,
        },
        **model.to_json(quantities),
        "figures": {name: words.numbers(figure) for name, figure in tested.items()},
    }


def _pictures(compared: Compared) -> Iterator[tuple[str, str]]:
    for name, result in compared.results.items():
        titles = {key: title_of(key) for key in result.figures}
        areas = {titles[key]: figures["auc"] for key, figures in result.figures.items()}
        yield f"compare-{name}-auc.svg", plots.areas(areas, paper=True) + "\n"
        scores = {title: result.comparison.scores[key] for key, title in titles.items()}
        yield f"compare-{name}-roc.svg", plots.roc_curves(result.comparison.labels, scores, paper=True) + "\n"
        said = {title: result.comparison.said[key] for key, title in titles.items()}
        yield f"compare-{name}-reliability.svg", plots.reliability_sheet(result.comparison.labels, said) + "\n"


def _page(compared: Compared, pictures: Sequence[str]) -> str:
    parts = [_HEAD.format(notes="\n".join(f"- {note}" for note in words.notes(compared)))]
    for name, result in compared.results.items():
        shown = "\n".join(f"![{_ALT[one.split('-')[-1]]}]({one})" for one in pictures if f"-{name}-" in one)
        parts.append(
            f"## {words.SETS[name]}\n\n{' '.join(words.verdict(result))}\n\n"
            f"{_markdown(words.COLUMNS, words.table(result))}\n\n"
            f"AUC among nodules alike in size:\n\n{_markdown(words.PART_COLUMNS, words.parts(result))}\n\n"
            f"{_markdown(words.MORE_COLUMNS, words.more(compared, result))}\n\n{shown}\n"
        )
    return "\n".join(parts)


_ALT = {"auc.svg": "Areas under the curves", "roc.svg": "ROC curves", "reliability.svg": "Reliability"}

_HEAD = """# Methods that tell suspicious nodules from others, compared

Every number below is one that `lungcad compare` prints; with `--card DIR` it wrote this page.

{notes}
"""


def _ensemble_card(compared: Compared, data: Mapping[str, Any]) -> str:
    result = compared.results[SLICES]
    mine, reader = result.figures[ensemble.KEY], result.figures[READER]
    less = mine["auc_minus_reader_model"]
    clear = "beats it beyond chance" if less.low > 0 else "cannot be told from it"
    rows = [(name, *(words.text(result.figures[key][figure]) for key in (ensemble.KEY, READER, RULER)))
            for figure, name in _SHOWN.items()]  # fmt: skip
    terms = [(term["name"], f"{term['coefficient']:+.3f}") for term in data["terms"]]
    return _CARD.format(
        version=data["version"],
        meaning=MEANING,
        members=", ".join(ensemble.MEMBERS.values()),
        table=_markdown(("", "ensemble", "reader-suspicion model", "ruler"), rows),
        terms=_markdown(("opinion (standardized log odds)", "coefficient"), terms),
        less=words.text(less, signed=True),
        clear=clear,
        reader=words.text(reader["auc"]),
        **data["training"],
    )


_SHOWN = {
    "auc": "AUC",
    "auc_6_10_mm": "AUC, 6 to 10 mm",
    "auc_8_15_mm": "AUC, 8 to 15 mm",
    "auc_10_20_mm": "AUC, 10 to 20 mm",
    "accuracy": "Accuracy at 0.5",
    "sensitivity": "Sensitivity at 0.5",
    "specificity": "Specificity at 0.5",
    "brier": "Brier score",
    "ece": "Calibration error, 15 bins of equal mass",
    "calibration_slope": "Calibration slope (1 is right)",
}


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ("---",) * len(columns), *lines))


_CARD = """# Ensemble, {version}

Every number below is one that `lungcad compare` prints; with `--card DIR` it wrote this page and `ensemble.json`.

**What it says.** A number from 0 to 1: {meaning}. The interval beside it is what other patients to learn the weights
from would have given. For research; not a medical device.

**What it is.** A ridge-penalized logistic regression on the log odds of the engines' opinions: {members}. The members
are every engine with an opinion of its own; they were fixed before any figure was looked at.

{terms}

**What it was fitted on.** {nodules} slices ({suspicious} suspicious) of {patients} LIDC patients: {protocol}.

**How it was tested.** For the patients of each fold, by weights fitted on the other folds. In parentheses 95 %
intervals over draws of patients. Its AUC less that of the reader-suspicion model ({reader}) is {less}: it {clear}.

{table}

All methods on the same nodules: [compare.md](compare.md).

**What to beware of.**
- It agrees with opinions, not with outcomes, and the ruler agrees nearly as well.
- In use the reader-suspicion model measures LungCAD's own outline in 3D and its packaged coefficients are of more
  patients; here it was fitted again on one reader's outline of one slice.
- A member's opinion of a fold's patients may have been shaped by other folds' patients, as is usual in stacking.

**Make it again.** `lungcad compare --data DIR --card Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0.
"""
