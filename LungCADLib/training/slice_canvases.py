"""The pictures that a slice U-Net learns from: windows of scans with pieces and nodules set into their lungs.

Slices cut around a nodule teach that the middle is a nodule, and that whatever has an edge around it holds one. So
pieces are set anywhere in a window of another scan, and pieces without a nodule are set into it just as often.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.scan import AIR_HU
from LungCADLib.training.appearance_recipe import as_scanned_otherwise
from LungCADLib.training.insertions import Nodule, blend
from LungCADLib.training.slice_sheets import LEAST_PIXELS, NODULE, NOTHING, Ground, Piece, Sheets

SIDE = 160
"""Pixels of a picture's side."""

PIECES_WITH, PIECES_WITHOUT, NODULES = 2, 1, 2
"""How many are set into a picture: pieces with a nodule, pieces without one, nodules alone."""

PHANTOM_SHARE = 0.2
HARD_SHARE = 0.6
"""How often a picture, or a piece without a nodule, is cut around a place that the network took for a nodule."""

PIECE_SIDE = (32, 56)
"""Pixels along a piece without a nodule, about as many as those with one have."""

LUNG_SHARE = 0.6
"""Of the box of a nodule, what must be lung where it is set."""

TRIES = 12


@dataclass(frozen=True)
class Place:
    """Something in a sheet that looks like a nodule and is none: which sheet, where in it (z, y, x), and how much."""

    sheet: int
    at: tuple[int, int, int]
    weight: float


class Canvases:
    """Draws pictures from a ground.

    Parameters
    ----------
    ground
        What may be learned from.
    hard
        What the network took for nodules; none at first.
    """

    def __init__(self, ground: Ground, hard: Sequence[Place] = ()) -> None:
        self.sheets = ground.sheets
        self.nodules = [nodule for _, nodule in ground.nodules]
        self.with_nodule = [piece for piece in ground.pieces if piece.has_nodule]
        self.without = [piece for piece in ground.pieces if not piece.has_nodule]
        self.hard = list(hard)
        phantom = np.array([sheet.name.startswith("phantom") for sheet in self.sheets])
        self.chance = np.where(
            phantom, PHANTOM_SHARE / max(phantom.sum(), 1), (1 - PHANTOM_SHARE) / max((~phantom).sum(), 1)
        )
        self.chance /= self.chance.sum()
        weight = np.array([place.weight for place in self.hard])
        self.hard_chance = weight / weight.sum() if len(weight) else weight
        self._lung = [np.flatnonzero(sheet.region[:, ::4, ::4]) for sheet in self.sheets]

    def __call__(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """HU and truth (count, `SIDE`, `SIDE`) of so many pictures."""
        drawn = [self._one(rng) for _ in range(count)]
        hu = as_scanned_otherwise(rng, np.stack([one for one, _ in drawn]))
        return hu, np.stack([truth for _, truth in drawn])

    def _one(self, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        sheet, (z, y, x) = self._place(rng)
        aside = rng.integers(-SIDE // 3, SIDE // 3 + 1, size=2)
        low = (y + int(aside[0]) - SIDE // 2, x + int(aside[1]) - SIDE // 2)
        hu, region, truth = (
            _window(array[z], low, (SIDE, SIDE), fill)
            for array, fill in ((sheet.hu, AIR_HU), (sheet.region, False), (sheet.truth, NOTHING))
        )
        pieces = [self.with_nodule[rng.integers(len(self.with_nodule))] for _ in range(PIECES_WITH)]
        pieces += [self._piece_without(rng) for _ in range(PIECES_WITHOUT)]
        for k in rng.permutation(len(pieces)):
            _set_piece(hu, truth, region, pieces[k], rng)
        for _ in range(NODULES):
            _set_nodule(hu, truth, region, self.nodules[rng.integers(len(self.nodules))], rng)
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        hu, truth = (np.rot90(array, turns) for array in (hu, truth))
        return (hu[:, ::-1], truth[:, ::-1]) if mirrored else (hu, truth)

    def _place(self, rng: np.random.Generator) -> tuple[Sheets, tuple[int, int, int]]:
        """Somewhere in the lungs of a scan, or somewhere hard."""
        if self.hard and rng.random() < HARD_SHARE:
            place = self.hard[rng.choice(len(self.hard), p=self.hard_chance)]
            return self.sheets[place.sheet], place.at
        k = int(rng.choice(len(self.sheets), p=self.chance))
        sheet, lung = self.sheets[k], self._lung[k]
        z, y, x = np.unravel_index(lung[rng.integers(len(lung))], sheet.region[:, ::4, ::4].shape)
        return sheet, (int(z), 4 * int(y), 4 * int(x))

    def _piece_without(self, rng: np.random.Generator) -> Piece:
        """A slice of a crop above or below the nodule, or a window of another scan."""
        if self.without and rng.random() < 0.5:
            return self.without[rng.integers(len(self.without))]
        sheet, (z, y, x) = self._place(rng)
        size = tuple(int(n) for n in rng.integers(*PIECE_SIDE, size=2))
        low = (y - int(rng.integers(size[0])), x - int(rng.integers(size[1])))
        return Piece(sheet.fold, _window(sheet.hu[z], low, size, AIR_HU), _window(sheet.truth[z], low, size, NOTHING))


def _set_piece(
    hu: NDArray[np.int16], truth: NDArray[np.uint8], region: NDArray[np.bool_], piece: Piece, rng: np.random.Generator
) -> None:
    """Replace a rectangle somewhere in the lungs by a piece, turned and mirrored; no nodule is covered."""
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    new_hu, new_truth = (np.rot90(array, turns) for array in (piece.hu, piece.truth))
    if mirrored:
        new_hu, new_truth = new_hu[::-1], new_truth[::-1]
    places = np.argwhere(region)
    if not len(places):
        return
    for center in places[rng.integers(len(places), size=TRIES)]:
        low = np.clip(center - np.array(new_hu.shape) // 2, 0, np.array(hu.shape) - new_hu.shape)
        box = tuple(slice(int(a), int(a) + n) for a, n in zip(low, new_hu.shape, strict=True))
        if (truth[box] != NODULE).all():
            hu[box], truth[box], region[box] = new_hu, new_truth, False
            return


def _set_nodule(
    hu: NDArray[np.int16], truth: NDArray[np.uint8], region: NDArray[np.bool_], nodule: Nodule, rng: np.random.Generator
) -> None:
    """Set a slice of a nodule into the lung, or on its wall, away from other nodules and from pieces."""
    thick = np.flatnonzero((nodule.share > 0.5).sum(axis=(1, 2)) >= LEAST_PIXELS)
    places = np.argwhere(region)
    if not len(thick) or not len(places):
        return
    z = thick[rng.integers(len(thick))]
    turns = int(rng.integers(4))
    flat = Nodule(nodule.patient, np.rot90(nodule.hu[z], turns), np.rot90(nodule.share[z], turns))
    for center in places[rng.integers(len(places), size=TRIES)]:
        low = center - np.array(flat.hu.shape) // 2
        box = tuple(slice(int(a), int(a) + n) for a, n in zip(low, flat.hu.shape, strict=True))
        fits = (low >= 0).all() and (low + flat.hu.shape <= hu.shape).all()
        if fits and (truth[box] == NOTHING).all() and region[box].mean() >= LUNG_SHARE:
            hu[box] = np.rint(blend(hu[box].astype(np.float32), flat))
            truth[box][flat.share > 0.5] = NODULE
            return


def _window(array: NDArray, low: tuple[int, int], size: tuple[int, ...], fill: float) -> NDArray:
    """A window (y, x) of an array that may reach beyond it."""
    out = np.full(size, fill, array.dtype)
    high = [a + n for a, n in zip(low, size, strict=True)]
    inside = [(max(a, 0), min(b, n)) for a, b, n in zip(low, high, array.shape, strict=True)]
    if all(b > a for a, b in inside):
        into = tuple(slice(a - start, b - start) for (a, b), start in zip(inside, low, strict=True))
        out[into] = array[tuple(slice(a, b) for a, b in inside)]
    return out
