"""Find places for nodules that suit their size and attachment."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.phantom.anatomy import Anatomy, fissure_distances
from LungCADLib.phantom.nodules import NoduleSpec
from LungCADLib.phantom.trees import Trees, distance_to_segments
from LungCADLib.scan import Geometry

A = NDArray[np.float64]

TRIES = 4000
BETWEEN_MM = 6.0
FROM_WALL_MM = 3.0
FROM_HILUM_MM = 28.0
AROUND_ISOLATED_MM = 1.5
LARGE_VESSEL_MM = 1.2
CONTACT = (0.55, 0.85)
"""Distance of a juxtapleural nodule's center to the pleura, in radii."""


class Places:
    """Puts nodules into the lungs; `trees` loses the small branches that would run through an isolated nodule."""

    def __init__(self, anatomy: Anatomy, trees: Trees, geometry: Geometry, rng: np.random.Generator) -> None:
        self.anatomy, self.trees, self._geometry, self._rng = anatomy, trees, geometry, rng
        depth = np.maximum(anatomy.right, anatomy.left)
        self._inside = np.argwhere(depth > 0.5)
        self._taken: list[tuple[A, float]] = []

    def find_all(self, specs: list[NoduleSpec]) -> list[A]:
        """A center (LPS mm) for each nodule, in order; given ones first, then the largest first."""
        centers: dict[int, A] = {}
        for i, spec in enumerate(specs):
            if spec.center_lps_mm is not None:
                centers[i] = np.array(spec.center_lps_mm, float)
                self._take(centers[i], spec)
        rest = sorted((i for i in range(len(specs)) if i not in centers), key=lambda i: -max(specs[i].axes_mm))
        for i in rest:
            centers[i] = self._find(specs[i])
            self._take(centers[i], specs[i])
        return [centers[i] for i in range(len(specs))]

    def _take(self, center: A, spec: NoduleSpec) -> None:
        radius = max(spec.axes_mm) / 2
        self._taken.append((center, radius))
        if spec.attachment == "isolated":
            self.trees = self.trees.without_ball(center, radius + AROUND_ISOLATED_MM)

    def _find(self, spec: NoduleSpec) -> A:
        radius = max(spec.axes_mm) / 2
        points = self._beside_vessels(spec) if spec.attachment == "juxtavascular" else self._anywhere()
        points = points[self._free(points, radius)]
        depth = self.anatomy.lung_distance(points)
        if spec.attachment == "juxtapleural":
            small = min(spec.axes_mm) / 2
            good = (depth > CONTACT[0] * small) & (depth < CONTACT[1] * small)
        else:
            good = (depth > radius + FROM_WALL_MM) & (self._from_fissures(points) > radius)
        points = points[good]
        if len(points) == 0:
            raise ValueError(f"no place in the lungs for a nodule of {2 * radius:g} mm ({spec.attachment})")
        if spec.attachment != "isolated":
            return np.asarray(points[0])
        start, end, _, end_radius = self.trees.vessels()
        large = end_radius > LARGE_VESSEL_MM
        best, best_room = points[0], -np.inf
        for p in points[:200]:
            room = (distance_to_segments(p, start[large], end[large]) - end_radius[large]).min() - radius
            if room > AROUND_ISOLATED_MM:
                return np.asarray(p)
            if room > best_room:
                best, best_room = p, room
        return np.asarray(best)

    def _from_fissures(self, points: A) -> A:
        oblique, minor = fissure_distances(self.anatomy.build, *points.T)
        beside_minor = (points[:, 0] < 0) & (oblique > 0)
        return np.minimum(np.abs(oblique), np.where(beside_minor, np.abs(minor), np.inf))

    def _anywhere(self) -> A:
        pick = self._inside[self._rng.integers(len(self._inside), size=TRIES)]
        return self.anatomy.grid.to_lps(pick + self._rng.uniform(-0.5, 0.5, pick.shape))

    def _beside_vessels(self, spec: NoduleSpec) -> A:
        """Points whose nodule would just touch or take in a vessel of 2 to 4 mm."""
        start, end, _, radius = self.trees.vessels()
        some = np.flatnonzero((radius > 0.9) & (radius < 2.1))
        pick = self._rng.choice(some, TRIES)
        along = end[pick] - start[pick]
        aside = np.cross(along, self._rng.standard_normal(along.shape))
        aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
        return np.asarray((start[pick] + end[pick]) / 2 + aside * (0.4 * min(spec.axes_mm) + radius[pick])[:, None])

    def _free(self, points: A, radius: float) -> NDArray[np.bool_]:
        """Points inside the scan, away from the hila and from other nodules."""
        index, shape = self._geometry.to_index(points), np.array(self._geometry.shape)
        margin = (radius + 3) / np.array(self._geometry.spacing)
        free = np.all((index > margin) & (index < shape - 1 - margin), axis=1)
        for side in (-1, 1):
            free &= np.linalg.norm(points - self.anatomy.build.hilum(side), axis=1) > FROM_HILUM_MM + radius
        for center, other in self._taken:
            free &= np.linalg.norm(points - center, axis=1) > radius + other + BETWEEN_MM
        return np.asarray(free)
