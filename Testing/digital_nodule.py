"""Digital nodules with known truth: ellipsoids whose border voxels hold the share that they fill."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import Lungs
from LungCADLib.nodules.patch import Patch
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import LungsInfo, LungVerdict

LUNG_HU = -860.0


def filled(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    center: NDArray | tuple[float, ...],
    semi_axes: tuple[float, ...],
    frame: NDArray | None = None,
    fine: int = 5,
) -> NDArray[np.float64]:
    """How full (0 to 1) each voxel is of an ellipsoid; center and semi-axes in mm, voxel (0, 0, 0) centered at 0."""
    steps, axes = np.array(spacing), np.array(semi_axes, float)
    frame = np.eye(3) if frame is None else frame
    at = np.indices(shape).reshape(3, -1).T * steps - np.asarray(center)
    radius = np.linalg.norm((at @ frame) / axes, axis=1)
    out = (radius < 1).astype(float)
    border = np.abs(radius - 1) < np.linalg.norm(steps) / 2 / axes.min()
    offsets = (np.arange(fine) + 0.5) / fine - 0.5
    share = np.zeros(np.count_nonzero(border))
    for offset in product(offsets, repeat=3):
        share += np.linalg.norm(((at[border] + np.array(offset) * steps) @ frame) / axes, axis=1) <= 1
    out[border] = share / fine**3
    return out.reshape(shape)


def ball_patch(
    diameter_mm: float,
    spacing: tuple[float, float, float],
    hu: float = 30,
    *,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
    frame: NDArray | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[Patch, float]:
    """A patch with an ellipsoid in lung, outlined at half fill, and its true volume in mm³; shift in voxels."""
    axes = diameter_mm / 2 * np.array(stretch)
    shape = tuple(int(np.ceil((2 * axes.max() + 14) / s)) for s in spacing)
    center = (np.array(shape) // 2 + np.array(shift)) * np.array(spacing)
    share = filled(shape, spacing, center, tuple(axes), frame)
    image = LUNG_HU + share * (hu - LUNG_HU) + noise * np.random.default_rng(seed).standard_normal(shape)
    mask = share >= 0.5
    patch = Patch(image.astype(np.float32), mask, np.ones(shape, bool), spacing)
    return patch, float(4 / 3 * np.pi * axes.prod())


def lungs_of(labels: NDArray[np.uint8]) -> Lungs:
    """Lungs of given labels."""
    return Lungs(labels, labels > 0, LungsInfo("test", LungVerdict("ok"), 0, 0, 0, 0))


def scan_of(hu: NDArray, spacing: tuple[float, float, float]) -> Scan:
    """A scan of given HU."""
    return Scan(np.round(hu).astype(np.int16), Geometry(hu.shape, spacing))
