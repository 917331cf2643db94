"""The chest's large shapes on a coarse grid: how the patient is built, the lungs, their fissures and lobes.

Positions are LPS in mm; the deepest lung recess lies near z = 0 and the midline at x = 0. Sizes are those of an adult:
plausible, not fitted to anyone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.masks import LungLabel
from LungCADLib.phantom.build import Build
from LungCADLib.phantom.implicit import F, axes_of, distance, ellipsoid, random_field, smooth_min, tube
from LungCADLib.phantom.tissue import paint_tissue
from LungCADLib.scan import Geometry
from LungCADLib.study import Lobe

LUNG_HU, GRAVITY_HU_PER_MM = -862.0, 0.28
TEXTURE = ((12.0, 9.0), (4.0, 14.0))
"""Mottle of the lung: (sigma mm, standard deviation HU) of the random fields added."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The chest on a coarse grid: `tissue_hu` outside the lungs, `lung_hu` inside, `right` and `left` distances in mm.

    The distances are positive inside the lung and reliable within a centimeter of the pleura.
    """

    build: Build
    grid: Geometry
    tissue_hu: F
    lung_hu: F
    right: F
    left: F

    def lung_distance(self, lps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance in mm to the pleura at LPS positions (..., 3), positive inside either lung."""
        at = np.moveaxis(self.grid.to_index(lps), -1, 0)
        both = [ndimage.map_coordinates(f, at, order=1, mode="nearest") for f in (self.right, self.left)]
        return np.maximum(*both)


def make_anatomy(build: Build, grid: Geometry, rng: np.random.Generator, contrast: bool) -> Anatomy:
    """Fill a coarse grid (cubic voxels of 2 to 3 mm, axes along LPS) with a chest."""
    x, y, z = axes_of(grid)
    cavity = distance(_cavity(build, x, y, z), grid)
    domes = {side: _dome(build, side, x, y, z) for side in (-1, 1)}
    outside = -_mediastinum(build, grid)
    lungs = {}
    for side in (-1, 1):
        f = smooth_min(cavity, smooth_min(outside, domes[side], 9), 11)
        lungs[side] = distance(np.minimum(f, side * x - 1.5), grid)
    tissue = paint_tissue(build, grid, cavity, np.where(x < 0, domes[-1], domes[1]), contrast)
    lung_hu = LUNG_HU + GRAVITY_HU_PER_MM * (y - 10)
    for sigma_mm, sd in TEXTURE:
        lung_hu = lung_hu + random_field(grid, rng, sigma_mm, sd)
    return Anatomy(build, grid, tissue, lung_hu, lungs[-1], lungs[1])


def fissure_distances(build: Build, x: NDArray, y: NDArray, z: NDArray | float) -> tuple[NDArray, NDArray]:
    """Approximate signed distance in mm above the oblique fissure and above the minor one (right lung only)."""
    h = build.height
    wave = 4 * np.sin(x / 19 + h) * np.cos(y / 23)
    oblique = z - (0.40 * h + 0.95 * (y - 5) - 0.0022 * (y - 5) ** 2 + 0.1 * np.abs(x) + wave)
    minor = z - (0.47 * h + 0.18 * y - 0.05 * x + wave)
    return oblique / 1.35, minor


def lobe_at(build: Build, lps: NDArray[np.float64]) -> tuple[LungLabel, Lobe]:
    """The side and lobe of one LPS position inside a lung."""
    oblique, minor = fissure_distances(build, *np.asarray(lps, float))
    side = LungLabel.RIGHT if lps[0] < 0 else LungLabel.LEFT
    if oblique < 0:
        return side, "lower"
    return side, "middle" if side == LungLabel.RIGHT and minor < 0 else "upper"


def _cavity(build: Build, x: F, y: F, z: F) -> NDArray:
    """The inside of the rib cage, narrow at the apex and open below."""
    t = np.maximum(z / build.height - 0.12, 0) / 0.88
    rho = np.abs(x / build.width) ** 2.3 + np.abs((y - build.center_y(z)) / build.depth) ** 2.3
    return (1 - t**2.6 - rho ** (1.92 / 2.3)) * (build.depth / 2)


def _dome(build: Build, side: int, x: F, y: F, z: F) -> NDArray:
    """Roughly the distance in mm above the diaphragm of one side."""
    height = build.dome_right if side < 0 else build.dome_left
    e2 = ((x - side * 0.48 * build.width) / (0.56 * build.width)) ** 2 + ((y + 8) / (0.98 * build.depth)) ** 2
    sulcus = 6 + 0.15 * (build.depth - y)
    return (z - sulcus - height * (1.05 - e2)) * 0.8


def _mediastinum(build: Build, grid: Geometry) -> NDArray:
    """Everything between the lungs, positive inside."""
    x, y, z = axes_of(grid)
    h, k = build.height, build.heart
    parts = [
        smooth_min(25 - np.abs(x), y - 44, 14),
        smooth_min(6 - np.abs(x - 4), -25 - y, 6),
        ellipsoid(x, y, z, (4, 6, 0.76 * h), (33, 44, 0.42 * h)),
        ellipsoid(x, y, z, (20, -22, 0.27 * h), (62 * k, 52 * k, 0.27 * h)),
        ellipsoid(x, y, z, (2, 28, 0.3 * h), (26, 32, 0.55 * h)),
        tube(x, y, z, [(24, 46, -40), (24, 44, 0.66 * h), (16, 22, 0.74 * h)], 15),
        *(ellipsoid(x, y, z, build.hilum(s) - np.array([s * 10, 0, 0]), (15, 15, 19)) for s in (-1, 1)),
    ]
    inside = -parts[0]
    for part in parts[1:]:
        inside = smooth_min(inside, -part, 10)
    return -inside
