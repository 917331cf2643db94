"""Slices, patches, boxes and crops of digital nodules in the layouts of the LIDC files, small ones and smooth, or large
ones and spiculated."""

import csv
from pathlib import Path

import numpy as np
from digital_nodule import LUNG_HU
from numpy.typing import NDArray

from LungCADLib.training.folds import FOLDS, fold_of_patient

SPACING = 0.7
CHARACTERISTICS = (
    "Subtlety", "InternalStructure", "Calcification", "Sphericity", "Margin", "Lobulation", "Spiculation", "Texture",
    "Malignancy",
)  # fmt: skip


def patients(per_fold: int) -> list[str]:
    """Patients of the development data, so many of each fold, the folds in turn."""
    of_fold = [[p for p, fold in fold_of_patient().items() if fold == k][:per_fold] for k in range(FOLDS)]
    return [of_fold[k][i] for i in range(per_fold) for k in range(FOLDS)]


def star(side: int, radius_mm: float, rays: float, spacing: float = SPACING) -> NDArray[np.float64]:
    """How full (0 to 1) the pixels (side, side) are of a disc whose radius swings by this share in twelve rays."""
    y, x = (np.indices((side, side)) - side // 2) * spacing
    edge = radius_mm * (1 + rays * np.cos(12 * np.arctan2(y, x)))
    return np.clip((edge - np.hypot(y, x)) / spacing + 0.5, 0, 1)


def picture(side: int, suspicious: bool, seed: int, spacing: float = SPACING) -> tuple[NDArray, NDArray, float]:
    """HU int16 and outline (side, side) of a nodule, and its diameter in mm."""
    random = np.random.default_rng(seed)
    radius = random.uniform(8, 10) if suspicious else random.uniform(2.5, 3.5)
    share = star(side, radius, 0.25 if suspicious else 0.0, spacing)
    hu = LUNG_HU + share * (40 - LUNG_HU) + random.normal(0, 20, share.shape)
    return np.round(hu).astype(np.int16), (share >= 0.5).astype(np.uint8), 2 * radius


def write_rows(path: Path, rows: list[dict]) -> None:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def rated(suspicious: bool, readers: int = 4) -> dict[str, object]:
    """What so many readers say of every characteristic; a reader who did not mark the nodule says 0."""
    said = dict.fromkeys(CHARACTERISTICS, 4 if suspicious else 2) | {
        "Calcification": 6,
        "InternalStructure": 1,
        "Texture": 5,
    }
    return {f"{name}_{k}": said[name] if k <= readers else 0 for name in CHARACTERISTICS for k in range(1, 5)}


def write_slices(folder: Path, whose: list[str], side: int = 71) -> Path:
    """`slices.npz` with its `ratings.csv`: one slice per patient named, every second half suspicious."""
    folder.mkdir(parents=True, exist_ok=True)
    suspicious = halves(len(whose))
    parts = [picture(side, s, i) for i, s in enumerate(suspicious)]
    np.savez(
        folder / "slices.npz", hu=np.stack([p[0] for p in parts]), mask=np.stack([p[1] for p in parts]),
        spacing=np.full(len(whose), SPACING), patient=whose, series=[f"1.{i}" for i in range(len(whose))],
    )  # fmt: skip
    makers = ("GE MEDICAL SYSTEMS", "SIEMENS")
    rows = [{"patient": p, "manufacturer": makers[i % 2], **rated(suspicious[i])} for i, p in enumerate(whose)]
    write_rows(folder / "ratings.csv", rows)
    return folder / "slices.npz"


def write_patches(folder: Path, whose: list[str]) -> Path:
    """`patches.npz` with its `patches.csv`: one patch per patient named, every second half suspicious."""
    folder.mkdir(parents=True, exist_ok=True)
    suspicious = halves(len(whose))
    parts = [picture(32, s, 100 + i) for i, s in enumerate(suspicious)]
    patch = np.stack([np.clip((p[0] + 1000) / 1400, 0, 1) for p in parts]).astype(np.float16)
    np.savez(folder / "patches.npz", patch=patch)
    write_rows(
        folder / "patches.csv",
        [
            {"patient": p, "ElementSpacingX": SPACING, "diameter_mm": parts[i][2], "malignant": int(suspicious[i])}
            for i, p in enumerate(whose)
        ],
    )
    return folder / "patches.npz"


def write_boxes(folder: Path, whose: list[str]) -> Path:
    """`vois.npz` with its `ratings.csv`: three slices of each nodule."""
    folder.mkdir(parents=True, exist_ok=True)
    suspicious, n, shape = halves(len(whose)), len(whose), (3, 44, 44)
    parts = [picture(44, s, 200 + i) for i, s in enumerate(suspicious)]
    names = [f"N{i}" for i in range(n)]
    np.savez(
        folder / "vois.npz", hu=np.concatenate([np.repeat(p[0][None], 3, 0).ravel() for p in parts]),
        mask=np.concatenate([np.repeat(p[1][None], 3, 0).ravel() for p in parts]),
        start=np.arange(n + 1) * np.prod(shape), shape=np.array([shape] * n), spacing=np.full((n, 3), SPACING),
        origin=np.zeros((n, 3)), name=names, patient=whose, series=[f"1.{i}" for i in range(n)],
    )  # fmt: skip
    middle = 22 * SPACING
    rows = [
        {"name": name, "coordX": middle, "coordY": middle, "coordZ": SPACING, "Texture_value": 5,
         "Malignancy_value": 4 if s else 2, "Calcification_value": 6}
        for name, s in zip(names, suspicious, strict=True)
    ]  # fmt: skip
    write_rows(folder / "ratings.csv", rows)
    return folder / "vois.npz"


def write_crops(folder: Path, whose: list[str]) -> Path:
    """`crops.npz` with its `ratings.csv`, fewer slices than the real ones."""
    folder.mkdir(parents=True, exist_ok=True)
    suspicious, n = halves(len(whose)), len(whose)
    parts = [picture(51, s, 300 + i, 1.0) for i, s in enumerate(suspicious)]
    names = [f"{i}_nod1_ann0" for i in range(n)]
    np.savez(
        folder / "crops.npz", hu=np.stack([np.repeat(p[0][None], 3, 0) for p in parts]),
        mask=np.stack([np.repeat(p[1][None], 3, 0) for p in parts]), name=names, patient=whose,
        series=[f"1.{i}" for i in range(n)],
    )  # fmt: skip
    rows = [{"Filename": f, "texture": 5, "malignancy": 4 if s else 2} for f, s in zip(names, suspicious, strict=True)]
    write_rows(folder / "ratings.csv", rows)
    return folder / "crops.npz"


def write_data(folder: Path, per_fold: int = 2) -> Path:
    """A folder of data with all four."""
    whose = patients(per_fold)
    write_slices(folder / "lidc-slices", whose)
    write_patches(folder / "luna16-patches", whose)
    write_boxes(folder / "lidc-vois", whose)
    write_crops(folder / "lidc-crops", whose)
    return folder


def halves(n: int) -> list[bool]:
    """The second half is suspicious, so that with two patients of each fold every fold has one of both kinds."""
    return [i >= n / 2 for i in range(n)]


def change(path: Path, **arrays: object) -> None:
    """The same npz file with other arrays; None takes one away."""
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files} | arrays
    np.savez(path, **{key: value for key, value in kept.items() if value is not None})
