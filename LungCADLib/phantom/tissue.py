"""Everything around the lungs: wall, bones, mediastinum, upper abdomen, table and air."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.phantom.build import Build
from LungCADLib.phantom.implicit import F, Painter, axes_of, smooth_min
from LungCADLib.scan import Geometry

AIR, FAT, SKIN, MUSCLE, LIVER, SPLEEN, GUT = -1000, -100, 15, 50, 58, 48, 35
CORTEX, MARROW, CARTILAGE, DISC, FLUID = 650, 180, 110, 75, 20
TABLE_SHELL, TABLE_FOAM = -150, -880
BLOOD = 42
CONTRAST = {"aorta": 270, "heart": 190, "veins": 150, "pulmonary": 230}
"""HU of blood by place with contrast medium."""


def paint_tissue(build: Build, grid: Geometry, cavity: F, dome: NDArray, contrast: bool) -> F:
    """HU (z, y, x) of everything but the lungs, painted from the outside in.

    `cavity` is the distance in mm inside the rib cage and `dome` the one above the diaphragm, on the same grid.
    """
    painter = Painter(grid, AIR)
    _wall(build, painter, cavity)
    _abdomen(painter, cavity, dome)
    _mediastinum(build, painter, {name: value if contrast else BLOOD for name, value in CONTRAST.items()})
    _ribs(build, painter, cavity)
    _spine(build, painter)
    _shoulder_girdle(build, painter, cavity)
    return painter.hu


def _wall(build: Build, painter: Painter, cavity: F) -> None:
    x, y, z = axes_of(painter.grid)
    half_width, half_depth, back = build.width + 34, build.depth + 26, 12
    bed = (y - (back + half_depth + 4)) + 0.0006 * x**2
    painter.paint(np.minimum(smooth_min(bed, 24 - bed, 4), 165 - np.abs(x)), TABLE_SHELL)
    painter.paint(np.minimum(smooth_min(bed - 2.5, 21 - bed, 4), 162 - np.abs(x)), TABLE_FOAM)
    rho = (np.abs(x / half_width) ** 2.4 + np.abs((y - back) / half_depth) ** 2.4) ** (1 / 2.4)
    body = (1 - rho) * half_depth
    fat = build.fat + 6 * np.clip((back - y) / half_depth, 0, 1)
    for f, value in ((body, SKIN), (body - 2.5, FAT), (body - fat, MUSCLE), (4 - np.abs(body - fat - 8), MUSCLE)):
        painter.paint(f, value)
    between_muscles = np.minimum(2.2 - np.abs(cavity + 16), 0.7 * build.height - z)
    painter.paint(np.minimum(between_muscles, body - fat), FAT)


def _abdomen(painter: Painter, cavity: F, dome: NDArray) -> None:
    x, y, _ = axes_of(painter.grid)
    below = np.minimum(cavity - 2, -dome)
    painter.paint(cavity - 2, FAT)
    painter.paint(np.minimum(cavity - 2, 3 - dome), MUSCLE)
    right = 28 - x - 0.25 * (y + 20)
    painter.paint(np.minimum(below - 3, right), LIVER)
    painter.paint(np.minimum(below - 5, -6 - right), FAT)
    painter.ellipsoid((80, 42, 18), (34, 36, 45), SPLEEN, below - 4)
    painter.ellipsoid((58, -18, 12), (36, 40, 38), GUT, below - 4)
    painter.ellipsoid((56, -20, 10), (30, 34, 34), AIR, np.minimum(below - 8, -26 - y))


def _mediastinum(build: Build, painter: Painter, blood: dict[str, int]) -> None:
    h, k = build.height, build.heart
    painter.ellipsoid((20, -20, 0.29 * h), (57 * k, 45 * k, 0.21 * h), blood["heart"])
    vessels: list[tuple[str, float, list[tuple[float, float, float]]]] = [
        ("aorta", 14, [(-2, -14, 0.42), (-10, -18, 0.62), (-2, -8, 0.745), (14, 16, 0.76)]),
        ("aorta", 12, [(12, 12, 0.76), (24, 38, 0.72), (24, 46, 0.5), (20, 42, -0.25)]),
        ("aorta", 5, [(4, -2, 0.76), (-14, -4, 1.05)]),
        ("aorta", 4, [(9, 6, 0.77), (12, 2, 1.1)]),
        ("aorta", 5, [(15, 14, 0.77), (24, 10, 1.0)]),
        ("veins", 8.5, [(-24, -6, 0.42), (-23, -8, 0.78), (-26, -12, 1.0), (-45, -5, 1.15)]),
        ("veins", 6, [(-22, -12, 0.8), (20, -20, 0.9), (45, -2, 1.1)]),
        ("pulmonary", 12, [(14, -26, 0.42), (14, -14, 0.56), (22, 4, 0.585), (38, 14, 0.575)]),
        ("pulmonary", 10, [(10, -6, 0.56), (-20, 2, 0.56), (-38, 10, 0.54)]),
        ("gut", 5.5, [(2, 36, 1.2), (2, 36, 0.5), (14, 24, 0.0)]),
    ]
    for name, radius, points in vessels:
        painter.tube([(x, y, z * h) for x, y, z in points], radius, blood.get(name, GUT))


def _ribs(build: Build, painter: Painter, cavity: F) -> None:
    """Bands in the wall that slope down toward the front, cartilage there."""
    x, y, z = axes_of(painter.grid)
    h = build.height
    pitch = 0.098 * h
    slope = z - 0.62 * (y - 60) * np.clip(1 - z / (2.2 * h), 0.3, 1)
    level = (np.mod(slope + 0.5 * pitch, pitch) - 0.5 * pitch) * 0.85
    rib = (1 - np.sqrt(((cavity + 7.5) / 4.2) ** 2 + (level / 6.5) ** 2)) * 4.2
    rib = np.minimum(rib, np.minimum(np.abs(x) - 14, 0.99 * h - z))
    front = y < -0.42 * build.depth - 0.1 * z + 18
    painter.paint(rib, np.where(front, CARTILAGE, CORTEX))
    painter.paint(rib - 1.7, np.where(front, CARTILAGE + 10, MARROW))


def _spine(build: Build, painter: Painter) -> None:
    grid, h = painter.grid, build.height
    _, _, z = axes_of(grid)
    for center in np.arange(np.floor(z.min() / 24) * 24, z.max() + 24, 24):
        y = 68 + 6 * float(np.sin(center / h * 2.6))
        painter.tube([(0, y, center - 12), (0, y, center + 12)], 15, DISC)
        for shrink, value in ((0.0, CORTEX - 150), (1.8, MARROW)):
            painter.ellipsoid((0, y, center), (19 - shrink, 17 - shrink, 13 - shrink), value)
        for shrink, value in ((0.0, CORTEX - 200), (2.2, MARROW)):
            painter.ellipsoid((0, y + 23, center), (17 - shrink, 11 - shrink, 10 - shrink), value)
            painter.ellipsoid((0, y + 19, center + 2), (34 - shrink, 5.5 - shrink, 6.5 - shrink), value)
            painter.ellipsoid((0, y + 38, center - 3), (4 - shrink, 18 - shrink, 9 - shrink), value)
        painter.tube([(0, y + 21, center - 12), (0, y + 21, center + 12)], 8, FLUID)


def _shoulder_girdle(build: Build, painter: Painter, cavity: F) -> None:
    """Sternum, shoulder blades and collar bones."""
    x, y, z = axes_of(painter.grid)
    h = build.height
    sternum = smooth_min(16 - np.abs(x), 5.5 - np.abs(y - build.front_y(z) + 8), 4)
    sternum = np.minimum(sternum, np.minimum(z - 0.32 * h, 0.84 * h - z))
    painter.paint(sternum, CORTEX - 250)
    painter.paint(sternum - 1.8, MARROW - 60)
    low = z - 0.5 * h
    across = np.abs(x) - (70 + 0.1 * low)
    blade = np.minimum(3.2 - np.abs(cavity + 24), np.minimum(8 + 0.2 * low - np.abs(across), y - 30))
    painter.paint(np.minimum(blade, np.minimum(low, 0.95 * h - z)), CORTEX - 150)
    for side in (-1, 1):
        points = [(side * 14, -48, 0.86 * h), (side * 60, -52, 0.95 * h), (side * 125, -10, 1.05 * h)]
        painter.tube(points, 6, CORTEX)
        painter.tube(points, 4, MARROW)
