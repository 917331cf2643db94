"""What the reduction network learns from: views of candidates, nodules and others, real, inserted and of phantoms."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.detection.blob_detector import score_model
from LungCADLib.detection.blobs import Blobs, LungGrid
from LungCADLib.detection.features import describe
from LungCADLib.detection.views import SIDE, pyramid, views
from LungCADLib.training.detection_grounds import NOT_A_NODULE, Ground

STORED_SIDE = SIDE + 4
"""Views are stored a little wider, so that each step of training can look a little aside."""

KINDS = ("real", "inserted", "phantom")

LIKE_IN_SIZE = (0.4, 2.5)
"""A blob in a nodule stands for it when its radius over the nodule's lies between these."""

ZOOM = (0.85, 1.2)
TURNED_SHARE = 0.6
"""Share of the views, of either class, that are turned and zoomed; interpolation must not tell the classes apart."""

ASIDE = 0.15
"""Standard deviation of where a nodule is looked at, in radii of the candidate."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates to learn from, one row each.

    Attributes
    ----------
    views
        uint8 (n, 2, z, y, x) with `STORED_SIDE` voxels along each side.
    numbers
        float32 (n, f) of `features.describe`.
    nodule
        bool (n,).
    kind
        int8 (n,): position in `KINDS`.
    folds
        int8 (n, 2) of the candidate's patient and of the one whose lung surrounds it; -1 for nobody's.
    source
        int32 (n,): one number for each nodule, so that each counts alike; negatives have -1.
    hardness
        float32 (n,): score of the blob, 0 to 1.
    """

    views: NDArray[np.uint8]
    numbers: NDArray[np.float32]
    nodule: NDArray[np.bool_]
    kind: NDArray[np.int8]
    folds: NDArray[np.int8]
    source: NDArray[np.int32]
    hardness: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.nodule)

    def take(self, rows: NDArray) -> "Candidates":
        """Some of the rows."""
        return Candidates(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def join(parts: "list[Candidates]") -> "Candidates":
        """Several tables as one; the nodules of each keep apart."""
        first = np.cumsum([0, *(int(p.source.max(initial=-1)) + 1 for p in parts)])
        columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Candidates)}
        shifted = [np.where(p.source >= 0, p.source + n, -1) for p, n in zip(parts, first, strict=False)]
        return Candidates(**{**columns, "source": np.concatenate(shifted).astype(np.int32)})

    def save(self, path: Path) -> None:
        """Keep them as an uncompressed npz file."""
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **{f.name: getattr(self, f.name) for f in fields(self)})
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> "Candidates":
        """Read what `save` kept."""
        with np.load(path) as file:
            return Candidates(**{f.name: file[f.name] for f in fields(Candidates)})


def seen(
    hu: NDArray[np.int16],
    grid: LungGrid,
    blobs: Blobs,
    nodule: bool,
    rng: np.random.Generator,
    offset: NDArray | float = 0.0,
    features: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Views and numbers of some blobs of a grid, looked at as training does.

    `hu` (z, y, x) at 1 mm is what the views are cut from; `offset` (3,) is where the blobs' grid starts in it.
    """
    radius = np.sqrt(3) * blobs.sigma_mm
    at = blobs.index + offset
    if nodule:
        at = at + ASIDE * radius[:, None] * rng.standard_normal(at.shape)
    numbers = describe(grid, blobs) if features is None else features
    looked = views(pyramid(hu), at, radius, _turns(len(blobs), rng), STORED_SIDE)
    return looked, numbers.astype(np.float32)


def table(
    seen: tuple[NDArray[np.uint8], NDArray[np.float32]], kind: str, folds: tuple[int, int], nodule: bool
) -> Candidates:
    """Rows of one nodule, or of what is none."""
    looked, numbers = seen
    n = len(looked)
    return Candidates(
        looked,
        numbers,
        np.full(n, nodule),
        np.full(n, KINDS.index(kind), np.int8),
        np.tile(np.array(folds, np.int8), (n, 1)),
        np.full(n, 0 if nodule else -1, np.int32),
        score_model().predict(numbers.astype(float)).astype(np.float32),
    )


def ground_candidates(
    grounds: list[Ground],
    fold: Callable[[str], int],
    kind: str,
    repeats: int,
    most_others: int,
    rng: np.random.Generator,
    follow: Callable[[str], None],
) -> list[Candidates]:
    """Candidates of scans and crops: each known nodule looked at `repeats` times, and what is no nodule once.

    `most_others` keeps that many of the latter, half of them those that score best.
    """
    parts = []
    for i, ground in enumerate(grounds):
        follow(f"candidates {i + 1} of {len(grounds)}")
        folds = (fold(ground.patient), -1)
        for k in range(ground.lesions):
            inside = np.flatnonzero(ground.lesion == k)
            if len(inside):
                drawn = ground.blobs.take(np.resize(inside, repeats))
                features = ground.features[np.resize(inside, repeats)]
                looked = seen(ground.grid.hu, ground.grid, drawn, True, rng, features=features)
                parts.append(table(looked, kind, folds, True))
        others = np.flatnonzero(ground.lesion == NOT_A_NODULE)
        if len(others) > most_others:
            best = others[np.argsort(-score_model().predict(ground.features[others]), kind="stable")]
            half = most_others // 2
            others = np.concatenate([best[:half], rng.choice(best[half:], half, replace=False)])
        if len(others):
            looked = seen(
                ground.grid.hu, ground.grid, ground.blobs.take(others), False, rng, features=ground.features[others]
            )
            parts.append(table(looked, kind, folds, False))
    return parts


def like(blobs: Blobs, outline: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows of the blobs inside an outline (z, y, x at 1 mm) that are about as large as it."""
    inside = outline[tuple(np.round(blobs.index).astype(int).T)]
    ratio = np.sqrt(3) * blobs.sigma_mm / (3 * outline.sum() / (4 * np.pi)) ** (1 / 3)
    return np.flatnonzero(inside & (ratio >= LIKE_IN_SIZE[0]) & (ratio <= LIKE_IN_SIZE[1]))


def _turns(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 3, 3): turns about the body's axis, some tilt, and a zoom; the rest looks straight."""
    out = np.tile(np.eye(3), (count, 1, 1))
    for i in np.flatnonzero(rng.random(count) < TURNED_SHARE):
        angle, tilt = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.2)
        cos, sin = np.cos(angle), np.sin(angle)
        about_z = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        tipped = np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
        out[i] = about_z @ tipped * rng.uniform(*ZOOM)
    return out


def distance_outside(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance in voxels to a mask, 0 inside."""
    return np.asarray(ndimage.distance_transform_edt(~mask))
