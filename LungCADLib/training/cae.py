"""Training of the convolutional autoencoder (paper 003, section 4, algorithm 1): layer by layer, then end to end.

Each layer learns to rebuild what comes to it, the pooled maps of the layers before it, which no longer change; then all
learn to rebuild the picture. Mean squared error, stochastic gradient descent, batches of 100. "150 iterations for each
batch" we read as 150 passes over the data (`CaeSettings.of_passes`); the steps we take are far fewer.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from LungCADLib.malignancy.calm_network import KERNELS, Padding
from LungCADLib.training.cae_network import Autoencoder
from LungCADLib.training.trainer import Recipe, train

BATCH = 100
LAYER_RATE, JOINT_RATE, MOMENTUM = 0.03, 0.005, 0.9

Noise = Literal["none", "gaussian", "binomial"]


@dataclass(frozen=True)
class CaeSettings:
    """How an autoencoder is trained.

    Attributes
    ----------
    layer_steps, joint_steps
        Batches of each of the three layers, and of all together.
    padding
        Of the convolutions.
    noise, corruption
        What is done to a picture that the autoencoder must then rebuild without it (section 3.3): "gaussian" adds
        noise of this standard deviation, "binomial" switches this share of pixels off.
    """

    layer_steps: int = 100
    joint_steps: int = 200
    padding: Padding = "same"
    noise: Noise = "none"
    corruption: float = 0.1

    @staticmethod
    def of_passes(passes: int, pictures: int, **other: Any) -> "CaeSettings":
        """So many passes over the pictures in every stage."""
        steps = max(1, round(passes * pictures / BATCH))
        return CaeSettings(layer_steps=steps, joint_steps=steps, **other)

    @property
    def steps(self) -> int:
        """Batches in all."""
        return len(KERNELS) * self.layer_steps + self.joint_steps


def train_autoencoder(
    draw: Callable[[np.random.Generator, int], Tensor],
    settings: CaeSettings,
    folder: Path,
    seed: int,
    device: str = "cpu",
    step_done: Callable[[int, int], None] = lambda done, of: None,
    data: Mapping[str, Any] | None = None,
) -> Autoencoder:
    """Train an autoencoder, or go on where a run in this folder stopped, to the same bits.

    Parameters
    ----------
    draw
        Makes so many pictures (n, 1, 40, 40) in 0..1 from random numbers.
    settings
        How.
    folder
        Holds a folder for each stage.
    seed
        Of everything random.
    device
        As `compute.choose_device` gives it.
    step_done
        Called with (steps done, steps in all).
    data
        What is said of the pictures; a checkpoint must agree with it.

    Returns
    -------
    Autoencoder
        On the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the folder holds a run with other settings.
    """
    torch.manual_seed(seed)
    network = Autoencoder(settings.padding)
    before = 0
    for stage in range(len(KERNELS) + 1):
        layer = stage if stage < len(KERNELS) else None
        steps = settings.joint_steps if layer is None else settings.layer_steps

        def follow(done: int, of: int, before: int = before) -> None:
            step_done(before + done, settings.steps)

        recipe = _recipe(draw, settings, network, layer, steps, data or {})
        name = "joint" if layer is None else f"layer-{layer + 1}"
        trained = train(recipe, folder / name, seed + stage, device, follow)
        assert isinstance(trained, Autoencoder)
        network = trained
        before += steps
    return network


def _recipe(
    draw: Callable[[np.random.Generator, int], Tensor],
    settings: CaeSettings,
    so_far: Autoencoder,
    layer: int | None,
    steps: int,
    data: Mapping[str, Any],
) -> Recipe:
    """Of one layer, or of all together where it is None, starting from what was learned so far."""

    def network() -> nn.Module:
        made = Autoencoder(settings.padding)
        made.load_state_dict(so_far.state_dict())
        return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def loss(net: nn.Module, seen: Tensor) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, Autoencoder)
        device = next(net.parameters()).device
        wanted = seen.to(device)
        if layer is not None:
            with torch.no_grad():
                wanted = net.encoder.pooled(wanted, layer)
        given = corrupted(wanted, settings.noise, settings.corruption)
        with torch.autocast(device.type, torch.bfloat16):
            rebuilt = net(given) if layer is None else net.layer(given, layer)
        error = mse_loss(rebuilt.float(), wanted)
        # Maps of the layers differ in scale a hundredfold; as a share of what there is to explain, one rate suits all.
        share = error / wanted.var().clamp_min(1e-6)
        return share, {"squared_error": float(error.detach())}

    def optimizer(net: nn.Module) -> Any:
        assert isinstance(net, Autoencoder)
        if layer is None:
            return torch.optim.SGD(net.parameters(), JOINT_RATE, MOMENTUM)
        learned = [*net.encoder.layers[layer].parameters(), *net.decoders[layer].parameters()]
        return torch.optim.SGD(learned, LAYER_RATE, MOMENTUM)

    return Recipe(
        network,
        lambda random: draw(random, BATCH),
        loss,
        steps,
        settings={"layer": layer, "cae": asdict(settings), "data": dict(data)},
        averaged_over=1,
        optimizer=optimizer,
    )


def corrupted(maps: Tensor, noise: Noise, amount: float) -> Tensor:
    """Maps with noise of a kind, drawn from PyTorch's random numbers."""
    if noise == "gaussian":
        return maps + amount * torch.randn_like(maps)
    if noise == "binomial":
        return maps * (torch.rand_like(maps) >= amount)
    return maps
