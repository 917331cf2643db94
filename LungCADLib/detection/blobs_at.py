"""Blobs at places that somebody else found: the numbers that `blobs.find_blobs` gives its own.

The smoothed scan is needed in a few points only, so it is computed there and nowhere else.
"""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.blobs import (
    AIR_FLOOR_HU,
    BACKGROUND_HU,
    HAZE_CEILING_HU,
    LEVELS_MM,
    SOLID_CEILING_HU,
    Blobs,
    LungGrid,
)

SIGMAS_MM = tuple((sigma, step) for step, sigmas in LEVELS_MM for sigma in sigmas)
"""All scales, and the spacing of the grid on which each is sought."""

LIKE_IN_SIZE = 1.7
"""Scales of up to this factor more or less than the radius says are tried."""

REACH = 3.0
"""A Gaussian ends at so many sigmas."""


def blobs_at(
    grid: LungGrid, index: NDArray[np.float64], radius_mm: NDArray[np.float64], hazy: NDArray[np.bool_]
) -> Blobs:
    """The blob at each place, at the scale near its radius that answers most.

    Parameters
    ----------
    grid
        The lungs' box.
    index
        (n, 3) centers as (z, y, x) on the grid.
    radius_mm
        (n,) about how large they are.
    hazy
        (n,) whether they are to be measured as ground glass.

    Returns
    -------
    Blobs
        n, in the same order.
    """
    sigma, response, eigenvalues = np.empty(len(index)), np.empty(len(index)), np.empty((len(index), 3))
    for i, center in enumerate(index):
        wanted = radius_mm[i] / np.sqrt(3)
        away = np.array([abs(np.log(one / wanted)) for one, _ in SIGMAS_MM])
        tried = [k for k in range(len(away)) if away[k] <= max(np.log(LIKE_IN_SIZE), away.min())]
        ceiling = HAZE_CEILING_HU if hazy[i] else SOLID_CEILING_HU
        found = [(*_measured(grid, center, *SIGMAS_MM[k], ceiling), SIGMAS_MM[k][0]) for k in tried]
        response[i], eigenvalues[i], sigma[i] = max(found, key=lambda one: one[0])
    return Blobs(index.astype(float), sigma, response, eigenvalues, hazy)


def _measured(
    grid: LungGrid, center: NDArray[np.float64], sigma: float, step: float, ceiling: float
) -> tuple[float, NDArray[np.float64]]:
    """Scale-normalized -LoG and Hessian eigenvalues in HU at a place, by differences over `step` as `blobs` takes them.

    Along z, smoothing that the slice thickness did already is spared.
    """
    along_z = np.sqrt(max(sigma**2 - max(grid.slice_mm / np.sqrt(12), 0) ** 2, (0.3 * step) ** 2))
    weights, at = [], []
    for axis, width in enumerate((along_z, sigma, sigma)):
        points = center[axis] + step * np.arange(-1, 2)
        voxels = np.arange(int(points[0] - REACH * width), int(points[-1] + REACH * width) + 2)
        bell = np.exp(-0.5 * ((voxels[None] - points[:, None]) / width) ** 2)
        weights.append(bell / bell.sum(axis=1, keepdims=True))
        at.append(np.clip(voxels, 0, grid.hu.shape[axis] - 1))
    box = np.ix_(*at)
    values = np.where(grid.region[box], np.clip(grid.hu[box], AIR_FLOOR_HU, ceiling), BACKGROUND_HU).astype(float)
    f = np.einsum("az,by,cx,zyx->abc", *weights, values, optimize=True)
    hessian = np.empty((3, 3))
    for i in range(3):
        line = np.moveaxis(f, i, 0)[:, 1, 1]
        hessian[i, i] = line[2] + line[0] - 2 * line[1]
        for j in range(i):
            plane = np.moveaxis(f, (i, j), (0, 1))[:, :, 1]
            hessian[i, j] = hessian[j, i] = (plane[2, 2] + plane[0, 0] - plane[2, 0] - plane[0, 2]) / 4
    scale = (sigma / step) ** 2
    return float(-scale * np.trace(hessian)), np.asarray(scale * np.linalg.eigvalsh(hessian), np.float64)
