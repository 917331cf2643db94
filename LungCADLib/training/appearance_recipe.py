"""How one appearance network is trained: what it is shown, how that is altered, what it must answer."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits

from LungCADLib.malignancy.appearance_network import AppearanceNetwork
from LungCADLib.malignancy.slice_view import PIXEL_MM, SIDE_PIXELS, sampled, views
from LungCADLib.training.appearance_data import SIDE, Pictures
from LungCADLib.training.trainer import Recipe

BATCH = 48
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02

SHIFT_MM = 2.0
STRETCH = 0.05
"""Largest relative change of size: little, because size is what says most."""

HU_SHIFT, HU_GAIN, MOST_NOISE_HU = 15.0, 0.03, 30.0
NOISY = 0.3
NARROWED, NARROWED_MM = 0.25, (15.0, 32.0)
"""How often, and to what width, the field is narrowed: patches are as narrow, and scans end."""

TRAITS_WEIGHT, OUTLINE_WEIGHT = 1.0, 0.5


class Batch(NamedTuple):
    """Views (n, c, y, x), the outline in them (n, 1, y / 2, x / 2) and whether it is one (n,), and what is right."""

    views: Tensor
    outline: Tensor
    outlined: Tensor
    suspicion: Tensor
    traits: Tensor


def recipe(pictures: Pictures, left_out: Collection[str], steps: int, size: int = BATCH) -> Recipe:
    """Of a network that learns from the pictures of all patients but those left out."""
    rows = np.flatnonzero(~np.isin(pictures.patient, list(left_out)))
    return Recipe(
        lambda: AppearanceNetwork().to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        batches(pictures, rows, size),
        loss,
        steps,
        LEARNING_RATE,
        WEIGHT_DECAY,
        settings={"pictures": len(rows), "batch": size, "view": [SIDE_PIXELS, PIXEL_MM]},
    )


def batches(pictures: Pictures, learned: np.ndarray, size: int) -> Callable[[np.random.Generator], Batch]:
    """Draws some of the pictures learned from, by their weight, and alters them."""
    share = pictures.weight[learned] / pictures.weight[learned].sum()

    def batch(random: np.random.Generator) -> Batch:
        rows = random.choice(learned, size, p=share)
        n = len(rows)
        hu = as_scanned_otherwise(random, pictures.hu[rows])
        known = pictures.known[rows] & _narrow(random, pictures.spacing_mm[rows])
        spacing = pictures.spacing_mm[rows, None].repeat(2, axis=1)
        center = SIDE // 2 + random.uniform(-SHIFT_MM, SHIFT_MM, (n, 2)) / spacing
        tensors = [torch.from_numpy(a.astype(np.float32)) for a in (hu, known, center, spacing, turns(random, n))]
        mask = torch.from_numpy(pictures.mask[rows].astype(np.float32))
        outline = avg_pool2d(sampled(mask[:, None], *tensors[2:]), 2)
        right = (pictures.outlined[rows], pictures.suspicion[rows], pictures.traits[rows])
        return Batch(views(*tensors), outline, *(torch.from_numpy(a.astype(np.float32)) for a in right))

    return batch


def as_scanned_otherwise(random: np.random.Generator, images: np.ndarray) -> np.ndarray:
    """HU images (n, y, x) as float, each with a gain and a shift of HU of its own, and some with noise."""
    hu: np.ndarray = images.astype(np.float32)
    n = len(hu)
    gain, shift = np.exp(random.normal(0, HU_GAIN, n)), random.normal(0, HU_SHIFT, n)
    noise = np.where(random.random(n) < NOISY, random.uniform(0, MOST_NOISE_HU, n), 0.0)
    hu = (hu + 1000) * gain[:, None, None] - 1000 + shift[:, None, None]
    hu += noise[:, None, None] * random.standard_normal(hu.shape, dtype=np.float32)
    return hu


def _narrow(random: np.random.Generator, spacing_mm: np.ndarray) -> np.ndarray:
    """Bool (n, `SIDE`, `SIDE`): a square in the middle, for some; everything for the others."""
    n = len(spacing_mm)
    half = np.where(random.random(n) < NARROWED, random.uniform(*NARROWED_MM, n) / 2, np.inf)
    far = np.abs(np.arange(SIDE) - SIDE // 2) * spacing_mm[:, None] <= half[:, None]
    out: np.ndarray = far[:, :, None] & far[:, None, :]
    return out


def turns(random: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2, 2): any angle, half of them mirrored, slightly stretched."""
    angle = random.uniform(0, 2 * np.pi, n)
    size = np.exp(random.uniform(-STRETCH, STRETCH, n))
    sign = random.choice([-1.0, 1.0], n)
    sine, cosine = np.sin(angle), np.cos(angle)
    turn = np.stack([np.stack([cosine, -sine * sign], -1), np.stack([sine, cosine * sign], -1)], 1)
    out: np.ndarray = turn * size[:, None, None]
    return out


def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, float]]:
    """Cross entropy of suspicion and traits, cross entropy and Dice of the outline."""
    device = next(network.parameters()).device
    seen, outline, outlined, suspicion, traits = (tensor.to(device) for tensor in batch)
    with torch.autocast(device.type, torch.bfloat16):
        answer = network(seen.contiguous(memory_format=torch.channels_last))
    suspicious = binary_cross_entropy_with_logits(answer.suspicion.float(), suspicion)
    said = torch.isfinite(traits)
    each = binary_cross_entropy_with_logits(answer.traits.float(), traits.nan_to_num(0.5), reduction="none")
    traited = (each * said).sum() / said.sum().clamp_min(1)
    drawn = answer.outline.float()
    crossed = binary_cross_entropy_with_logits(drawn, outline, reduction="none").mean(dim=(1, 2, 3))
    inside = drawn.sigmoid()
    shared, both = (inside * outline).sum(dim=(1, 2, 3)), (inside + outline).sum(dim=(1, 2, 3))
    apart = 1 - (2 * shared + 1) / (both + 1)
    outlines = ((crossed + apart) * outlined).sum() / outlined.sum().clamp_min(1)
    total = suspicious + TRAITS_WEIGHT * traited + OUTLINE_WEIGHT * outlines
    parts = {"suspicion": suspicious, "traits": traited, "outline": outlines}
    return total, {name: float(part.detach()) for name, part in parts.items()}
