"""The figures of the 2D CNN as rows of tables, and the model card that holds them."""

from collections.abc import Mapping, Sequence
from typing import Any

from LungCADLib.evaluation.classification import Figure, Labels, Scores
from LungCADLib.evaluation.cnn_2d_figures import CLASSES, METRICS, NETWORK, OTHER, PAPER, Figures, confusion, report
from LungCADLib.evaluation.compare_figures import PARTS, RULER
from LungCADLib.evaluation.compare_words import text
from LungCADLib.malignancy.reader_model import MEANING

SETS = {
    "slices": "LIDC slices",
    "patches": "LUNA16 patches",
    "random": "a random 30 % of the LIDC slices, the paper's split",
}
NAMES = {NETWORK: "2D CNN", RULER: "ruler (long axis)", OTHER: "other training"}

LABELS = {
    "auc": "AUC",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "Calibration error, 15 bins of equal mass",
}

Row = tuple[str, ...]
Table = tuple[Row, list[Row]]
"""Columns, and rows in their order."""


def rows(figures: Figures, name: str) -> Table:
    """The figures over all nodules of a set; beside slices also the paper's."""
    endings = {"": NETWORK, "_ruler": RULER, **({"_other": OTHER} if "auc_other" in figures else {})}
    paper = name != "patches"
    out = [
        (
            LABELS[metric],
            *(text(figures[f"{metric}{ending}"]) for ending in endings),
            *([f"{PAPER[metric]:.2f}" if metric in PAPER else ""] if paper else []),
            _count(figures[metric]),
        )
        for metric in METRICS
    ]
    columns = ("", *(NAMES[of] for of in endings.values()), *(["paper"] if paper else []), "nodules (positive)")
    return columns, out


def parts_rows(figures: Figures) -> Table:
    """AUC over all nodules and in bands of size, and differences of it."""
    columns = {"auc": NAMES[NETWORK], "auc_ruler": NAMES[RULER], "auc_minus_ruler": "2D CNN - ruler"}
    if "auc_other" in figures:
        columns |= {
            "auc_other": NAMES[OTHER],
            "auc_other_minus_ruler": "other - ruler",
            "auc_minus_other": "2D CNN - other",
        }
    parts = {"": "all", **{f"_{part}": f"{low:.0f} to {high:.0f} mm" for part, (low, high) in PARTS.items()}}
    out = [
        (label, *(text(figures[f"{name}{part}"], "minus" in name) for name in columns), _count(figures[f"auc{part}"]))
        for part, label in parts.items()
    ]
    return ("", *columns.values(), "nodules (positive)"), out


def confusion_rows(labels: Labels, probabilities: Scores) -> Table:
    """Counts by actual and called class."""
    counts = confusion(labels, probabilities)
    out = [(of, *map(str, row)) for of, row in zip(CLASSES, counts, strict=True)]
    return ("readers", *(f"called {of}" for of in CLASSES)), out


def report_rows(labels: Labels, probabilities: Scores) -> Table:
    """Scikit-learn's classification report without its accuracy, which stands elsewhere."""
    columns = ("precision", "recall", "f1-score", "support")
    found = report(labels, probabilities)
    out = [
        (name, *(f"{of[column]:.3f}" for column in columns[:-1]), f"{of['support']:.0f}")
        for name, of in found.items()
        if isinstance(of, dict)
    ]
    return ("", *columns), out


def _count(figure: Figure) -> str:
    return f"{figure.n} ({figure.positive})"


def card(version: str, weights: Mapping[str, Any], found: Mapping[str, tuple[Figures, tuple[Labels, Scores]]]) -> str:
    """The model card in Markdown.

    Parameters
    ----------
    version
        Of the model.
    weights
        What `cnn-2d.safetensors` says of itself.
    found
        By set: the figures, and labels and probabilities.
    """
    sections = []
    for name, (figures, called) in found.items():
        tables = (rows(figures, name), parts_rows(figures), confusion_rows(*called), report_rows(*called))
        shown = "\n\n".join(_markdown(*table) for table in tables)
        sections.append(f"On {SETS[name]}:\n\n{shown}\n\n![ROC curves](cnn-2d-roc-{name}.svg)")
    other = _OTHER if "auc_other" in found["slices"][0] else ""
    random = _RANDOM if "random" in found else ""
    said = {key: weights[key] for key in ("epochs", "least_readers", "nodules", "suspicious", "patients")}
    return _CARD.format(
        version=version, meaning=MEANING, sections="\n\n".join(sections), other=other, random=random, **said
    )


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ("---",) * len(columns), *lines))


_OTHER = """ "Other training" is the same network and training on
crops of 31 mm for every nodule (`lungcad train cnn-2d --crop fixed`), which show how large it is; its weights do not
come with LungCAD."""

_RANDOM = """ The paper's own split, a random 30 % of the nodules
whoever's they are, is shown for comparison with the paper only (`lungcad train cnn-2d --split random`, then `lungcad
evaluate cnn-2d --held-out FILE`)."""

_CARD = """# 2D CNN of paper 004, {version}

Every number below is one that `lungcad evaluate cnn-2d` prints; with `--card` it also wrote this page.

**What it says.** A number from 0 to 1: {meaning}.
It is the chance that the median LIDC reader rates the nodule above 3 of 5, given that the median is not 3. The
interval beside an opinion runs from the least to the most suspicious of five networks. For research; not a medical
device. It is here because it was published; the ruler and the appearance network stand beside it, and `lungcad compare`
says which earns its place.

**What it is.** The network of M. Rocamora Valenti, A. González González, E. Grachev and D. Blasco Añó, Deep Learning
for Lung Nodule Classification in CT Images (Universitat Politècnica de València), layer by layer: 124 x 124 pixels,
convolutions of 32, 64 and 64 filters, each followed by batch normalization and max pooling, 128 connected units with
ReLU, dropout of 30 %, softmax of 2; 1,899,650 parameters. Five of them, whose probabilities are averaged.

**Where the paper is silent.** Filters are 3 x 3, padded; pooling is 2 x 2; ReLU follows pooling. The slice is the one
that cuts most of the nodule; the crop is twice as wide as its long axis, at least 20 mm and at most 71 native pixels;
intensities are -1000 to 400 HU scaled to 0 to 1. Augmentation turns by any angle, mirrors every second crop and zooms
by up to 10 %. Labels: a median rating above 3 against one below, medians of 3 left out.

**What it was trained on.** {nodules} LIDC slices ({suspicious} suspicious) of {patients} patients with
{least_readers} or more readers and a median malignancy that is not 3 (`--least-readers` takes others); no patient
kept for independent tests is among them. As the paper says: Adam with a rate of 0.001, categorical cross entropy with
class weights, batches of 20, {epochs} epochs, the last weights. Batches are drawn anew each time, and gradients are
clipped at a norm of 5.

![Loss and accuracy by epoch](cnn-2d-curves.svg)

**How it was tested.** Five folds by patient (`lidc-folds.csv`), where the paper does not say that it kept patients
apart: every patient is judged by the one network that has not seen that patient. In use, the five answer together. In
parentheses 95 % intervals over 2,000 draws of patients; differences are of the same draws. Slices count with three or
more readers and a median rating that is not 3; the ruler is the long axis of a reader's outline, which also sets the
width of the crop. Its probabilities are those of a regression fitted on slices, without the patient's fold. All
patches count, by the file's label and diameter; they are 32 native pixels wide, which is less than twice a large
nodule.{other}{random} The paper's figures are of 425 other nodules.

{sections}

**What to beware of.**
- It agrees with opinions, not with outcomes. Read every row beside the ruler's, and the bands of size before the whole.
- A crop that grows with the nodule hides how large it is from 10 mm on, which is most of what suspicion follows.
- Accuracy on what is held out swings by some points from one epoch to the next, and the last epoch's weights are
  taken, as the paper does: the rate of learning does not fall.
- The network sees no outline, but the width of its crop comes from one: of a reader in the test, of LungCAD in use.
- Patches and slices are in large part of the same nodules; the second table is no independent confirmation.
- One slice is looked at: what lies above and below, growth and the patient's history are not.

**Where it looks.** `lungcad explain INPUT --nodule ID --network cnn-2d --out DIR` draws Grad-CAM, occlusion and
integrated gradients, and says whether they agree and whether a network with random weights gives the same.

**Make it again.** `lungcad train cnn-2d --data DIR --out Resources/Models`, then `lungcad evaluate cnn-2d --data DIR
--card Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The weights are under the license of
LungCAD.
"""
