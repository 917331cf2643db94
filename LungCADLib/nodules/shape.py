"""Size and form from an outline alone: the same numbers for a nodule found here and for one a reader drew."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from LungCADLib.scan import Box

CONTOUR_SIGMA_PX = 0.8
"""Smoothing of the staircase before the half-level contour is taken. With it the long and the short axis of random
digital discs of 4 to 30 pixels are unbiased to 0.35 pixel (`Testing/test_nodules_shape.py`)."""

LEAST_EDGE_PX = 0.25
"""A contour never lies nearer than this to the center of a voxel of the mask, so that lines one voxel thin survive."""


WIDTH_DIRECTIONS = 16
"""Directions in which the width of a slice is looked at before its diameter is worth computing."""


@dataclass(frozen=True)
class ShapeMeasures:
    """What an outline measures.

    Parameters
    ----------
    long_axis_mm
        The greatest diameter within an axial slice, over all slices.
    short_axis_mm
        The greatest diameter perpendicular to the long axis in the same slice.
    mean_diameter_mm
        Mean of both axes.
    axes_index
        (4, 3): the ends of the long axis, then of the short axis, as fractional (z, y, x) indices of the mask.
    max_diameter_3d_mm
        The greatest diameter in any direction.
    volume_mm3
        Voxels times voxel volume.
    surface_mm2
        Surface by Crofton's formula.
    sphericity
        Surface of the ball of equal volume over the surface, at most 1.
    solidity
        The share of the voxels inside the convex hull of the mask that belong to the mask.
    elongation
        Short axis over long axis.
    z_extent_mm
        Slices touched times slice spacing.
    area_mm2, circularity
        Area, and 4 pi area / perimeter² (at most 1), in the slice that carries the long axis.
    """

    long_axis_mm: float
    short_axis_mm: float
    mean_diameter_mm: float
    axes_index: NDArray[np.float64]
    max_diameter_3d_mm: float
    volume_mm3: float
    surface_mm2: float
    sphericity: float
    solidity: float
    elongation: float
    z_extent_mm: float
    area_mm2: float
    circularity: float


def measure_shape(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> ShapeMeasures:
    """Size and form of a mask.

    Axes follow the convention of the Fleischner Society (Bankier et al., Radiology 2017;285:584) and Lung-RADS v2022:
    the longest diameter on the axial image where it is greatest and the greatest diameter perpendicular to it on the
    same image, both between the outer edges of the outline.

    Parameters
    ----------
    mask
        bool (z, y, x), at least one voxel.
    spacing
        mm between voxel centers in (z, y, x).

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box, mask = _padded(mask)
    steps = np.asarray(spacing, float)
    in_plane, all_around = _contour_points(mask)
    axes = _axes(in_plane * steps, steps)
    z = round(float(axes[0, 0] / steps[0]))
    long, short = float(np.linalg.norm(axes[1] - axes[0])), float(np.linalg.norm(axes[3] - axes[2]))

    volume = float(mask.sum() * steps.prod())
    surface = _surface(mask, tuple(spacing))
    area = float(mask[z].sum() * steps[1] * steps[2])
    perimeter = _perimeter(mask[z], (spacing[1], spacing[2]))
    return ShapeMeasures(
        long_axis_mm=long,
        short_axis_mm=short,
        mean_diameter_mm=(long + short) / 2,
        axes_index=axes / steps + np.array([s.start - 1 for s in box]),
        max_diameter_3d_mm=max(long, _diameter(np.concatenate([in_plane, all_around]) * steps)),
        volume_mm3=volume,
        surface_mm2=surface,
        sphericity=min(1.0, float(np.cbrt(36 * np.pi * volume**2)) / surface),
        solidity=_solidity(mask),
        elongation=short / long,
        z_extent_mm=float((mask.shape[0] - 2) * steps[0]),
        area_mm2=area,
        circularity=min(1.0, 4 * np.pi * area / perimeter**2),
    )


def _padded(mask: NDArray[np.bool_]) -> tuple[Box, NDArray[np.bool_]]:
    """The box of the mask, and the mask in it with one empty voxel all around."""
    from scipy import ndimage

    found = ndimage.find_objects(np.asarray(mask, np.uint8))
    if not found or found[0] is None:
        raise ValueError("An outline without voxels cannot be measured.")
    return found[0], np.pad(np.asarray(mask, bool)[found[0]], 1)


def _contour_points(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (n, 3) in voxels where the outline crosses grid lines: within the slices, and across them.

    Each crossing lies where the smoothed mask passes one half, between the voxel inside and its neighbor outside.
    """
    from scipy import ndimage

    flat = mask.astype(np.float32)
    for axis in (1, 2):
        flat = ndimage.gaussian_filter1d(flat, CONTOUR_SIGMA_PX, axis, mode="constant", truncate=3)
    deep = ndimage.gaussian_filter1d(flat, CONTOUR_SIGMA_PX, 0, mode="constant", truncate=3)
    within = np.concatenate([_crossings(mask, flat, 1), _crossings(mask, flat, 2)])
    return within, _crossings(mask, deep, 0)


def _crossings(mask: NDArray[np.bool_], smooth: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
    high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    points = []
    for inside, outside, sign in ((low, high, 1), (high, low, -1)):
        edge = mask[inside] & ~mask[outside]
        drop = np.maximum(smooth[inside][edge] - smooth[outside][edge], 1e-6)
        at = np.argwhere(edge).astype(float)
        at[:, axis] += (sign < 0) + sign * np.clip((smooth[inside][edge] - 0.5) / drop, LEAST_EDGE_PX, 1)
        points.append(at)
    return np.concatenate(points)


def _axes(points: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends (4, 3) in mm of the long and the short axis, from contour points (n, 3) in mm that lie in slices."""
    order = np.argsort(points[:, 0], kind="stable")
    slices = np.split(points[order], np.flatnonzero(np.diff(points[order, 0]) > steps[0] / 2) + 1)
    # The diameter is at most the width along the nearest of these directions over the cosine of half their gap.
    angles = np.arange(WIDTH_DIRECTIONS) * np.pi / WIDTH_DIRECTIONS
    fan = np.stack([np.sin(angles), np.cos(angles)])
    bound = [float(np.ptp(s[:, 1:] @ fan, axis=0).max() / np.cos(angles[1] / 2)) for s in slices]
    best, axes = 0.0, np.zeros((4, 3))
    for i in sorted(range(len(slices)), key=lambda i: -bound[i]):
        if bound[i] <= best:
            break
        hull = _hull(slices[i][:, 1:])
        a, b, length = _farthest(hull)
        if length > best:
            best = length
            c, d = _widest_chord(hull, (b - a) / length)
            axes = np.column_stack([np.full(4, slices[i][0, 0]), np.stack([a, b, c, d])])
    return axes


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import ConvexHull

    return points[ConvexHull(points).vertices]


def _farthest(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    from scipy.spatial.distance import cdist

    distances = cdist(points, points)
    i, j = divmod(int(distances.argmax()), len(points))
    return points[i], points[j], float(distances[i, j])


def _diameter(points: NDArray[np.float64]) -> float:
    return _farthest(_hull(points))[2]


def _widest_chord(
    hull: NDArray[np.float64], along: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the longest chord of a convex polygon (n, 2) perpendicular to a unit vector.

    The length of such chords is concave and piecewise linear along the vector, so a vertex lies on the longest one.
    """
    start, edge = hull, np.roll(hull, -1, axis=0) - hull
    at, run = start @ along, edge @ along
    ends = [hull[0], hull[0]]
    longest = -1.0
    for level in at:
        crosses = ((at - level) * (at + run - level) <= 0) & (np.abs(run) > 1e-9)
        share = (level - at[crosses]) / run[crosses]
        on_chord = start[crosses] + share[:, None] * edge[crosses]
        across = on_chord @ np.array([-along[1], along[0]])
        if len(across) and np.ptp(across) > longest:
            longest = float(np.ptp(across))
            ends = [on_chord[across.argmin()], on_chord[across.argmax()]]
    return ends[0], ends[1]


def _solidity(mask: NDArray[np.bool_]) -> float:
    """Voxels of the mask over voxels whose centers lie in the convex hull of the mask's voxel centers.

    Counting centers makes every digitized convex body 1, whatever the spacing.
    """
    from scipy.spatial import ConvexHull, QhullError

    border = mask.copy()
    border[1:-1, 1:-1, 1:-1] &= ~_all_face_neighbors(mask)
    centers = np.argwhere(border).astype(float)
    try:
        facets = ConvexHull(centers).equations
    except (QhullError, ValueError):
        # Flat or few voxels: a hair of thickness gives them a hull that holds the same centers.
        hair = np.array(list(product((-1e-3, 1e-3), repeat=3)))
        facets = ConvexHull((centers[:, None] + hair).reshape(-1, 3)).equations

    # Along each row of voxels the hull is an interval in x, bounded by the facets that face left and right.
    rows = np.indices(mask.shape[:2]).reshape(2, -1).T.astype(float)
    left, right, level = facets[facets[:, 2] < -1e-9], facets[facets[:, 2] > 1e-9], facets[np.abs(facets[:, 2]) <= 1e-9]
    low = (-(rows @ left[:, :2].T + left[:, 3]) / left[:, 2]).max(axis=1)
    high = (-(rows @ right[:, :2].T + right[:, 3]) / right[:, 2]).min(axis=1)
    if len(level):
        outside = (rows @ level[:, :2].T + level[:, 3] > 1e-6).any(axis=1)
        low[outside], high[outside] = 1, -1
    inside = np.maximum(np.floor(high + 1e-6) - np.ceil(low - 1e-6) + 1, 0).sum()
    return min(1.0, float(mask.sum() / inside))


def _all_face_neighbors(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For the voxels one in from the array's faces: whether all six face neighbors are in the mask."""
    core = slice(1, -1)
    return (
        mask[2:, core, core]
        & mask[:-2, core, core]
        & mask[core, 2:, core]
        & mask[core, :-2, core]
        & mask[core, core, 2:]
        & mask[core, core, :-2]
    )


def _surface(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> float:
    """Surface in mm² of a padded mask, by counting where lines of 13 directions cross its border.

    Crofton's formula on a grid: Lehmann and Legland, Efficient N-Dimensional surface estimation using Crofton formula
    and run-length encoding, Insight Journal 2012; weights are the Voronoi areas of the directions on the sphere.
    """
    total = 0.0
    voxel = float(np.prod(spacing))
    for step, length, weight in _directions(spacing):
        total += weight * _border_crossings(mask, step) * voxel / length
    return 2 * total


def _perimeter(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """Perimeter in mm of a padded 2D mask, by the same formula with four directions in the plane."""
    dy, dx = spacing
    pixel = dy * dx
    corner = np.arctan2(dy, dx)
    # Each line direction answers for half of the angle to its two neighbors; the four shares of pi add to 1.
    shares = {(0, 1): corner / np.pi, (1, 0): 0.5 - corner / np.pi, (1, 1): 0.25, (1, -1): 0.25}
    total = 0.0
    for step, share in shares.items():
        total += share * _border_crossings(mask, step) * pixel / float(np.hypot(step[0] * dy, step[1] * dx))
    return float(np.pi / 2 * total)


def _border_crossings(mask: NDArray[np.bool_], step: tuple[int, ...]) -> int:
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, mask.shape, strict=True))
    there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, mask.shape, strict=True))
    return int(np.count_nonzero(mask[here] != mask[there]))


@lru_cache(maxsize=64)
def _directions(spacing: tuple[float, ...]) -> tuple[tuple[tuple[int, ...], float, float], ...]:
    """The 13 neighbor directions with their length in mm and their share of the sphere (shares add to 1)."""
    from scipy.spatial import SphericalVoronoi

    steps = [s for s in product((-1, 0, 1), repeat=3) if any(s)]
    vectors = np.array(steps, float) * np.array(spacing)
    lengths = np.linalg.norm(vectors, axis=1)
    areas = SphericalVoronoi(vectors / lengths[:, None]).calculate_areas() / (4 * np.pi)
    return tuple((s, float(n), float(2 * a)) for s, n, a in zip(steps, lengths, areas, strict=True) if s > (0, 0, 0))
