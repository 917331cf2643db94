"""Scale-space blobs: every bright or hazy spot inside the lungs that is about as deep as it is wide.

Work happens on a 1 mm grid for small scales and on 2 and 4 mm grids for larger ones, so that large scales cost little.
The method is the multi-scale Laplacian of Gaussian of Fotin and Reeves (SPIE Medical Imaging 2009), whose response to
a ball of radius r is greatest at sigma = r / sqrt(3); the Hessian's eigenvalues make tubes and plates drop out.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from LungCADLib.scan import Geometry, Scan

AIR_FLOOR_HU = -1000
SOLID_CEILING_HU = 150
HAZE_CEILING_HU = -450
BACKGROUND_HU = -870

LEVELS_MM: tuple[tuple[float, tuple[float, ...]], ...] = (
    (1.0, (1.0, 1.4, 2.0)),
    (2.0, (2.8, 4.0, 5.7)),
    (4.0, (8.0, 11.3, 16.0)),
)
"""Grid spacing and the Gaussian sigmas (both mm) sought on it: ball radii from 1.7 to 28 mm.

Each grid but the last has a sigma of twice its spacing, from which the next grid is sampled.
"""

HAZE_FROM_SIGMA_MM = 2.0
MASS_FROM_SIGMA_MM = 8.0
MIN_RESPONSE_HU = {"solid": 90.0, "ground-glass": 60.0, "mass": 90.0}
LEAST_DENSE_HU = -830
"""Nothing is sought where the smoothed lung is as dense as lung."""

MIN_ROUNDNESS = 0.15
SAME_PLACE, COMPARABLE = 0.7, 2.5
"""Two blobs are one when they lie nearer than this many of the larger radius, and their radii differ by less than this
factor."""

BUDGET = 1500
"""So many blobs are looked at. Vessel forks answer more strongly than a ground-glass nodule and come first here."""


@dataclass(frozen=True)
class Blobs:
    """Blobs as columns, one row each, strongest first.

    Attributes
    ----------
    index
        (n, 3) positions as (z, y, x) on the 1 mm grid.
    sigma_mm
        (n,) scale of the greatest response; the radius is sqrt(3) times it.
    response
        (n,) scale-normalized -LoG in HU.
    eigenvalues
        (n, 3) of the scale-normalized Hessian in HU, most negative first.
    hazy
        (n,) bool: seen by the ground-glass branch only.
    """

    index: NDArray[np.float64]
    sigma_mm: NDArray[np.float64]
    response: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    hazy: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sigma_mm)

    @property
    def roundness(self) -> NDArray[np.float64]:
        """Least over greatest curvature: 1 for a ball, about 0 for a tube or a plate."""
        return self.eigenvalues[:, 2] / self.eigenvalues[:, 0]

    def take(self, rows: NDArray) -> "Blobs":
        """Some of the rows, in the order given."""
        return Blobs(
            self.index[rows], self.sigma_mm[rows], self.response[rows], self.eigenvalues[rows], self.hazy[rows]
        )

    @staticmethod
    def join(parts: "list[Blobs]") -> "Blobs":
        """Several lists as one."""
        return Blobs(
            np.concatenate([p.index for p in parts]),
            np.concatenate([p.sigma_mm for p in parts]),
            np.concatenate([p.response for p in parts]),
            np.concatenate([p.eigenvalues for p in parts]),
            np.concatenate([p.hazy for p in parts]),
        )


@dataclass(frozen=True, eq=False)
class LungGrid:
    """The lungs' box of a scan at 1 mm.

    Attributes
    ----------
    hu
        int16 (z, y, x).
    region
        bool (z, y, x): where blobs are sought.
    geometry
        The grid.
    slice_mm
        Spacing of the scan's own slices, which blurs the grid along z.
    """

    hu: NDArray[np.int16]
    region: NDArray[np.bool_]
    geometry: Geometry
    slice_mm: float


def lung_grid(scan: Scan, region: NDArray[np.bool_], margin_mm: float = 20.0) -> LungGrid:
    """The part of a scan around `region` (bool, on the scan's grid) at 1 mm."""
    pad = np.ceil(margin_mm / np.array(scan.spacing)).astype(int)
    box = []
    for axis in range(3):
        found = np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (int(found[0]), int(found[-1])) if len(found) else (0, 0)
        box.append(slice(max(first - int(pad[axis]), 0), min(last + int(pad[axis]) + 1, region.shape[axis])))
    part = scan.crop((box[0], box[1], box[2]))
    fine = part.resampled(1.0)
    inside = part.geometry.resample(region[tuple(box)].astype(np.uint8), fine.geometry, nearest=True)
    return LungGrid(fine.hu, inside.astype(bool), fine.geometry, scan.spacing[0])


def find_blobs(grid: LungGrid, budget: int = BUDGET) -> Blobs:
    """All blobs of the solid and the ground-glass branch, one per place, at most `budget`.

    What lies outside the region is set to lung density first, so that a nodule on the wall stands alone.
    """
    branches = ((SOLID_CEILING_HU, False), (HAZE_CEILING_HU, True))
    with ThreadPoolExecutor(len(branches)) as pool:
        jobs = [pool.submit(_scan_levels, _filled(grid, ceiling), grid, hazy=hazy) for ceiling, hazy in branches]
        found = [blobs for job in jobs for blobs in job.result()]
    return _one_per_place(Blobs.join(found), budget)


def _filled(grid: LungGrid, ceiling: float) -> NDArray[np.float32]:
    values = np.clip(grid.hu, AIR_FLOOR_HU, ceiling).astype(np.float32)
    values[~grid.region] = BACKGROUND_HU
    return values


def _scan_levels(values: NDArray[np.float32], grid: LungGrid, *, hazy: bool) -> list[Blobs]:
    """Blobs of every scale: each scale is smoothed from the one before, each coarser grid is every second voxel."""
    found, region, have_mm = [], grid.region, 0.0
    coarser = values
    for level, (step, sigmas) in enumerate(LEVELS_MM):
        if level:
            values, region, have_mm = coarser[::2, ::2, ::2], region[::2, ::2, ::2], step
        for sigma in sigmas:
            values = _smooth(values, have_mm, sigma, step, grid.slice_mm)
            have_mm = sigma
            if sigma == 2 * step:
                coarser = values
            if not hazy or sigma >= HAZE_FROM_SIGMA_MM:
                found.append(_maxima(values, region, sigma, step, hazy=hazy))
    return found


def _smooth(
    values: NDArray[np.float32], have_mm: float, want_mm: float, step: float, slice_mm: float
) -> NDArray[np.float32]:
    """Gaussian smoothing from sigma `have_mm` to `want_mm`; along z what the slice thickness did already is spared."""
    plane = np.sqrt(max(want_mm**2 - have_mm**2, 0.0))
    slice_sigma = slice_mm / np.sqrt(12)
    along_z = np.sqrt(max(want_mm**2 - max(have_mm, slice_sigma) ** 2, (0.3 * step) ** 2))
    out = values
    for axis, sigma in enumerate((along_z, plane, plane)):
        if sigma > 0.2 * step:
            out = ndimage.gaussian_filter1d(out, sigma / step, axis, mode="nearest", truncate=3)
    return out


def _maxima(smooth: NDArray[np.float32], region: NDArray[np.bool_], sigma: float, step: float, *, hazy: bool) -> Blobs:
    scale = (sigma / step) ** 2
    flat = smooth.ravel()
    steps = [int(np.prod(smooth.shape[axis + 1 :])) for axis in range(3)]
    inner = np.zeros(smooth.shape, bool)
    inner[1:-1, 1:-1, 1:-1] = region[1:-1, 1:-1, 1:-1]
    at = np.flatnonzero((smooth > LEAST_DENSE_HU) & inner)
    around = sum(flat[at + sign * stride] for stride in steps for sign in (-1, 1))
    response = scale * (6 * flat[at] - around)
    kind = "ground-glass" if hazy else ("mass" if sigma >= MASS_FROM_SIGMA_MM else "solid")
    strong = response > MIN_RESPONSE_HU[kind]
    at, response = at[strong], response[strong]
    laplacian = np.zeros(flat.shape, np.float32)
    laplacian[at] = response
    for offset in np.ndindex(3, 3, 3):
        neighbor = at + int(np.dot(np.subtract(offset, 1), steps))
        keep = response >= laplacian[neighbor]
        at, response = at[keep], response[keep]
    z, y, x = np.unravel_index(at, smooth.shape)
    eigenvalues = scale * _hessian_eigenvalues(smooth, z, y, x)
    blobs = Blobs(
        np.stack([z, y, x], 1) * np.float64(step),
        np.full(len(z), sigma),
        response.astype(float),
        eigenvalues,
        np.full(len(z), hazy),
    )
    round_enough = (eigenvalues[:, 2] < 0) & (blobs.roundness > MIN_ROUNDNESS)
    return blobs.take(np.flatnonzero(round_enough))


def _hessian_eigenvalues(smooth: NDArray[np.float32], z: NDArray, y: NDArray, x: NDArray) -> NDArray[np.float64]:
    """(n, 3) eigenvalues by central differences at the given voxels, most negative first."""
    at = np.stack([z, y, x], 1)
    unit = np.eye(3, dtype=int)

    def value(offset: NDArray) -> NDArray:
        p = at + offset
        return smooth[p[:, 0], p[:, 1], p[:, 2]].astype(float)

    hessian = np.empty((len(at), 3, 3))
    for i in range(3):
        hessian[:, i, i] = value(unit[i]) + value(-unit[i]) - 2 * value(0 * unit[i])
        for j in range(i):
            cross = (
                value(unit[i] + unit[j])
                + value(-unit[i] - unit[j])
                - value(unit[i] - unit[j])
                - value(unit[j] - unit[i])
            )
            hessian[:, i, j] = hessian[:, j, i] = cross / 4
    return np.asarray(np.linalg.eigvalsh(hessian), np.float64)


def _one_per_place(blobs: Blobs, budget: int) -> Blobs:
    """The strongest blob of every place: one whose center lies within the larger radius is the same."""
    strength = blobs.response * np.sqrt(np.clip(blobs.roundness, 0, 1)) * np.where(blobs.hazy, 0.7, 1.0)
    order = np.argsort(-strength, kind="stable")
    blobs = blobs.take(order)
    radius = np.sqrt(3) * blobs.sigma_mm
    tree = spatial.cKDTree(blobs.index)
    alive = np.ones(len(blobs), bool)
    kept: list[int] = []
    for i in range(len(blobs)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == budget:
            break
        low, high = radius[i] / COMPARABLE, radius[i] * COMPARABLE
        around = np.array(tree.query_ball_point(blobs.index[i], SAME_PLACE * high), int)
        distance = np.linalg.norm(blobs.index[around] - blobs.index[i], axis=1)
        near = distance < SAME_PLACE * np.maximum(radius[around], radius[i])
        alive[around[near & (radius[around] < high) & (radius[around] > low)]] = False
    return blobs.take(np.array(kept, int))
