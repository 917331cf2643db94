"""Smooth implicit functions: positive inside a body, in mm near its surface.

Divided by the length of its gradient a function is the distance to its surface near that surface, so that it can be
interpolated onto a finer grid and turned into the share of a voxel there.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.scan import Geometry

F = NDArray[np.float32]


def axes_of(grid: Geometry) -> tuple[F, F, F]:
    """Open x, y, z coordinate arrays (LPS mm) that broadcast to the grid's (z, y, x)."""
    x, y, z = (
        (grid.origin[i] + grid.spacing[2 - i] * np.arange(grid.shape[2 - i])).astype(np.float32) for i in range(3)
    )
    return x[None, None, :], y[None, :, None], z[:, None, None]


def distance(f: F, grid: Geometry) -> F:
    """First-order distance in mm: f over the length of its gradient, clipped to 40 mm."""
    gradient = np.gradient(f, *grid.spacing)
    length = np.sqrt(gradient[0] ** 2 + gradient[1] ** 2 + gradient[2] ** 2)
    return np.clip(f / np.maximum(length, 1e-3), -40, 40).astype(np.float32)


def smooth_min(a: NDArray, b: NDArray, rounding_mm: float) -> NDArray:
    """Minimum with its corner rounded (polynomial smooth minimum)."""
    blend = np.maximum(rounding_mm - np.abs(a - b), 0)
    return np.minimum(a, b) - blend * blend / (4 * rounding_mm)


def ellipsoid(x: F, y: F, z: F, center: Sequence[float], radii: Sequence[float]) -> NDArray:
    """Roughly the distance in mm inside an ellipsoid; a huge radius makes a cylinder."""
    rho2 = sum(((a - float(c)) / float(r)) ** 2 for a, c, r in zip((x, y, z), center, radii, strict=True))
    return (1 - np.sqrt(rho2)) * float(min(radii))


def tube(x: F, y: F, z: F, points: Sequence[Sequence[float]], radius: float) -> NDArray:
    """Distance in mm inside a round tube along a polyline."""
    best = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), np.inf, np.float32)
    for start, end in pairwise(points):
        a = [float(v) for v in start]
        ab = [float(e) - s for s, e in zip(a, end, strict=True)]
        length2 = sum(v * v for v in ab)
        dx, dy, dz = x - a[0], y - a[1], z - a[2]
        t = np.clip((dx * ab[0] + dy * ab[1] + dz * ab[2]) / length2, 0, 1)
        np.minimum(best, (dx - t * ab[0]) ** 2 + (dy - t * ab[1]) ** 2 + (dz - t * ab[2]) ** 2, out=best)
    return radius - np.sqrt(best)


def random_field(grid: Geometry, rng: np.random.Generator, sigma_mm: float, sd: float) -> F:
    """A smooth random field of zero mean with the given standard deviation."""
    raw = rng.standard_normal(grid.shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(raw, sigma_mm / grid.spacing[0], truncate=2.5, mode="wrap")
    return np.asarray(smooth * np.float32(sd / smooth.std()))


class Painter:
    """Paints bodies over one another; a voxel at an edge takes the share it is inside."""

    def __init__(self, grid: Geometry, background: float) -> None:
        self.grid = grid
        self.hu = np.full(grid.shape, background, np.float32)

    def paint(self, f: NDArray, value: NDArray | float) -> None:
        """Paint where an implicit function over the whole grid is positive."""
        share = np.clip(f * (1 / self.grid.spacing[0]) + 0.5, 0, 1)
        self.hu += share * (value - self.hu)

    def tube(self, points: Sequence[Sequence[float]], radius: float, value: float) -> None:
        """Paint a tube along a polyline of LPS positions."""
        p = np.array(points, float)
        self._paint_near(p.min(0) - radius, p.max(0) + radius, value, lambda x, y, z: tube(x, y, z, points, radius))

    def ellipsoid(
        self, center: Sequence[float], radii: Sequence[float], value: float, within: NDArray | None = None
    ) -> None:
        """Paint an ellipsoid, only where `within` (an implicit function over the whole grid) is positive."""
        c, r = np.array(center, float), np.array(radii, float)
        self._paint_near(c - r, c + r, value, lambda x, y, z: ellipsoid(x, y, z, center, radii), within)

    def _paint_near(
        self,
        low: NDArray,
        high: NDArray,
        value: float,
        f: Callable[[F, F, F], NDArray],
        within: NDArray | None = None,
    ) -> None:
        if np.any(self.grid.to_index(high) < 0) or np.any(self.grid.to_index(low) > np.array(self.grid.shape) - 1):
            return
        half = (high - low)[::-1] / 2 + self.grid.spacing[0]
        box = self.grid.box_around((low + high) / 2, half)
        inside = f(*axes_of(self.grid.crop(box)))
        if within is not None:
            inside = np.minimum(inside, within[box])
        part = self.hu[box]
        part += np.clip(inside / self.grid.spacing[0] + 0.5, 0, 1) * (value - part)
