"""The chest without its trees and nodules, as smooth implicit functions on a coarse grid.

Positions are LPS in mm: x toward the patient's left, y toward the back, z toward the head; the deepest lung recess lies
near z = 0 and the midline at x = 0. An implicit function is positive inside; divided by the length of its gradient it
is the distance to its surface in mm near that surface, so that it can be interpolated onto a finer grid and turned
into a partial-volume fraction there. Sizes are those of an adult; they are plausible, not fitted to anyone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.masks import LungLabel
from LungCADLib.scan import Geometry
from LungCADLib.study import Lobe

F = NDArray[np.float32]

AIR, FAT, MUSCLE, SKIN, HEART, LIVER, SPLEEN, CARTILAGE, DISC = -1000, -100, 50, 15, 42, 58, 48, 110, 75
CORTEX, MARROW, FLUID, TABLE_SHELL, TABLE_FOAM = 650, 180, 20, -150, -880
CONTRAST = {"aorta": 270, "heart": 190, "veins": 150, "pulmonary": 230}


@dataclass(frozen=True)
class Build:
    """How this patient is built: lung height, half width and half depth of the thorax (mm), and the organs' jitter."""

    height: float
    width: float
    depth: float
    dome_right: float
    dome_left: float
    fat: float
    heart: float

    @staticmethod
    def random(rng: np.random.Generator) -> "Build":
        """A patient within the usual variation of adults."""
        size = rng.uniform(0.94, 1.04)
        return Build(
            height=250 * size * rng.uniform(0.96, 1.04),
            width=126 * size,
            depth=88 * size * rng.uniform(0.95, 1.06),
            dome_right=rng.uniform(52, 66),
            dome_left=rng.uniform(42, 56),
            fat=rng.uniform(8, 16),
            heart=rng.uniform(0.94, 1.05),
        )

    @property
    def carina(self) -> NDArray[np.float64]:
        """LPS mm of the tracheal bifurcation."""
        return np.array([0.0, 18.0, 0.62 * self.height])

    def hilum(self, side: int) -> NDArray[np.float64]:
        """LPS mm of the hilum: side -1 right, +1 left."""
        return np.array([side * 42.0, 14.0, (0.54 if side < 0 else 0.57) * self.height])


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The chest on a coarse grid: `tissue_hu` outside the lungs, `lung_hu` inside, `lungs` signed distances in mm."""

    build: Build
    grid: Geometry
    tissue_hu: F
    lung_hu: F
    right: F
    left: F

    def lung_distance(self, lps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Signed distance (mm, positive inside, reliable within a centimeter) to the pleura at LPS positions (..., 3)."""
        at = np.moveaxis(self.grid.to_index(lps), -1, 0)
        both = [ndimage.map_coordinates(f, at, order=1, mode="nearest") for f in (self.right, self.left)]
        return np.maximum(*both)


def fissure_distances(build: Build, x: NDArray, y: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
    """Approximate signed distance in mm above the oblique and the minor (right only) fissure."""
    h = build.height
    wave = 4 * np.sin(x / 17.0) * np.cos(y / 23.0)
    oblique = z - (0.40 * h + 0.95 * (y - 5) - 0.0022 * (y - 5) ** 2 + 0.06 * np.abs(x) + wave)
    minor = z - (0.46 * h + 0.12 * y + 0.04 * x + wave)
    return oblique / 1.35, minor


def lobe_at(build: Build, lps: NDArray[np.float64]) -> tuple[LungLabel, Lobe]:
    """The side and lobe of one LPS position inside a lung."""
    oblique, minor = fissure_distances(build, *np.asarray(lps, float))
    side = LungLabel.RIGHT if lps[0] < 0 else LungLabel.LEFT
    if oblique < 0:
        return side, "lower"
    return side, "middle" if side == LungLabel.RIGHT and minor < 0 else "upper"


def make_anatomy(build: Build, grid: Geometry, rng: np.random.Generator, contrast: bool) -> Anatomy:
    """Fill a coarse grid (cubic voxels of 2 to 3 mm, direction along LPS) with a chest."""
    x, y, z = _axes(grid)
    cavity = _distance(_cavity(build, x, y, z), grid)
    dome = {side: _dome(build, side, x, y, z) for side in (-1, 1)}
    mediastinum = _mediastinum(build, x, y, z)
    lungs = {
        side: _distance(_smooth_min(cavity, _smooth_min(-mediastinum, dome[side], 9), 7, side * x - 1.5), grid)
        for side in (-1, 1)
    }
    tissue = _tissue(build, grid, cavity, np.where(x < 0, dome[-1], dome[1]), contrast)
    texture = _field(grid, rng, 12, 9) + _field(grid, rng, 4, 14)
    lung_hu = -862 + 0.28 * (y - 10) + texture
    return Anatomy(build, grid, tissue, lung_hu.astype(np.float32), lungs[-1], lungs[1])


def _axes(grid: Geometry) -> tuple[F, F, F]:
    """Open x, y, z coordinate arrays (mm) that broadcast to the grid's (z, y, x)."""
    (nz, ny, nx), (sz, sy, sx), (ox, oy, oz) = grid.shape, grid.spacing, grid.origin
    x = (ox + sx * np.arange(nx)).astype(np.float32)[None, None, :]
    y = (oy + sy * np.arange(ny)).astype(np.float32)[None, :, None]
    z = (oz + sz * np.arange(nz)).astype(np.float32)[:, None, None]
    return x, y, z


def _distance(f: F, grid: Geometry) -> F:
    """First-order distance: f over the length of its gradient, clipped to 40 mm."""
    gradient = np.gradient(f, *grid.spacing)
    length = np.sqrt(gradient[0] ** 2 + gradient[1] ** 2 + gradient[2] ** 2)
    return np.clip(f / np.maximum(length, 1e-3), -40, 40).astype(np.float32)


def _smooth_min(a: NDArray, b: NDArray, k: float, *more: NDArray) -> NDArray:
    """Minimum with the corner rounded over k mm."""
    low = np.minimum(a, b) - np.maximum(k - np.abs(a - b), 0) ** 2 / (4 * k)
    for c in more:
        low = np.minimum(low, c)
    return low


def _ellipsoid(x: F, y: F, z: F, center: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray:
    """Roughly the distance in mm inside an ellipsoid; an infinite radius makes a cylinder."""
    rho = np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), center, radii, strict=True)))
    return (1 - rho) * min(radii)


def _tube(x: F, y: F, z: F, points: list[tuple[float, float, float]], radius: float) -> NDArray:
    """Distance in mm inside a round tube along a polyline."""
    best: NDArray | None = None
    for a, b in zip(np.array(points[:-1]), np.array(points[1:]), strict=True):
        ab = b - a
        t = ((x - a[0]) * ab[0] + (y - a[1]) * ab[1] + (z - a[2]) * ab[2]) / (ab @ ab)
        t = np.clip(t, 0, 1)
        d = (x - a[0] - t * ab[0]) ** 2 + (y - a[1] - t * ab[1]) ** 2 + (z - a[2] - t * ab[2]) ** 2
        best = d if best is None else np.minimum(best, d)
    assert best is not None
    return radius - np.sqrt(best)


def _field(grid: Geometry, rng: np.random.Generator, sigma_mm: float, sd: float) -> F:
    """A smooth random field with the given standard deviation."""
    raw = rng.standard_normal(grid.shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(raw, sigma_mm / grid.spacing[0], truncate=2.5, mode="wrap")
    return smooth * np.float32(sd / smooth.std())


def _profile(build: Build, z: F) -> F:
    """Width of the thorax at a height relative to its base: narrow at the apex."""
    t = np.clip((z / build.height - 0.12) / 0.88, 0, 1)
    return np.maximum(1 - t**2.6, 0) ** 0.52 + 1e-3


def _cavity(build: Build, x: F, y: F, z: F) -> NDArray:
    """The inside of the rib cage, open below."""
    p = _profile(build, z)
    t = np.clip(z / build.height, 0, 1.2)
    back = 4 + 24 * t**2
    rho = (np.abs(x / (build.width * p)) ** 2.3 + np.abs((y - back) / (build.depth * p**0.85)) ** 2.3) ** (1 / 2.3)
    return (1 - rho) * build.depth * p


def _dome(build: Build, side: int, x: F, y: F, z: F) -> NDArray:
    """Height in mm above the diaphragm of one side."""
    height = build.dome_right if side < 0 else build.dome_left
    e2 = ((x - side * 0.48 * build.width) / (0.56 * build.width)) ** 2 + ((y + 8) / (0.98 * build.depth)) ** 2
    sulcus = 6 + 0.15 * (build.depth - y)
    return (z - sulcus - height * (1.05 - e2)) * 0.8


def _mediastinum(build: Build, x: F, y: F, z: F) -> NDArray:
    """Everything between the lungs, positive inside."""
    h, k = build.height, build.heart
    spine = _smooth_min(25 - np.abs(x) + 0 * z, y - 44 + 0 * x + 0 * z, 14)
    vessels = _ellipsoid(x, y, z, (4, 6, 0.80 * h), (33, 44, 0.42 * h))
    front = _smooth_min(6 + 0.0 * y - np.abs(x - 4) + 0 * z, -25 - y + 0 * z + 0 * x, 6)
    heart = _ellipsoid(x, y, z, (20, -22, 0.27 * h), (62 * k, 52 * k, 0.27 * h))
    lower = _ellipsoid(x, y, z, (2, 28, 0.3 * h), (26, 32, 0.55 * h))
    aorta = _tube(x, y, z, [(24, 46, -40), (24, 44, 0.66 * h), (16, 22, 0.74 * h)], 15)
    hila = [_ellipsoid(x, y, z, tuple(build.hilum(s) - (s * 10, 0, 0)), (15, 15, 19)) for s in (-1, 1)]
    inside = -spine
    for part in (vessels, front, heart, lower, aorta, *hila):
        inside = _smooth_min(inside, -part, 10)
    return -inside


def _tissue(build: Build, grid: Geometry, cavity: F, dome: NDArray, contrast: bool) -> F:
    """HU of everything but the lungs, painted from the outside in."""
    x, y, z = _axes(grid)
    h, step, k = build.height, grid.spacing[0], build.heart
    hu = np.full(grid.shape, AIR, np.float32)

    def paint(f: NDArray, value: NDArray | float) -> None:
        share = np.clip(f / step + 0.5, 0, 1)
        hu[...] += share * (value - hu)

    half_width, half_depth, back = build.width + 34, build.depth + 28, 12
    rho = (np.abs(x / half_width) ** 2.4 + np.abs((y - back) / half_depth) ** 2.4) ** (1 / 2.4)
    body = (1 - rho) * half_depth * np.ones_like(z)
    table_top = back + half_depth + 4
    bed = (y - table_top) + 0.0006 * x**2
    paint(_smooth_min(bed, 24 - bed, 4, 165 - np.abs(x)) + 0 * z, TABLE_SHELL)
    paint(_smooth_min(bed - 2.5, 21 - bed, 4, 162 - np.abs(x)) + 0 * z, TABLE_FOAM)
    paint(body, SKIN)
    paint(body - 2.5, FAT)
    paint(np.minimum(body - build.fat - 6 * np.clip(-(y - back) / half_depth, 0, 1), 60), MUSCLE)
    paint(np.minimum(5 - np.abs(body - build.fat - 9), 30 + 0 * y), MUSCLE)
    paint(2.2 - np.abs(-cavity - 16), FAT)

    inner = cavity - 2
    below = np.minimum(inner, -dome)
    paint(inner, FAT)
    paint(np.minimum(inner, 3 - dome), MUSCLE)
    paint(np.minimum(below - 3, 28 - x - 0.25 * (y + 20)), LIVER)
    paint(np.minimum(below - 5, np.minimum(x - 34 - 0.25 * (y + 20), 200.0)), FAT)
    paint(np.minimum(below - 4, _ellipsoid(x, y, z, (80, 42, 18), (34, 36, 45))), SPLEEN)
    paint(np.minimum(below - 4, _ellipsoid(x, y, z, (58, -18, 15), (38, 42, 40))), 35)
    paint(np.minimum(below - 8, np.minimum(_ellipsoid(x, y, z, (56, -20, 14), (32, 36, 36)), -24 - y)), AIR)

    blood = {name: (value if contrast else HEART) for name, value in CONTRAST.items()}
    paint(_ellipsoid(x, y, z, (20, -20, 0.27 * h), (57 * k, 45 * k, 0.245 * h)), blood["heart"])
    paint(_tube(x, y, z, [(-2, -14, 0.42 * h), (-10, -18, 0.62 * h), (-2, -8, 0.745 * h), (14, 16, 0.76 * h)], 14),
          blood["aorta"])  # fmt: skip
    paint(
        _tube(x, y, z, [(12, 12, 0.76 * h), (24, 38, 0.72 * h), (24, 46, 0.5 * h), (20, 42, -60)], 12), blood["aorta"]
    )
    paint(_tube(x, y, z, [(-24, -6, 0.42 * h), (-23, -8, 0.78 * h), (-26, -12, 1.0 * h), (-45, -5, 1.15 * h)], 8.5),
          blood["veins"])  # fmt: skip
    paint(_tube(x, y, z, [(-22, -12, 0.8 * h), (20, -20, 0.9 * h), (45, -2, 1.1 * h)], 6), blood["veins"])
    paint(_tube(x, y, z, [(14, -26, 0.42 * h), (14, -14, 0.56 * h), (22, 4, 0.585 * h), (38, 14, 0.575 * h)], 12),
          blood["pulmonary"])  # fmt: skip
    paint(_tube(x, y, z, [(10, -6, 0.56 * h), (-20, 2, 0.56 * h), (-38, 10, 0.54 * h)], 10), blood["pulmonary"])
    for start, end in (((4, -2, 0.76), (-14, -4, 1.05)), ((9, 6, 0.77), (12, 2, 1.1)), ((15, 14, 0.77), (24, 10, 1.0))):
        paint(_tube(x, y, z, [(*start[:2], start[2] * h), (*end[:2], end[2] * h)], 5), blood["aorta"])
    paint(_tube(x, y, z, [(2, 36, 1.2 * h), (2, 36, 0.5 * h), (14, 24, 0.0)], 5.5), 35)
    _bones(build, grid, cavity, paint)
    return hu


def _bones(build: Build, grid: Geometry, cavity: F, paint) -> None:  # type: ignore[no-untyped-def]
    """Ribs with their cartilage, spine, sternum, shoulder blades and collar bones."""
    x, y, z = _axes(grid)
    h = build.height
    depth_in_wall = -cavity
    slope = z - 0.62 * (y - 60) * np.clip(1 - z / (2.2 * h), 0.3, 1)
    pitch = 0.098 * h
    level = (np.mod(slope + 0.5 * pitch, pitch) - 0.5 * pitch) * 0.85
    rib = 1 - np.sqrt(((depth_in_wall - 7.5) / 4.2) ** 2 + (level / 6.5) ** 2)
    rib = np.minimum(rib * 4.2, np.minimum(np.abs(x) - 14, 1.02 * h + 8 - z))
    front = y < -0.42 * build.depth - 0.1 * z + 18
    paint(rib, np.where(front, CARTILAGE, CORTEX))
    paint(rib - 1.7, np.where(front, CARTILAGE + 10, MARROW))
    spine_y = 68.0 + 6 * np.sin(z / h * 2.6)
    body = 1 - np.sqrt((x / 17) ** 2 + ((y - spine_y) / 15) ** 2) + 0 * z
    level = np.mod(z, 24) - 12
    vertebra = np.minimum(body * 15, 9.5 - np.abs(level))
    paint(body * 15, DISC)
    paint(vertebra, CORTEX - 150)
    paint(vertebra - 1.8, MARROW)
    arch = np.minimum(_ellipsoid(x, y - spine_y, 0 * z, (0, 23, 0), (17, 11, 1e6)), 9 - np.abs(level))
    transverse = np.minimum(_ellipsoid(x, y - spine_y, level, (0, 19, 2), (34, 5, 6)), 60 + 0 * z)
    spinous = _ellipsoid(x, y - spine_y, level, (0, 38, -3), (3.5, 18, 8))
    for part in (arch, transverse, spinous):
        paint(part, CORTEX - 200)
        paint(part - 2.2, MARROW)
    canal = _ellipsoid(x, y - spine_y, 0 * z, (0, 21, 0), (8.5, 7.5, 1e6))
    paint(canal, FLUID)
    front_y = 4 + 24 * np.clip(z / h, 0, 1.2) ** 2 - build.depth * _profile(build, z) ** 0.85
    sternum = _smooth_min(16 - np.abs(x) + 0 * y, 5.5 - np.abs(y - front_y + 8), 4, z - 0.32 * h, 0.86 * h - z)
    paint(sternum, CORTEX - 250)
    paint(sternum - 1.8, MARROW - 60)
    for side in (-1, 1):
        across = depth_in_wall - 25 + 0.04 * (z - 0.75 * h)
        blade = np.minimum(3.2 - np.abs(across), np.minimum(side * x - 55, 105 - side * x))
        blade = np.minimum(blade, np.minimum(y - 30, np.minimum(z - 0.5 * h, 1.0 * h - z)))
        paint(blade, CORTEX - 150)
        clavicle = _tube(
            x, y, z, [(side * 14, -44, 0.9 * h), (side * 60, -50, 0.97 * h), (side * 120, -10, 1.05 * h)], 6
        )
        paint(clavicle, CORTEX)
        paint(clavicle - 2, MARROW)
