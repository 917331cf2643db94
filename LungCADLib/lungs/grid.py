"""The coarse cubic grid on which the lungs are found, and morphology in mm on it."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.scan import Box, Geometry, Scan

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
    return Scan(_with_edges(binned, geometry, onto), onto)


def finer(mask: Mask, grid: Geometry, onto: Geometry) -> tuple[Box, NDArray[np.uint8]]:
    """How much of a coarse mask lies at each voxel of a fine grid with the same axes.

    Returns
    -------
    tuple[Box, NDArray[np.uint8]]
        A box of the fine grid that holds the whole mask, and in it the share from 0 to 200, linear between the coarse
        voxels' centers. Beyond the coarse grid's edge its last voxels go on.
    """
    if not mask.any():
        empty = (slice(0, 1),) * 3
        return empty, np.zeros((1, 1, 1), np.uint8)
    held = bounding_box(mask, 2)
    first = onto.to_index(grid.to_lps([s.start for s in held]))
    last = onto.to_index(grid.to_lps([s.stop - 1 for s in held]))
    start = np.where([s.start == 0 for s in held], 0, first).clip(0, np.array(onto.shape) - 1).astype(int)
    to_end = [s.stop == n for s, n in zip(held, mask.shape, strict=True)]
    stop = np.where(to_end, onto.shape, np.ceil(last) + 1).clip(start + 1, onto.shape).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    box = (z, y, x)
    return box, _with_edges(mask[held].astype(np.uint8) * 200, grid.crop(held), onto.crop(box))


def _with_edges(array: NDArray, grid: Geometry, onto: Geometry) -> NDArray:
    """The array resampled; half a voxel beyond its last centers its last values go on."""
    padded = np.pad(array, 1, mode="edge")
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
    """The mask with gaps and dents filled into which a ball of the given radius does not fit.

    Where the mask is cut off by the first or last slice it is taken to go on; at the sides of the picture it ends.
    """
    if not mask.any():
        return mask.copy()
    box = bounding_box(mask)
    margin = int(mm / voxel_mm) + 2
    inner = np.pad(mask[box], margin)
    if box[0].start == 0:
        inner[:margin] = inner[margin]
    if box[0].stop == mask.shape[0]:
        inner[-margin:] = inner[-margin - 1]
    closed = erode(dilate(inner, mm, voxel_mm), mm, voxel_mm)
    out = mask.copy()
    wider = bounding_box(mask, margin)
    part = tuple(slice(w.start - b.start + margin, w.stop - b.start + margin) for w, b in zip(wider, box, strict=True))
    out[wider] |= closed[part]
    return out


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
