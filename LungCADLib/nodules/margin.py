"""How a nodule ends: sharply or not, in spicules, in lobes."""

import math
from dataclasses import dataclass

import numpy as np

from LungCADLib.nodules.patch import Patch
from LungCADLib.nodules.shape import ShapeMeasures
from LungCADLib.study import Margin

LEAST_CONTRAST_HU = 100.0

HAZE_RING_MM = (1.0, 2.5)
HAZE_SHARE = (0.25, 0.9)
"""Lines and haze that run out from the nodule fill part of the voxels next to it: these shares of its contrast."""

STRAND_RING_MM = (2.0, 4.0)
STRAND_WIDTH_MM = 1.5
"""Structures narrower than about twice this, a little farther out: strands, vessels, noise."""

SMOOTHING_MM = 0.5

SPICULATION = {"intercept": 5.176, "sphericity": -7.249, "haze": 4.816, "strands": -8.709}
LOBULATION = {"intercept": 6.226, "solidity": -5.22, "sphericity": -2.536}
SHARPNESS = {"intercept": 0.584, "sphericity": 0.363, "strands": -4.272}
"""Logistic models of the readers' rating being 4 or 5, shifted so that 0.5 is the level that 92% of the others stay
below; a linear model of the readers' margin rating. `training/margin.py` fits them to the outlines found here, on the
`lidc-vois` nodules of patients with odd numbers; `Testing/test_nodules_readers.py` holds what they reach on the even.
"""


@dataclass(frozen=True)
class MarginFeatures:
    """What the descriptors are made of.

    Parameters
    ----------
    solidity, sphericity
        Of the outline.
    haze
        Share (0 to 1) of the voxels just outside the outline that are between lung and nodule.
    strands
        Mean height of thin structures a little farther out, over the nodule's contrast.
    """

    solidity: float
    sphericity: float
    haze: float
    strands: float


def margin_features(patch: Patch, shape: ShapeMeasures) -> MarginFeatures:
    """Form of the outline and HU around it, all without unit."""
    from scipy import ndimage

    dy, dx = patch.spacing[1:]
    top = float(np.percentile(patch.hu[patch.mask], 75))
    contrast = max(top - patch.background_hu, LEAST_CONTRAST_HU)
    hu = ndimage.gaussian_filter(patch.hu, [0, SMOOTHING_MM / dy, SMOOTHING_MM / dx])

    # Bone and calcium beside the nodule are no part of its margin.
    soft = patch.hu < top + 400
    near = soft & (patch.outside_mm > HAZE_RING_MM[0]) & (patch.outside_mm <= HAZE_RING_MM[1])
    share = (hu[near] - patch.background_hu) / contrast
    haze = float(np.mean((share > HAZE_SHARE[0]) & (share < HAZE_SHARE[1]))) if share.size else 0.0

    width = [1, *(max(3, 2 * round(STRAND_WIDTH_MM / s) + 1) for s in (dy, dx))]
    thin = hu - ndimage.grey_opening(hu, size=width)
    far = soft & (patch.outside_mm > STRAND_RING_MM[0]) & (patch.outside_mm <= STRAND_RING_MM[1])
    strands = float(thin[far].mean() / contrast) if far.any() else 0.0
    return MarginFeatures(shape.solidity, shape.sphericity, haze, strands)


def describe_margin(patch: Patch, shape: ShapeMeasures) -> Margin:
    """Sharpness, spiculation and lobulation of a nodule, each 0 to 1, and the two yes/no the guidelines ask for."""
    features = margin_features(patch, shape)
    spiculation, lobulation = _logistic(SPICULATION, features), _logistic(LOBULATION, features)
    return Margin(
        sharpness=min(1.0, max(0.0, _sum(SHARPNESS, features))),
        spiculation=spiculation,
        lobulation=lobulation,
        spiculated=spiculation >= 0.5,
        lobulated=lobulation >= 0.5,
    )


def _sum(weights: dict[str, float], features: MarginFeatures) -> float:
    return weights["intercept"] + sum(w * getattr(features, name) for name, w in weights.items() if name != "intercept")


def _logistic(weights: dict[str, float], features: MarginFeatures) -> float:
    return 1 / (1 + math.exp(-_sum(weights, features)))
