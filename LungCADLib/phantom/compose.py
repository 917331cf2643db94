"""Put tissue, lungs, trees and nodules together on the scan's grid."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import LungLabel
from LungCADLib.phantom.anatomy import Anatomy, fissure_distances
from LungCADLib.phantom.implicit import F
from LungCADLib.phantom.nodules import Drawing
from LungCADLib.phantom.trees import Trees, draw
from LungCADLib.scan import Geometry

WALL_HU, LUMEN_HU, BLOOD_HU, BLOOD_CONTRAST_HU = 10.0, -990.0, 42.0, 220.0
WALL_SHARE, WALL_MM = 0.22, 0.4
"""An airway's wall is 0.22 of its lumen's radius plus 0.4 mm thick."""

LARGE_AIRWAY_MM = 2.4
"""Airways with at least this lumen radius are labeled as airway, smaller ones belong to the lung."""

FISSURE_SIGMA_MM, FISSURE_HU_MM = 0.6, 150.0
"""A fissure's excess over the lung, integrated across: a sheet of about 0.2 mm of tissue."""


def lung_labels(anatomy: Anatomy, geometry: Geometry) -> NDArray[np.uint8]:
    """Right and left lung, uint8 (z, y, x) of `LungLabel` on the scan's grid."""
    labels = np.zeros(geometry.shape, np.uint8)
    for field, label in ((anatomy.right, LungLabel.RIGHT), (anatomy.left, LungLabel.LEFT)):
        at = upsampled(field, anatomy.grid, geometry)
        for k in range(geometry.shape[0]):
            labels[k][at(k) > 0] = label
    return labels


def compose(
    anatomy: Anatomy,
    geometry: Geometry,
    trees: Trees,
    drawings: list[Drawing],
    lungs: NDArray[np.uint8],
    contrast: bool,
) -> NDArray[np.int16]:
    """HU (z, y, x) before the scanner, slice by slice; marks the large airways in `lungs`."""
    vessels = np.zeros(geometry.shape, np.uint8)
    draw(vessels, geometry, trees.vessels())
    walls, lumen = _airways(trees, geometry, lungs)
    tissue, lung_hu, right, left = (
        upsampled(f, anatomy.grid, geometry) for f in (anatomy.tissue_hu, anatomy.lung_hu, anatomy.right, anatomy.left)
    )
    blood = np.float32(BLOOD_CONTRAST_HU if contrast else BLOOD_HU)
    edge = float(np.mean(geometry.spacing))
    hu = np.empty(geometry.shape, np.int16)
    for k in range(geometry.shape[0]):
        plane = tissue(k)
        depth = np.maximum(right(k), left(k))
        box = _bounds(depth > -edge)
        if box is not None:
            inside = lung_hu(k, box)
            inside += _fissures(anatomy, geometry, k, box)
            inside += vessels[k][box] / np.float32(255) * (blood - inside)
            for drawing in drawings:
                drawing.add_to(inside, k, (box[0].start, box[1].start))
            plane[box] += np.clip(depth[box] / edge + 0.5, 0, 1) * (inside - plane[box])
        wall = walls[k] > 0
        plane[wall] += walls[k][wall] / np.float32(255) * (np.maximum(WALL_HU, plane[wall]) - plane[wall])
        air = lumen[k] > 0
        plane[air] += lumen[k][air] / np.float32(255) * (LUMEN_HU - plane[air])
        hu[k] = np.rint(plane)
    return hu


def upsampled(field: F, coarse: Geometry, fine: Geometry) -> Callable[..., F]:
    """A function of a slice's number, and a box (y, x) in it, that gives the field there, linearly interpolated."""
    start, step = coarse.to_index(fine.to_lps((0, 0, 0))), np.array(fine.spacing) / np.array(coarse.spacing)
    low, weight = [], []
    for axis in range(3):
        at = np.clip(start[axis] + step[axis] * np.arange(fine.shape[axis]), 0, coarse.shape[axis] - 1)
        low.append(np.minimum(at.astype(int), coarse.shape[axis] - 2))
        weight.append((at - low[-1]).astype(np.float32))

    def at_slice(k: int, box: tuple[slice, slice] = (slice(None), slice(None))) -> F:
        y, x = low[1][box[0]], low[2][box[1]]
        y_weight, x_weight = weight[1][box[0], None], weight[2][box[1]]
        plane = field[low[0][k]] * (1 - weight[0][k]) + field[low[0][k] + 1] * weight[0][k]
        plane = plane[y] + (plane[y + 1] - plane[y]) * y_weight
        left = plane[:, x]
        return np.asarray(left + (plane[:, x + 1] - left) * x_weight)

    return at_slice


def _airways(trees: Trees, geometry: Geometry, lungs: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Shares of wall (lumen included) and lumen; the large lumens go into `lungs`."""
    walls, lumen, large = (np.zeros(geometry.shape, np.uint8) for _ in range(3))
    for a, b, ra, rb in (tree.segments() for tree in trees.airways):
        draw(walls, geometry, (a, b, (1 + WALL_SHARE) * ra + WALL_MM, (1 + WALL_SHARE) * rb + WALL_MM))
        draw(lumen, geometry, (a, b, ra, rb))
        wide = rb >= LARGE_AIRWAY_MM
        draw(large, geometry, (a[wide], b[wide], ra[wide], rb[wide]))
    lungs[large > 127] = LungLabel.AIRWAY
    return walls, lumen


def _bounds(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The smallest box around what is True in a slice."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _fissures(anatomy: Anatomy, geometry: Geometry, k: int, box: tuple[slice, slice]) -> F:
    """HU that the fissures add to a box of one slice."""
    (sz, sy, sx), (ox, oy, oz) = geometry.spacing, geometry.origin
    x = (ox + sx * np.arange(box[1].start, box[1].stop, dtype=np.float32))[None, :]
    y = (oy + sy * np.arange(box[0].start, box[0].stop, dtype=np.float32))[:, None]
    oblique, minor = fissure_distances(anatomy.build, x, y, oz + sz * k)
    nearest = np.minimum(np.abs(oblique), np.where((x < 0) & (oblique > 0), np.abs(minor), 99))
    # A sheet thinner than the voxels would come and go from slice to slice.
    sigma = max(FISSURE_SIGMA_MM, 0.4 * max(geometry.spacing))
    peak = FISSURE_HU_MM / (sigma * np.sqrt(2 * np.pi))
    return np.asarray(peak * np.exp(-0.5 * (np.minimum(nearest, 8 * sigma) / sigma) ** 2), np.float32)
