"""How much an outlined candidate looks like a nodule: the second, finer look, after which a mark is reported or not.

The detector saw a blob; the outline shows what the blob hangs on. A junction of vessels leaves its outline through
bright tissue, the dome of the diaphragm through the wall; a nodule ends where lung begins. One logistic regression over
the detector's own score and a handful of such numbers; its coefficients stand in `Resources/Models/nodule-score.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.masks import BoxMask
from LungCADLib.nodules.shape import measure_shape
from LungCADLib.scan import Scan
from LungCADLib.study import Candidate
from LungCADLib.weights import bundled_table

SHELLS_MM = ((0.1, 1.5), (1.5, 3.0))
"""Two layers around the outline, at least a voxel thick."""

LUNG_HU = -850
DENSE_HU = -500
BRIGHT_CEILING_HU = 400

NAMES = (
    "log_odds",
    *(f"{what}_{layer}" for layer in ("near", "far") for what in ("tissue", "wall", "dense")),
    "log_diameter",
    "solidity",
    "sphericity",
    "elongation",
    "length",
    "height",
    "growth",
    "median_hu",
    "brightest_hu",
    "outside",
)


def impression(scan: Scan, region: NDArray[np.bool_], outline: BoxMask, candidate: Candidate) -> NDArray[np.float64]:
    """(len(NAMES),) numbers about an outlined candidate.

    Parameters
    ----------
    scan
        The CT.
    region
        bool (z, y, x) on the scan's grid: lung, with nodules on the wall inside.
    outline
        On the scan's grid.
    candidate
        As the detector gave it.

    Returns
    -------
    In the order of `NAMES`: the detector's log-odds; for a near and a far layer around the outline the share that is
    tissue within the lung, that is outside the lung, and that is denser than -500 HU; size and form of the outline, its
    longest 3D diameter and its height over its mean diameter, and log of its mean diameter over the candidate's; median
    and 90th percentile of HU / 500; the share of the outline outside the lung.
    """
    spacing = np.array(scan.spacing)
    around = outline.trimmed().padded(np.ceil(SHELLS_MM[-1][1] / spacing).astype(int) + 1, scan.geometry.shape)
    hu, lung, mask = scan.hu[around.box], region[around.box], around.mask
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    inner = np.minimum(hu[mask], BRIGHT_CEILING_HU)
    median = float(np.median(inner))
    thinnest = (1.01 * spacing.max(), 4 * spacing[1])
    shares = []
    for (low, high), at_least in zip(SHELLS_MM, thinnest, strict=True):
        shell = (distance > low) & (distance <= max(high, at_least))
        voxels = max(int(shell.sum()), 1)
        tissue = (hu > (median + LUNG_HU) / 2) & lung & shell
        shares += [part.sum() / voxels for part in (tissue, ~lung & shell, (hu > DENSE_HU) & shell)]
    shape = measure_shape(mask, scan.spacing)
    diameter = max(shape.mean_diameter_mm, 1.0)
    score = np.clip(candidate.score, 1e-4, 1 - 1e-4)
    return np.array(
        [
            np.log(score / (1 - score)),
            *shares,
            np.log(diameter),
            shape.solidity,
            shape.sphericity,
            shape.elongation,
            shape.max_diameter_3d_mm / diameter,
            shape.z_extent_mm / diameter,
            np.log(diameter / (2 * candidate.radius_mm)),
            median / 500,
            np.percentile(inner, 90) / 500,
            (mask & ~lung).sum() / mask.sum(),
        ]
    )


@dataclass(frozen=True)
class NoduleScore:
    """A logistic regression on standardized impressions, and the score from which a nodule is reported."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float
    operating_point: float

    def predict(self, impressions: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) scores from 0 to 1 for (n, len(NAMES)) impressions."""
        log_odds = (impressions - self.mean) / self.scale @ self.coefficients + self.intercept
        return 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))

    def to_dict(self) -> dict[str, Any]:
        """The score as JSON-ready numbers."""
        columns = {"coefficient": self.coefficients, "mean": self.mean, "scale": self.scale}
        terms = [
            {"name": name, **{key: float(column[i]) for key, column in columns.items()}} for i, name in enumerate(NAMES)
        ]
        return {"terms": terms, "intercept": self.intercept, "operating_point": self.operating_point}

    @staticmethod
    def from_json(table: Mapping[str, Any]) -> "NoduleScore":
        """The score in `nodule-score.json`; the terms must be this version's."""
        data = table["score"]
        if tuple(term["name"] for term in data["terms"]) != NAMES:
            raise ValueError("The nodule score was trained on other features; run `lungcad train detection` again.")
        mean, scale, coefficients = (
            np.array([term[key] for term in data["terms"]]) for key in ("mean", "scale", "coefficient")
        )
        return NoduleScore(mean, scale, coefficients, data["intercept"], data["operating_point"])


@cache
def nodule_score() -> NoduleScore:
    """The packaged score."""
    return NoduleScore.from_json(bundled_table("nodule-score"))
