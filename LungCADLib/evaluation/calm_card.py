"""CALM's figures as rows of tables, and the model card that holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from LungCADLib.evaluation.appearance_card import text
from LungCADLib.evaluation.calm_figures import CALIBRATION, METRICS, Figures
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.training.calm_baselines import NAMES
from LungCADLib.training.calm_fit import FINE_TUNE
from LungCADLib.training.calm_gan import WIDTH
from LungCADLib.training.gan_gates import COPY_PERCENTILE, MOST_COPIES, MOST_TOLD_APART

if TYPE_CHECKING:
    from LungCADLib.evaluation.calm_gan_arm import GanArm

METHODS = {"": "CAE + CALM", **{name: title.removesuffix(" (paper 003)") for name, title in NAMES.items()}}
LESS = {
    "ruler": "ruler (long axis)",
    "frame": "frame of the patch alone",
    "middle_hu": "HU of the middle",
    "contrast": "middle against ring",
}
"""What tells less than a network, by the name in figures; not all of it in both modes."""

METRIC_LABELS = {"auc": "AUC", "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1"}
CALIBRATION_LABELS = {
    "brier": "Brier score",
    "ece": "calibration error, 15 bins of equal mass",
    "calibration_slope": "calibration slope (1 is right)",
}


@dataclass(frozen=True)
class Shown:
    """How a mode's figures are shown: its title and its parts, name to words."""

    title: str
    parts: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the whole."""
        return ("", *METRIC_LABELS.values(), "CALM less this, AUC")

    @property
    def part_columns(self) -> tuple[str, ...]:
        """Of the parts."""
        return ("", *self.parts.values())


SHOWN = {
    "malignancy": Shown(
        "Suspicious nodules against others",
        {"6_10_mm": "6 to 10 mm", "8_15_mm": "8 to 15 mm", "10_20_mm": "10 to 20 mm"},
    ),
    "nodule": Shown(
        "Nodules against other places",
        {"candidates": "against candidates", "anywhere": "against anywhere in the lung", "crops": "within crops"},
    ),
}


def rows(figures: Figures, mode: str) -> list[tuple[str, ...]]:
    """One row for each method, and for what tells less, in the order of `Shown.columns`."""
    out = []
    for name, title in {**METHODS, **LESS}.items():
        end = f"_{name}" if name else ""
        if f"auc{end}" not in figures:
            continue
        cells = [text(figures[f"{m}{end}"]) if f"{m}{end}" in figures else "-" for m in METRICS]
        out.append((title, *cells, text(figures[f"auc_minus_{name}"]) if name else ""))
    n = figures["auc"]
    out.append((f"{n.n} cases, {n.positive} positive", *("",) * (len(METRICS) + 1)))
    return out


def calibration(figures: Figures) -> str:
    """CALM's calibration as a sentence."""
    said = (f"{CALIBRATION_LABELS[name]} {text(figures[name])}" for name in CALIBRATION)
    return "; ".join(said)


def parts_rows(figures: Figures, mode: str) -> list[tuple[str, ...]]:
    """AUC in parts, in the order of `Shown.part_columns`."""
    out = []
    for name, title in {**METHODS, **LESS}.items():
        end = f"auc_{name}" if name else "auc"
        if end in figures:
            out.append((title, *(text(figures[f"{end}_{part}"]) for part in SHOWN[mode].parts)))
    counts = [figures[f"auc_{part}"] for part in SHOWN[mode].parts]
    out.append(("cases (positive)", *(f"{one.n} ({one.positive})" for one in counts)))
    return out


def gan_rows(gan: "GanArm") -> list[tuple[str, ...]]:
    """Each method with and without generated nodules, AUC and accuracy."""
    return [
        (f"{METHODS[name if name != 'calm' else '']}, {METRIC_LABELS[metric]}", *(text(found[k]) for k in found))
        for name, metrics in gan.differences.items()
        for metric, found in metrics.items()
        if metric in ("auc", "accuracy")
    ]


def gate_rows(gan: "GanArm") -> list[tuple[str, ...]]:
    """What the gates say: generated pictures beside unseen real ones."""
    g = gan.gates
    return [
        ("pictures", str(g.generated), str(g.unseen)),
        ("median distance to the nearest training picture", f"{g.nearest_generated:.3f}", f"{g.nearest_unseen:.3f}"),
        (f"nearer than {COPY_PERCENTILE:.0f} % of real ones: copies", f"{g.copies:.1%}", f"at most {MOST_COPIES:.0%}"),
        ("told apart by the nearest neighbor", f"{g.told_apart:.1%}", f"at most {MOST_TOLD_APART:.0%}"),
        ("Fréchet distance from real ones", f"{g.frechet:.3f}", f"{g.frechet_real:.3f}"),
        ("passed", "yes" if g.passed else "no", ""),
    ]


def card(weights: Mapping[str, Any], found: Mapping[str, Figures], gan: "GanArm | None") -> str:
    """The model card in Markdown; parts of it that were not evaluated are left out.

    Parameters
    ----------
    weights
        What `calm.safetensors` says of itself.
    found
        The figures by mode; those of `malignancy` must be there.
    gan
        The fold with and without generated nodules.
    """
    tables = {
        f"{mode}_{kind}": _markdown(columns, lines)
        for mode, figures in found.items()
        for kind, columns, lines in (
            ("whole", SHOWN[mode].columns, rows(figures, mode)),
            ("parts", SHOWN[mode].part_columns, parts_rows(figures, mode)),
        )
    }
    parts = [_HEAD, _MALIGNANCY, *([_NODULE] if "nodule" in found else []), *([_GAN] if gan else []), _TAIL]
    said = {
        **tables,
        "version": weights["version"],
        "meaning": MEANING,
        "patches": weights["patches"],
        "patients": weights["patients"],
        "fine_tune": FINE_TUNE,
        "calibration": calibration(found["malignancy"]),
    }
    if gan:
        said |= {
            "gates": _markdown(("", "generated", "unseen real"), gate_rows(gan)),
            "gan": _markdown(("", "with", "without", "difference"), gan_rows(gan)),
            "rate": f"{gan.rate:.0%}",
            "gan_steps": gan.steps,
            "width": WIDTH,
        }
    return "\n".join(part.format(**said) for part in parts)


def baselines_card(weights: Mapping[str, Any]) -> str:
    """The card of the packaged baselines, of which `weights` says what they were made of."""
    return _BASELINES.format(**{key: weights[key] for key in ("version", "patches", "patients")})


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ("---",) * len(columns), *lines))


_HEAD = """# CALM (paper 003), {version}

Every number below is one that `lungcad evaluate calm` prints; with `--card` it also wrote this page.

**What it says.** A number from 0 to 1: {meaning}.
It is the chance that the median LIDC reader rates the nodule above 3 of 5, given that the median is not 3. The
interval beside an opinion runs from the least to the most suspicious of five networks. For research; not a medical
device.

**What it is.** The method of paper 003 (a convolutional autoencoder, and the clustering-augmented learning method), on
40 x 40 pixels around the middle of the nodule's largest axial slice, at the scan's own pixels, in the lung window. The
autoencoder's encoder (50 maps of 5 x 5, 3 x 3 and 3 x 3) makes 1,250 features; the nearer of two centers, by a
dissimilarity whose weights the classifier learned, is the cluster; a network of 128, 32 and 2 neurons classifies the
features with the cluster appended. Five members, each trained without the patients of one fold.

**What it was trained on.** {patches} nodules of {patients} patients of LIDC with a median malignancy that is not 3,
each as it is and in three copies; no patient kept for independent tests is among them.

**Where it departs from the paper.** The paper promises benign against malignant, but its data are nodules against
other places in the lung; both are tested here, and only the first is an engine. Patches are split by patient, the
paper's were not. One forest finds the centers, because one for each cluster would have one class to learn. Features
are brought to one scale before the classifier. Generated pictures are of nodules only. What a command line can restore:
copies of patches move by 2 pixels, not 10, and are turned and mirrored (`--shift 10 --no-turns`); absolute weights make
the dissimilarity, because signed ones can make it negative (`--signed-weights`); the round that does best on a tenth of
the training patients is kept (`--last-round`); the autoencoder makes a few passes over the data, not 150 (`--passes
150`). The encoder is fine-tuned from the labels for {fine_tune} batches, as the paper says without saying how
(`--fine-tune 0` leaves it as the autoencoder made it).

**How it was tested.** Five folds by patient (`lidc-folds.csv`): every patient is judged by the one network that has
not seen that patient. In parentheses 95 % intervals over 1,000 draws of patients; differences are of the same draws.
"""

_MALIGNANCY = """## Suspicious nodules against others

Nodules of three or more readers whose median rating is not 3; the ruler is the long axis of the reader's outline.

{malignancy_whole}

AUC within bands of size:

{malignancy_parts}

Calibration of CALM: {calibration}.
"""

_NODULE = """## Nodules against other places

What the paper's data are. Positives are the largest slices of LIDC nodules whose size is no outlier; negatives are
places in whole CTs, a quarter what the blob detector's score likes best and the rest anywhere in the lung, and slices
of LIDC crops above and below the nodule. Other places have no diameter, so there is no ruler; the HU of the middle, and
how far it stands out from a ring around it, stand in for it. The frame of the patch, which shows no nodule, should tell
nothing; what it tells is a measure of how far the two kinds differ by scanner. Within crops both kinds come from the
same CTs.

{nodule_whole}

AUC by kind of negative:

{nodule_parts}

![Variance within clusters and loss by round](calm-rounds.svg)

![Patches above what the autoencoder rebuilds](calm-rebuilt.png)
"""

_GAN = """## Generated nodules

A WGAN-GP (width {width}, {gan_steps} steps of the generator) learned from the nodules of four folds; {rate} as many
generated nodules as real ones, and as many repeated negatives, were then added on the fifth's split. Four rows of them
above four of real ones:

![Generated nodules above real ones](calm-generated.png)

{gates}

One split, the same patients with and without:

{gan}
"""

_TAIL = """**What to beware of.**
- It agrees with opinions, not with outcomes, and a ruler alone agrees as well or better: read each row beside the
  ruler's.
- Whole CTs that give negatives are few: six. The table's intervals draw patients, and so show what that costs.
- Generated nodules were tried on one split with one seed, whose negatives come from crops and a single whole CT: a
  gain there is a hint, not more.
- Fine-tuning of the encoder was made the default after it had helped on one test fold, and small shifts after another:
  the figures are a little too good. The paper's own accuracy (0.953) and AUC (0.97) are of patches split at random,
  whose negatives are anywhere in the lung; the column "against anywhere in the lung" is nearest to that.
- One slice is looked at: what lies above and below, growth and the patient's history are not.

**Make it again.** `lungcad train calm --data DIR --out Resources/Models`, then `lungcad evaluate calm --data DIR --card
Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The weights are under the license of
LungCAD.
"""

_BASELINES = """# What paper 003 compares CALM with, {version}

Five networks each of what stands beside CALM in table 1 of paper 003, so that `lungcad compare` need not train them:
the same classifier without clusters (NN), logistic regression (LR) and a linear support vector machine (SVM) on the
features of CALM's encoder, and a CNN of the same layers taught from the labels alone. No engine of the road uses them.

Trained by `lungcad train calm` on the same {patches} nodules of {patients} patients and the same folds as CALM. What
they say, what it means and how well they did, the ruler beside them, stands in [CALM's card](calm.md).

**Data.** LIDC-IDRI, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The weights are under the license of LungCAD.
"""
