"""A generative adversarial network with gradient penalty (WGAN-GP) that makes more pictures like those it is shown.

The critic descends `E[D(G(z))] - E[D(x)] + 10 E[(|grad D(m)| - 1)^2]`, where `m` lies anywhere between a real picture
and a generated one; five of its steps come before each of the generator's, which descends `-E[D(G(z))]`. Gulrajani et
al., NeurIPS 2017, arXiv 1704.00028, algorithm 1; paper 003 prints the same losses with logarithms of scores that may be
negative, which we take for slips. Augmentation, where there is one, is applied to what the critic sees, real and
generated alike, and must let gradients through (Zhao et al., NeurIPS 2020, arXiv 2006.10738).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from LungCADLib.training.checkpoints import (
    CHECKPOINT,
    Stateful,
    batches,
    number_of_step,
    resume_checkpoint,
    save_checkpoint,
    scalars,
)
from LungCADLib.training.gan_network import LATENT, WIDTH, Critic, Generator
from LungCADLib.training.trainer import averaging

GRADIENT_WEIGHT = 10.0
CRITIC_STEPS = 5
BATCH = 64
LEARNING_RATE = 1e-4
BETAS = (0.0, 0.9)
"""Gulrajani et al., algorithm 1, but for the batch of 64 of their experiments."""

SAVED_EVERY = 25
LOGGED_EVERY = 5

Augment = Callable[[Tensor], Tensor]
"""From pictures (n, 1, y, x) to others of the same shape, drawing from PyTorch's global random numbers."""


def unchanged(pictures: Tensor) -> Tensor:
    """No augmentation."""
    return pictures


@dataclass(frozen=True)
class GanRecipe:
    """How a generator is trained.

    Attributes
    ----------
    pictures
        float32 (n, side, side) in -1..1, all of one kind; the side is a multiple of 8.
    steps
        Of the generator.
    width
        Of both networks; the number of parameters grows with its square.
    batch, critic_steps, gradient_weight, learning_rate, betas
        As the module says; Adam's for both networks.
    augment
        Of what the critic sees, real and generated.
    settings
        What JSON can hold and a checkpoint must agree with besides the numbers above; say here what `augment` is.
    averaged_over
        Steps over which the generator's weights are averaged; the average is the result, and 1 is no average.
    """

    pictures: NDArray[np.float32]
    steps: int
    width: int = WIDTH
    latent: int = LATENT
    batch: int = BATCH
    critic_steps: int = CRITIC_STEPS
    gradient_weight: float = GRADIENT_WEIGHT
    learning_rate: float = LEARNING_RATE
    betas: tuple[float, float] = BETAS
    augment: Augment = unchanged
    settings: Mapping[str, Any] = field(default_factory=dict)
    averaged_over: int = 100

    def __post_init__(self) -> None:
        if self.pictures.ndim != 3 or self.pictures.shape[1] != self.pictures.shape[2] or not len(self.pictures):
            raise ValueError(f"Pictures of shape {self.pictures.shape}; a GAN learns from (n, side, side).")


def train_gan(
    recipe: GanRecipe,
    folder: Path,
    seed: int,
    device: str = "cpu",
    step_done: Callable[[int, int], None] = lambda done, of: None,
) -> Generator:
    """Train a generator, or go on where a run in this folder stopped, to the same bits.

    Parameters
    ----------
    recipe
        What to learn from and how.
    folder
        Holds `checkpoint.pt` and the TensorBoard log of this run; made if it is not there.
    seed
        Of everything random.
    device
        As `compute.choose_device` gives it.
    step_done
        Called with (steps done, steps in all).

    Returns
    -------
    Generator
        With its averaged weights, on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the folder holds a run with other settings.
    """
    torch.manual_seed(seed)
    side = recipe.pictures.shape[1]
    generator = Generator(side, recipe.width, recipe.latent).to(device)
    critic = Critic(side, recipe.width).to(device)
    for network in (generator, critic):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = torch.optim.swa_utils.AveragedModel(
        generator, multi_avg_fn=averaging(recipe.averaged_over), use_buffers=True
    )
    of_generator, of_critic = (
        torch.optim.Adam(network.parameters(), recipe.learning_rate, recipe.betas) for network in (generator, critic)
    )
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Stateful] = {
        "generator": generator, "critic": critic, "average": average,
        "of_generator": of_generator, "of_critic": of_critic,
    }  # fmt: skip
    settings = _settings(recipe, seed)
    done = resume_checkpoint(folder / CHECKPOINT, settings, kept)
    with scalars(folder, done) as log:
        for step, real in batches(_batch(recipe), seed, done, recipe.steps):
            torch.manual_seed(number_of_step(seed, step))
            of = [_critic_step(recipe, generator, critic, of_critic, some.to(device)) for some in real]
            loss = _generator_step(recipe, generator, critic, of_generator)
            average.update_parameters(generator)
            done = step + 1
            if done % LOGGED_EVERY == 0:
                log({"generator": loss, **of[-1]}, done)
            if done % SAVED_EVERY == 0 or done == recipe.steps:
                save_checkpoint(folder / CHECKPOINT, settings, done, kept)
            step_done(done, recipe.steps)
    trained = average.module.to("cpu").eval()
    assert isinstance(trained, Generator)
    return trained


def generate(generator: Generator, count: int, seed: int) -> NDArray[np.float32]:
    """New pictures float32 (count, side, side) in -1..1; the same for a seed."""
    random = torch.Generator().manual_seed(seed)
    device = next(generator.parameters()).device
    out = []
    with torch.inference_mode():
        for first in range(0, count, BATCH):
            numbers = torch.randn(min(BATCH, count - first), generator.latent, generator=random)
            out.append(generator(numbers.to(device))[:, 0].cpu())
    pictures: NDArray[np.float32] = torch.cat(out).numpy()
    return pictures


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean squared distance from 1 of the critic's gradient, at points between real and generated pictures.

    Parameters
    ----------
    critic
        From (n, ...) to (n,).
    real, fake
        (n, ...) pictures.
    share
        (n,) how far, 0 to 1, each point lies from the generated picture towards the real one.
    """
    share = share.reshape(-1, *(1,) * (real.dim() - 1))
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).float().sum(), between, create_graph=True)
    penalty: Tensor = (gradient.float().flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def _batch(recipe: GanRecipe) -> Callable[[np.random.Generator], Tensor]:
    """Draws the real pictures (critic steps, batch, 1, y, x) of one step."""

    def batch(random: np.random.Generator) -> Tensor:
        rows = random.integers(len(recipe.pictures), size=(recipe.critic_steps, recipe.batch))
        return torch.from_numpy(recipe.pictures[rows][:, :, None])

    return batch


def _critic_step(
    recipe: GanRecipe, generator: Generator, critic: Critic, optimizer: torch.optim.Optimizer, real: Tensor
) -> dict[str, float]:
    """One step of the critic on real pictures (n, 1, y, x); what to log."""
    with torch.no_grad(), torch.autocast(real.device.type, torch.bfloat16):
        fake = generator(torch.randn(len(real), generator.latent, device=real.device)).float()
    real, fake = recipe.augment(real), recipe.augment(fake).contiguous()
    share = torch.rand(len(real), device=real.device)
    with torch.autocast(real.device.type, torch.bfloat16):
        apart = critic(fake).float().mean() - critic(real).float().mean()
        penalty = gradient_penalty(critic, real, fake, share)
    loss = apart + recipe.gradient_weight * penalty
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return {"critic": float(loss.detach()), "distance": -float(apart.detach()), "penalty": float(penalty.detach())}


def _generator_step(recipe: GanRecipe, generator: Generator, critic: Critic, optimizer: torch.optim.Optimizer) -> float:
    device = next(generator.parameters()).device
    with torch.autocast(device.type, torch.bfloat16):
        fake = generator(torch.randn(recipe.batch, generator.latent, device=device))
        loss = -critic(recipe.augment(fake.float()).contiguous()).float().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _settings(recipe: GanRecipe, seed: int) -> dict[str, Any]:
    """What a checkpoint must agree with."""
    plain = ("steps", "width", "latent", "batch", "critic_steps", "gradient_weight", "learning_rate", "averaged_over")
    return {
        "seed": seed,
        "pictures": list(recipe.pictures.shape),
        "betas": list(recipe.betas),
        **{name: getattr(recipe, name) for name in plain},
        **recipe.settings,
    }
