"""Real nodules set into other patients' lungs, so that each is seen in several places.

A nodule brings its outline and 1.5 mm of edge; what is denser in the lung (a vessel, the wall) shows through the edge.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.detection.blobs import LungGrid, find_blobs
from LungCADLib.scan import Geometry
from LungCADLib.training.arrays import read_arrays
from LungCADLib.training.candidates import Candidates, distance_outside, like, seen, table
from LungCADLib.training.detection_grounds import NEITHER, Ground
from LungCADLib.training.nodule_sets import Case

EDGE_MM = 1.5
LUNG_HU = -870.0
WALL_SHARE = 0.35
CROP_SHARE = 0.4
"""Share of the nodules that are set into crops; the others go into scans."""

LARGEST_IN_CROP_MM = 9.0
FROM_EDGE_MM = 10.0
LEAST_DEPTH = 0.8
"""Of a nodule that does not hang on the wall, in radii."""

AROUND_MM = 14.0
STAMP_FACTORS = (1.0, 1.7)
REPEATS = 3
"""So often one placed nodule is looked at."""


@dataclass(frozen=True, eq=False)
class Nodule:
    """A real nodule at 1 mm: HU and the share of each voxel that is nodule (z, y, x)."""

    patient: str
    hu: NDArray[np.float32]
    share: NDArray[np.float32]

    @property
    def radius_mm(self) -> float:
        return float((3 * (self.share > 0.5).sum() / (4 * np.pi)) ** (1 / 3))


@dataclass(frozen=True, eq=False)
class Bed:
    """A lung to set nodules into, and how deep its voxels lie: mm from the lung's edge, at every second voxel."""

    ground: Ground
    depth: NDArray[np.float64]


def box_nodules(cases: list[Case]) -> Iterator[Nodule]:
    """The nodules of a file of boxes; a box ends where the outline does, so its last slices are repeated."""
    for case in cases:
        around = tuple(int(np.ceil(2 * EDGE_MM / s)) + 1 for s in case.scan.spacing)
        hu = np.pad(case.scan.hu, [(n, n) for n in around], mode="edge").astype(np.float32)
        mask = np.pad(case.truth, [(n, n) for n in around]).astype(np.float32)
        nodule = _at_1_mm(case.patient, hu, mask, case.scan.spacing)
        if nodule is not None:
            yield nodule


def stamp_nodules(path: Path) -> Iterator[Nodule]:
    """Large nodules without background, at up to twice their size."""
    stamps = read_arrays(path, "hu", "mask", "patient")
    for patient, hu, mask in zip(stamps["patient"], stamps["hu"], stamps["mask"], strict=True):
        for factor in STAMP_FACTORS:
            nodule = _at_1_mm(str(patient), hu.astype(np.float32), mask.astype(np.float32), (factor,) * 3)
            if nodule is not None:
                yield nodule


def inserted_candidates(
    nodules: list[Nodule],
    grounds: list[Ground],
    fold: Callable[[str], int],
    rng: np.random.Generator,
    follow: Callable[[str], None],
) -> list[Candidates]:
    """Each nodule set into a lung and found there again by its blobs; those that no blob answers are left out."""
    beds = [Bed(ground, 2 * ndimage.distance_transform_edt(ground.grid.region[::2, ::2, ::2])) for ground in grounds]
    scans = [bed for bed in beds if bed.ground.whole]
    crops = [bed for bed in beds if not bed.ground.whole]
    parts = []
    for i, nodule in enumerate(nodules):
        follow(f"nodule {i + 1} of {len(nodules)} into a lung")
        small = nodule.radius_mm < LARGEST_IN_CROP_MM
        among = crops if crops and (not scans or (small and rng.random() < CROP_SHARE)) else scans
        bed = among[rng.integers(len(among))]
        found = _inserted(nodule, bed, rng)
        if found is not None:
            parts.append(table(found, "inserted", (fold(nodule.patient), fold(bed.ground.patient)), True))
    return parts


def _at_1_mm(
    patient: str, hu: NDArray[np.float32], mask: NDArray[np.float32], spacing: tuple[float, ...]
) -> Nodule | None:
    geometry = Geometry(hu.shape, (spacing[0], spacing[1], spacing[2]))  # type: ignore[arg-type]
    onto = geometry.resampled((1.0, 1.0, 1.0))
    share = geometry.resample(mask, onto)
    found = ndimage.find_objects((share > 0.3).astype(np.uint8))
    if not found or not (share > 0.5).any():
        return None
    margin = int(np.ceil(EDGE_MM)) + 1
    box = tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in found[0])
    return Nodule(patient, geometry.resample(hu, onto, outside=LUNG_HU)[box], share[box])


def _inserted(
    nodule: Nodule, bed: Bed, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    center = _place(bed, nodule.radius_mm, rng)
    if center is None:
        return None
    flips = tuple(slice(None, None, int(rng.choice((-1, 1)))) for _ in range(3))
    nodule = Nodule(nodule.patient, nodule.hu[flips], nodule.share[flips])
    grid, shape = bed.ground.grid, np.array(nodule.share.shape)
    start = center - shape // 2
    if (start < 0).any() or (start + shape > grid.hu.shape).any():
        return None
    # Views of a large nodule are wide; blobs need only its neighborhood.
    wide = int(36 * max(nodule.radius_mm / 6, 1)) + 8
    low, high = np.maximum(center - wide, 0), np.minimum(center + wide, grid.hu.shape)
    piece = _box(low, high)
    hu, region = grid.hu[piece].astype(np.float32), grid.region[piece].copy()
    inner = _box(start - low, start - low + shape)
    hu[inner] = blend(hu[inner], nodule)
    outline = np.zeros(hu.shape, bool)
    outline[inner] = nodule.share > 0.5
    region |= outline
    voxels = np.rint(hu).astype(np.int16)

    near = int(2.2 * nodule.radius_mm + AROUND_MM)
    first, last = np.maximum(center - low - near, 0), np.minimum(center - low + near, hu.shape)
    part = _box(first, last)
    small = LungGrid(voxels[part], region[part], Geometry(tuple(last - first), (1.0, 1.0, 1.0)), grid.slice_mm)
    blobs = find_blobs(small)
    rows = like(blobs, outline[part])
    if not len(rows):
        return None
    return seen(voxels, small, blobs.take(np.resize(rows, REPEATS)), True, rng, first)


def blend(lung: NDArray[np.float32], nodule: Nodule) -> NDArray[np.float32]:
    """HU of a lung with a nodule in it; both (z, y, x) alike."""
    inside = nodule.share > 0.5
    distance = distance_outside(inside)
    ramp = np.clip(1 - distance / EDGE_MM, 0, 1)
    median = float(np.median(nodule.hu[inside]))
    # The edge is not denser than a fading nodule, or a piece of the wall it came from would come along.
    edge = np.minimum(nodule.hu, ramp * median + (1 - ramp) * LUNG_HU)
    out = np.where(inside, nodule.hu, np.maximum(lung, lung * (1 - ramp) + edge * ramp))
    return np.asarray(out, np.float32)


def _place(bed: Bed, radius: float, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """A center (z, y, x) in the lung, away from the known lesions: free, or on the wall."""
    ground, depth = bed.ground, bed.depth
    region = ground.grid.region
    if rng.random() < WALL_SHARE:
        good = (depth > 0.3 * radius) & (depth < max(0.95 * radius, 3.0))
    else:
        good = depth > LEAST_DEPTH * radius
    places = np.argwhere(good) * 2
    near_edge = np.minimum(places, np.array(region.shape) - 1 - places).min(1) < min(FROM_EDGE_MM, radius + 4)
    places = places[~near_edge]
    taken = ground.blobs.index[(ground.lesion >= 0) | (ground.lesion == NEITHER)] if ground.whole else None
    if taken is None:
        # A crop's nodule is in its middle.
        taken = (np.array(region.shape)[None] - 1) / 2
    for _ in range(20):
        if not len(places):
            return None
        center = places[rng.integers(len(places))]
        if np.linalg.norm(taken - center, axis=1).min(initial=np.inf) > radius + 8:
            return np.asarray(center)
    return None


def _box(low: NDArray, high: NDArray) -> tuple[slice, slice, slice]:
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x
