"""The figures of method 000 as rows of tables, and the model card that holds them."""

from collections.abc import Mapping, Sequence
from typing import Any

from LungCADLib.evaluation.classification import Figure
from LungCADLib.evaluation.compare_figures import PARTS, RULER
from LungCADLib.evaluation.compare_words import text
from LungCADLib.evaluation.membership_figures import CNN, KMEANS, METRICS, OPINION, Figures
from LungCADLib.malignancy.reader_model import MEANING

SETS = {
    "slices": "LIDC slices, medians of 3 left out",
    "slices_at_least_3": "LIDC slices, medians of 3 counted as suspicious",
    "patches": "LUNA16 patches",
}
NAMES = {RULER: "ruler (long axis)", OPINION: "membership", CNN: "CNN alone", KMEANS: "K-means patterns"}
"""The ruler first, as pictures want it."""

LABELS = {
    "auc": "AUC",
    "accuracy": "Accuracy at 0.5",
    "sensitivity": "Sensitivity at 0.5",
    "specificity": "Specificity at 0.5",
    "brier": "Brier score",
    "ece": "Calibration error, 15 bins of equal mass",
    "calibration_slope": "Calibration slope (1 is right)",
}
ORDER = {OPINION: "", CNN: f"_{CNN}", KMEANS: f"_{KMEANS}", RULER: f"_{RULER}"}
"""Columns of tables, and how the names of their figures end."""

Row = tuple[str, ...]
Table = tuple[Row, list[Row]]
"""Columns, and rows in their order."""


def rows(figures: Figures) -> Table:
    """The figures over all nodules of a set."""
    out = [
        (LABELS[metric], *(text(figures[f"{metric}{ending}"]) for ending in ORDER.values()), _count(figures[metric]))
        for metric in METRICS
    ]
    return ("", *(NAMES[name] for name in ORDER), "nodules (positive)"), out


def parts_rows(figures: Figures) -> Table:
    """AUC and differences to the ruler in bands of size."""
    bands = {f"_{part}": f"{low:.0f} to {high:.0f} mm" for part, (low, high) in PARTS.items()}
    out = [
        (
            label,
            *(text(figures[f"auc{ending}{part}"]) for ending in ORDER.values()),
            text(figures[f"auc_minus_ruler{part}"], signed=True),
            _count(figures[f"auc{part}"]),
        )
        for part, label in bands.items()
    ]
    return ("", *(NAMES[name] for name in ORDER), "membership - ruler", "nodules (positive)"), out


def difference_rows(figures: Figures, beside: Sequence[str] = ()) -> Table:
    """What each part adds, and what other trainings do."""
    lines = {
        "membership less ruler": "auc_minus_ruler",
        "CNN alone less ruler": f"auc_{CNN}_minus_ruler",
        "K-means patterns less ruler": f"auc_{KMEANS}_minus_ruler",
        "membership less CNN alone": f"auc_minus_{CNN}",
        "membership less K-means patterns": f"auc_minus_{KMEANS}",
    }
    out: list[Row] = [(label, "", text(figures[name], signed=True)) for label, name in lines.items()]
    for name in beside:
        out.append((f"membership less training {name!r}", text(figures[f"auc_{name}"]), _difference(figures, name)))
    return ("", "AUC of the other", "difference of AUC"), out


def _difference(figures: Figures, name: str) -> str:
    return text(figures[f"auc_minus_{name}"], signed=True)


def _count(figure: Figure) -> str:
    return f"{figure.n} ({figure.positive})"


def card(
    data: Mapping[str, Any],
    weights: Mapping[str, Any],
    parameters: int,
    centers: Sequence[tuple[int, int]],
    found: Mapping[str, Figures],
) -> str:
    """The model card in Markdown.

    Parameters
    ----------
    data
        `membership.json`.
    weights
        What `membership.safetensors` says of itself.
    parameters
        Of one network.
    centers
        Benign and malignant patterns of each network.
    found
        The figures by set.
    """
    beside = list(data["beside"])
    sections = []
    for name, figures in found.items():
        tables = (rows(figures), parts_rows(figures), difference_rows(figures, beside))
        sections.append(f"On {SETS[name]}:\n\n" + "\n\n".join(_markdown(*table) for table in tables))
    trainings = "".join(f"- `{name}`: {_trained(said)}\n" for name, said in data["beside"].items())
    return _CARD.format(
        version=data["version"],
        meaning=MEANING,
        parameters=f"{parameters:,}",
        centers=", ".join(f"{benign} and {malignant}" for benign, malignant in centers),
        trained=_trained(weights),
        sections="\n\n".join(sections),
        beside=f"\nOther trainings, put beside it with `--beside`:\n\n{trainings}" if trainings else "",
        **data["training"],
    )


def _trained(said: Mapping[str, Any]) -> str:
    """How a training was asked for."""
    first = {
        "appearance": "first layers from the appearance network",
        "scratch": "from scratch",
        "file": "first layers from a file",
    }
    parts = [first[said["start"]], f"{said['steps']} batches", f"labels by {said['label_rule']}"]
    if said["preprocess"]:
        parts.append(f"every picture: {', '.join(said['preprocess'])}")
    if said["gan_share"]:
        parts.append(f"{said['gan_share']:.0%} of each batch by a GAN of {said['gan_steps']} steps with DiffAugment")
    return "; ".join(parts)


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ("---",) * len(columns), *lines))


_CARD = """# CNN features, K-means patterns and fuzzy membership (paper 000), {version}

Every number below is one that `lungcad evaluate membership` prints; with `--card` it also wrote this page.

**What it says.** A number from 0 to 1: {meaning}.
It is the chance that the median LIDC reader rates the nodule above 3 of 5, given that the median is not 3. The
interval beside an opinion runs from the least to the most suspicious of five networks. For research; not a medical
device. It is here because it was published; the ruler and the appearance network stand beside it, and `lungcad compare`
says which earns its place.

**What it is.** Five residual networks of {parameters} parameters each look at the axial slice that cuts most of the
nodule (40 x 40 pixels of 0.75 mm, lung and soft-tissue window) and make 32 features of it, the mean over eight sides of
the view. In these features K-means finds the patterns of benign and of malignant nodules respectively (k of 2 to 5 by
silhouette; here, benign and malignant by network: {centers}); the nearest benign distance less the nearest malignant
one is a score ("K-means patterns"). Fuzzy C-means with two groups and m = 2, without labels, gives degrees of
membership, which are appended to the features; a logistic head on both is the opinion ("membership"). Both scores are
calibrated (Platt) on one patient of five that the network has not learned from.

**Where the paper is silent.** It names no network, no split and no number, and mixes CT with pathology; we read CT. Its
"malignancy of 3 and above" counts what the readers could not decide as malignant: `--label-rule "median>=3"` trains so,
and both rules are tested below. Its JPG pictures lose HU; `lungcad export` makes them, and nothing here reads them. It
erodes every picture (`--preprocess erode`); here a tenth of them are eroded, smoothed or sharpened in training. Turned
copies every 10 degrees are drawn anew in each batch, cut after turning and after the split by patient. Its augmentation
by a GAN is `--gan-share`.

![Preprocessing steps](membership-steps.png)

From the left: as scanned, eroded, denoised, enhanced, inverted, outline, eroded outline; below, the 36 turned copies. A
nodule of a synthetic chest.

**What it was trained on.** {nodules} LIDC slices ({suspicious} suspicious) of {patients} patients, labels by
{label_rule}, one reader or more; no patient kept for independent tests is among them. {trained}. The appearance
network's member of the same fold has not seen the patients left out either.

**How it was tested.** Five folds by patient (`lidc-folds.csv`): every patient is judged by the one network, and its
patterns, that have not seen that patient. In use, and in an evaluation of other patients, the five answer together. In
parentheses 95 % intervals over 2,000 draws of patients; differences are of the same draws. Slices count with three or
more readers; the ruler is the long axis of a reader's outline. All patches count, by the file's label and diameter.

{sections}
{beside}
![ROC curves](membership-roc.svg)

![Reliability of stated suspicion](membership-reliability.svg)

**What to beware of.**
- It agrees with opinions, not with outcomes. Read every row beside the ruler's, and the bands of size before the whole.
- How hard the task is depends on who counts: with medians of 3 among the suspicious, every AUC falls, the ruler's most.
- Probabilities are of the rule the networks learned by; where medians of 3 count as suspicious they are too low, and so
  are those of the patches, where more nodules are positive at the same suspicion.
- Much of what the features know comes from the appearance network they begin with (`--start scratch` does without).
- The patterns alone are no better than the ruler, and membership adds nothing to the CNN that an interval would show.
- Patches and slices are in large part of the same nodules; the last table is no independent confirmation.
- One slice is looked at: what lies above and below, growth and the patient's history are not.

**Make it again.** `lungcad train membership --data DIR --out Resources/Models`, then `lungcad evaluate membership
--data DIR --card Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The weights are under the license of
LungCAD.
"""
