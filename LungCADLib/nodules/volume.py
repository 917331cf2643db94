"""The volume of a nodule, counting the part of each voxel at its border that it fills."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.nodules.patch import Patch

SHELL_MM = 1.0
"""The border voxels reach this far, and at least one voxel, to both sides of the outline: about half of the width of a
CT's point spread at its foot."""

CORE_SIGMA_MM = 2.0
"""How far around a border voxel the inside is averaged to say what a full voxel measures there."""

LEAST_CORE_VOXELS = 8

LEAST_CONTRAST_HU = 100.0
"""Below this difference between nodule and lung the border cannot be read from HU."""

ATTACHED_SHARE = 0.5
"""Tissue beyond the border that is more than this share nodule is a vessel or the wall."""

FIT_DOUBT = 0.1
ROUNDNESS_DOUBT = 0.15
AMPLITUDE_DOUBT = 0.6
SOFT_EDGE_MM = 0.15
"""Fit of an ellipsoid to a small nodule: standard deviations, relative, of the model where noise is less, of the axes'
logarithms about their mean, and of the amplitude about the fullest voxels; and half the width of its soft edge."""

POINTS_MM = 0.2
MOST_POINTS = 40_000
"""The ellipsoid is compared with the voxels at points this far apart, farther where that would be more than so many: a
lesion on two thick slices has hundreds of large voxels, and is fitted as well from fewer points in each."""

PLAUSIBLE = (0.5, 2.0)
"""Volume by HU over volume by voxels, outside which the voxels are believed."""


def partial_volume_mm3(patch: Patch) -> float:
    """Volume in mm³ from how full the voxels at the border are.

    A voxel's share is (HU - lung) / (nodule - lung), the linear mixing that partial volume is (Kuhnigk et al., IEEE
    Trans Med Imaging 2006;25:417). It is summed over the voxels just inside and just outside the outline; those inside
    that are deeper count in full. Where a vessel or the wall lies just beyond the border, the outline decides instead.
    Nodules with hardly a voxel that is certainly full are compared with an ellipsoid to say what a full voxel would
    measure.

    Falls back to the voxels' volume where no lung is near, contrast is low, little of a small nodule's border is free,
    or the answer is not plausible.
    """
    voxel = float(np.prod(patch.spacing))
    plain = float(np.count_nonzero(patch.mask)) * voxel
    if not patch.has_background:
        return plain
    inner, outer = _eroded(patch.mask, patch.spacing), _dilated(patch.mask, patch.spacing)
    excess = patch.hu - patch.background_hu
    small = np.count_nonzero(inner) < LEAST_CORE_VOXELS
    peak = float(np.percentile(excess[patch.mask], 90))
    full = np.full_like(excess, peak) if small else _full_voxel(excess, inner, patch.spacing)
    if float(np.median(full[patch.mask])) < max(LEAST_CONTRAST_HU, 2 * patch.noise_hu):
        return plain

    attached = _attached(patch, excess, full, outer)
    border = outer & ~inner
    free = border & ~attached
    certain = np.count_nonzero(patch.mask & ~free) * voxel
    if small and 2 * np.count_nonzero(free & (excess > 0)) < np.count_nonzero(border & (excess > 0)):
        return plain
    if small:
        full = np.full_like(excess, _ellipsoid_amplitude(patch, excess, outer & ~attached, peak))
    share = excess / np.maximum(full, LEAST_CONTRAST_HU / 2)
    answer = certain + float(share[free].sum()) * voxel
    return float(answer) if PLAUSIBLE[0] <= answer / plain <= PLAUSIBLE[1] else plain


def _reach(spacing: tuple[float, float, float]) -> list[int]:
    return [max(1, round(SHELL_MM / s)) for s in spacing]


def _dilated(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
    from scipy import ndimage

    out: NDArray[np.bool_] = ndimage.maximum_filter(mask, [2 * n + 1 for n in _reach(spacing)], mode="constant")
    return out


def _eroded(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
    from scipy import ndimage

    out: NDArray[np.bool_] = ndimage.minimum_filter(mask, [2 * n + 1 for n in _reach(spacing)], mode="constant")
    return out


def _full_voxel(
    excess: NDArray[np.float32], inner: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.float32]:
    """What a voxel full of nodule measures above the lung (z, y, x): the inside, averaged nearby."""
    from scipy import ndimage

    sigma = [CORE_SIGMA_MM / s for s in spacing]
    weight = ndimage.gaussian_filter(inner.astype(np.float32), sigma, truncate=3)
    value = ndimage.gaussian_filter(np.where(inner, excess, 0), sigma, truncate=3)
    whole = excess[inner].mean()
    out: NDArray[np.float32] = np.where(weight > 0.01, value / np.maximum(weight, 0.01), whole)
    return out


def _attached(
    patch: Patch, excess: NDArray[np.float32], full: NDArray[np.float32], outer: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Voxels (z, y, x) of the border next to which tissue goes on beyond the border, or the lung ends."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(excess, [0, 0.7, 0.7])
    tissue = (smooth > ATTACHED_SHARE * np.median(full[patch.mask])) & ~outer
    # Specks of noise are no tissue: what goes on covers at least a few voxels.
    labels, count = ndimage.label(tissue)
    if count:
        sizes = np.bincount(labels.ravel())
        tissue &= sizes[labels] >= 6
    near: NDArray[np.bool_] = ndimage.maximum_filter(
        tissue, [2 * n + 3 for n in _reach(patch.spacing)], mode="constant"
    )
    return near


def _ellipsoid_amplitude(patch: Patch, excess: NDArray[np.float32], use: NDArray[np.bool_], peak: float) -> float:
    """What a voxel full of a small nodule would measure above the lung.

    An ellipsoid is fitted to the HU by least squares: center, logarithms of its axes, and amplitude. Where thick slices
    leave the axis across them open, it is held near the others, and the amplitude near what the fullest voxels measure.
    """
    from scipy.optimize import least_squares

    steps = np.array(patch.spacing)
    lo = np.maximum(np.argwhere(patch.mask).min(axis=0) - 1, 0)
    hi = np.minimum(np.argwhere(patch.mask).max(axis=0) + 2, patch.mask.shape)
    box = tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))
    seen, measured = use[box], excess[box]
    at = np.argwhere(seen) * steps
    weight = np.clip(measured[seen], 0, None).astype(float)
    center = np.average(at, axis=0, weights=weight)
    apart = max(POINTS_MM, float(np.cbrt(len(at) * steps.prod() / MOST_POINTS)))
    points = (at[:, None] + _points_in_voxel(steps, apart)).reshape(-1, 3)
    radius = float(np.cbrt(3 / (4 * np.pi) * weight.sum() / peak * steps.prod()))
    doubt = max(patch.noise_hu / peak, FIT_DOUBT)

    def misfit(p: NDArray[np.float64]) -> NDArray[np.float64]:
        form = np.array([[p[3], p[6], p[7]], [p[6], p[4], p[8]], [p[7], p[8], p[5]]])
        logs, frame = np.linalg.eigh(form)
        axes = radius * np.exp(logs)
        turned = (points - p[:3]) @ (frame / axes)
        scaled = np.sqrt(np.einsum("ij,ij->i", turned, turned))
        edge = (1 - scaled) * axes.mean() / SOFT_EDGE_MM
        filled = 0.5 * (1 + np.tanh(edge)).reshape(len(at), -1).mean(axis=1)
        size = np.trace(form) / 3
        unround = np.concatenate([np.diag(form) - size, np.sqrt(2) * p[6:9]])
        held = np.concatenate([unround / ROUNDNESS_DOUBT, [p[9] / AMPLITUDE_DOUBT]])
        return np.concatenate([(np.exp(p[9]) * filled - measured[seen] / peak) / doubt, held])

    first = np.concatenate([center, np.zeros(6), [0.1]])
    fit = least_squares(misfit, first, x_scale=np.r_[np.full(3, 0.3), np.full(7, 0.1)], max_nfev=40)
    return float(peak * np.clip(np.exp(fit.x[9]), 0.7, 2.0))


def _points_in_voxel(steps: NDArray[np.float64], apart_mm: float) -> NDArray[np.float64]:
    """Offsets (n, 3) in mm of a regular grid of points in a voxel, about `apart_mm` apart."""
    counts = [max(1, round(float(s) / apart_mm)) for s in steps]
    axes = [((np.arange(n) + 0.5) / n - 0.5) * s for n, s in zip(counts, steps, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
