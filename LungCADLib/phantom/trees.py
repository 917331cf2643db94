"""Branching vessels and airways that fill a lung, grown from its hilum.

Growth: points are scattered through the lung and joined one after another to the tree where
``distance + balance * path length to the hilum`` is least (the balanced minimum spanning tree of Cuntz et al.,
PLoS Comput Biol 6:e1000877, 2010). Radii follow Murray's law, a parent's radius to some power is the sum of its
children's to that power (Murray, PNAS 12:207, 1926, where the power is 3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.phantom.anatomy import Anatomy, fissure_distances
from LungCADLib.phantom.build import Build
from LungCADLib.scan import Geometry

A = NDArray[np.float64]

BALANCE = 0.4
LEAF_RADIUS_MM, ROOT_RADIUS_MM = 0.42, 4.5
MURRAY_POWER = 2.6
"""Makes vessels of 8 to 9 mm at the hilum from tips below 1 mm, as they are on CT."""

SMALLEST_AIRWAY_ARTERY_MM = 1.15


@dataclass(frozen=True, eq=False)
class Tree:
    """Nodes of a tree in the order they were joined; node 0 is the root and its own parent.

    Parameters
    ----------
    points
        (n, 3) LPS mm.
    parents
        (n,) int; a parent always comes before its children.
    radii
        (n,) mm, of the segment that ends at the node.
    """

    points: A
    parents: NDArray[np.int64]
    radii: A

    def segments(self) -> tuple[A, A, A, A]:
        """Starts (m, 3), ends (m, 3) and the radius at each; a branch starts little thicker than it ends."""
        child = np.arange(1, len(self.points))
        parent = self.parents[child]
        start_radius = np.where(
            parent == 0, self.radii[child], np.minimum(self.radii[parent], 1.25 * self.radii[child])
        )
        return self.points[parent], self.points[child], start_radius, self.radii[child]

    def keep(self, wanted: NDArray[np.bool_]) -> "Tree":
        """The tree without the unwanted nodes and everything that hangs on them."""
        alive = wanted.copy()
        alive[0] = True
        for i in range(1, len(alive)):
            alive[i] &= alive[self.parents[i]]
        new_index = np.cumsum(alive) - 1
        return Tree(self.points[alive], new_index[self.parents[alive]], self.radii[alive])

    def without_ball(self, center: A, radius: float) -> "Tree":
        """The tree without branches that come within `radius` mm of a point."""
        start, end, _, end_radius = self.segments()
        near = distance_to_segments(center, start, end) - end_radius < radius
        return self.keep(np.concatenate([[True], ~near]))


def distance_to_segments(point: A, start: A, end: A) -> A:
    """Distance in mm from one point to each segment (m,)."""
    along = end - start
    length2 = np.maximum((along**2).sum(1), 1e-9)
    t = np.clip(((point - start) * along).sum(1) / length2, 0, 1)
    return np.asarray(np.linalg.norm(start + t[:, None] * along - point, axis=1))


def grow(root: A, points: A, leaf_radius: float, root_radius: float, balance: float = BALANCE) -> Tree:
    """A tree from `root` through all `points` (n, 3), LPS mm.

    Radii follow Murray's law from `leaf_radius` at the tips and never exceed `root_radius`.
    """
    n = len(points)
    nodes = np.empty((n + 1, 3))
    nodes[0] = root
    parents = np.zeros(n + 1, np.int64)
    path = np.zeros(n + 1)
    best = np.linalg.norm(points - root, axis=1) * (1 + balance)
    best_parent = np.zeros(n, np.int64)
    free = np.ones(n, bool)
    for i in range(1, n + 1):
        pick = int(np.argmin(np.where(free, best, np.inf)))
        free[pick] = False
        nodes[i], parents[i] = points[pick], best_parent[pick]
        step = float(np.linalg.norm(nodes[i] - nodes[parents[i]]))
        path[i] = path[parents[i]] + step
        d = np.linalg.norm(points - nodes[i], axis=1)
        cost = d + balance * (path[i] + d)
        closer = cost < best
        best[closer], best_parent[closer] = cost[closer], i
    leaves = _leaves(parents)
    nodes = _straighten(nodes, parents, leaves)
    return Tree(nodes, parents, np.minimum(leaf_radius * leaves ** (1 / MURRAY_POWER), root_radius))


def _leaves(parents: NDArray[np.int64]) -> A:
    """Tips below each node, itself included where it is one."""
    children = np.bincount(parents[1:], minlength=len(parents))
    leaves = (children == 0).astype(float)
    for i in range(len(parents) - 1, 0, -1):
        leaves[parents[i]] += leaves[i]
    return leaves


def _straighten(nodes: A, parents: NDArray[np.int64], weight: A, rounds: int = 4) -> A:
    """Pull every inner node toward its parent and its children, big children more, so that the way is smooth."""
    nodes = nodes.copy()
    inner = np.bincount(parents[1:], minlength=len(parents)) > 0
    inner[0] = False
    for _ in range(rounds):
        pull = np.zeros_like(nodes)
        np.add.at(pull, parents[1:], nodes[1:] * weight[1:, None])
        total = np.bincount(parents[1:], weights=weight[1:], minlength=len(parents))
        goal = 0.5 * (nodes[parents] + pull / np.maximum(total, 1e-9)[:, None])
        nodes[inner] += 0.5 * (goal - nodes)[inner]
    return nodes


def scatter(anatomy: Anatomy, side: int, count: int, rng: np.random.Generator) -> A:
    """Points (count, 3), LPS mm, spread evenly through one lung, away from its surface and its fissures."""
    grid = anatomy.grid
    field = anatomy.right if side < 0 else anatomy.left
    inside = np.argwhere(field > 3.5)
    index = inside[rng.integers(len(inside), size=6 * count)] + rng.uniform(-0.5, 0.5, (6 * count, 3))
    points = grid.to_lps(index)
    oblique, minor = fissure_distances(anatomy.build, *points.T)
    near_fissure = (np.abs(oblique) < 4) | ((side < 0) & (oblique > 0) & (np.abs(minor) < 4))
    points = points[~near_fissure]
    # Crowded points are dropped first (half the mean spacing), so that the lung fills evenly, as it does in life.
    volume = len(inside) * grid.voxel_mm3
    apart = 0.55 * (volume / count) ** (1 / 3)
    kept, n = np.empty((count, 3)), 0
    for p in points:
        if n == 0 or ((kept[:n] - p) ** 2).sum(1).min() > apart**2:
            kept[n] = p
            n += 1
        if n == count:
            break
    return kept[:n]


@dataclass(frozen=True, eq=False)
class Trees:
    """Every tree of the chest; an airway's radii are those of its lumen, and the first airway is the trachea."""

    arteries: list[Tree]
    veins: list[Tree]
    airways: list[Tree]

    def vessels(self) -> tuple[A, A, A, A]:
        """Segments of all arteries and veins: starts, ends, start radii, end radii."""
        return _joined([*self.arteries, *self.veins])

    def without_ball(self, center: A, radius: float) -> "Trees":
        """Every branch within `radius` mm of a point taken away, with what hangs on it."""
        return Trees(
            *[[t.without_ball(center, radius) for t in group] for group in (self.arteries, self.veins, self.airways)]
        )


def _joined(trees: list[Tree]) -> tuple[A, A, A, A]:
    parts = zip(*[t.segments() for t in trees], strict=True)
    a, b, ra, rb = (np.concatenate(part) for part in parts)
    return a, b, ra, rb


def grow_trees(anatomy: Anatomy, rng: np.random.Generator, branches: int = 600) -> Trees:
    """Arteries with their airways, and veins, for both lungs."""
    arteries, veins, airways = [], [], [_trachea(anatomy.build)]
    for side in (-1, 1):
        hilum = anatomy.build.hilum(side)
        artery = grow(
            hilum + np.array([0, -6, 4]), scatter(anatomy, side, branches, rng), LEAF_RADIUS_MM, ROOT_RADIUS_MM
        )
        arteries.append(artery)
        vein_root = hilum + np.array([-side * 8, -12, -22])
        veins.append(grow(vein_root, scatter(anatomy, side, int(0.8 * branches), rng), LEAF_RADIUS_MM, ROOT_RADIUS_MM))
        airways.append(_airway(anatomy.build, side, artery, rng))
    return Trees(arteries, veins, airways)


def _trachea(build: Build) -> Tree:
    """From the carina up and forward, out of the scan."""
    top = build.carina + np.array([0, -14, 0.7 * build.height])
    return Tree(np.array([build.carina, top]), np.array([0, 0]), np.array([8.5, 9.0]))


def _airway(build: Build, side: int, artery: Tree, rng: np.random.Generator) -> Tree:
    """The bronchi of one lung: from the carina to the hilum, then beside the arteries down to a lumen of about 2 mm."""
    bronchi = artery.keep(artery.radii > SMALLEST_AIRWAY_ARTERY_MM)
    beside = np.array([-side * 0.35, 0.55, 0.35]) / np.linalg.norm([0.35, 0.55, 0.35])
    lumen = 0.85 * bronchi.radii * rng.uniform(0.9, 1.1)
    points = bronchi.points + beside * (bronchi.radii + 1.45 * lumen + 0.3)[:, None]
    main = np.array([build.carina, build.carina + 0.55 * (points[0] - build.carina)])
    return Tree(
        np.vstack([main, points]),
        np.concatenate([[0, 0, 1], bronchi.parents[1:] + 2]),
        np.concatenate([[7.0, 7.0 if side < 0 else 6.0, 5.5], np.minimum(lumen[1:], 5)]),
    )


def draw(volume: NDArray[np.uint8], geometry: Geometry, segments: tuple[A, A, A, A]) -> None:
    """Draw tapered round segments into a volume of shares (0 to 255), keeping the larger value.

    The edge is a ramp as wide as the voxel seen along the edge's normal (w); a thinner segment is drawn one voxel wide.
    A disk of radius r with such an edge has the area pi (r² + w²/12), so the share is scaled to the true area. Over all
    places in the voxel the caliber is right; at one place a vessel of 1 mm may be 20% off.
    """
    spacing = np.array(geometry.spacing[::-1])
    origin = np.array(geometry.origin)
    size = np.array(geometry.shape[::-1])
    widest = float(np.linalg.norm(spacing))
    for a, b, ra, rb in zip(*segments, strict=True):
        reach = max(ra, rb) + widest
        low = np.clip(np.floor((np.minimum(a, b) - reach - origin) / spacing).astype(int), 0, size)
        high = np.clip(np.ceil((np.maximum(a, b) + reach - origin) / spacing).astype(int) + 1, 0, size)
        if np.any(low >= high):
            continue
        x, y, z = ((origin[k] + spacing[k] * np.arange(low[k], high[k]) - a[k]).astype(np.float32) for k in range(3))
        x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
        ab = (b - a).astype(np.float32)
        t = np.clip((x * ab[0] + y * ab[1] + z * ab[2]) / max(float(ab @ ab), 1e-6), 0, 1)
        dx, dy, dz = x - t * ab[0], y - t * ab[1], z - t * ab[2]
        d = np.sqrt(dx * dx + dy * dy + dz * dz) + np.float32(1e-4)
        width = (np.abs(dx) * spacing[0] + np.abs(dy) * spacing[1] + np.abs(dz) * spacing[2]) / d
        width = np.maximum(width, spacing.min()).astype(np.float32)
        radius = (ra + (rb - ra) * t).astype(np.float32)
        drawn = np.maximum(radius, width / 2)
        share = np.clip(0.5 + (drawn - d) / width, 0, 1) * radius**2 / (drawn**2 + width**2 / 12)
        box = volume[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        np.maximum(box, (share * 255 + 0.5).astype(np.uint8), out=box)
