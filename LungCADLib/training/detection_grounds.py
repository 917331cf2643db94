"""What detection learns from: blobs of real scans and crops, and large real nodules set into other patients' lungs."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.detection.blobs import BUDGET, Blobs, LungGrid, find_blobs, lung_grid
from LungCADLib.detection.features import describe
from LungCADLib.lungs import segment_lungs
from LungCADLib.lungs.crop import crop_region
from LungCADLib.readers import read_scan
from LungCADLib.scan import Geometry, Scan
from LungCADLib.training.arrays import read_arrays

NOT_A_NODULE, NEITHER = -1, -2

NEITHER_MM = 4.0
"""A blob this near a reader's outline is neither nodule nor not."""

CROP_EDGE_MM = 8.0
"""Blobs nearer than this to a crop's edge do not see their surroundings."""

LESION_MARGIN_MM = 6.0
WALL_SHARE = 0.4
MASS_FACTORS = (1.0, 1.5, 2.0)


@dataclass(frozen=True, eq=False)
class Rows:
    """Blobs to learn from, one row each.

    Attributes
    ----------
    features
        (n, f) of `detection.features`.
    nodule
        (n,) bool.
    patient
        (n,) who the blob belongs to; folds never divide a patient.
    background
        (n,) the patient whose lung surrounds it; a patient is tested by a score that saw nothing of either kind.
    """

    features: NDArray[np.float64]
    nodule: NDArray[np.bool_]
    patient: NDArray[np.str_]
    background: NDArray[np.str_]

    @staticmethod
    def join(parts: "list[Rows]") -> "Rows":
        """Several tables as one."""
        return Rows(*(np.concatenate([getattr(p, name) for p in parts]) for name in Rows.__annotations__))

    def without(self, patients: set[str]) -> "Rows":
        """The rows in which none of these patients appears."""
        out = list(patients)
        keep = ~np.isin(self.patient, out) & ~np.isin(self.background, out)
        return Rows(*(getattr(self, name)[keep] for name in Rows.__annotations__))


@dataclass(frozen=True, eq=False)
class Ground:
    """A scan or a crop, its blobs with their features, and which of them are its known lesions.

    `lesion` (n,) is the number of the lesion a blob lies in, or `NOT_A_NODULE`, or `NEITHER` for too near to tell.
    """

    patient: str
    whole: bool
    scan: Scan
    region: NDArray[np.bool_]
    grid: LungGrid
    blobs: Blobs
    features: NDArray[np.float64]
    lesion: NDArray[np.int64]
    lesions: int

    @property
    def rows(self) -> Rows:
        """Every blob away from the lesions, and the strongest one in each lesion."""
        keep = self.lesion == NOT_A_NODULE
        for k in range(self.lesions):
            keep[np.flatnonzero(self.lesion == k)[:1]] = True
        names = np.full(int(keep.sum()), self.patient)
        return Rows(self.features[keep], self.lesion[keep] >= 0, names, names)


def scan_grounds(data: Path, manifest: Path, follow: Callable[[str], None], budget: int = BUDGET) -> Iterator[Ground]:
    """Read the scans of a manifest, find their lungs and at most `budget` blobs of each."""
    for entry in json.loads(manifest.read_text(encoding="utf-8"))["scans"]:
        follow(f"scan {entry['folder']}")
        scan = read_scan(data / entry["folder"])
        region = segment_lungs(scan).region
        grid = lung_grid(scan, region)
        blobs = find_blobs(grid, budget)
        lps = grid.geometry.to_lps(blobs.index)
        lesion = np.full(len(blobs), NOT_A_NODULE)
        for k, known in enumerate(entry["lesions"] + entry.get("doubtful", [])):
            distance = np.linalg.norm(lps - np.array(known["lps_mm"]), axis=1)
            lesion[distance < known["diameter_mm"] / 2 + LESION_MARGIN_MM] = NEITHER
            if k < len(entry["lesions"]):
                lesion[distance < known["diameter_mm"] / 2] = k
        features = describe(grid, blobs)
        yield Ground(entry["folder"], True, scan, region, grid, blobs, features, lesion, len(entry["lesions"]))


def crop_grounds(path: Path, follow: Callable[[str], None]) -> Iterator[Ground]:
    """The crops: one blob is the readers' nodule; those near it, or near the crop's edge, are neither."""
    crops = read_arrays(path, "hu", "mask", "patient")
    for i, (hu, mask) in enumerate(zip(crops["hu"], crops["mask"].astype(bool), strict=True)):
        follow(f"crop {i + 1} of {len(crops['hu'])}")
        scan = Scan(hu, Geometry(hu.shape, (1.0, 1.0, 1.0)))
        region = crop_region(scan)
        grid = LungGrid(hu, region, scan.geometry, 1.0)
        blobs = find_blobs(grid)
        at = tuple(np.round(blobs.index).astype(int).T)
        near = ndimage.distance_transform_edt(~mask)[at] <= NEITHER_MM
        near |= np.minimum(blobs.index, np.array(hu.shape) - 1 - blobs.index).min(1) <= CROP_EDGE_MM
        lesion = np.where(near, NEITHER, NOT_A_NODULE)
        lesion[best_inside(blobs, mask)] = 0
        yield Ground(str(crops["patient"][i]), False, scan, region, grid, blobs, describe(grid, blobs), lesion, 1)


def inserted_rows(path: Path, scans: list[Ground], seed: int, follow: Callable[[str], None]) -> Rows:
    """Rows of large real nodules, at up to twice their size, set into the lungs of other patients.

    Masses are rare in the crops and do not fit into them. The nodule's voxels replace the lung's inside its outline;
    two in five are set against the wall.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for i, (patient, hu, mask) in enumerate(_stamps(path)):
        follow(f"mass {i + 1}")
        ground = scans[rng.integers(len(scans))]
        placed = _place(ground.grid, hu, mask, rng)
        if placed is None:
            continue
        grid, outline = placed
        blobs = find_blobs(grid)
        nodule = best_inside(blobs, outline)
        if nodule.any():
            features = describe(grid, blobs.take(np.flatnonzero(nodule)))
            parts.append(Rows(features, np.array([True]), np.array([patient]), np.array([ground.patient])))
    return Rows.join(parts)


def best_inside(blobs: Blobs, outline: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) True for the one blob inside an outline that is strongest and nearest in size; none where none is."""
    best = np.zeros(len(blobs), bool)
    inside = outline[tuple(np.round(blobs.index).astype(int).T)]
    if inside.any():
        radius = (3 * outline.sum() / (4 * np.pi)) ** (1 / 3)
        fit = np.exp(-np.abs(np.log(np.sqrt(3) * blobs.sigma_mm / radius)))
        best[np.argmax(blobs.response * np.sqrt(np.maximum(blobs.roundness, 0)) * fit * inside)] = True
    return best


def _stamps(path: Path) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Patient, HU and outline (share of each voxel) on a 1 mm grid."""
    stamps = read_arrays(path, "hu", "mask", "patient")
    for patient, hu, mask in zip(stamps["patient"], stamps["hu"], stamps["mask"], strict=True):
        for factor in MASS_FACTORS:
            geometry = Geometry(hu.shape, (factor,) * 3)
            onto = geometry.resampled((1.0, 1.0, 1.0))
            yield (
                str(patient),
                geometry.resample(hu.astype(np.float32), onto, outside=-870),
                geometry.resample(mask.astype(np.float32), onto),
            )


def _place(
    ground: LungGrid, hu: NDArray[Any], share: NDArray[Any], rng: np.random.Generator
) -> tuple[LungGrid, NDArray[np.bool_]] | None:
    """A piece of lung with the nodule in it, and its outline; None where it does not fit."""
    found = ndimage.find_objects((share > 0.3).astype(np.uint8))
    if not found or max(s.stop - s.start for s in found[0]) > 60:
        return None
    hu, share = hu[found[0]], share[found[0]]
    for axis in (1, 2):
        if rng.random() < 0.5:
            hu, share = np.flip(hu, axis), np.flip(share, axis)
    radius = (3 * (share > 0.5).sum() / (4 * np.pi)) ** (1 / 3)
    depth = 2 * ndimage.distance_transform_edt(ground.region[::2, ::2, ::2])
    near_wall = rng.random() < WALL_SHARE
    places = np.argwhere((depth > 0) & (depth < max(radius, 3)) if near_wall else depth > 0.8 * radius) * 2
    if not len(places):
        return None
    center = places[rng.integers(len(places))]
    half = int(3 * radius) + 16
    low, high = np.maximum(center - half, 0), np.minimum(center + half, ground.hu.shape)
    piece = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    values, region = ground.hu[piece].astype(np.float32), ground.region[piece].copy()
    start = center - low - np.array(share.shape) // 2
    if (start < 0).any() or (start + share.shape > values.shape).any():
        return None
    box = tuple(slice(a, a + n) for a, n in zip(start, share.shape, strict=True))
    values[box] = values[box] * (1 - share) + hu * share
    region[box] |= share > 0.5
    outline = np.zeros(values.shape, bool)
    outline[box] = share > 0.5
    geometry = Geometry(values.shape, (1.0, 1.0, 1.0))
    return LungGrid(np.round(values).astype(np.int16), region, geometry, ground.slice_mm), outline
