"""The devices networks can run on, and with what precision they run there."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from LungCADLib.compute.machine import cores, free_memory
from LungCADLib.errors import InputError
from LungCADLib.settings import Device


@dataclass(frozen=True)
class DeviceChoice:
    """A device of this machine as a person chooses it; `free_bytes` is None where the system does not tell."""

    device: Device
    label: str
    free_bytes: int | None


_preferred: ContextVar[Device] = ContextVar("preferred", default="auto")


@contextmanager
def preferring(device: Device) -> Iterator[None]:
    """Makes a device what "auto" stands for while this is entered, in this thread."""
    token = _preferred.set(device)
    try:
        yield
    finally:
        _preferred.reset(token)


def choose_device(name: Device) -> str:
    """The device networks run on: "cpu", "cuda" or "mps".

    "auto" is what a run prefers (`preferring`), or the best there is. "cpu" never imports torch; "auto" imports it only
    where it is installed, so ask when a network is about to run.

    Raises
    ------
    InputError
        If a GPU is asked for by name and this machine or this torch has none.
    """
    name = _preferred.get() if name == "auto" else name
    if name == "cpu":
        return "cpu"
    if find_spec("torch") is None:
        if name == "auto":
            return "cpu"
        raise InputError(f"Device {name} needs PyTorch, which is not installed; install lungcadlib[networks].")
    there = _gpus()
    if name == "auto":
        return next((device for device, is_there in there.items() if is_there), "cpu")
    if not there[name]:
        import torch

        raise InputError(
            f"Device {name} is not available here (PyTorch {torch.__version__}); use cpu, or install a PyTorch build "
            "for this machine's GPU."
        )
    return name


def device_choices() -> list[DeviceChoice]:
    """The devices of this machine, the one that "auto" takes first. Imports torch where it is installed."""
    choices = []
    if find_spec("torch") is not None:
        import torch

        there = _gpus()
        if there["cuda"]:
            choices.append(DeviceChoice("cuda", torch.cuda.get_device_name(), free_memory("cuda")))
        if there["mps"]:
            choices.append(DeviceChoice("mps", "Apple GPU", free_memory("mps")))
    return [*choices, DeviceChoice("cpu", f"CPU, {cores()} cores", free_memory("cpu"))]


def precision(device: str) -> Literal["bfloat16", "float32"]:
    """The type networks compute with on a device.

    bfloat16 on CUDA GPUs that compute with it (NVIDIA Ampere or later): half the memory, and the range of float32, so
    that nothing overflows as it may in float16. float32 everywhere else: most CPUs would only be slower with less.
    """
    if device != "cuda":
        return "float32"
    import torch

    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def autocast(device: str) -> AbstractContextManager[Any]:
    """Where entered, torch computes with the precision of a device; parameters stay float32."""
    if precision(device) == "float32":
        return nullcontext()
    import torch

    return torch.autocast(device, torch.bfloat16)


def _gpus() -> dict[str, bool]:
    import torch

    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
