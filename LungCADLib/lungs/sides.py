"""Which lung is the patient's right and which the left, also where they touch."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.lungs.grid import Mask, bounding_box, components, erode, opening

SHARED = 0.15
"""A piece with more than this share on each side of the midline holds both lungs."""
PARTNER_SHARE = 0.2
"""The smaller of two touching lungs has at least this share of the larger one's core."""
SMALL_SHARE = 0.02
SPINE_SHARE = 0.5
"""The spine stays at its x in more than this share of the slices."""
BONE_HU = 150
VERTEBRA_MM = 6.0
"""Bones of a smaller radius are not the spine."""
CUT_SHARE, WHOLE_SHARE = 0.8, 0.4
"""A picture of half a chest ends, on one side only, where the body is nearly as thick as anywhere: at the mediastinum.
Shares of the body's thickest column at the cut side and at the other."""
CORE_MM = (2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 18.0)


def sides(hu: NDArray[np.int16], air: Mask, middle: float) -> tuple[Mask, Mask]:
    """The right and the left lung's air, on the coarse grid (x grows toward the patient's left).

    Parameters
    ----------
    hu
        (z, y, x).
    air
        bool (z, y, x), both lungs.
    middle
        x index between the lungs.
    """
    right, left = np.zeros_like(air), np.zeros_like(air)
    labels, sizes = components(air)
    for label in np.flatnonzero(sizes):
        piece = labels == label
        columns = piece.sum(axis=(0, 1))
        share_right = columns[: int(middle)].sum() / columns.sum()
        markers = _cores(piece, middle) if SHARED < share_right < 1 - SHARED else None
        if markers is not None:
            a, b = _cut(hu, piece, markers)
            right |= a
            left |= b
        elif share_right > 0.5:
            right |= piece
        else:
            left |= piece
    return right, left


def midline(hu: NDArray[np.int16], airway: Mask, inside: Mask) -> float:
    """The x index between the lungs: the trachea's, else the spine's, else the body's middle or where it is cut off."""
    if airway.any():
        top = np.flatnonzero(airway.any(axis=(1, 2)))[-8:]
        return float(np.median(np.nonzero(airway[top])[2]))
    across = np.flatnonzero(inside.any(axis=(0, 1)))
    body = _middle_of_body(inside, across) if across.size else hu.shape[2] / 2
    bone = opening((hu > BONE_HU) & inside, VERTEBRA_MM).any(axis=1).mean(axis=0)
    runs, count = ndimage.label(bone > SPINE_SHARE)
    spines = [float(np.flatnonzero(runs == run).mean()) for run in range(1, count + 1)]
    return min(spines, key=lambda x: abs(x - body), default=body)


def _middle_of_body(inside: Mask, across: NDArray[np.intp]) -> float:
    """The middle x index of the body's columns `across`, or the side of the picture that cuts the chest in half."""
    thick = inside.sum(axis=(0, 1))
    first, last = thick[:2].max() / thick.max(), thick[-2:].max() / thick.max()
    if first > CUT_SHARE and last < WHOLE_SHARE:
        return float(across[0])
    if last > CUT_SHARE and first < WHOLE_SHARE:
        return float(across[-1])
    return float(across.mean())


def _cores(piece: Mask, middle: float) -> NDArray[np.uint8] | None:
    """The piece eroded until it falls into a right (1) and a left (2) part; None where it never does: one lung."""
    for mm in CORE_MM:
        labels, sizes = components(erode(piece, mm))
        first, second = np.argsort(sizes)[::-1][:2] if len(sizes) > 2 else (0, 0)
        if sizes[second] < PARTNER_SHARE * sizes[first] or not sizes[second]:
            continue
        big = np.flatnonzero(sizes > SMALL_SHARE * sizes[first])
        at = {int(label): float(np.nonzero(labels == label)[2].mean()) for label in big}
        if (at[int(first)] < middle) != (at[int(second)] < middle):
            side = np.zeros(sizes.shape, np.uint8)
            side[list(at)] = [1 if x < middle else 2 for x in at.values()]
            return side[labels]
    return None


def _cut(hu: NDArray[np.int16], piece: Mask, markers: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Two lungs that touch, cut along the bright line between them (watershed from their cores)."""
    box = bounding_box(piece, 1)
    relief = np.where(piece[box], np.clip(hu[box], -1024, 200), 1000).astype(np.int16)
    basins = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(relief), sitk.GetImageFromArray(markers[box]), markWatershedLine=False
    )
    lungs = sitk.GetArrayFromImage(basins)
    right, left = np.zeros_like(piece), np.zeros_like(piece)
    right[box] = (lungs == 1) & piece[box]
    left[box] = (lungs == 2) & piece[box]
    return right, left
