"""The classical outline: what is denser than the lung around it, without the vessels and the wall it hangs on.

After Kuhnigk et al. (IEEE TMI 2006;25:417): threshold between lung and nodule, then an opening whose strength follows
the nodule's own thickness cuts vessels; the lung's closed border cuts the wall. Works the same for solid, part-solid
and ground-glass nodules because the threshold follows the contrast found.

The constants were chosen on the development crops and on every third development box; `lungcad evaluate outline` prints
what they give.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.masks import BoxMask
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import Candidate

CORE_CEILING_HU = 20.0
"""Denser cores (soft tissue, contrast, calcium) are taken as this, so that the edge of a bright nodule stays put."""

LEAST_CONTRAST_HU = 120
"""A fainter core is no reason to go nearer to the lung's own density than this allows."""

LEVEL = 0.28
"""The threshold's place between the lung's density (0) and the core's (1). Readers draw outside the steepest edge."""

OPENING = 0.7
"""Parts thinner than this share of the nodule's thickness are vessels."""

REACH = 1.35
"""How far the opened core grows back into the tissue, in radii of the opening."""

SURE = 1.1
"""Within so many candidate radii even what looks like wall may be nodule."""

CLIMB = 0.7
"""The nodule's deepest place is looked for within so many candidate radii (and 1 mm)."""

EXTENT = 1.7
"""No nodule reaches farther than so many radii (and 3 mm), the candidate's or its own inscribed one."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Cubic surroundings of a seed: `hu` float32 and `region` bool (z, y, x), the seed's voxel."""

    hu: NDArray[np.float32]
    region: NDArray[np.bool_]
    geometry: Geometry
    seed: tuple[int, int, int]


def outline_nodule(scan: Scan, region: NDArray[np.bool_], candidate: Candidate) -> BoxMask:
    """Outline the nodule at a candidate by a threshold between lung and nodule, and cut off vessels and wall.

    Parameters
    ----------
    scan
        The CT.
    region
        bool (z, y, x) on the scan's grid: lung, with nodules on the wall inside.
    candidate
        Its center must lie in the nodule; its radius is a first guess.

    Returns
    -------
    BoxMask
        On the scan's grid, trimmed. Never empty: the voxel at the center at least.
    """
    radius = max(candidate.radius_mm, 2.0)
    box = scan.geometry.box_around(candidate.center_lps_mm, 2.6 * radius + 8)
    part = scan.crop(box)
    around = _surroundings(part, region[box], candidate, _step(part, radius))
    fine = _outline(around, radius)
    native = around.geometry.resample(fine.astype(np.float32), part.geometry) >= 0.5
    native &= _connected_to_seed(native, part.geometry.to_index(candidate.center_lps_mm))
    if not native.any():
        at = np.clip(
            np.round(part.geometry.to_index(candidate.center_lps_mm)).astype(int), 0, np.array(native.shape) - 1
        )
        native[tuple(at)] = True
    return BoxMask(tuple(int(s.start) for s in box), native).trimmed()  # type: ignore[arg-type]


def _outline(around: Surroundings, radius_mm: float) -> NDArray[np.bool_]:
    """The outline on the cubic grid."""
    step = around.geometry.spacing[0]
    smooth = ndimage.gaussian_filter(around.hu, 0.5 / step, truncate=2)
    distance = _distance_from(around.seed, smooth.shape) * step
    core = _core_hu(smooth, distance, radius_mm)
    background = _lung_hu(smooth, around.region, distance, radius_mm)
    level = background + LEVEL * max(core - background, LEAST_CONTRAST_HU)
    lung = ndimage.binary_fill_holes(around.region | (distance <= SURE * radius_mm))
    tissue = (smooth > level) & lung
    seed = _nearest(tissue, distance)
    tissue = _component(tissue, seed)
    return ndimage.binary_fill_holes(_without_vessels(tissue, seed, distance, radius_mm, step))


def _surroundings(part: Scan, region: NDArray[np.bool_], candidate: Candidate, step: float) -> Surroundings:
    fine = part.geometry.resampled((step,) * 3)
    hu = part.geometry.resample(part.hu.astype(np.float32), fine, outside=-1000)
    inside = part.geometry.resample(region.astype(np.float32), fine) >= 0.5
    at = np.clip(np.round(fine.to_index(candidate.center_lps_mm)).astype(int), 0, np.array(fine.shape) - 1)
    return Surroundings(hu, inside, fine, tuple(int(v) for v in at))  # type: ignore[arg-type]


def _step(part: Scan, radius: float) -> float:
    """Grid step in mm: fine for small nodules, coarse for masses, so that a patch stays small."""
    return (
        float(np.clip(radius / 8, min(part.spacing[1:]), 2.0))
        if radius > 5
        else float(np.clip(min(part.spacing), 0.5, 0.8))
    )


def _distance_from(seed: tuple[int, int, int], shape: tuple[int, ...]) -> NDArray[np.float32]:
    z, y, x = (np.arange(n, dtype=np.float32) - s for n, s in zip(shape, seed, strict=True))
    return np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)


def _core_hu(smooth: NDArray[np.float32], distance: NDArray[np.float32], radius_mm: float) -> float:
    near = smooth[distance <= max(0.5 * radius_mm, 1.0)]
    return min(float(np.percentile(near, 75)), CORE_CEILING_HU) if near.size else float(CORE_CEILING_HU)


def _lung_hu(
    smooth: NDArray[np.float32], region: NDArray[np.bool_], distance: NDArray[np.float32], radius_mm: float
) -> float:
    shell = smooth[region & (distance > 1.5 * radius_mm) & (distance < 2.5 * radius_mm + 4)]
    aerated = shell[shell < -500]
    return float(np.median(aerated)) if aerated.size > 30 else -850.0


def _nearest(tissue: NDArray[np.bool_], distance: NDArray[np.float32]) -> tuple[int, ...]:
    """The tissue voxel to grow from: the center, or the nearest one when the center itself is a hole."""
    return tuple(int(v) for v in np.unravel_index(np.argmin(np.where(tissue, distance, np.inf)), tissue.shape))


def _component(mask: NDArray[np.bool_], seed: tuple[int, ...]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask)
    found = labels[seed]
    return (labels == found) if found else np.zeros_like(mask)


def _without_vessels(
    tissue: NDArray[np.bool_], seed: tuple[int, ...], distance: NDArray[np.float32], radius_mm: float, step: float
) -> NDArray[np.bool_]:
    """Open with a ball half as thick as the nodule, keep the seed's part, and grow back into the tissue."""
    if not tissue.any():
        return tissue
    depth = ndimage.distance_transform_edt(np.pad(tissue, 1))[1:-1, 1:-1, 1:-1] * step
    middle = _climb(np.where(distance <= CLIMB * radius_mm + 1, depth, 0), seed)
    inscribed = depth[middle]
    cut = OPENING * inscribed
    core = _component(depth > cut, middle) if inscribed > step else tissue
    grown = ndimage.distance_transform_edt(~core) * step <= REACH * cut
    return tissue & grown & (distance < EXTENT * max(radius_mm, inscribed) + 3)


def _climb(depth: NDArray[np.float64], seed: tuple[int, ...]) -> tuple[int, ...]:
    """The deepest voxel reached from the seed by going uphill only: the center of the part of the tissue meant."""
    at = seed
    while True:
        around = tuple(slice(max(a - 1, 0), a + 2) for a in at)
        local = np.unravel_index(int(np.argmax(depth[around])), depth[around].shape)
        higher = tuple(int(s.start + o) for s, o in zip(around, local, strict=True))
        if depth[higher] <= depth[at]:
            return at
        at = higher


def _connected_to_seed(mask: NDArray[np.bool_], index: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The component of a mask nearest to a place, with the largest taken among equals."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count <= 1:
        return labels > 0
    distance = [np.linalg.norm(np.argwhere(labels == i + 1) - index, axis=1).min() for i in range(count)]
    return labels == int(np.argmin(distance)) + 1
