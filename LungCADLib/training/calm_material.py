"""What CALM and its baselines learn from: patches that can be shifted, generated pictures, and their labels."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from LungCADLib.malignancy.calm import SIDE_PIXELS, pictures
from LungCADLib.training.lung_patches import STORED_SIDE, middles, shifted

COPIES = 3
"""Altered copies of each patch that classifiers learn from beside the patch as it is."""

MANY = 60
"""A patient with more patches than this is a whole CT; the most nodules of one patient are far fewer."""

SHIFT = 2
"""Pixels by which copies are moved at most, about as far as a detector is off. Paper 003 moves nodules by up to 10, but
then the middle, where a nodule is and other places are not, no longer tells."""


@dataclass(frozen=True, eq=False)
class Material:
    """Patches of one set of patients, and generated pictures that go with them.

    `stored` int16 (n, 60, 60) in HU; `positive` bool (n,), the label; `patient` (n,); `generated` float32 (m, 1, 40,
    40) in 0..1, all of the positive kind, each standing for one copy of a patch. `shift` is how many pixels copies are
    moved at most, `turned` whether they are also turned and mirrored.
    """

    stored: NDArray[np.int16]
    positive: NDArray[np.bool_]
    patient: NDArray[np.str_]
    generated: NDArray[np.float32]
    shift: int = SHIFT
    turned: bool = True

    @staticmethod
    def of(
        stored: NDArray[np.int16], positive: NDArray[np.bool_], patient: NDArray[np.str_], shift: int = SHIFT,
        turned: bool = True,
    ) -> "Material":  # fmt: skip
        """Patches alone."""
        none = np.empty((0, 1, SIDE_PIXELS, SIDE_PIXELS), np.float32)
        return Material(stored, positive, patient, none, shift, turned)

    def __len__(self) -> int:
        return len(self.stored)

    def only(self, rows: NDArray) -> "Material":
        """Some of the patches; generated pictures stay."""
        return replace(self, stored=self.stored[rows], positive=self.positive[rows], patient=self.patient[rows])

    def more(self, generated: NDArray[np.float32], seed: int) -> "Material":
        """With generated positives (m, 1, 40, 40), and with as many negatives more, which are real ones again."""
        again = np.random.default_rng([seed, 4]).choice(
            np.flatnonzero(~self.positive), round(len(generated) / (1 + COPIES))
        )
        rows = np.concatenate([np.arange(len(self)), again])
        return replace(self.only(rows), generated=generated)

    @property
    def described(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        return {
            "patches": len(self), "positive": int(self.positive.sum()), "generated": len(self.generated),
            "shift": self.shift, "turned": self.turned,
        }  # fmt: skip

    def draw(self, random: np.random.Generator, count: int) -> Tensor:
        """So many pictures (count, 1, 40, 40), real ones altered."""
        return self.drawn(random, count)[0]

    def drawn(self, random: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """So many pictures (count, 1, 40, 40), real ones altered, and their labels (count,) as 0 and 1."""
        copies = len(self) * (1 + COPIES)
        rows = random.integers(copies + len(self.generated), size=count)
        real, made = rows[rows < copies] // (1 + COPIES), rows[rows >= copies] - copies
        seen = torch.cat([self._copies(real, random), torch.from_numpy(self.generated[made])])
        labels = np.concatenate([self.positive[real], np.ones(len(made), bool)])
        return seen, torch.from_numpy(labels.astype(np.int64))

    def still(self) -> Tensor:
        """The patches as they are, (n, 1, 40, 40)."""
        return pictures(middles(self.stored))

    def examples(self, seed: int) -> tuple[Tensor, NDArray[np.bool_]]:
        """Every patch as it is and in its altered copies, then the generated pictures; and all labels."""
        random = np.random.default_rng([seed, 2])
        moved = [self._copies(np.arange(len(self)), random) for _ in range(COPIES)]
        seen = torch.cat([self.still(), *moved, torch.from_numpy(self.generated)])
        labels = np.concatenate([np.tile(self.positive, 1 + COPIES), np.ones(len(self.generated), bool)])
        return seen, labels

    def _copies(self, rows: NDArray, random: np.random.Generator) -> Tensor:
        """A copy of each of some patches, moved, turned and mirrored."""
        out = pictures(shifted(self.stored[rows], random, self.shift))
        if self.turned:
            side = torch.from_numpy(random.integers(8, size=len(rows)))
            for k in range(8):
                some = side == k
                mirrored = out[some].flip(3) if k >= 4 else out[some]
                out[some] = mirrored.rot90(k % 4, (2, 3))
        return out


def stored_patches(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """The 60 x 60 pixels (n, 60, 60) in the middle of images (n, y, x); mirrored at the edge of smaller ones."""
    sides = hu.shape[1:]
    half = STORED_SIDE // 2
    pads = [(max(0, half - side // 2), max(0, half - (side - side // 2))) for side in sides]
    hu = np.pad(hu, [(0, 0), *pads], mode="symmetric")
    low = [side // 2 + before - half for side, (before, _) in zip(sides, pads, strict=True)]
    return hu[:, low[0] : low[0] + STORED_SIDE, low[1] : low[1] + STORED_SIDE]


def parted(material: Material, share: float, seed: int) -> tuple[Material, Material]:
    """The material without a share of the patients, and that share's patches.

    It is of the patients with positives and of those without, one of each at least. A few whole CTs give hundreds of
    patches each; of these the share is of the patches, since one CT left out would be missed.
    """
    random = np.random.default_rng([seed, 3])
    _, of, counts = np.unique(material.patient, return_inverse=True, return_counts=True)
    whole = counts > MANY
    positive = np.bincount(of, material.positive) > 0
    held = whole[of] & (random.random(len(material)) < share)
    for kind in (positive & ~whole, ~positive & ~whole):
        some = random.permutation(np.flatnonzero(kind))
        held |= np.isin(of, some[: max(1, round(share * len(some)))])
    return material.only(~held), replace(material.only(held), generated=material.generated[:0])
