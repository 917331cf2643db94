"""The attributes' figures as tables, and the model card that they stand in."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from LungCADLib.evaluation.attributes_figures import Figures
from LungCADLib.evaluation.classification import Estimate
from LungCADLib.malignancy.attributes import SPICULATED_RATING, WORDS

TITLES = {
    "crops": "crops: 3D at 1 mm, one reader",
    "vois": "boxes: 3D at native resolution, readers' majority",
    "slices": "slices: the largest one, up to four readers",
}

_MEASURES = {
    "spearman_{}": "Spearman",
    "spearman_{}_hand": "by hand",
    "spearman_{}_ruler": "ruler",
    "kappa_{}": "kappa",
    "mae_{}": "error, grades",
    "mae_{}_constant": "constant",
    "spearman_{}_one_reader": "Spearman, one reader",
    "spearman_{}_readers": "readers",
    "kappa_{}_one_reader": "kappa, one reader",
    "kappa_{}_readers": "readers",
}
"""A table's columns: name of the figure and what stands above it."""

_WITH_INTERVAL = ("spearman_{}", "kappa_{}", "kappa_{}_readers", "spearman_{}_readers")
"""Where there is room for it in a table; JSON has all."""

_BETWEEN = re.compile(r"(\d)_(\d)")

SPICULATED_COLUMNS = ("", "AUC", "sensitivity", "specificity", "nodules")
_SPICULATED = f"Rated spiculated (4 or 5), which the network says from a mean rating of {SPICULATED_RATING}:"
PARTS_COLUMNS = ("", *WORDS, "nodules")


def title(name: str) -> str:
    """What a set is, and whose outlines the network saw; the engine's name follows the set's."""
    kind, _, engine = name.partition("_")
    return TITLES[kind] + (f"; outlines by the {engine} engine" if engine else "")


def columns(found: Figures) -> tuple[str, ...]:
    """Heads of `rows`."""
    return ("", *(_MEASURES[pattern] for pattern in _shown(found)), "nodules")


def rows(found: Figures) -> list[tuple[str, ...]]:
    """One row per characteristic, and one of their means."""
    shown = _shown(found)
    return [
        (
            name,
            *(_text(found.get(pattern.format(name)), interval=pattern in _WITH_INTERVAL) for pattern in shown),
            str(found[f"spearman_{name}"].n),
        )
        for name in (*WORDS, "mean")
    ]


def _shown(found: Figures) -> list[str]:
    return [pattern for pattern in _MEASURES if any(pattern.format(name) in found for name in WORDS)]


def spiculated_rows(found: Figures) -> list[tuple[str, ...]]:
    """The network by its rule, what is measured by hand, and the network as specific as that; without truth nothing."""
    if math.isnan(found["auc_spiculated"].value):
        return []
    lines = {
        "network": ("auc_spiculated", "sensitivity_spiculated", "specificity_spiculated"),
        "by hand": ("auc_spiculated_hand", "sensitivity_spiculated_hand", "specificity_spiculated_hand"),
        "network, as specific as by hand": (
            "auc_spiculated", "sensitivity_spiculated_as_specific", "specificity_spiculated_hand",
        ),
    }  # fmt: skip
    return [
        (label, *(_text(found[name]) for name in names), str(found["auc_spiculated"].n))
        for label, names in lines.items()
        if all(name in found for name in names)
    ]


def parts_rows(found: Figures) -> list[tuple[str, ...]]:
    """Spearman's correlation in strata, one row each."""
    first = next(iter(WORDS))
    endings = {"hand", "ruler", "readers", "one_reader"}
    parts = [name.removeprefix(f"spearman_{first}_") for name in found if name.startswith(f"spearman_{first}_")]
    return [
        (
            _BETWEEN.sub(r"\1 to \2", part).replace("_", " "),
            *(_text(found[f"spearman_{name}_{part}"], interval=False) for name in WORDS),
            str(found[f"spearman_{first}_{part}"].n),
        )
        for part in parts
        if part not in endings
    ]


def _text(figure: Estimate | None, interval: bool = True) -> str:
    if figure is None or math.isnan(figure.value):
        return ""
    value, low, high = (f"{number:.2f}" for number in (figure.value, figure.low, figure.high))
    return f"{value} ({low} to {high})" if interval and not math.isnan(figure.low) else value


def card(description: Mapping[str, Any], found: Mapping[str, tuple[Figures, Sequence[str]]]) -> str:
    """The card in Markdown, from what the file of weights says of itself, and figures and notes by set."""
    parts = []
    for name, (figures, notes) in found.items():
        parts += [f"### On {title(name)}", _markdown(columns(figures), rows(figures))]
        if spiculated := spiculated_rows(figures):
            parts += [
                _SPICULATED,
                _markdown(SPICULATED_COLUMNS, spiculated),
            ]
        parts += ["Spearman in parts:", _markdown(PARTS_COLUMNS, parts_rows(figures)), *notes]
    kept = {key: description[key] for key in ("members", "steps", "seed", "nodules", "patients")}
    return _CARD.format(**kept, figures="\n\n".join(parts))


def _markdown(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *rows))


_CARD = """# Attributes 1

Every figure below is one that `lungcad evaluate attributes` prints; it also wrote this page.

**What it does.** It says how LIDC's readers would be expected to rate a nodule's subtlety, margin, lobulation,
spiculation, texture, sphericity and malignancy, each from 1 to 5: the probability of every grade, the mean, and one
grade with its word. For research; not a medical device.

**What it is.** {members} small networks whose answers are averaged (`malignancy/attributes_network.py`): a residual
network with convolutions within axial slices of 36 mm, and beside it a layer that reads numbers of form and of HU in
shells around the outline (`malignancy/attributes_descriptors.py`). The answers are ordinal: the chance of a rating
above 1, 2, 3 and 4; grades are cut so that they are as frequent as readers' ratings. In 3D up to five of a nodule's
larger slices are seen, each from eight sides.

**What it was trained on.** LIDC-IDRI: {nodules} nodules of {patients} patients, counting one lesion as often as it
stands in the slices, the boxes and the crops. The target is how many of its readers rated above each grade. Each
network was trained without the patients of one fold of `lidc-folds.csv`, for {steps} batches, seed {seed}. No patient
kept for independent tests (`lidc-patients.csv`) was used.

**How it was tested.** It saw the CT and the reader's outline, or one that an engine drew from a click; nodules of which
that drew something else are left out. Spearman: correlation of the expected rating with the
readers' mean, beside it the same of what `nodules/` measures by hand on the same outline, and of the diameter (turned
round for margin, texture and sphericity). Kappa: quadratically weighted, of the grade with the readers' median. Error:
mean, of the expected rating from the readers' mean, beside it that of always saying the most frequent rating. "One
reader": the network against each single reader; "readers": each reader against each other one of the same nodule.
In parentheses 95% intervals over 1,000 draws of patients.

{figures}

**What to beware of.**
- Readers differ, most about lobulation, spiculation and sphericity; a network taught by them cannot be surer than they
  are. In about 100 of LIDC's first 399 scans the sites rated lobulation and spiculation by different scales, says the
  collection's own notice; it does not say which, and they are in training and test.
- An expected rating is right on average. Where most ratings are 1, as of lobulation and spiculation, always saying 1
  has the smaller error, and orders nothing.
- The mean rating from which a nodule counts as spiculated was chosen on these boxes, so there its figures are a little
  too good.
- The networks read the outline: one that leaks or falls short makes another form, and other attributes.
- It knows nodules of 3 to 30 mm; of larger ones it does not see the whole.
- Malignancy is what readers suspected, not what pathology found. The appearance network is the better judge of it.

**Make it again.** `lungcad train attributes --out DIR`, then
`lungcad evaluate attributes --engine classical --card DIR`, where DIR is LungCAD's `Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The weights are under the license of
LungCAD.
"""
