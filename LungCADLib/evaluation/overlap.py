"""How well an outline agrees with a reader's: overlap, distance between the surfaces, volume.

Masks are bool (z, y, x), or (y, x), of one shape; spacing is mm between voxel centers in the same order. What lies
beyond the array counts as outside, so a mask that touches the array's edge has a surface there. Two empty masks agree
fully; where only one is empty nothing agrees, and the distance and the bias, which then do not exist, are NaN.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Spacing = tuple[float, ...]

NODULE_TOLERANCE_MM = 1.0
"""Surfaces of nodules this near count as the same: about one voxel of a chest CT."""

_PAD = 2


@dataclass(frozen=True)
class Overlap:
    """Agreement of one outline with the true one.

    `volume_bias_percent` is (found - true) / true; `volume_ratio` is found / true.
    """

    dice: float
    hd95_mm: float
    surface_dice_1mm: float
    volume_bias_percent: float
    volume_ratio: float


def overlap(found: Mask, truth: Mask, spacing: Spacing) -> Overlap:
    """Every measure of agreement, for a nodule."""
    ratio = found.sum() / truth.sum() if truth.any() else float("nan")
    return Overlap(
        dice(found, truth),
        hd95_mm(found, truth, spacing),
        surface_dice(found, truth, spacing, NODULE_TOLERANCE_MM),
        float(100 * (ratio - 1)),
        float(ratio),
    )


def dice(found: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|) (Dice, Ecology 1945;26:297)."""
    both = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / both if both else 1.0


def hd95_mm(found: Mask, truth: Mask, spacing: Spacing) -> float:
    """The 95th percentile of the distances between the two surfaces, in mm.

    From every surface voxel (one with a face toward the outside) of each mask to the nearest one of the other; the
    percentile is taken in each direction and the larger of the two counts, as MONAI and DeepMind's surface-distance
    do. Pooling both directions, as some do, gives less.
    """
    if not found.any() or not truth.any():
        return float("nan") if found.any() or truth.any() else 0.0
    one, other = (_surface(mask) for mask in _around(found, truth))
    return max(_percentile(one, other, spacing), _percentile(other, one, spacing))


def _surface(mask: Mask) -> Mask:
    from scipy import ndimage

    return mask & ~ndimage.binary_erosion(mask)


def _percentile(start: Mask, end: Mask, spacing: Spacing) -> float:
    from scipy import ndimage

    return float(np.percentile(ndimage.distance_transform_edt(~end, sampling=spacing)[start], 95))


def surface_dice(found: Mask, truth: Mask, spacing: Spacing, tolerance_mm: float) -> float:
    """The share of both surfaces, by area, that lies within a tolerance of the other surface.

    Nikolov et al., J Med Internet Res 2021;23:e26151. Areas are those of the surfaces between voxel corners, not
    counts of voxels: MONAI's `use_subvoxels`, which gives what DeepMind's surface-distance gives.
    """
    if not found.any() or not truth.any():
        return float(found.any() == truth.any())
    import torch
    from monai.metrics import compute_surface_dice

    one, other = (torch.from_numpy(mask[None, None]) for mask in _around(found, truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI warns of its own use of an argument of its own
        share = compute_surface_dice(one, other, [tolerance_mm], True, spacing=list(spacing), use_subvoxels=True)
    return float(share)


def _around(found: Mask, truth: Mask) -> tuple[Mask, Mask]:
    """Both masks in the smallest box that holds them, with a border of outside."""
    either = found | truth
    axes = range(either.ndim)
    inside = [np.flatnonzero(either.any(axis=tuple(a for a in axes if a != axis))) for axis in axes]
    box = tuple(slice(int(i[0]), int(i[-1]) + 1) for i in inside)
    return np.pad(found[box], _PAD), np.pad(truth[box], _PAD)
