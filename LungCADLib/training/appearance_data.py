"""What the appearance network learns from: axial slices of nodules from every file of LIDC at hand, in one form."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.malignancy.appearance import DIAMETERS_MM
from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU, square, views
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.nodule_sets import CHARACTERISTICS, Case, read_crops, read_table, read_vois
from LungCADLib.training.patch_sets import Patches, read_patches
from LungCADLib.training.slice_sets import READERS, Slices, read_slices

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 71
"""Pixels of a picture: those of the files of slices, the largest."""

TRAITS = (*CHARACTERISTICS, "calcification", "diameter")

LEAST_AREA = 0.6
"""A slice of a box or crop counts as a view of the nodule if its outline has this share of the largest one's area."""

UNDECIDED = 3.0
LEAST_RATING, RATING_RANGE = 1.0, 4.0
BENIGN_CALCIFICATION = (1, 2, 3, 5)
"""LIDC's codes of popcorn, laminated, solid and central; 4 is non-central, 6 absent."""

SHARES = {"slices": 0.55, "patches": 0.2, "vois": 0.2, "crops": 0.05}
"""Of what is learned from, by file: the slices are what the network is asked about and have every reader's ratings."""

READERS_COUNT = {1: 0.35, 2: 0.6}
"""How much a slice counts by its readers; three or more count fully."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Nodules as columns of equal length n.

    `hu` int16, `known` bool and `mask` bool (n, `SIDE`, `SIDE`), `spacing_mm` (n,), `outlined` bool (n,): whether the
    mask is one; `suspicion` (n,) 0 to 1, the share of readers above the middle, half of those at it; `traits` (n, 9)
    as shares of their scale, NaN where nobody said; `weight` (n,) and `patient` (n,).
    """

    hu: NDArray[np.int16]
    known: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    outlined: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]
    suspicion: NDArray[np.float64]
    traits: NDArray[np.float64]
    weight: NDArray[np.float64]
    patient: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.hu)

    @staticmethod
    def join(parts: "list[Pictures]") -> "Pictures":
        """One after the other."""
        return Pictures(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Pictures)))


def gather(data: Path) -> Pictures:
    """Every slice to learn from in a folder with `lidc-slices`, `luna16-patches`, `lidc-vois` and `lidc-crops`.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout.
    """
    names = {name: data / folder for name, folder in _FOLDERS.items()}
    ratings = {name: folder / "ratings.csv" for name, folder in names.items()}
    slices = read_slices(names["slices"] / "slices.npz", ratings["slices"])
    patches = read_patches(names["patches"] / "patches.npz", names["patches"] / "patches.csv")
    parts = {
        "slices": of_slices(slices, _slice_calcification(ratings["slices"])),
        "patches": of_patches(patches),
        "vois": of_cases(read_vois(names["vois"] / "vois.npz", ratings["vois"]), _voi_calcification(ratings["vois"])),
        "crops": of_cases(read_crops(names["crops"] / "crops.npz", ratings["crops"]), None),
    }
    for name, part in parts.items():
        strangers = set(part.patient.tolist()) - fold_of_patient().keys()
        if strangers:
            raise InputError(
                f"{names[name]} holds nodules of {min(strangers)}, who is in no fold (Models/lidc-folds.csv), "
                "and networks learn from no other patients; leave them out."
            )
        part.weight[:] *= SHARES[name] / part.weight.sum()
    return Pictures.join(list(parts.values()))


def still_views(images: NDArray, spacing_mm: NDArray[np.float64]) -> "Tensor":
    """What the network sees of HU images (n, y, x) as they are: (n, c, y, x) around their middles."""
    import torch

    hu = torch.from_numpy(images.astype(np.float32))
    middle = torch.tensor([images.shape[1] // 2, images.shape[2] // 2], dtype=torch.float32)
    spacing = torch.from_numpy(spacing_mm.astype(np.float32))[:, None].repeat(1, 2)
    return views(hu, torch.ones_like(hu), middle.repeat(len(hu), 1), spacing)


SLICES = "lidc-slices"
PATCHES = "luna16-patches"
_FOLDERS = {"slices": SLICES, "patches": PATCHES, "vois": "lidc-vois", "crops": "lidc-crops"}


def of_slices(slices: Slices, calcification: NDArray[np.float64]) -> Pictures:
    """Slices with the share of readers who saw a benign calcification (n,)."""
    n = len(slices)
    traits = [(slices.mean(name) - LEAST_RATING) / RATING_RANGE for name in CHARACTERISTICS]
    weight = np.array([READERS_COUNT.get(int(readers), 1.0) for readers in slices.readers])
    middle = (slices.hu.shape[1] // 2, slices.hu.shape[2] // 2)
    return Pictures(
        hu=np.stack([square(one, middle, SIDE) for one in slices.hu]),
        known=np.stack([square(np.ones(one.shape, bool), middle, SIDE) for one in slices.hu]),
        mask=np.stack([square(one, middle, SIDE) for one in slices.mask]),
        outlined=np.ones(n, bool),
        spacing_mm=slices.spacing_mm,
        suspicion=_leaning(slices.ratings["malignancy"]),
        traits=np.clip(np.column_stack([*traits, calcification, _diameter(slices.area_mm2)]), 0, 1),
        weight=weight,
        patient=slices.patient,
    )


def of_patches(patches: Patches) -> Pictures:
    """Patches in HU; a patch says only whether the readers found it suspicious."""
    n = len(patches)
    traits = np.full((n, len(TRAITS)), np.nan)
    traits[:, -1] = np.clip(_on_scale(patches.diameter_mm), 0, 1)
    hu = patch_hu(patches)
    middle = (hu.shape[1] // 2, hu.shape[2] // 2)
    return Pictures(
        hu=np.stack([square(one, middle, SIDE) for one in hu]),
        known=np.stack([square(np.ones(one.shape, bool), middle, SIDE) for one in hu]),
        mask=np.zeros((n, SIDE, SIDE), bool),
        outlined=np.zeros(n, bool),
        spacing_mm=patches.spacing_mm,
        suspicion=patches.malignant.astype(float),
        traits=traits,
        weight=np.ones(n),
        patient=patches.patient,
    )


def patch_hu(patches: Patches) -> NDArray[np.int16]:
    """Patches (n, y, x) in HU, as far as their window goes: found by comparing them with the slices of the same CTs."""
    low, high = LUNG_WINDOW_HU
    out: NDArray[np.int16] = np.round(low + patches.patch * (high - low)).astype(np.int16)
    return out


def of_cases(cases: list[Case], calcification: NDArray[np.float64] | None) -> Pictures:
    """The slices of boxes or crops that show most of the nodule; together they weigh as one."""
    said = np.full(len(cases), np.nan) if calcification is None else calcification
    rows = [row for case, calcified in zip(cases, said, strict=True) for row in _of_case(case, float(calcified))]
    return Pictures(*(np.stack(column) for column in zip(*rows, strict=True)))


def _of_case(case: Case, calcification: float) -> Iterator[tuple[Any, ...]]:
    area = case.truth.sum(axis=(1, 2))
    chosen = np.flatnonzero(area >= LEAST_AREA * area.max())
    said = [(case.ratings.get(name, np.nan) - LEAST_RATING) / RATING_RANGE for name in CHARACTERISTICS]
    diameter = float(_diameter(area.max() * case.scan.spacing[1] * case.scan.spacing[2]))
    suspicion = _leaning(np.array([[case.ratings.get("malignancy", np.nan)]]))[0]
    for z in chosen:
        y, x = (round(float(v)) for v in np.argwhere(case.truth[z]).mean(axis=0))
        known = np.ones(case.truth[z].shape, bool)
        yield (
            *(square(one, (y, x), SIDE) for one in (case.scan.hu[z], known, case.truth[z])),
            np.bool_(True),
            np.float64(case.scan.spacing[2]),
            np.float64(suspicion),
            np.clip([*said, calcification, diameter], 0, 1),
            np.float64(1 / len(chosen)),
            np.str_(case.patient),
        )


def _diameter(area_mm2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the disc of an area, on its scale."""
    return _on_scale(np.sqrt(4 / np.pi * area_mm2))


def _on_scale(diameter_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.log(DIAMETERS_MM)
    out: NDArray[np.float64] = (np.log(diameter_mm) - low) / (high - low)
    return out


def _leaning(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of ratings (n, readers) above the middle, those at the middle counting one half."""
    said = np.isfinite(ratings)
    leaning = np.where(said, (ratings > UNDECIDED) + 0.5 * (ratings == UNDECIDED), 0.0)
    return leaning.sum(axis=1) / np.maximum(said.sum(axis=1), 1)


def _slice_calcification(path: Path) -> NDArray[np.float64]:
    names = [f"Calcification_{reader}" for reader in range(1, READERS + 1)]
    rows = read_table(path, tuple(names), "the table of ratings of slices.npz")
    codes = np.array([[float(row[name] or 0) for name in names] for row in rows])
    return np.isin(codes, BENIGN_CALCIFICATION).sum(axis=1) / np.maximum((codes > 0).sum(axis=1), 1)


def _voi_calcification(path: Path) -> NDArray[np.float64]:
    rows = read_table(path, ("Calcification_value",), "the table of ratings of vois.npz")
    return np.array([float(float(row["Calcification_value"] or 0) in BENIGN_CALCIFICATION) for row in rows])
