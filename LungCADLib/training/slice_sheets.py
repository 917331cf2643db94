"""What the slice U-Net learns from: slices of whole scans and phantoms, and pieces and nodules to set into them.

Everything has pixels of 1 mm, as the detector sees it (`detection.slice_reader`). Pieces are cut out of other scans
with their surroundings; nodules are set into the lung without theirs (`insertions.blend`).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.slice_reader import PIXEL_MM, lung_slices
from LungCADLib.lungs import segment_lungs
from LungCADLib.phantom import varied_phantom
from LungCADLib.readers import read_scan
from LungCADLib.resources import resource
from LungCADLib.scan import Geometry, Scan
from LungCADLib.training.detection_grounds import LESION_MARGIN_MM
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.insertions import Nodule, box_nodules, stamp_nodules
from LungCADLib.training.nodule_sets import read_crops, read_vois
from LungCADLib.training.phantom_grounds import FIRST_SEED
from LungCADLib.training.slice_sets import read_slices

NOTHING, NODULE, UNKNOWN = 0, 1, 2
"""What a pixel is; of what is unknown nothing is learned."""

NOBODY = -1
"""Fold of what is of no patient."""

LEAST_PIXELS = 4
EMPTY_EVERY_MM, EMPTY_FROM_MM = 4, 5
"""Of a crop, a slice without the nodule every so many mm, at least so far from it."""


@dataclass(frozen=True, eq=False)
class Sheets:
    """A scan or phantom as slices (n, y, x): HU int16, lungs bool, truth uint8 of `NOTHING`, `NODULE`, `UNKNOWN`."""

    name: str
    fold: int
    hu: NDArray[np.int16]
    region: NDArray[np.bool_]
    truth: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a slice (y, x) with its surroundings: HU int16 and truth uint8."""

    fold: int
    hu: NDArray[np.int16]
    truth: NDArray[np.uint8]

    @property
    def has_nodule(self) -> bool:
        return bool((self.truth == NODULE).any())


@dataclass(frozen=True, eq=False)
class Ground:
    """All there is to learn from; each nodule with its fold."""

    sheets: list[Sheets]
    pieces: list[Piece]
    nodules: list[tuple[int, Nodule]]

    def without(self, fold: int) -> "Ground":
        """Without the patients of a fold."""
        return Ground(
            [one for one in self.sheets if one.fold != fold],
            [one for one in self.pieces if one.fold != fold],
            [one for one in self.nodules if one[0] != fold],
        )


def read_ground(data: Path, phantoms: int, seed: int, follow: Callable[[str], None]) -> Ground:
    """Everything in a folder of data, and so many phantoms.

    Raises
    ------
    InputError
        If something is missing or of another layout.
    """
    folds = fold_of_patient()
    follow("slices and crops")
    pieces = [*slice_pieces(data / "lidc-slices", folds), *crop_pieces(data / "lidc-crops", folds)]
    follow("boxes and stamps")
    boxes = read_vois(data / "lidc-vois" / "vois.npz", data / "lidc-vois" / "ratings.csv")
    nodules = [*box_nodules(boxes), *stamp_nodules(data / "lidc-stamps" / "stamps.npz")]
    sheets = [*scan_sheets(data, follow), *phantom_sheets(phantoms, seed, follow)]
    return Ground(sheets, pieces, [(folds.get(one.patient, NOBODY), one) for one in nodules])


def slice_pieces(folder: Path, folds: dict[str, int]) -> Iterator[Piece]:
    """The largest slice of each nodule, as wide as it was cut."""
    slices = read_slices(folder / "slices.npz", folder / "ratings.csv")
    for hu, mask, mm, patient in zip(slices.hu, slices.mask, slices.spacing_mm, slices.patient.tolist(), strict=True):
        piece = as_piece(hu, mask, float(mm), folds.get(patient, NOBODY))
        if piece.has_nodule:
            yield piece


def as_piece(hu: NDArray[np.int16], mask: NDArray[np.bool_], pixel_mm: float, fold: int) -> Piece:
    """A slice (y, x) of any pixel size and the nodule in it, at 1 mm."""
    scan = Scan(hu[None], Geometry((1, *hu.shape), (PIXEL_MM, pixel_mm, pixel_mm)))
    shown = scan.resampled((PIXEL_MM,) * 3)
    share = scan.geometry.resample(mask[None].astype(np.float32), shown.geometry)
    return Piece(fold, shown.hu[0], np.where(share[0] >= 0.5, NODULE, NOTHING).astype(np.uint8))


def crop_pieces(folder: Path, folds: dict[str, int]) -> Iterator[Piece]:
    """The slices of crops: all with the nodule, and some without it."""
    for case in read_crops(folder / "crops.npz", None):
        fold, used = folds.get(case.patient, NOBODY), np.flatnonzero(case.truth.any(axis=(1, 2)))
        for z, (hu, mask) in enumerate(zip(case.scan.hu, case.truth, strict=True)):
            away = np.abs(used - z).min()
            if mask.sum() >= LEAST_PIXELS or (away >= EMPTY_FROM_MM and z % EMPTY_EVERY_MM == 0):
                yield Piece(fold, hu, mask.astype(np.uint8))


def scan_sheets(data: Path, follow: Callable[[str], None]) -> Iterator[Sheets]:
    """The slices of the listed scans; the lesions' surroundings are unknown, since nobody outlined most of them."""
    for entry in json.loads(resource("Models", "detection-scans.json").read_text(encoding="utf-8"))["scans"]:
        follow(f"scan {entry['folder']}")
        scan = read_scan(data / entry["folder"])
        slices = lung_slices(scan, segment_lungs(scan).region)
        truth = np.full(slices.hu.shape, NOTHING, np.uint8)
        for lesion in entry["lesions"] + entry.get("doubtful", []):
            box = slices.geometry.box_around(lesion["lps_mm"], lesion["diameter_mm"] / 2 + LESION_MARGIN_MM)
            truth[box] = UNKNOWN
        yield Sheets(entry["folder"], entry["fold"], slices.hu, slices.region, truth)


def phantom_sheets(count: int, seed: int, follow: Callable[[str], None]) -> Iterator[Sheets]:
    """The slices of phantoms, and where their nodules are."""
    for i in range(count):
        follow(f"phantom {i + 1} of {count}")
        phantom = varied_phantom(FIRST_SEED + 1000 * seed + i)
        scan = phantom.scan
        slices = lung_slices(scan, segment_lungs(scan).region)
        nodules = np.zeros(scan.hu.shape, np.uint8)
        for mask in phantom.masks.nodules.values():
            nodules[mask.box][mask.mask] = NODULE
        truth = scan.geometry.resample(nodules, slices.geometry, nearest=True)
        yield Sheets(f"phantom {i}", NOBODY, slices.hu, slices.region, truth)
