"""Patches of whole CTs: their lesions; places without one, where the blob detector looks or anywhere in the lung."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.blob_detector import score_model
from LungCADLib.resources import resource
from LungCADLib.scan import Scan
from LungCADLib.training.appearance_data import SLICES
from LungCADLib.training.detection_grounds import NOT_A_NODULE, Ground, scan_grounds
from LungCADLib.training.lung_patches import (
    SOURCES,
    STORED_SIDE,
    LungPatches,
    columns,
    largest_usual_mm,
    of_crops,
    of_slices,
)
from LungCADLib.training.slice_sets import read_slices

LESION_SHARE = 0.3
"""Slices within this share of a lesion's diameter from its middle show it."""

LARGEST_PIXEL_MM = 1.0
"""CTs with larger pixels, which the slices never have, give no patches."""

CANDIDATE_SHARE = 0.25
"""Of the places without a lesion; the paper's are any, but a detector asks about candidates."""

TRIED = 20
"""How many places anywhere in the lung are tried for one patch; many lie at the edge of the image or near a lesion."""

MANIFEST = "detection-scans.json"

Row = tuple[Any, ...]


def kept_patches(path: Path, data: Path, seed: int, follow: Callable[[str], None]) -> LungPatches:
    """The patches in a file, or those that `gather` makes, which are then kept there."""
    if path.is_file():
        return LungPatches.load(path)
    patches = gather(data, seed, follow)
    path.parent.mkdir(parents=True, exist_ok=True)
    patches.save(path)
    return patches


def gather(data: Path, seed: int, follow: Callable[[str], None]) -> LungPatches:
    """Every patch of a folder with `lidc-slices`, `lidc-crops` and the CTs of `detection-scans.json`, as many of
    nodules as of none.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout.
    """
    slices = read_slices(data / SLICES / "slices.npz", data / SLICES / "ratings.csv")
    largest = largest_usual_mm(slices)
    parts = [of_slices(slices), of_crops(data / "lidc-crops" / "crops.npz", largest)]
    manifest = resource("Models", MANIFEST)
    entries = {one["folder"]: one for one in json.loads(manifest.read_text(encoding="utf-8"))["scans"]}
    grounds = [g for g in scan_grounds(data, manifest, follow) if g.scan.spacing[1] <= LARGEST_PIXEL_MM]
    parts.append(columns([row for g in grounds for row in lesion_rows(g, entries[g.patient], largest)]))
    count = sum(int(2 * part.nodule.sum()) - len(part) for part in parts)
    shares = [len(part) for part in np.array_split(np.arange(count), len(grounds))]
    rows: list[Row] = []
    for i, (ground, share) in enumerate(zip(grounds, shares, strict=True)):
        rows += empty_rows(ground, entries[ground.patient], share, np.random.default_rng([seed, i]))
    return LungPatches.join([*parts, columns(rows)])


def lesion_rows(ground: Ground, entry: dict[str, Any], largest_mm: NDArray[np.float64]) -> list[Row]:
    """The lesions of a CT, on the slices that show most of each; those wider than `largest_mm` (2,) are left out."""
    scan, rows = ground.scan, []
    for lesion in entry["lesions"]:
        if lesion["diameter_mm"] > largest_mm.min():
            continue
        z, y, x = scan.geometry.to_index(lesion["lps_mm"])
        reach = LESION_SHARE * lesion["diameter_mm"] / scan.spacing[0]
        slices = range(int(np.ceil(z - reach)), int(np.floor(z + reach)) + 1)
        rows += list(_cut(scan, np.array([(k, y, x) for k in slices]), "scan lesions", entry))
    return rows


def empty_rows(ground: Ground, entry: dict[str, Any], count: int, random: np.random.Generator) -> list[Row]:
    """Places without a lesion: the likeliest candidates by the blob detector's score, and for the rest anywhere."""
    scan = ground.scan
    none = np.flatnonzero(ground.lesion == NOT_A_NODULE)
    likeliest = none[np.argsort(-score_model().predict(ground.features[none]), kind="stable")]
    candidates = scan.geometry.to_index(ground.grid.geometry.to_lps(ground.blobs.index[likeliest]))
    lung = np.argwhere(ground.region)
    anywhere = lung[random.permutation(len(lung))[: TRIED * count]]
    rows: list[Row] = []
    for kind, places, wanted in (
        ("candidates", candidates, round(CANDIDATE_SHARE * count)),
        ("anywhere", anywhere, count - round(CANDIDATE_SHARE * count)),
    ):
        free = places[_away(scan, places, entry)]
        rows += [row for row, _ in zip(_cut(scan, free, kind, entry), range(wanted), strict=False)]
    return rows


def _away(scan: Scan, places: NDArray[Any], entry: dict[str, Any]) -> NDArray[np.bool_]:
    """Whether a patch around each place (n, 3), shifted or not, shows no known or doubtful lesion."""
    lps, reach = scan.geometry.to_lps(places), STORED_SIDE / 2 * scan.spacing[1] * np.sqrt(2)
    out = np.ones(len(places), bool)
    for lesion in entry["lesions"] + entry.get("doubtful", []):
        distance = np.linalg.norm(lps - np.array(lesion["lps_mm"]), axis=1)
        out &= distance > lesion["diameter_mm"] / 2 + reach
    return out


def _cut(scan: Scan, places: NDArray[Any], kind: str, entry: dict[str, Any]) -> Iterator[Row]:
    """Patches around voxels (n, 3) as rows; those that would leave the image are passed over."""
    nodule = kind == "scan lesions"
    half = STORED_SIDE // 2
    for z, y, x in np.round(places).astype(int).tolist():
        inside = half <= y <= scan.hu.shape[1] - half and half <= x <= scan.hu.shape[2] - half
        if inside and 0 <= z < scan.hu.shape[0]:
            hu = scan.hu[z, y - half : y + half, x - half : x + half]
            yield hu, nodule, SOURCES.index(kind), scan.spacing[1], entry["patient"], entry["fold"]
