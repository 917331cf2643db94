"""The appearance network's figures as rows of tables, and the model card that holds them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from LungCADLib.evaluation.appearance_figures import METRICS, Figures
from LungCADLib.evaluation.classification import SIZE_BANDS_MM, Figure
from LungCADLib.malignancy.reader_model import MEANING

SETS = {"slices": "LIDC slices", "patches": "LUNA16 patches"}

COLUMNS = ("", "network", "fusion", "ruler", "nodules (positive)")
PARTS_COLUMNS = ("", "network", "fusion", "ruler", "network - ruler", "fusion - ruler", "nodules (positive)")

LABELS = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy at 0.5",
    "sensitivity": "Sensitivity at 0.5",
    "specificity": "Specificity at 0.5",
    "sensitivity_at_specificity_90": "Sensitivity at specificity 0.9",
    "brier": "Brier score",
    "ece": "Calibration error, 15 bins of equal mass",
    "calibration_slope": "Calibration slope (1 is right)",
    "calibration_intercept": "Calibration intercept (0 is right)",
}
ALONE = {
    "auc_area": "AUC of the outline's area",
    "auc_size": "AUC of network and diameter",
    "auc_signs": "AUC of the reader model's six signs, fitted again on these slices",
    "auc_reader_model": "AUC of the reader-suspicion model as it is packaged",
    "auc_minus_ruler": "AUC, network less ruler",
    "auc_size_minus_ruler": "AUC, network and diameter less ruler",
    "auc_minus_reader_model": "AUC, network less reader-suspicion model",
    "auc_fusion_minus_ruler": "AUC, fusion less ruler",
    "auc_fusion_minus_network": "AUC, fusion less network",
    "auc_fusion_minus_signs": "AUC, fusion less six signs",
    "auc_fusion_minus_reader_model": "AUC, fusion less reader-suspicion model",
}
"""Figures that stand in a row of their own."""

PARTS = {
    **{f"{low:.0f}_{high:.0f}_mm": f"{low:.0f} to {high:.0f} mm by the ruler" for low, high in SIZE_BANDS_MM},
    "non_solid": "non-solid",
    "part_solid": "part-solid",
    "solid": "solid",
}


def rows(figures: Figures) -> list[tuple[str, ...]]:
    """The figures over all nodules as text in the order of `COLUMNS`."""
    out = []
    for name in METRICS:
        columns = [figures[f"{name}{ending}"] for ending in ("", "_fusion", "_ruler")]
        out.append((LABELS[name], *(text(figure) for figure in columns), _count(columns[0])))
    for name, label in ALONE.items():
        if name in figures:
            out.append((label, text(figures[name]), "", "", _count(figures[name])))
    return out


def parts_rows(figures: Figures) -> list[tuple[str, ...]]:
    """AUC in bands of size, vendors and densities as text in the order of `PARTS_COLUMNS`."""
    start = "auc_minus_ruler_"
    out = []
    for part in (name.removeprefix(start) for name in figures if name.startswith(start)):
        names = (
            f"auc_{part}",
            f"auc_fusion_{part}",
            f"auc_ruler_{part}",
            f"{start}{part}",
            f"auc_fusion_minus_ruler_{part}",
        )
        label = PARTS.get(part, part.upper() if len(part) < 3 else part.capitalize())
        out.append((label, *(text(figures[name]) for name in names), _count(figures[names[0]])))
    return out


def text(figure: Figure) -> str:
    """A figure with its interval; a dash where it does not exist."""
    if math.isnan(figure.value):
        return "-"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _count(figure: Figure) -> str:
    return f"{figure.n} ({figure.positive})"


def card(data: Mapping[str, Any], weights: Mapping[str, Any], parameters: int, found: Mapping[str, Figures]) -> str:
    """The model card in Markdown.

    Parameters
    ----------
    data
        `appearance.json`.
    weights
        What `appearance.safetensors` says of itself.
    parameters
        Of one network.
    found
        The figures by set.
    """
    tables = {
        f"{name}_{kind}": _markdown(columns, of(figures))
        for name, figures in found.items()
        for kind, columns, of in (("whole", COLUMNS, rows), ("parts", PARTS_COLUMNS, parts_rows))
    }
    said = {key: weights[key] for key in ("pixels", "pixel_mm", "pictures")}
    return _CARD.format(
        version=data["version"],
        meaning=MEANING,
        parameters=f"{parameters:,}",
        patients_seen=weights["patients"],
        **said,
        **data["training"],
        **tables,
    )


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ("---",) * len(columns), *lines))


_CARD = """# Appearance network and its fusion, {version}

Every number below is one that `lungcad evaluate appearance` prints; with `--card` it also wrote this page.

**What it says.** A number from 0 to 1: {meaning}.
It is the chance that the median LIDC reader rates the nodule above 3 of 5, given that the median is not 3. The
interval beside an opinion runs from the least to the most suspicious of five networks. For research; not a medical
device.

**What it is.** Five residual networks of {parameters} parameters each look at the axial slice that cuts most of the
nodule: {pixels} x {pixels} pixels of {pixel_mm} mm around its middle, in a lung and a soft-tissue window. They see no
outline; it only says where the middle is. Each answers how suspicious the slice looks and how large the nodule is,
the mean over eight sides of the view; a logistic regression makes a probability of the five networks' mean answers
(`--malignancy appearance`). A second one adds the six signs of the reader-suspicion model (`--malignancy fusion`). All
coefficients stand in `appearance.json`.

**What it was trained on.** {pictures} pictures of nodules of {patients_seen} patients: the 2,018 LIDC slices, the 708
LUNA16 patches, and the slices of the 702 LIDC boxes and 93 crops that show most of a nodule; no patient kept for
independent tests is among them. The networks were also taught the readers' seven characteristics, benign
calcification, the diameter and a reader's outline. Pictures were turned, mirrored, shifted, noised, narrowed, and
stretched by at most 5 %, since size is what says most. The regressions were fitted on
{nodules} slices ({suspicious} suspicious) of {patients} patients.

**How it was tested.** Five folds by patient (`lidc-folds.csv`): every patient is judged by the one network that has
not seen that patient, and by coefficients fitted without the patient's fold. In use, and in an evaluation of other
patients, the five networks answer together and the coefficients are of all patients. In parentheses 95 % intervals
over 2,000 draws of patients; differences are of the same draws. Slices count with three or more readers and a median
rating that is not 3; the ruler is the long axis of the reader's outline. All patches count; the ruler is the file's
diameter, which is also what the fusion adds there. What is positive there is the file's word for it: more nodules
than on the slices at the same suspicion, so its probabilities are too low for the patches.

On the slices:

{slices_whole}

{slices_parts}

On the patches:

{patches_whole}

{patches_parts}

![Reliability of stated suspicion](appearance-reliability.svg)

**What to beware of.**
- It agrees with opinions, not with outcomes, and the ruler alone agrees nearly as well: read each row beside the
  ruler's, and the bands of size before the whole.
- The six signs were measured on the reader's outline of the tested slice, not on an outline of LungCAD's. Whoever
  outlines a nodule generously also tends to find it suspicious, so the fusion may do a little worse in use.
- Network, training and the regressions' terms were chosen while looking at these same folds, so the figures are a
  little too good.
- The fusion stays a little below the AUC that was aimed at (0.96). Further terms were tried on the same folds: what the
  attributes networks say of malignancy, spiculation, lobulation and margin, out of fold too. With malignancy alone
  nothing changed, with more of them the AUC fell a little; none was kept.
- Patches and slices are in large part of the same nodules; the second table is no independent confirmation.
- One slice is looked at: what lies above and below, growth and the patient's history are not.
- Strata with few nodules of a kind have wide intervals, or none; Philips slices of these files are often 24 HU too low.

**Make it again.** `lungcad train appearance --data DIR --out Resources/Models`, then `lungcad evaluate appearance
--data DIR --card Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. Setio AAA et al., LUNA16, Med Image
Anal 42:1-13, 2017, CC BY 4.0. The weights are under the license of LungCAD.
"""
