"""What every training loop needs to be seeded, logged, and resumable to the same bits.

Whatever is random in a step comes from the seed and the step's number alone (`number_of_step`, `batches`), and all that
a step changes is kept between steps (`save_checkpoint`). A run that was killed and started again therefore does what it
would have done anyway; on the CPU, with the same number of threads, the results are equal bit for bit.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from LungCADLib.errors import InputError

CHECKPOINT = "checkpoint.pt"


class Stateful(Protocol):
    """What a checkpoint can hold: networks, optimizers, and whatever speaks like them."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


def number_of_step(seed: int, step: int) -> int:
    """What PyTorch is seeded with in a step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def batches(make: Callable[[np.random.Generator], Any], seed: int, first: int, steps: int) -> Iterator[tuple[int, Any]]:
    """Step and batch of the steps still to do, each batch made while the one before is learned from.

    Parameters
    ----------
    make
        Makes a batch from its step's own random numbers; a pure function of them.
    seed
        Of the run.
    first, steps
        The first step to do, and how many there are in all.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as maker:

        def start(step: int) -> Any:
            return maker.submit(make, np.random.default_rng([seed, step]))

        coming = start(first) if first < steps else None
        for step in range(first, steps):
            batch = coming.result()  # type: ignore[union-attr]
            coming = start(step + 1) if step + 1 < steps else None
            yield step, batch


def save_checkpoint(path: Path, settings: Mapping[str, Any], done: int, parts: Mapping[str, Stateful]) -> None:
    """Keep the state of every part after so many steps; the file is replaced as a whole."""
    import torch

    partial = path.with_suffix(".partial")
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"settings": dict(settings), "done": done, **states}, partial)
    partial.replace(path)


def resume_checkpoint(path: Path, settings: Mapping[str, Any], parts: Mapping[str, Stateful]) -> int:
    """Put the parts where a checkpoint was.

    Returns
    -------
    int
        The number of steps it had done; 0 without one.

    Raises
    ------
    InputError
        If it is of a run with other settings, or no checkpoint.
    """
    import torch

    if not path.is_file():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["settings"]
    except Exception as error:
        raise InputError(f"{path} is no checkpoint of this version ({type(error).__name__}); delete it.") from None
    if found != dict(settings):
        differing = sorted(key for key in {*found, *settings} if found.get(key) != settings.get(key))
        raise InputError(
            f"{path} is of a run with other settings ({', '.join(differing)}); name another folder or delete it."
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["done"])


@contextmanager
def scalars(folder: Path, done: int) -> Iterator[Callable[[Mapping[str, float], int], None]]:
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
