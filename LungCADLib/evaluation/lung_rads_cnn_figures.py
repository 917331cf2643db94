"""Every figure of the Lung-RADS slice set's pipeline: its outline, and both of its classifications beside the ruler.

On LIDC's slices the protocol is three or more readers and a median malignancy that is not 3; positive is a median above
3. A patient's nodule is judged by the one network, and by coefficients, that have not seen the patient. On the set
itself nobody knows whose a slice is, so draws are of slices, and intervals are narrower than they should be.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import ROUNDS, Estimate, Labels
from LungCADLib.evaluation.compare_figures import PARTS, RULER, Comparison
from LungCADLib.malignancy.lung_rads_cnn import SEGMENTED, WHOLE

DECIMALS = 6
"""Of figures in JSON."""

Mask = NDArray[np.bool_]
Found = dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Judged:
    """Slices as columns of equal length n.

    `segmented` and `whole` (n,), how suspicious; `suspicious` bool (n,); `ruler_mm` (n,), or pixels where there are no
    millimeters; `drawn` and `truth` bool (n, y, x), outlines on one grid; `group` (n,), what is drawn together: the
    patient, or the slice where nobody knows.
    """

    segmented: NDArray[np.float64]
    whole: NDArray[np.float64]
    suspicious: Labels
    ruler_mm: NDArray[np.float64]
    drawn: Mask
    truth: Mask
    group: NDArray[np.str_]


def dice(drawn: Mask, truth: Mask) -> NDArray[np.float64]:
    """2 |A and B| / (|A| + |B|) of each pair (n,); 1 where both are empty."""
    shared = (drawn & truth).sum(axis=(1, 2))
    both = drawn.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    out: NDArray[np.float64] = np.where(both > 0, 2 * shared / np.maximum(both, 1), 1.0)
    return out


def figures(judged: Judged, bands: bool = True, rounds: int = ROUNDS, seed: int = 0) -> Found:
    """Every figure by name.

    Those of the segmented image have plain names (`auc`), those of the whole image and of the ruler end in theirs
    (`auc_whole`), and those of a band of size in that (`auc_8_15_mm`, `dice_8_15_mm`); without bands none of these.
    """
    said = {SEGMENTED: judged.segmented, WHOLE: judged.whole}
    compared = Comparison(judged.suspicious, judged.ruler_mm, judged.group, said, rounds, seed)
    parts = ["", *PARTS] if bands else [""]
    found: Found = {}
    for name, ending in ((SEGMENTED, ""), (WHOLE, f"_{WHOLE}")):
        for key, figure in compared.figures(name).items():
            part = next((part for part in PARTS if key.endswith(f"_{part}")), "")
            if part in parts:
                found[_ended(key.removesuffix(f"_{part}") + ending, part)] = figure
    found["auc_minus_whole"] = compared.difference(SEGMENTED, WHOLE)
    each = dice(judged.drawn, judged.truth)
    for part in parts:
        found[_ended(f"auc_{RULER}", part)] = compared.auc(RULER, part)
        found[_ended("dice", part)] = _mean(compared, each, part)
    missed: Labels = (judged.drawn & judged.truth).sum(axis=(1, 2)) == 0
    found["missed"] = _mean(compared, missed.astype(np.float64), "")
    return found


def _ended(name: str, part: str) -> str:
    return f"{name}_{part}" if part else name


def _mean(compared: Comparison, values: NDArray[np.float64], part: str) -> Estimate:
    """The mean of values (n,) among a part of the slices; NaN where there is none."""
    among = compared.among(part)
    if not among.any():
        return Estimate(math.nan, math.nan, math.nan, 0)
    return compared.resamples.estimate(lambda i: float(values[i].mean()) if len(i) else math.nan, among)


def report(labels: Sequence[str], said: Sequence[str], classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and count of each class, with their means, as scikit-learn reports them."""
    from sklearn.metrics import classification_report

    found: dict[str, Any] = classification_report(
        labels, said, labels=list(classes), output_dict=True, zero_division=0.0
    )
    return {name: of for name, of in found.items() if isinstance(of, dict)}


def numbers(found: Found) -> dict[str, dict[str, float | int | None]]:
    """Every figure by name for JSON, null where it does not exist."""
    return {
        name: {
            k: None if isinstance(v, float) and math.isnan(v) else round(v, DECIMALS) for k, v in asdict(one).items()
        }
        for name, one in found.items()
    }
