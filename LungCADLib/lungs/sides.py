"""Which lung is the patient's right and which the left, also where they touch."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LungCADLib.lungs.grid import COARSE_MM, Mask, bounding_box, components, erode

SHARED = 0.15
"""A piece with more than this share on each side of the midline holds both lungs."""
CORE_MM = (2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 18.0)


def sides(hu: NDArray[np.int16], air: Mask, airway: Mask, inside: Mask) -> tuple[Mask, Mask]:
    """The right and the left lung's air, on the coarse grid (x grows toward the patient's left)."""
    middle = midline(hu, airway, inside)
    right, left = np.zeros_like(air), np.zeros_like(air)
    labels, sizes = components(air)
    for label in np.flatnonzero(sizes):
        piece = labels == label
        across = np.flatnonzero(piece.any(axis=(0, 1)))
        columns = piece.sum(axis=(0, 1))
        share_right = columns[: int(middle)].sum() / columns.sum()
        if min(share_right, 1 - share_right) > SHARED and across[-1] - across[0] > 40:
            a, b = split(hu, piece, middle)
            right |= a
            left |= b
        elif share_right > 0.5:
            right |= piece
        else:
            left |= piece
    return right, left


def midline(hu: NDArray[np.int16], airway: Mask, inside: Mask) -> float:
    """The x index between the lungs: the trachea's, or the middle of the body."""
    if airway.any():
        top = np.flatnonzero(airway.any(axis=(1, 2)))[-8:]
        return float(np.median(np.nonzero(airway[top])[2]))
    across = np.nonzero(inside.any(axis=(0, 1)))[0]
    return float(across.mean()) if across.size else hu.shape[2] / 2


def split(hu: NDArray[np.int16], piece: Mask, middle: float) -> tuple[Mask, Mask]:
    """Two lungs that touch, cut along the bright line between them (watershed from their cores)."""
    box = bounding_box(piece, 1)
    inner = piece[box]
    cut = middle - box[2].start
    markers = np.zeros(inner.shape, np.uint8)
    for mm in CORE_MM:
        labels, sizes = components(erode(inner, mm) & inner)
        big = np.flatnonzero(sizes > 0.05 * sizes.sum())
        at = {int(k): float(np.nonzero(labels == k)[2].mean()) for k in big}
        spans = [k for k in big if (labels == k)[:, :, : int(cut)].mean() > 0 and _both(labels == k, cut)]
        if not spans and any(x < cut for x in at.values()) and any(x >= cut for x in at.values()):
            for k, x in at.items():
                markers[labels == k] = 1 if x < cut else 2
            break
    else:
        x = np.arange(inner.shape[2])
        markers[:] = np.where(x < cut, 1, 2)
        markers[~inner] = 0
    relief = np.where(inner, np.clip(hu[box], -1024, 200), 1000).astype(np.int16)
    markers[~inner & (markers == 0)] = 0
    basins = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(relief), sitk.GetImageFromArray(markers), markWatershedLine=False
    )
    lungs = sitk.GetArrayFromImage(basins)
    right, left = np.zeros_like(piece), np.zeros_like(piece)
    right[box] = (lungs == 1) & inner
    left[box] = (lungs == 2) & inner
    return right, left


def _both(mask: Mask, cut: float) -> bool:
    columns = mask.sum(axis=(0, 1))
    share = columns[: int(cut)].sum() / columns.sum()
    return bool(min(share, 1 - share) > SHARED)
