"""The coarse cubic grid on which the lungs are found, and morphology in mm on it."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.scan import AIR_HU, Box, Geometry, Scan

Mask = NDArray[np.bool_]

COARSE_MM = 2.0
"""Fine enough for the walls of main bronchi, coarse enough for seconds: 512 x 512 x 300 becomes 7 million voxels."""


def coarse(scan: Scan) -> Scan:
    """The scan averaged onto a cubic grid of `COARSE_MM`.

    Whole voxels are averaged first: it is fast, and it is the smoothing a sharp kernel needs.
    """
    factor = [min(n, max(1, int(COARSE_MM / step + 0.25))) for n, step in zip(scan.hu.shape, scan.spacing, strict=True)]
    binned = sitk.GetArrayFromImage(sitk.BinShrink(sitk.GetImageFromArray(scan.hu), factor[::-1]))
    geometry = replace(
        scan.geometry,
        shape=binned.shape,
        spacing=tuple(s * f for s, f in zip(scan.spacing, factor, strict=True)),
        origin=tuple(scan.geometry.to_lps([(f - 1) / 2 for f in factor]).tolist()),
    )
    onto = geometry.resampled((COARSE_MM,) * 3)
    return Scan(geometry.resample(binned, onto, outside=AIR_HU), onto)


def finer(mask: Mask, grid: Geometry, onto: Geometry) -> NDArray[np.uint8]:
    """How much of the coarse mask lies at each voxel of the fine grid, 0 to 200 (linear between voxel centers)."""
    padded = np.pad(mask.astype(np.uint8) * 200, 1, mode="edge")
    around = replace(grid, shape=padded.shape, origin=tuple(grid.to_lps((-1, -1, -1)).tolist()))
    return around.resample(padded, onto)


def bounding_box(mask: Mask, margin: int = 0) -> Box:
    """The smallest box that holds the mask (which must not be empty), plus a margin, clipped to the grid."""
    box = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(0, int(found[0]) - margin), min(mask.shape[axis], int(found[-1]) + 1 + margin)))
    return box[0], box[1], box[2]


def dilate(mask: Mask, mm: float, voxel_mm: float = COARSE_MM) -> Mask:
    """The mask grown by a ball of the given radius."""
    if not mask.any():
        return mask.copy()
    box = bounding_box(mask, int(mm / voxel_mm) + 1)
    out = np.zeros_like(mask)
    out[box] = _within(mask[box], mm / voxel_mm)
    return out


def erode(mask: Mask, mm: float, voxel_mm: float = COARSE_MM) -> Mask:
    """The mask shrunk by a ball of the given radius; what lies beyond the grid counts as mask."""
    if not mask.any():
        return mask.copy()
    box = bounding_box(mask, 1)
    out = np.zeros_like(mask)
    rest = ~mask[box]
    out[box] = ~_within(rest, mm / voxel_mm) if rest.any() else True
    return out


def closing(mask: Mask, mm: float, voxel_mm: float = COARSE_MM) -> Mask:
    """The mask with gaps and dents filled into which a ball of the given radius does not fit."""
    if not mask.any():
        return mask.copy()
    box = bounding_box(mask, int(mm / voxel_mm) + 2)
    out = np.zeros_like(mask)
    out[box] = erode(dilate(mask[box], mm, voxel_mm), mm, voxel_mm)
    return out | mask


def opening(mask: Mask, mm: float, voxel_mm: float = COARSE_MM) -> Mask:
    """The part of the mask a ball of the given radius can reach from within."""
    return dilate(erode(mask, mm, voxel_mm), mm, voxel_mm) & mask


def components(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected components (faces touching) labelled from 1, and their sizes in voxels; size 0 is the background's."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return labels, sizes


def connected_to(mask: Mask, seeds: Mask) -> Mask:
    """The components of the mask that hold a seed."""
    labels, sizes = components(mask)
    keep = np.zeros(sizes.shape, bool)
    keep[labels[seeds]] = True
    keep[0] = False
    return keep[labels]


def filled(mask: Mask) -> Mask:
    """The mask without holes: in 3D, and in each axial slice (where lungs are open at the first or last slice)."""
    if not mask.any():
        return mask.copy()
    box = bounding_box(mask)
    out = mask.copy()
    out[box] = ndimage.binary_fill_holes(mask[box])
    for axial in out[box]:
        axial |= ndimage.binary_fill_holes(axial)
    return out


def _within(mask: Mask, voxels: float) -> Mask:
    distance = sitk.SignedMaurerDistanceMap(
        sitk.GetImageFromArray(mask.view(np.uint8)), insideIsPositive=False, squaredDistance=True, useImageSpacing=False
    )
    return sitk.GetArrayViewFromImage(distance) <= voxels**2 + 1e-3
