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
        names = (f"auc_{part}", f"auc_fusion_{part}", f"auc_ruler_{part}", f"{start}{part}", f"auc_fusion_minus_ruler_{part}")
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


def card(data: Mapping[str, Any], found: Mapping[str, Figures]) -> str:
    """The model card in Markdown, from `appearance.json` and the figures by set."""
    tables = {
        f"{name}_{kind}": _markdown(columns, of(figures))
        for name, figures in found.items()
        for kind, columns, of in (("whole", COLUMNS, rows), ("parts", PARTS_COLUMNS, parts_rows))
    }
    return _CARD.format(version=data["version"], meaning=MEANING, **data["training"], **tables)


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ("---",) * len(columns), *lines))
