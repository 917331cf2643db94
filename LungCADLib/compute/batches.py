"""Networks on many cases: as many at once as memory allows, fewer when it does not suffice, at last on the CPU."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from LungCADLib.compute.devices import autocast
from LungCADLib.compute.machine import cores, free_memory
from LungCADLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

Part = TypeVar("Part")

MOST_AT_ONCE = {"cpu": 16, "cuda": 256, "mps": 64}
"""Beyond these, larger batches are not faster."""

TIMES_ITS_INPUT = 100
"""A case needs about so many times its own bytes while a U-Net of 16 channels runs: three sets of 16 channels at full
resolution are alive at once, and two more that wait for the way up."""

USUAL_BYTES = 1 << 30
"""What a batch on the CPU may take. How much memory is free counts only where it is less than twice that; so batches,
and with them the last bits of every answer (a batch of another size adds in another order), are the same each time."""


@dataclass
class Used:
    """What networks ran on: devices in the order they were first used, and what the person has to know."""

    devices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def device(self) -> str:
        """For the provenance of a result; "cpu" where no network ran."""
        return " and ".join(self.devices) or "cpu"


_used: ContextVar[Used | None] = ContextVar("used", default=None)


@contextmanager
def recording() -> Iterator[Used]:
    """Notes what the networks run on while this is entered, in this thread."""
    used = Used()
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)


def predict(
    network: "Callable[..., Tensor]",
    inputs: "Tensor | Sequence[Tensor]",
    device: str = "cpu",
    modules: "Sequence[nn.Module]" = (),
) -> "Tensor":
    """What a network says of many cases, a batch at a time, without gradients.

    On the CPU, the same network and inputs give the same bits on every run of a machine, with the same number of
    threads and as long as 2 GiB are free.

    Parameters
    ----------
    network
        A module in evaluation mode, or a function of several.
    inputs
        (n, ...) on the CPU; several where the network takes several.
    device
        As `choose_device` gives it.
    modules
        For a function, what it runs: so that they can be moved.

    Returns
    -------
    Tensor
        (n, ...) float32 on the CPU.

    Raises
    ------
    InputError
        If a GPU has not even memory for one case, and `network` is a function that does not say what it runs.
    MemoryError
        If this computer has not.
    """
    import torch

    given = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    moved: Sequence[nn.Module] = [network] if isinstance(network, torch.nn.Module) else modules

    def run(cases: slice, device: str) -> "Tensor":
        for module in moved:
            module.to(device)
        with torch.inference_mode(), autocast(device):
            return network(*(one[cases].to(device) for one in given)).float().cpu()

    count = len(given[0])
    case_bytes = sum(one.numel() * one.element_size() for one in given) // max(1, count)
    return torch.cat(in_batches(run, count, batch_size(case_bytes, device), device, movable=bool(moved)))


def in_batches(
    run: Callable[[slice, str], Part], count: int, size: int, device: str, *, movable: bool = True
) -> list[Part]:
    """Do something with cases, so many at a time; after running out of memory with half as many, at last on the CPU.

    Parameters
    ----------
    run
        Called with which cases, and with the device to use.
    count
        How many cases there are; for none, `run` is called once with no case.
    size
        How many at once, as `batch_size` says.
    device
        As `choose_device` gives it.
    movable
        Whether `run` can change from a GPU to the CPU.

    Returns
    -------
    list
        What `run` answered, in order.

    Raises
    ------
    InputError, MemoryError
        As `predict`.
    """
    used = _used.get() or Used()
    if device == "cpu":
        _keep_to_our_cores()
    parts: list[Part] = []
    done = 0
    while done < count or not parts:
        if device not in used.devices:
            used.devices.append(device)
        part = _attempt(run, slice(done, min(done + size, count)), device)
        if part is not None:
            parts.append(part)
            done += size
        elif size > 1:
            _clear(device)
            size //= 2
        elif device == "cpu":
            raise MemoryError
        elif not movable:
            raise InputError(f"The memory of device {device} is too small for this network; choose the device cpu.")
        else:
            _clear(device)
            used.warnings.append(
                f"The memory of device {device} was too small for a network; it ran on the CPU, which takes longer."
            )
            device = "cpu"
    if _used.get() is None:
        for sentence in used.warnings:
            warnings.warn(sentence, RuntimeWarning, stacklevel=3)
    return parts


def batch_size(case_bytes: int, device: str) -> int:
    """How many cases at once, a power of two, by the bytes of one case's input and the memory that is free."""
    free = free_memory(device)
    half = USUAL_BYTES if free is None else free // 2
    fit = max(1, min(USUAL_BYTES, half) if device == "cpu" else half) // (TIMES_ITS_INPUT * max(1, case_bytes))
    return 1 << (max(1, min(fit, MOST_AT_ONCE[device])).bit_length() - 1)


def _attempt(run: Callable[[slice, str], Part], cases: slice, device: str) -> Part | None:
    """What `run` answers, or None if it ran out of memory.

    A function of its own: the error holds on to everything its frames have on the GPU, and is gone when this returns.
    """
    try:
        return run(cases, device)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        return None


def _out_of_memory(error: Exception) -> bool:
    import torch

    # The CPU's allocator and Apple's raise a plain RuntimeError.
    said = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in said)


def _clear(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def _keep_to_our_cores() -> None:
    """No more threads than a container may use; whoever asked for fewer keeps them."""
    import torch

    if torch.get_num_threads() > cores():
        torch.set_num_threads(cores())
