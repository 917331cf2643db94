"""How the reduction network is taught: which candidates make a batch, how they are altered, what is descended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.reduction_network import reduction_network
from LungCADLib.detection.views import NO_DATA, SIDE
from LungCADLib.training.candidates import KINDS, Candidates
from LungCADLib.training.trainer import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

NODULES = {"real": 11, "inserted": 7, "phantom": 2}
OTHERS = {"real": 24, "phantom": 4}
"""Rows of a batch."""

AVERAGED_OVER = 60

EASY = 0.03
"""How often a candidate that is surely no nodule is drawn, beside one that looks like one (1)."""

SMOOTHED = 0.02
"""The truth is taken for 0.02 and 0.98: some marks of readers are wrong."""

RATE, FURTHER_RATE = 2e-3, 1e-3
"""Highest learning rate, and of members that are taught on."""

OFFSET_HU, GAIN, NOISE_HU = 20.0, 0.05, 60.0
BLURRED_SHARE, SHARPENED_SHARE, CUT_SHARE = 0.2, 0.2, 0.4
SHARPER = 1.5
"""At most so many times what blurring takes away is added by sharpening, as sharp kernels do."""

CUT_FROM = 5
"""A cut leaves at least so many voxels from the middle; crops and slabs end somewhere, and that must mean nothing."""

NUMBER_NOISE, NUMBER_DROPPED = 0.1, 0.1
HU_PER_GRAY = 1400 / 254


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and standard deviation (f,) of the numbers of candidates."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def __call__(self, numbers: NDArray) -> NDArray[np.float32]:
        """Standardized numbers (n, f), at most 5 from the mean."""
        return np.asarray(np.clip((numbers - self.mean) / self.scale, -5, 5), np.float32)


def recipe(
    candidates: Candidates,
    scaling: Scaling,
    hardness: NDArray[np.float32],
    steps: int,
    first: "Mapping[str, Tensor] | None" = None,
    settings: Mapping[str, Any] | None = None,
    rate: float = RATE,
) -> Recipe:
    """Train on some candidates.

    Parameters
    ----------
    candidates
        With nodules and others.
    scaling
        Of their numbers.
    hardness
        (n,) from 0 to 1: how much each looks like a nodule. The others are drawn by it.
    steps
        How many batches.
    first
        Weights to start from; None starts anew.
    settings
        Of the run, for its checkpoint.
    rate
        The highest learning rate.
    """
    groups = _groups(candidates, hardness)

    def network() -> "nn.Module":
        made = reduction_network()
        if first is not None:
            made.load_state_dict(first)
        return made

    def batch(rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
        rows = np.concatenate([rng.choice(rows, count, p=chance) for rows, chance, count in groups])
        numbers = scaling(candidates.numbers[rows])
        numbers += NUMBER_NOISE * rng.standard_normal(numbers.shape, np.float32)
        numbers *= rng.random(numbers.shape, np.float32) >= NUMBER_DROPPED
        views = np.stack([altered(candidates.views[row], rng) for row in rows])
        return views, numbers, candidates.nodule[rows]

    return Recipe(network, batch, _loss, steps, rate, settings=settings, averaged_over=AVERAGED_OVER)


def altered(views: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One candidate's views (2, z, y, x), a little aside, mirrored, with other noise, cut off somewhere.

    The result has `SIDE` voxels along each side.
    """
    start = rng.integers(views.shape[-1] - SIDE + 1, size=3)
    out = []
    mirrored, turned = rng.random(3) < 0.5, rng.random() < 0.5
    middle = (views.shape[-1] - SIDE) // 2
    cut = (int(rng.integers(3)), rng.random() < 0.5, int(rng.integers(CUT_FROM, SIDE // 2)))
    is_cut = rng.random() < CUT_SHARE
    kernel, sharper = rng.random(), SHARPER * rng.random()
    gain, offset = 1 + GAIN * rng.standard_normal(), OFFSET_HU / HU_PER_GRAY * rng.standard_normal()
    noise = NOISE_HU / HU_PER_GRAY * rng.random() * (rng.random() < 0.5)
    for scale, view in enumerate(views):
        # The far view's voxels are twice as large: it moves half as far.
        z, y, x = start if scale == 0 else middle + (start - middle) // 2
        part = view[z : z + SIDE, y : y + SIDE, x : x + SIDE]
        gray = part.astype(np.float32)
        if kernel < BLURRED_SHARE:
            gray = _smooth(gray)
        elif kernel < BLURRED_SHARE + SHARPENED_SHARE:
            gray = gray + sharper * (gray - _smooth(gray))
        gray = (gray - 24) * gain + 24 + offset
        if noise:
            gray += noise / (1 + scale) * rng.standard_normal(gray.shape, np.float32)
        gray = np.where(part == NO_DATA, NO_DATA, np.clip(np.rint(gray), 1, 255)).astype(np.uint8)
        for axis in np.flatnonzero(mirrored).tolist():
            gray = np.flip(gray, axis)
        if turned:
            gray = gray.swapaxes(1, 2)
        if is_cut:
            _cut(gray := gray.copy(), *cut, scale=scale)
        out.append(gray)
    return np.stack(out)


def _smooth(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    for axis in range(3):
        gray = np.float32(0.25) * (2 * gray + np.roll(gray, 1, axis) + np.roll(gray, -1, axis))
    return gray


def _cut(gray: NDArray[np.uint8], axis: int, upper: bool, kept: int, scale: int) -> None:
    """Take away what lies further than some far voxels from the middle on one side."""
    kept = min(SIDE // 2, kept * (2 if scale == 0 else 1))
    gone = slice(SIDE // 2 + kept, None) if upper else slice(0, SIDE // 2 - kept)
    gray[(slice(None),) * axis + (gone,)] = NO_DATA


def _loss(network: "nn.Module", batch: tuple[NDArray, NDArray, NDArray]) -> "tuple[Tensor, dict[str, float]]":
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    device = next(network.parameters()).device
    views, numbers, nodule = (torch.from_numpy(part).to(device) for part in batch)
    # Half precision moves the loss in its third digit and doubles the speed, on CPUs that know it too.
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "mps"):
        log_odds = network(views, numbers)
    log_odds = log_odds.float()
    truth = nodule.float() * (1 - 2 * SMOOTHED) + SMOOTHED
    loss = binary_cross_entropy_with_logits(log_odds, truth)
    return loss, {"accuracy": float(((log_odds.detach() > 0) == nodule).float().mean())}


def _groups(candidates: Candidates, hardness: NDArray[np.float32]) -> list[tuple[NDArray, NDArray, int]]:
    """Rows, the chance of each, and how many are drawn, for each kind of candidate there is."""
    groups = []
    for nodule, shares in ((True, NODULES), (False, OTHERS)):
        for kind, count in shares.items():
            rows = np.flatnonzero((candidates.nodule == nodule) & (candidates.kind == KINDS.index(kind)))
            if not len(rows):
                continue
            weight: NDArray[np.float64]
            if nodule:
                # Every nodule counts alike, however often it was looked at.
                weight = 1.0 / np.bincount(candidates.source[rows])[candidates.source[rows]].astype(np.float64)
            else:
                weight = (EASY + hardness[rows]).astype(np.float64)
            groups.append((rows, np.asarray(weight / weight.sum(), np.float64), count))
    return groups
