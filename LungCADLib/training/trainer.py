"""One loop for every network: seeded, logged, and resumable at any step to the same bits.

Whatever is random in a step, which cases, how they are altered, what is dropped out, comes from the seed and the
step's number alone. A run that was killed and started again therefore does what it would have done anyway; on the CPU,
with the same number of threads, the weights are equal bit for bit.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LungCADLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises; afterwards it falls along a cosine."""

AVERAGED_OVER = 200
"""Steps over which the weights are averaged (exponentially), unless a recipe says so; the average is the result."""

SAVED_EVERY = 50
"""Steps between two checkpoints."""

LOGGED_EVERY = 10

CHECKPOINT = "checkpoint.pt"


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
        network, multi_avg_fn=_multi_average(recipe.averaged_over), use_buffers=True
    )
    if recipe.optimizer is None:
        optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = recipe.optimizer(network)
    highest = [group["lr"] for group in optimizer.param_groups]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"seed": seed, "steps": recipe.steps, **(recipe.settings or {})}
    done = _resume(folder / CHECKPOINT, wanted, network, average, optimizer)
    network.train()
    with _log(folder, done) as log:
        for step, batch in _batches(recipe.batch, seed, done, recipe.steps):
            for group, rate in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = rate * recipe.rate(step, recipe.steps)
            torch.manual_seed(_number(seed, step))
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
                _save(folder / CHECKPOINT, wanted, done, network, average, optimizer)
            step_done(done, recipe.steps)
    return average.module.to("cpu").eval()


def _multi_average(steps: int) -> Any:
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    return get_ema_multi_avg_fn(1 - 1 / steps)


def _number(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def _batches(
    make: Callable[[np.random.Generator], Any], seed: int, first: int, steps: int
) -> Iterator[tuple[int, Any]]:
    """The batches of the steps still to do, each made while the one before is learned from."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as maker:

        def start(step: int) -> Any:
            return maker.submit(make, np.random.default_rng([seed, step]))

        coming = start(first) if first < steps else None
        for step in range(first, steps):
            batch = coming.result()  # type: ignore[union-attr]
            coming = start(step + 1) if step + 1 < steps else None
            yield step, batch


def _save(
    path: Path, wanted: dict[str, Any], done: int, network: "nn.Module", average: "nn.Module", optimizer: Any
) -> None:
    import torch

    partial = path.with_suffix(".partial")
    state = {"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"settings": wanted, "done": done, **state}, partial)
    partial.replace(path)


def _resume(path: Path, wanted: dict[str, Any], network: "nn.Module", average: "nn.Module", optimizer: Any) -> int:
    """Put the networks where the checkpoint was; the number of steps it had done, 0 without one."""
    import torch

    if not path.is_file():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        settings = state["settings"]
    except Exception as error:
        raise InputError(f"{path} is no checkpoint of this version ({type(error).__name__}); delete it.") from None
    if settings != wanted:
        differing = sorted(key for key in {*settings, *wanted} if settings.get(key) != wanted.get(key))
        raise InputError(
            f"{path} is of a run with other settings ({', '.join(differing)}); name another folder or delete it."
        )
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["done"])


@contextmanager
def _log(folder: Path, done: int) -> Iterator[Callable[[Mapping[str, float], int], None]]:
    """Writes scalars for TensorBoard; what a killed run logged after its checkpoint is hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("Training logs need tensorboard; get it with `pip install tensorboard`.") from None
    writer = SummaryWriter(str(folder), purge_step=done + 1)

    def log(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()
