"""How one feature extractor of method 000 is trained: what it starts from, what it is shown, how that is altered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from LungCADLib.malignancy.appearance_network import AppearanceNetwork
from LungCADLib.malignancy.membership_network import MembershipNetwork
from LungCADLib.malignancy.preprocessing import STEPS, Step, preprocessed
from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU, TISSUE_WINDOW_HU, views
from LungCADLib.training.appearance_data import READERS_COUNT
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.trainer import Recipe

BATCH = 48
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
TRANSFERRED_RATE = 0.3
"""Share of the learning rate for layers that begin with what another network learned."""

EVERY_DEGREES = 10
"""Paper 000: 36 copies of each picture. A batch draws one of them, which is the same and needs no room."""

SHIFT_MM = 1.5
HU_SHIFT, MOST_NOISE_HU = 15.0, 25.0
ALTERED = {Step.ERODE: 0.1, Step.DENOISE: 0.1, Step.ENHANCE: 0.1}
"""How often a picture is altered by a step. Inversion is left out: no CT looks like that."""


class Batch(NamedTuple):
    """Views (n, c, y, x) and whether each is suspicious (n,)."""

    views: Tensor
    suspicious: Tensor


@dataclass(frozen=True)
class Choices:
    """What a person can choose about the training.

    Attributes
    ----------
    start
        The network whose first layers to begin with; None is from scratch.
    steps_on_all
        Preprocessing of every picture, in training and in use.
    generated
        float32 (n, side, side) pictures in the lung window, -1..1, all suspicious: made by a GAN from the cases. A run
        that is done needs none.
    generated_share
        Share of a batch that they are.
    """

    start: AppearanceNetwork | None = None
    steps_on_all: Sequence[Step] = ()
    generated: NDArray[np.float32] | None = None
    generated_share: float = 0.0


def recipe(cases: Cases, steps: int, choices: Choices, size: int = BATCH) -> Recipe:
    """Of a network that learns from all of these cases."""

    def network() -> nn.Module:
        made = MembershipNetwork()
        if choices.start is not None:
            made.begin_with(choices.start)
        return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def optimizer(network: nn.Module) -> torch.optim.Optimizer:
        assert isinstance(network, MembershipNetwork)
        slow = TRANSFERRED_RATE if choices.start is not None else 1.0
        groups = [
            {"params": [*network.stem.parameters(), *network.down.parameters()], "lr": slow * LEARNING_RATE},
            {"params": [*network.gathered.parameters(), *network.answer.parameters()], "lr": LEARNING_RATE},
        ]
        return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)

    settings = {
        "cases": len(cases),
        "batch": size,
        "transfer": choices.start is not None,
        "preprocess": list(map(str, choices.steps_on_all)),
        "generated_share": choices.generated_share,
    }
    return Recipe(
        network, batches(cases, choices, size), loss, steps, settings=settings, averaged_over=max(1, steps // 8),
        optimizer=optimizer,
    )  # fmt: skip


def batches(cases: Cases, choices: Choices, size: int) -> Callable[[np.random.Generator], Batch]:
    """Draws some of the cases, by how many readers rated them, and alters them; adds generated ones."""
    hu = preprocessed(cases.hu, choices.steps_on_all)
    weight = np.array([READERS_COUNT.get(int(readers), 1.0) for readers in cases.readers])
    share = weight / weight.sum()
    made = round(choices.generated_share * size)

    def batch(random: np.random.Generator) -> Batch:
        rows = random.choice(len(cases), size - made, p=share)
        seen = _turned(random, _altered(random, hu[rows]), cases.spacing_mm[rows])
        suspicious = torch.from_numpy(cases.suspicious[rows].astype(np.float32))
        if made:
            assert choices.generated is not None
            pictures = choices.generated[random.integers(len(choices.generated), size=made)]
            seen = torch.cat([seen, of_window(torch.from_numpy(pictures))])
            suspicious = torch.cat([suspicious, torch.ones(made)])
        return Batch(seen, suspicious)

    return batch


def of_window(pictures: Tensor) -> Tensor:
    """Views (n, `CHANNELS`, y, x) of pictures (n, y, x) in the lung window, -1..1, known everywhere.

    The soft-tissue window ends where the lung window ends, so it can be read off the same picture.
    """
    (low, high), (soft, top) = LUNG_WINDOW_HU, TISSUE_WINDOW_HU
    hu = low + (pictures + 1) / 2 * (high - low)
    tissue = ((hu - soft) / (top - soft) * 2 - 1).clamp(-1, 1)
    return torch.stack([pictures, tissue, torch.ones_like(pictures)], dim=1)


def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, float]]:
    """Cross entropy."""
    device = next(network.parameters()).device
    seen, suspicious = (tensor.to(device) for tensor in batch)
    with torch.autocast(device.type, torch.bfloat16):
        answer = network(seen.contiguous(memory_format=torch.channels_last))
    crossed = binary_cross_entropy_with_logits(answer.suspicion.float(), suspicious)
    right = ((answer.suspicion.detach() > 0) == (suspicious > 0.5)).float().mean()
    return crossed, {"suspicion": float(crossed.detach()), "accuracy": float(right)}


def _altered(random: np.random.Generator, hu: NDArray[np.int16]) -> NDArray[np.float32]:
    """Pictures (n, y, x), some of them eroded, smoothed or sharpened, each a little brighter or darker, and noisy."""
    out = hu.astype(np.float32)
    for step, often in ALTERED.items():
        chosen = random.random(len(hu)) < often
        if chosen.any():
            out[chosen] = STEPS[step](out[chosen])
    out += random.normal(0, HU_SHIFT, (len(hu), 1, 1)).astype(np.float32)
    noise = random.uniform(0, MOST_NOISE_HU, (len(hu), 1, 1)).astype(np.float32)
    return out + noise * random.standard_normal(out.shape, dtype=np.float32)


def _turned(random: np.random.Generator, hu: NDArray[np.float32], spacing_mm: NDArray[np.float64]) -> Tensor:
    """Views of pictures, each turned by a multiple of `EVERY_DEGREES`, half of them mirrored, a little off the middle.

    The view's grid is laid over the larger picture at the angle: turned and cut in one step.
    """
    n = len(hu)
    angle = np.deg2rad(EVERY_DEGREES * random.integers(360 // EVERY_DEGREES, size=n))
    sign = random.choice([-1.0, 1.0], n)
    sine, cosine = np.sin(angle), np.cos(angle)
    turn = np.stack([np.stack([cosine, -sine * sign], -1), np.stack([sine, cosine * sign], -1)], 1)
    spacing = spacing_mm[:, None].repeat(2, axis=1)
    center = np.array([hu.shape[1] // 2, hu.shape[2] // 2]) + random.uniform(-SHIFT_MM, SHIFT_MM, (n, 2)) / spacing
    known = np.ones_like(hu)
    return views(*(torch.from_numpy(a.astype(np.float32)) for a in (hu, known, center, spacing, turn)))
