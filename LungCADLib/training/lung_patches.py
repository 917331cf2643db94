"""Nodules and places without one, as square patches that differ in nothing else: what tells CALM's `nodule` mode.

Paper 003 teaches nodule against non-nodule on patches of 40 x 40 pixels. Positives are the largest slices of the LIDC
nodules. The slices hold no negatives: they are 71 pixels wide with the nodule in the middle, so every square of 40
pixels in them shows it. Negatives come from whole CTs instead, a quarter where the blob detector sees something and the
rest anywhere in the lung, and from the crops of LIDC nodules, in slices above and below the nodule. Since a CT may be
told by its noise and a crop by its resampling, nodules of those same CTs and crops, cut in the same way, are among the
positives, and the crops alone, where both kinds come from the same CTs in equal numbers, are a test of their own.

Every patch is kept with a margin, so that a shift needs no padding; each lies within its image.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.malignancy.calm import SIDE_PIXELS
from LungCADLib.training.arrays import read_arrays
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.slice_sets import Slices

SHIFT_PIXELS = 10
"""Patches can be moved by up to this in training, as those of paper 003 were (section 6)."""

STORED_SIDE = SIDE_PIXELS + 2 * SHIFT_PIXELS

SOURCES = ("slices", "crops", "scan lesions", "candidates", "anywhere")
"""Largest slices of nodules; crops, both kinds; nodules of whole CTs; what the blob detector sees in them; any lung."""

OUTLIER = 1.5
"""A nodule whose side is this many interquartile ranges above the third quartile is left out (paper 003, section 6)."""

CROP_PIXEL_MM = 0.7
"""What crops of 1 mm are brought to: the median pixel of the slices."""

CROP_SLICES = 8
"""At most so many of each kind from one crop."""

CROP_AREA = 0.3
"""A slice of a crop shows the nodule if its outline has this share of the largest one's area."""

CROP_ASIDE_MM = 4.0
"""How far from the crop's middle a patch may be centered: so that its margin ends within the crop."""

BLURS_MM = (2.0, 6.0)
"""A spot stands out by the difference of a crop's slice blurred with these standard deviations."""

FREE_MM = 3.0
"""Slices of crops this far above and below the outline show no part of the nodule."""


@dataclass(frozen=True, eq=False)
class LungPatches:
    """Patches as columns of equal length n.

    `hu` int16 (n, `STORED_SIDE`, `STORED_SIDE`), the patch in its middle; `nodule` bool (n,); `source` int8 (n,),
    position in `SOURCES`; `spacing_mm` (n,) per pixel; `patient` (n,); `fold` (n,), 0 to 4.
    """

    hu: NDArray[np.int16]
    nodule: NDArray[np.bool_]
    source: NDArray[np.int8]
    spacing_mm: NDArray[np.float64]
    patient: NDArray[np.str_]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.hu)

    def only(self, rows: NDArray) -> "LungPatches":
        """Some of the patches, by bool or index."""
        return LungPatches(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def join(parts: "list[LungPatches]") -> "LungPatches":
        """One after the other."""
        return LungPatches(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(LungPatches)))

    def save(self, path: Path) -> None:
        """Keep them as an npz file."""
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **{f.name: getattr(self, f.name) for f in fields(self)})
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> "LungPatches":
        """Read what `save` kept."""
        return LungPatches(**read_arrays(path, *(f.name for f in fields(LungPatches))))


def largest_usual_mm(slices: Slices) -> NDArray[np.float64]:
    """Sides (2,) along y and x of the largest outline that is no outlier by `OUTLIER`, the rule of paper 003."""
    low, high = np.percentile(_sides(slices), [25, 75], axis=0)
    out: NDArray[np.float64] = high + OUTLIER * (high - low)
    return out


def _sides(slices: Slices) -> NDArray[np.float64]:
    """Extent (n, 2) of the outlines along y and x, mm."""
    sides = np.array([[np.ptp(where) + 1 for where in np.nonzero(mask)] for mask in slices.mask])
    out: NDArray[np.float64] = sides * slices.spacing_mm[:, None]
    return out


def of_slices(slices: Slices) -> LungPatches:
    """The nodules of usual size, each in the middle of its patch."""
    usual: NDArray[np.bool_] = np.all(_sides(slices) <= largest_usual_mm(slices), axis=1)
    slices = slices.only(usual)
    n, fold = len(slices), fold_of_patient()
    low = slices.hu.shape[1] // 2 - STORED_SIDE // 2
    return LungPatches(
        hu=slices.hu[:, low : low + STORED_SIDE, low : low + STORED_SIDE],
        nodule=np.ones(n, bool),
        source=np.full(n, SOURCES.index("slices"), np.int8),
        spacing_mm=slices.spacing_mm,
        patient=slices.patient,
        fold=np.array([fold[patient] for patient in slices.patient.tolist()]),
    )


def of_crops(path: Path, largest_mm: NDArray[np.float64]) -> LungPatches:
    """From each crop as many slices through the nodule as away from it, cut and resampled alike.

    Away from the nodule the patch is centered on the spot near the middle that stands out most, as a candidate would
    be. Nodules larger than `largest_mm` (2,) along y or x give nothing.
    """
    crops = read_arrays(path, "hu", "mask", "patient")
    fold = fold_of_patient()
    rows: list[tuple[Any, ...]] = []
    for hu, mask, patient in zip(crops["hu"], crops["mask"].astype(bool), crops["patient"].tolist(), strict=True):
        sides = [int(mask.any(axis=(0, other)).sum()) for other in (2, 1)]
        if (sides > largest_mm).any():
            continue
        area = mask.sum(axis=(1, 2))
        shows = np.flatnonzero(area >= CROP_AREA * area.max())
        away = np.flatnonzero(ndimage.distance_transform_edt(area == 0) > FREE_MM)
        count = min(len(shows), len(away), CROP_SLICES)
        for chosen, nodule in ((_spread(shows, count), True), (_spread(away, count), False)):
            for z in chosen:
                at = np.argwhere(mask[z]).mean(axis=0) if nodule else _outstanding(hu[z])
                source = SOURCES.index("crops")
                rows.append((_resampled(hu[z], at), nodule, source, CROP_PIXEL_MM, patient, fold[patient]))
    return columns(rows)


def middles(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """The patches (n, 40, 40) in the middle of stored ones (n, 60, 60)."""
    return hu[:, SHIFT_PIXELS:-SHIFT_PIXELS, SHIFT_PIXELS:-SHIFT_PIXELS]


def shifted(hu: NDArray[np.int16], random: np.random.Generator, pixels: int) -> NDArray[np.int16]:
    """Patches (n, 40, 40) of stored ones (n, 60, 60), each moved by up to so many pixels along y and x."""
    low = SHIFT_PIXELS - pixels + random.integers(2 * pixels + 1, size=(2, len(hu), 1))
    steps = np.arange(SIDE_PIXELS)
    return hu[np.arange(len(hu))[:, None, None], (low[0] + steps)[:, :, None], (low[1] + steps)[:, None, :]]


def columns(rows: list[tuple[Any, ...]]) -> LungPatches:
    """Patches of rows in the order of `LungPatches`' fields."""
    types = (np.int16, bool, np.int8, np.float64, np.str_, np.int64)
    parts = zip(*rows, strict=True) if rows else [np.empty((0, STORED_SIDE, STORED_SIDE)), *([],) * 5]
    return LungPatches(*(np.asarray(part, kind) for part, kind in zip(parts, types, strict=True)))


def _spread(places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """So many of the places, as far apart as they can be."""
    return places[np.round(np.linspace(0, len(places) - 1, count)).astype(int)] if count else places[:0]


def _outstanding(hu: NDArray[np.int16]) -> NDArray[np.float64]:
    """Where (y, x) near its middle a slice of a crop is brightest against what lies around."""
    near, far = (ndimage.gaussian_filter(hu.astype(np.float32), blur) for blur in BLURS_MM)
    middle = hu.shape[0] // 2
    low, high = middle - int(CROP_ASIDE_MM), middle + int(CROP_ASIDE_MM) + 1
    part = (near - far)[low:high, low:high]
    return np.array(np.unravel_index(int(part.argmax()), part.shape), float) + low


def _resampled(hu: NDArray[np.int16], center: NDArray[np.float64]) -> NDArray[np.int16]:
    """A patch of a crop's slice (1 mm) around (y, x), which is brought near enough to the middle to fit."""
    middle = (hu.shape[0] - 1) / 2
    center = np.clip(center, middle - CROP_ASIDE_MM, middle + CROP_ASIDE_MM)
    steps = (np.arange(STORED_SIDE) - STORED_SIDE // 2) * CROP_PIXEL_MM
    points = np.meshgrid(center[0] + steps, center[1] + steps, indexing="ij")
    taken = ndimage.map_coordinates(hu.astype(np.float32), points, order=1, mode="nearest")
    return np.round(taken).astype(np.int16)
