"""One loop for every network: seeded, logged, and resumable at any step to the same bits (see `checkpoints`)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LungCADLib.training.checkpoints import (
    CHECKPOINT,
    Stateful,
    batches,
    number_of_step,
    resume_checkpoint,
    save_checkpoint,
    scalars,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises; afterwards it falls along a cosine."""

AVERAGED_OVER = 200
"""Steps over which the weights are averaged (exponentially), unless a recipe says so; the average is the result."""

SAVED_EVERY = 50
"""Steps between two checkpoints."""

LOGGED_EVERY = 10


def warm_up_and_cosine(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step: up along a line, then down along a cosine."""
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(1, steps - rising))


def constant(step: int, steps: int) -> float:
    """The highest learning rate at every step."""
    return 1.0


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Attributes
    ----------
    network
        Makes it, untrained; called once the seed is set.
    batch
        Makes the batch of a step from that step's own random numbers; a pure function of them.
    loss
        The loss to descend, and its parts to log by name, of the network on a batch.
    steps
        How many batches.
    learning_rate, weight_decay
        Of AdamW; the rate is the highest one, and both are ignored where `optimizer` is given.
    settings
        What JSON can hold and a checkpoint must agree with: a change starts the run again only when it is asked for.
    averaged_over
        Steps over which the weights are averaged; a short run needs fewer, and 1 is no average but the last weights.
    optimizer
        Makes the optimizer of the network; None is AdamW with the rate and decay above.
    rate
        Share of the highest learning rate at (step, steps in all).
    watch
        Called after each step with (network, folder of the run, steps done, the loss's parts), for curves of one's own;
        must leave the network and its mode as they were.
    """

    network: Callable[[], "nn.Module"]
    batch: Callable[[np.random.Generator], Any]
    loss: "Callable[[nn.Module, Any], tuple[Tensor, Mapping[str, float]]]"
    steps: int
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    settings: Mapping[str, Any] | None = None
    averaged_over: int = AVERAGED_OVER
    optimizer: "Callable[[nn.Module], Any] | None" = None
    rate: Callable[[int, int], float] = warm_up_and_cosine
    watch: "Callable[[nn.Module, Path, int, Mapping[str, float]], None] | None" = None


def train(
    recipe: Recipe,
    folder: Path,
    seed: int,
    device: str = "cpu",
    step_done: Callable[[int, int], None] = lambda done, of: None,
) -> "nn.Module":
    """Train, or go on where a run in this folder stopped.

    Parameters
    ----------
    recipe
        What to train and how.
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
    nn.Module
        The network with its averaged weights, on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the folder holds a run with other settings.
    """
    import torch

    torch.manual_seed(seed)
    network = recipe.network().to(device)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=averaging(recipe.averaged_over), use_buffers=True
    )
    if recipe.optimizer is None:
        optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = recipe.optimizer(network)
    highest = [group["lr"] for group in optimizer.param_groups]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"seed": seed, "steps": recipe.steps, **(recipe.settings or {})}
    kept: dict[str, Stateful] = {"network": network, "average": average, "optimizer": optimizer}
    done = resume_checkpoint(folder / CHECKPOINT, wanted, kept)
    network.train()
    with scalars(folder, done) as log:
        for step, batch in batches(recipe.batch, seed, done, recipe.steps):
            for group, rate in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = rate * recipe.rate(step, recipe.steps)
            torch.manual_seed(number_of_step(seed, step))
            loss, parts = recipe.loss(network, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            average.update_parameters(network)
            done = step + 1
            if done % LOGGED_EVERY == 0:
                log({"loss": float(loss.detach()), "rate": optimizer.param_groups[0]["lr"], **parts}, done)
            if done % SAVED_EVERY == 0 or done == recipe.steps:
                save_checkpoint(folder / CHECKPOINT, wanted, done, kept)
            if recipe.watch is not None:
                recipe.watch(network, folder, done, parts)
            step_done(done, recipe.steps)
    return average.module.to("cpu").eval()


def averaging(steps: int) -> Any:
    """How `AveragedModel` averages weights exponentially over so many steps."""
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    return get_ema_multi_avg_fn(1 - 1 / steps)
