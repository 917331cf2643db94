"""How one network of the Lung-RADS slice set's pipeline is trained: what it is shown, and what it must answer."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from LungCADLib.malignancy.lung_rads_cnn import CLASSES, PIXEL_MM, SIDE_PIXELS, seen_of
from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork, load_encoder
from LungCADLib.malignancy.slice_view import sampled
from LungCADLib.training.appearance_data import READERS_COUNT
from LungCADLib.training.appearance_recipe import SHIFT_MM, as_scanned_otherwise, turns
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.trainer import Recipe

WIDTH = 0.5
"""Of MobileNetV2: at width 1, which pretrained weights need, a step takes twice as long on a CPU."""

BATCH = 16
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
AVERAGED_OVER = 50
"""Steps, fewer than the trainer's: this training is short."""

OUTLINE_WEIGHT, BASELINE_WEIGHT = 1.0, 1.0
"""Beside the segmented image's loss; the baseline shares no weight with the rest, so its factor is only its pace."""

SMOOTHED = 0.05
"""Of a label goes to the other classes: the readers' median is not the truth."""


class Batch(NamedTuple):
    """Views (n, c, y, x), the outline in them (n, 1, y, x) from 0 to 1, and the class (n,)."""

    views: Tensor
    outline: Tensor
    label: Tensor


def recipe(
    cases: Cases, steps: int, width: float = WIDTH, size: int = BATCH, pretrained: Mapping[str, Tensor] | None = None
) -> Recipe:
    """Of a network that learns from all these cases.

    Parameters
    ----------
    cases
        Without outlines, a disc of the diameter stands for one.
    steps, size
        Batches, and cases in each.
    width
        Of the encoder.
    pretrained
        The encoder's weights to start from, as `load_encoder` takes them; None starts from scratch.
    """
    return Recipe(
        lambda: network(len(CLASSES), width, pretrained),
        batches(cases, size),
        loss,
        steps,
        LEARNING_RATE,
        WEIGHT_DECAY,
        settings={"cases": len(cases), "batch": size, "width": width, "pretrained": pretrained is not None},
        averaged_over=AVERAGED_OVER,
    )


def network(classes: int, width: float, pretrained: Mapping[str, Tensor] | None) -> LungRadsNetwork:
    """An untrained one, but for its encoder where weights are given."""
    made = LungRadsNetwork(classes, width)
    if pretrained is not None:
        load_encoder(made, pretrained)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def batches(cases: Cases, size: int) -> Callable[[np.random.Generator], Batch]:
    """Draws some of the cases, those of one or two readers less often, and alters them."""
    share = np.array([READERS_COUNT.get(int(readers), 1.0) for readers in cases.readers])
    share /= share.sum()
    masks = cases.mask if cases.outlined else discs(cases)
    middle = np.array(cases.hu.shape[1:]) // 2

    def batch(random: np.random.Generator) -> Batch:
        rows = random.choice(len(cases), size, p=share)
        hu = as_scanned_otherwise(random, cases.hu[rows])
        spacing = cases.spacing_mm[rows, None].repeat(2, axis=1)
        center = middle + random.uniform(-SHIFT_MM, SHIFT_MM, (size, 2)) / spacing
        at = [torch.from_numpy(a.astype(np.float32)) for a in (center, spacing, turns(random, size))]
        mask = torch.from_numpy(masks[rows].astype(np.float32))[:, None]
        outline = sampled(mask, *at, side=SIDE_PIXELS, pixel_mm=PIXEL_MM)
        pixels = torch.from_numpy(hu.astype(np.float32))
        return Batch(
            seen_of(pixels, torch.ones_like(pixels), *at),
            outline,
            torch.from_numpy(cases.suspicious[rows].astype(np.int64)),
        )

    return batch


def discs(cases: Cases) -> NDArray[np.bool_]:
    """Discs (n, y, x) of the cases' diameters, around their middles."""
    y, x = (np.arange(n) - n // 2 for n in cases.hu.shape[1:])
    radius = cases.diameter_mm / cases.spacing_mm / 2
    out: NDArray[np.bool_] = np.hypot(y[:, None], x)[None] <= radius[:, None, None]
    return out


def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, float]]:
    """Cross entropy of both classifications, cross entropy and Dice of the outline."""
    device = next(network.parameters()).device
    views, outline, label = (tensor.to(device) for tensor in batch)
    # On CPUs, convolutions of single channels run no faster in half precision.
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        answer = network(views.contiguous(memory_format=torch.channels_last))
    classified, whole = (
        cross_entropy(logits.float(), label, label_smoothing=SMOOTHED) for logits in (answer.segmented, answer.whole)
    )
    drawn = answer.outline.float()
    crossed = binary_cross_entropy_with_logits(drawn, outline)
    inside = drawn.sigmoid()
    shared, both = (inside * outline).sum(dim=(1, 2, 3)), (inside + outline).sum(dim=(1, 2, 3))
    apart = (1 - (2 * shared + 1) / (both + 1)).mean()
    total = classified + OUTLINE_WEIGHT * (crossed + apart) + BASELINE_WEIGHT * whole
    parts = {"segmented": classified, "whole": whole, "outline": crossed + apart}
    return total, {name: float(part.detach()) for name, part in parts.items()}
