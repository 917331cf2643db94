"""What the attributes' network learns from: views of slices, boxes and crops, and how their readers rated them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.attributes import GRADES, WORDS
from LungCADLib.malignancy.attributes_views import CHANNELS, SIDE, Cut, slices_of, view, windowed
from LungCADLib.training.nodule_sets import Case, read_crops, read_vois
from LungCADLib.training.slice_sets import Slices, read_slices

MAJORITY = 2.0
"""What a rating by majority counts, in readers."""

LARGEST_SCALE, LARGEST_SHIFT_MM = 0.12, 1.5
SHIFT_HU, NOISE_HU, BLUR_PIXELS = 20.0, 30.0, 0.6
"""How far views are altered: in size, place, HU (half of the scanners of one vendor are 24 HU off), noise, blur."""

ALTERED_OUTLINE = 0.4
OUTLINE_BLUR_PIXELS = 1.5
"""Share of the views whose outline is wider or narrower, or smoother, as another reader's or an engine's would be."""


@dataclass(frozen=True, eq=False)
class Example:
    """One nodule: slices to choose from, the share of readers who rate above 1 to 4, and how many they are.

    `above` is (attributes, grades - 1), `readers` (attributes,), 0 where nobody rated.
    """

    patient: str
    cuts: tuple[Cut, ...]
    above: NDArray[np.float32]
    readers: NDArray[np.float32]


def cuts_of(case: Case) -> tuple[Cut, ...]:
    """The slices to look at of a nodule in 3D."""
    y, x = case.scan.spacing[1:]
    return tuple(Cut.of(case.scan.hu[z], case.truth[z], (y, x)) for z in slices_of(case.truth))


def cut_of(slices: Slices, i: int) -> Cut:
    """Slice i of a file of slices."""
    return Cut.of(slices.hu[i], slices.mask[i], (float(slices.spacing_mm[i]),) * 2)


def read_examples(data: Path) -> list[Example]:
    """Every nodule of the folders `lidc-slices`, `lidc-vois` and `lidc-crops`.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout.
    """
    slices = read_slices(data / "lidc-slices" / "slices.npz", data / "lidc-slices" / "ratings.csv")
    ratings = np.stack([slices.ratings[name] for name in WORDS], axis=1)
    out = [Example(str(slices.patient[i]), (cut_of(slices, i),), *_targets(ratings[i])) for i in range(len(slices))]
    boxes = read_vois(data / "lidc-vois" / "vois.npz", data / "lidc-vois" / "ratings.csv")
    crops = read_crops(data / "lidc-crops" / "crops.npz", data / "lidc-crops" / "ratings.csv")
    for cases, counts in ((boxes, MAJORITY), (crops, 1.0)):
        for case in cases:
            above, readers = _targets(np.array([[case.ratings.get(name, np.nan)] for name in WORDS]))
            out.append(Example(case.patient, cuts_of(case), above, counts * readers))
    return out


def _targets(ratings: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Share of the readers (attributes, grades - 1) who rate above each grade, and how many rated (attributes,).

    Ratings (attributes, readers) are NaN where a reader did not rate.
    """
    rated = np.isfinite(ratings)
    count = rated.sum(axis=1)
    above = (ratings[:, :, None] > np.arange(1, GRADES)).sum(axis=1) / np.maximum(count, 1)[:, None]
    return above.astype(np.float32), count.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Batch:
    """Views (n, channels, y, x), their descriptors (n, d), and what the readers said of them as in `Example`."""

    views: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    above: NDArray[np.float32]
    readers: NDArray[np.float32]


class Bank:
    """Altered views of every nodule, made once because making them takes as long as learning from them.

    Parameters
    ----------
    examples
        All nodules.
    versions
        Views of each.
    seed
        Of the alterations.
    """

    def __init__(self, examples: Sequence[Example], versions: int, seed: int) -> None:
        import torch

        from LungCADLib.malignancy.attributes_descriptors import DESCRIPTORS, describe

        self.examples = examples
        self.views = np.empty((len(examples), versions, CHANNELS, SIDE, SIDE), np.float16)
        self.descriptors = np.empty((len(examples), versions, DESCRIPTORS), np.float32)
        for i, example in enumerate(examples):
            random = np.random.default_rng([seed, i])
            cuts = [example.cuts[k] for k in random.integers(len(example.cuts), size=versions)]
            views = windowed(np.stack([_altered(cut, random) for cut in cuts]))
            self.views[i] = views
            self.descriptors[i] = describe(torch.from_numpy(views)).numpy()

    def draw(self, nodules: NDArray[np.intp], size: int, random: np.random.Generator) -> Batch:
        """A batch of views of some of the nodules, each also turned by a quarter or mirrored, or not."""
        i, version = random.choice(nodules, size), random.integers(self.views.shape[1], size=size)
        views = self.views[i, version].astype(np.float32)
        quarters, mirrored = random.integers(4, size=size), random.integers(2, size=size)
        for k in range(size):
            turned = np.rot90(views[k], quarters[k], (1, 2))
            views[k] = (turned[:, :, ::-1] if mirrored[k] else turned).copy()
        chosen = [self.examples[k] for k in i]
        above, readers = np.stack([e.above for e in chosen]), np.stack([e.readers for e in chosen])
        return Batch(views, self.descriptors[i, version], above, readers)


def _altered(cut: Cut, random: np.random.Generator) -> NDArray[np.float32]:
    """A view (channels, y, x) in HU: turned, moved, and as another scanner and another reader might give it."""
    from scipy import ndimage

    angle = random.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn *= np.exp(random.uniform(-LARGEST_SCALE, LARGEST_SCALE))
    if random.random() < 0.5:
        turn = turn[:, ::-1]
    y, x = random.uniform(-LARGEST_SHIFT_MM, LARGEST_SHIFT_MM, 2)
    out = view(cut, turn, (float(y), float(x)))
    hu = out[0]
    if random.random() < 0.3:
        hu = ndimage.gaussian_filter(hu, random.uniform(0.2, BLUR_PIXELS))
    hu = hu + np.float32(random.uniform(-SHIFT_HU, SHIFT_HU))
    if random.random() < 0.5:
        hu = hu + random.uniform(0, NOISE_HU) * random.standard_normal(hu.shape, np.float32)
    out[0] = out[1] = hu
    if random.random() < ALTERED_OUTLINE:
        soft = ndimage.gaussian_filter(out[2], random.uniform(0.5, OUTLINE_BLUR_PIXELS))
        out[2] = np.clip(2 * (soft - random.uniform(0.25, 0.7)) + 0.5, 0, 1)
    return out
