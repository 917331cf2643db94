"""Nodules of the phantom: what is asked for, how it is drawn, what is true of it.

A nodule is an ellipsoid, smooth or with bumps, whose surface bumps are scaled so that its volume stays exactly that of
the ellipsoid. It is sampled several times per voxel, so that the share of a voxel it fills is right below voxel size.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from LungCADLib.scan import Geometry
from LungCADLib.study import Calcification, Density, Lobe, Side, Xyz

A = NDArray[np.float64]

Attachment = Literal["isolated", "juxtapleural", "juxtavascular"]

# HU of the parts. Solid tissue and calcium as Fleischner's glossary and the field describe them: ground glass leaves
# vessels visible, fat lies between -40 and -120 HU, calcium above 200 HU.
SOLID_HU, GROUND_GLASS_HU, CALCIUM_HU, FAT_HU = 35.0, -600.0, 520.0, -85.0
SOLID_CORE = 0.5
"""Radius of a part-solid nodule's core over the nodule's, where nobody asks otherwise."""

SUBSAMPLE_MM = 0.3

BUMP_SHARPNESS, BUMP_HEIGHT = 7.0, (0.3, 0.7)
RAYS, RAY_LENGTH, RAY_LENGTH_MM, RAY_RADIUS_MM = (30, 48), (0.4, 0.9), (2.5, 10.0), (1.1, 0.4)
"""How many rays, how long in radii and at most and least in mm, and their radius in mm at root and tip."""


@dataclass(frozen=True)
class NoduleSpec:
    """A nodule that is asked for.

    Parameters
    ----------
    diameter_mm
        One diameter, or three along the nodule's own axes. For a bumpy nodule: of the ellipsoid of equal volume.
    density, calcification
        In the words of a Study. Calcification other than "none" needs density "calcified".
    attachment
        "juxtapleural" nodules are cut by the pleura; "juxtavascular" ones touch a vessel of 2 to 4 mm.
    center_lps_mm
        Where; None finds a place that suits size and attachment.
    spiculated, lobulated
        Rays at the edge (not part of the true outline and volume); bumps.
    solid_core
        Part-solid only: core radius over nodule radius.
    hu
        Of the main tissue; None takes the usual value for the density.
    """

    diameter_mm: float | tuple[float, float, float] = 8.0
    density: Density = "solid"
    attachment: Attachment = "isolated"
    center_lps_mm: Xyz | None = None
    calcification: Calcification = "none"
    spiculated: bool = False
    lobulated: bool = False
    solid_core: float = SOLID_CORE
    hu: float | None = None

    @property
    def axes_mm(self) -> Xyz:
        """Full lengths of the three axes."""
        d = self.diameter_mm
        return d if isinstance(d, tuple) else (float(d), float(d), float(d))


@dataclass(frozen=True)
class TrueNodule:
    """What is true of a nodule in the phantom.

    `volume_mm3` is the analytic volume, or what the pleura leaves of it; `diameter_mm` that of the ball of this volume;
    `max_diameter_mm` the longest distance between two points of the uncut outline. Spicules do not count.
    """

    id: str
    center_lps_mm: Xyz
    axes_mm: Xyz
    diameter_mm: float
    max_diameter_mm: float
    volume_mm3: float
    density: Density
    calcification: Calcification
    attachment: Attachment
    spiculated: bool
    lobulated: bool
    solid_diameter_mm: float
    solid_volume_mm3: float
    hu: float
    side: Side
    lobe: Lobe


@dataclass(frozen=True, eq=False)
class Form:
    """The nodule's own shape: rotation and bumps. `bumps` (k, 3) unit vectors with `heights` (k,)."""

    semi_axes: A
    rotation: A
    bumps: A
    heights: A
    scale: float

    @property
    def volume_mm3(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.semi_axes))

    def radius(self, directions: A) -> A:
        """Surface radius in units of the semi-axes along unit vectors (..., 3) of the nodule's own frame."""
        if len(self.heights) == 0:
            return np.ones(directions.shape[:-1])
        lobes = np.exp(BUMP_SHARPNESS * (directions @ self.bumps.T - 1)) @ self.heights
        return self.scale * (1 + lobes)

    def depth(self, offsets: A) -> A:
        """Position between center (0) and surface (1), beyond 1 outside, of offsets (..., 3) in LPS mm."""
        own = offsets @ self.rotation / self.semi_axes
        rho = np.linalg.norm(own, axis=-1)
        if len(self.heights) == 0:
            return rho
        return np.asarray(rho / self.radius(own / np.maximum(rho, 1e-9)[..., None]))

    def surface(self, count: int = 2000) -> A:
        """Points (count, 3) on the surface relative to the center, LPS mm."""
        u = sphere_points(count)
        return np.asarray((u * self.radius(u)[:, None] * self.semi_axes) @ self.rotation.T)

    @property
    def max_diameter_mm(self) -> float:
        if len(self.heights) == 0:
            return float(2 * self.semi_axes.max())
        points = self.surface()
        return float(max(np.linalg.norm(points - p, axis=1).max() for p in points[::7]))


@dataclass(frozen=True, eq=False)
class Drawing:
    """A nodule on a grid: in a box that starts at `start` (z, y, x), the share of each voxel and its mean HU.

    `share` is what shows (spicules included), `inside` the share within the true outline.
    """

    start: tuple[int, int, int]
    share: NDArray[np.float32]
    hu: NDArray[np.float32]
    inside: NDArray[np.float32]

    def add_to(self, plane: NDArray[np.float32], k: int, corner: tuple[int, int]) -> None:
        """Paint slice `k` onto a part of that slice whose first voxel is `corner` (y, x)."""
        (z0, y0, x0), (nz, ny, nx) = self.start, self.share.shape
        if not z0 <= k < z0 + nz:
            return
        top, left = y0 - corner[0], x0 - corner[1]
        rows = slice(max(-top, 0), min(ny, plane.shape[0] - top))
        columns = slice(max(-left, 0), min(nx, plane.shape[1] - left))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        part = plane[rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
        part += self.share[k - z0, rows, columns] * (self.hu[k - z0, rows, columns] - part)


def sphere_points(count: int) -> A:
    """Unit vectors (count, 3) spread evenly over the sphere (Fibonacci lattice), equal area each."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    turn = np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1)


def make_form(spec: NoduleSpec, rng: np.random.Generator) -> Form:
    """The shape a specification asks for, with its random turn and bumps."""
    semi = np.array(spec.axes_mm) / 2
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0] if len(set(spec.axes_mm)) > 1 else np.eye(3)
    if not spec.lobulated:
        return Form(semi, rotation, np.empty((0, 3)), np.empty(0), 1.0)
    bumps = sphere_points(9)[rng.permutation(9)[: rng.integers(4, 7)]] @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    form = Form(semi, rotation, bumps, rng.uniform(*BUMP_HEIGHT, len(bumps)), 1.0)
    cubed = float((form.radius(sphere_points(8000)) ** 3).mean())
    return Form(semi, rotation, form.bumps, form.heights, cubed ** (-1 / 3))


def draw_nodule(spec: NoduleSpec, form: Form, center: A, geometry: Geometry, rng: np.random.Generator) -> Drawing:
    """Draw one nodule at a center (LPS mm) onto a grid whose axes run along LPS.

    Raises
    ------
    ValueError
        If no voxel of the grid lies near the nodule.
    """
    spicules = _spicules(form, rng) if spec.spiculated else None
    points = form.surface(500) if spicules is None else np.vstack([form.surface(500), spicules[1]])
    reach = np.abs(points).max(0)[::-1] + np.array(geometry.spacing)
    index = geometry.to_index(center)
    start = np.maximum(np.floor(index - reach / geometry.spacing), 0).astype(int)
    stop = np.minimum(np.ceil(index + reach / geometry.spacing).astype(int) + 1, geometry.shape)
    if np.any(start >= stop):
        raise ValueError(f"the nodule at {np.round(center, 1)} lies outside the scan")
    times = np.ceil(np.array(geometry.spacing) / SUBSAMPLE_MM).astype(int)
    offsets = _subsamples(start, stop, times, geometry) - center
    depth = form.depth(offsets)
    inside = depth < 1
    hu = _hu(spec, depth, offsets / form.semi_axes.mean(), rng)
    shown = inside
    if spicules is not None:
        shown = inside | _in_spicules(offsets, *spicules)
        hu = np.where(inside, hu, np.float32(-50))
    shape = [int(n) for pair in zip(stop - start, times, strict=True) for n in pair]

    def mean(values: NDArray) -> NDArray[np.float32]:
        return values.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32)

    share = mean(shown)
    mean_hu = mean(np.where(shown, hu, 0)) / np.maximum(share, 1e-6)
    return Drawing(tuple(int(v) for v in start), share, mean_hu, mean(inside))  # type: ignore[arg-type]


def _subsamples(start: NDArray, stop: NDArray, times: NDArray, geometry: Geometry) -> A:
    """LPS positions (z, y, x, 3) of the sub-voxel centers of a box."""
    axes = [np.arange(n * t) / t + (0.5 / t - 0.5) + a for a, n, t in zip(start, stop - start, times, strict=True)]
    return geometry.to_lps(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))


def _spicules(form: Form, rng: np.random.Generator) -> tuple[A, A]:
    """Starts and ends (k, 3) of rays relative to the center, in mm."""
    count = int(rng.integers(*RAYS))
    surface = form.surface(200)[rng.choice(200, count, replace=False)]
    tilt = rng.normal(0, 0.25, (count, 3))
    out = surface / np.linalg.norm(surface, axis=1, keepdims=True) + tilt
    length = np.clip(form.semi_axes.mean() * rng.uniform(*RAY_LENGTH, count), *RAY_LENGTH_MM)
    return 0.9 * surface, surface + out / np.linalg.norm(out, axis=1, keepdims=True) * length[:, None]


def _in_spicules(offsets: A, start: A, end: A) -> NDArray[np.bool_]:
    """Whether offsets lie in one of the rays, which are cut cones."""
    hit = np.zeros(offsets.shape[:-1], bool)
    flat = offsets.astype(np.float32)
    root, tip = RAY_RADIUS_MM
    for a, b in zip(start, end, strict=True):
        low, high = np.minimum(a, b) - 1, np.maximum(a, b) + 1
        box = tuple(
            slice(int(np.searchsorted(axis, lo)), int(np.searchsorted(axis, hi)))
            for axis, lo, hi in zip(
                (flat[:, 0, 0, 2], flat[0, :, 0, 1], flat[0, 0, :, 0]), low[::-1], high[::-1], strict=True
            )
        )
        p = flat[box] - a
        ab = b - a
        t = np.clip(p @ ab / (ab @ ab), 0, 1)
        d2 = ((p - t[..., None] * ab) ** 2).sum(-1)
        hit[box] |= d2 < (root + (tip - root) * t) ** 2
    return hit


def _hu(spec: NoduleSpec, depth: A, scaled: A, rng: np.random.Generator) -> NDArray[np.float32]:
    """HU at sub-voxels from the position between center and edge (`depth`) and the offset in radii (`scaled`)."""
    main = np.float32(main_hu(spec))
    hu = np.full(depth.shape, main, np.float32)
    if spec.density == "part-solid":
        hu[depth < spec.solid_core] = SOLID_HU
    elif spec.density == "fat-containing":
        hu[_blobs(scaled, rng, 7, 0.38)] = FAT_HU
    elif spec.density == "calcified":
        where = {
            "none": depth < 0.85,
            "diffuse": depth < 0.85,
            "central": depth < 0.55,
            "laminated": (depth < 0.25) | ((depth > 0.5) & (depth < 0.78)),
            "popcorn": _blobs(scaled, rng, 6, 0.3) & (depth < 0.9),
            "eccentric": np.linalg.norm(scaled - np.array([0.45, 0.2, 0.1]), axis=-1) < 0.35,
        }[spec.calcification]
        hu[where] = CALCIUM_HU
    return hu


def _blobs(scaled: A, rng: np.random.Generator, count: int, radius: float) -> NDArray[np.bool_]:
    """Whether sub-voxels lie in one of a few balls inside the unit ball."""
    centers = sphere_points(count) * rng.uniform(0.2, 0.65, (count, 1))
    return np.any([np.linalg.norm(scaled - c, axis=-1) < radius for c in centers], axis=0)


def main_hu(spec: NoduleSpec) -> float:
    """HU of the nodule's main tissue."""
    if spec.hu is not None:
        return float(spec.hu)
    return GROUND_GLASS_HU if spec.density in ("non-solid", "part-solid") else SOLID_HU
