"""The figures of the Lung-RADS slice set's pipeline as tables, and the model card that holds them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from LungCADLib.evaluation.appearance_card import LABELS
from LungCADLib.evaluation.classification import Estimate, Figure
from LungCADLib.evaluation.compare_figures import PARTS
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.malignancy.lung_rads_cnn import NAME
from LungCADLib.malignancy.reader_model import MEANING

COLUMNS = ("", "segmented image", "whole image (baseline CNN)", "ruler", "slices (positive)")
CLASS_COLUMNS = ("class", "precision", "recall", "F1", "slices")

BANDS = {part: part.removesuffix("_mm").replace("_", " to ") + " mm" for part in PARTS}

ALONE = {
    "auc_minus_ruler": "AUC, segmented image less ruler",
    "auc_minus_whole": "AUC, segmented image less whole image",
    "dice": "Dice of the outline, mean",
    **{f"dice_{part}": f"Dice, {band}" for part, band in BANDS.items()},
    "missed": "Share whose outline misses the nodule",
}
"""Figures that stand in a row of their own."""


def rows(found: Mapping[str, Estimate]) -> list[tuple[str, ...]]:
    """The figures as text in the order of `COLUMNS`."""
    out = []
    lines = {
        **LABELS,
        **{f"auc_{part}": f"AUC, {part.replace('_', ' to ', 1).replace('_mm', ' mm')}" for part in PARTS},
    }
    for name, label in lines.items():
        if name in found:
            others = (found.get(_beside(name, other)) for other in ("whole", "ruler"))
            out.append((label, text(found[name]), *(text(one) if one else "" for one in others), _count(found[name])))
    for name, label in ALONE.items():
        if name in found:
            out.append((label, text(found[name]), "", "", _count(found[name])))
    return out


def _beside(name: str, other: str) -> str:
    """The name of the same figure of another, before its band."""
    part = next((part for part in PARTS if name.endswith(f"_{part}")), "")
    return f"{name.removesuffix(f'_{part}')}_{other}_{part}" if part else f"{name}_{other}"


def class_rows(classes: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    """scikit-learn's report as text in the order of `CLASS_COLUMNS`."""
    return [
        (name, *(f"{of[key]:.3f}" for key in ("precision", "recall", "f1-score")), f"{of['support']:.0f}")
        for name, of in classes.items()
    ]


def text(figure: Estimate) -> str:
    """A figure with its interval; a dash where it does not exist."""
    if math.isnan(figure.value):
        return "-"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _count(figure: Estimate) -> str:
    return f"{figure.n} ({figure.positive})" if isinstance(figure, Figure) else str(figure.n)


def show(lines: list[tuple[str, ...]], classes: Mapping[str, Mapping[str, float]], notes: Sequence[str]) -> None:
    """Print both tables and the notes."""
    console = page()
    show_table(console, "Outline and classification", COLUMNS, lines)
    show_table(console, "By class, from the segmented image", CLASS_COLUMNS, class_rows(classes))
    for note in notes:
        console.print(note)


def card(
    data: Mapping[str, Any],
    weights: Mapping[str, Any],
    parameters: int,
    found: Mapping[str, Estimate],
    classes: Mapping[str, Mapping[str, float]],
    notes: Sequence[str],
) -> str:
    """The model card in Markdown, from `lung-rads-cnn.json`, what the weights say of themselves, and the figures."""
    return _CARD.format(
        name=NAME,
        version=data["version"],
        meaning=MEANING,
        parameters=f"{parameters:,}",
        notes="\n".join(f"- {note}" for note in notes),
        figures=_markdown(COLUMNS, rows(found)),
        classes=_markdown(CLASS_COLUMNS, class_rows(classes)),
        slices=weights["slices"],
        patients_seen=weights["patients"],
        **{key: weights[key] for key in ("width", "pixels", "pixel_mm", "batch", "steps", "seed")},
        **data["training"],
    )


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ("---",) * len(columns), *lines))


_CARD = """# {name}, {version}: the Lung-RADS slice set's pipeline on LIDC's slices

Every number below is one that `lungcad evaluate {name}` prints; with `--card` it also wrote this page.

**What it says.** A number from 0 to 1: {meaning}.
It is the chance that the median LIDC reader rates the nodule above 3 of 5, given that the median is not 3. The
interval beside an opinion runs from the least to the most suspicious of five networks. It is no Lung-RADS category:
that comes from the guideline (`guidelines/lung_rads.py`), and the network learned from LIDC, which has none. For
research; not a medical device.

**What it is.** The pipeline of "Lung Cancer Segmentation" (AlAthari, Chen, Desai, Singh, Deep Neural Networks final
project, 2024): a U-Net outlines the nodule on its largest axial slice, and a CNN classifies the image of which only
what is outlined is left. The U-Net's encoder is MobileNetV2 of width {width} (Sandler et al., CVPR 2018), trained from
scratch; a second CNN from scratch, the paper's baseline, sees the whole image and stands beside it in the tables. Five
such networks of {parameters} parameters each; {pixels} x {pixels} pixels of {pixel_mm} mm in three windows of HU;
`{name}.json` holds the coefficients that bring the mean of their log odds to a probability.

**What it was trained on.** {slices} LIDC slices of {patients_seen} patients, median malignancy not 3, one reader or
more; {steps} batches of {batch}, seed {seed}. Slices were turned, mirrored, shifted, noised, and stretched by at most
5 %. The regressions were fitted on {nodules} slices ({suspicious} suspicious) of {patients} patients. No patient kept
for independent tests is among them, and nothing of the Lung-RADS set.

**How it was tested.** Five folds by patient (`lidc-folds.csv`). In parentheses 95 % intervals over 2,000 draws of
patients; differences are of the same draws. The ruler is the long axis of the reader's outline.
{notes}

{figures}

{classes}

**What to beware of.**
- It agrees with opinions, not with outcomes, and the ruler alone agrees nearly as well: read each row beside the
  ruler's, and the bands of size before the whole.
- Truth of the outline is one reader's; another reader would not reach a Dice of 1 either. The network is shown where
  the nodule's middle is; without that it does not find nodules.
- The training was short ({steps} batches), for a machine without a GPU; `--steps` makes it longer. Its rate and length
  were chosen while looking at the first fold, so the figures are a little too good.
- Paper and data set say nothing of layers, sizes or training; all of that is our reading.
- The Lung-RADS set (Nam et al., Mendeley Data, doi 10.17632/5rr22hgzwr.1) is in part LIDC, and names no patient. What
  was trained on it (`lungcad train {name} --set`) is refused as a test on LIDC, and these weights as a test on the set.

**Make it again.** `lungcad train {name} --data DIR --out Resources/Models`, then `lungcad evaluate {name} --data DIR
--card Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The weights are under the license of
LungCAD.
"""
