"""`lungcad train margin`: fits the margin descriptors to the readers' ratings, on the outlines found here.

It prints the weights that stand in `nodules/margin.py`; after a change of the outline they have to be copied there.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.nodules.margin import MarginFeatures, margin_features
from LungCADLib.nodules.outline import outline_nodule
from LungCADLib.nodules.patch import Patch
from LungCADLib.nodules.shape import measure_shape
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import Candidate
from LungCADLib.training.arrays import read_arrays

MARKED = 4
SPECIFICITY = {"spiculation": 0.92, "lobulation": 0.92}
USED = {"spiculation": ("sphericity", "haze", "strands"), "lobulation": ("solidity", "sphericity")}
SHARPNESS_USED = ("sphericity", "strands")
LEAST_DICE = 0.4
"""An outline that overlaps less with the reader's is of something else."""


@dataclass(frozen=True, eq=False)
class RatedNodule:
    """One nodule of `lidc-vois`: HU and reader's mask (z, y, x), spacing in mm, and the ratings by name."""

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    patient: int
    ratings: dict[str, int]

    def readers_patch(self) -> Patch:
        """The nodule with the reader's outline."""
        return Patch(self.hu.astype(np.float32), self.mask, np.ones_like(self.mask), self.spacing)

    def own_patch(self) -> Patch | None:
        """The nodule with the outline found here, or None where that found something else."""
        geometry = Geometry(self.hu.shape, self.spacing)
        center = geometry.to_lps(np.argwhere(self.mask).mean(axis=0))
        radius = float(np.cbrt(3 / (4 * np.pi) * self.mask.sum() * geometry.voxel_mm3))
        candidate = Candidate((float(center[0]), float(center[1]), float(center[2])), radius, "solid", 1.0)
        scan = Scan(self.hu, geometry)
        found = outline_nodule(scan, np.ones(self.hu.shape, bool), candidate).full(geometry.shape)
        if 2 * np.count_nonzero(found & self.mask) < LEAST_DICE * (found.sum() + self.mask.sum()):
            return None
        return Patch(self.hu.astype(np.float32), found, np.ones_like(found), self.spacing)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=Path("../shared/data"),
        help="folder with lidc-vois (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Fit and print."""
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(
        json.dumps(fit_margin(read_rated(args.data / "lidc-vois")), indent=1)
    )
    return 0


def read_rated(folder: Path) -> list[RatedNodule]:
    """The nodules of the folder `lidc-vois` with the majority of their readers' ratings."""
    out = []
    data = read_arrays(folder / "vois.npz", "hu", "mask", "start", "shape", "spacing")
    hu, mask, start, shapes, spacing = data.values()
    with (folder / "ratings.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ("Spiculation", "Lobulation", "Margin", "Texture", "Calcification")
    for i, row in enumerate(rows):
        part, shape = slice(start[i], start[i + 1]), tuple(int(n) for n in shapes[i])
        steps = tuple(float(s) for s in spacing[i])
        ratings = {name.lower(): int(row[f"{name}_value"]) for name in names}
        patient = int(row["patient"].rsplit("-", 1)[1])
        voxels = np.ascontiguousarray(hu[part].reshape(shape))
        out.append(RatedNodule(voxels, mask[part].reshape(shape) > 0, (steps[0], steps[1], steps[2]), patient, ratings))
    return out


def fit_margin(nodules: list[RatedNodule]) -> dict[str, dict[str, float]]:
    """The weights in `nodules/margin.py`, from the patients with odd numbers.

    Two logistic models, whose intercept puts 0.5 at the level that `SPECIFICITY` of the others stay below, and one
    linear model of (margin rating - 1) / 4.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression

    seen: list[tuple[MarginFeatures, dict[str, int]]] = []
    for nodule in nodules:
        patch = nodule.own_patch() if nodule.patient % 2 else None
        if patch is not None:
            seen.append((margin_features(patch, measure_shape(patch.mask, patch.spacing)), nodule.ratings))
    weights = {}
    for name, used in USED.items():
        x = np.array([[getattr(f, k) for k in used] for f, _ in seen])
        marked = np.array([r[name] >= MARKED for _, r in seen])
        center, scale = x.mean(axis=0), x.std(axis=0)
        slope = LogisticRegression(class_weight="balanced").fit((x - center) / scale, marked).coef_[0] / scale
        level = float(np.quantile(x[~marked] @ slope, SPECIFICITY[name]))
        weights[name] = {"intercept": -level, **dict(zip(used, map(float, slope), strict=True))}
    x = np.array([[getattr(f, k) for k in SHARPNESS_USED] for f, _ in seen])
    line = LinearRegression().fit(x, [(r["margin"] - 1) / 4 for _, r in seen])
    slopes = dict(zip(SHARPNESS_USED, map(float, line.coef_), strict=True))
    weights["sharpness"] = {"intercept": float(line.intercept_), **slopes}
    return weights
