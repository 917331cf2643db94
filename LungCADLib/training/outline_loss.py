"""What the outline network descends: Dice and cross-entropy, and a boundary term."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from LungCADLib.nodules.unet import Stack
from LungCADLib.training.outline_batch import View

if TYPE_CHECKING:
    from torch import Tensor, nn

BOUNDARY = 0.1
"""Weight of the boundary term."""


def loss(network: "nn.Module", batch: Sequence[View]) -> "tuple[Tensor, Mapping[str, float]]":
    """Dice of each nodule (MONAI's) plus cross-entropy plus a boundary term, over the scan's own voxels.

    The boundary term is the distance from the reader's outline, negative inside, weighed with what the network says
    (Kervadec et al., Med Image Anal 2021;67:101851): a leak costs the more the farther it goes, along a vessel say,
    which Dice hardly sees.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    device = next(network.parameters()).device
    heights = [len(view.inputs) for view in batch]
    inputs = torch.cat([view.inputs for view in batch]).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=_half_pays(device.type)):
        logits = network(inputs, Stack.of(heights, str(device)))
    dice, entropy, boundary = [], [], []
    for view, field in zip(batch, logits.float().cpu().split(heights), strict=True):
        seen = view.voxels.seen.float()
        found, truth = view.voxels.values(field), view.truth * seen
        chance = torch.sigmoid(found) * seen
        dice.append(_dice()(chance[None, None], truth[None, None]))
        entropy.append(binary_cross_entropy_with_logits(found, truth, weight=seen.expand_as(found)))
        boundary.append((view.distance_mm * chance).mean())
    parts = {"dice": dice, "entropy": entropy, "boundary": boundary}
    means = {name: torch.stack(some).mean() for name, some in parts.items()}
    whole = means["dice"] + means["entropy"] + BOUNDARY * means["boundary"]
    return whole, {name: float(mean.detach()) for name, mean in means.items()}


@cache
def _dice() -> "nn.Module":
    from monai.losses import DiceLoss

    return DiceLoss(smooth_nr=1.0, smooth_dr=1.0)  # type: ignore[no-any-return]


@cache
def _half_pays(device: str) -> bool:
    """Whether bfloat16 is computed here, and not only imitated."""
    import torch

    return (
        torch.cuda.is_bf16_supported(False)
        if device == "cuda"
        else device == "cpu" and torch.cpu._is_avx512_bf16_supported()
    )
