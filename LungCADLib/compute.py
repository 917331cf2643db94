"""The machine a run has: where networks can compute, how many cores, how much memory was used."""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from LungCADLib.errors import InputError
from LungCADLib.settings import Device

if TYPE_CHECKING:
    from torch import Tensor

CASES_AT_ONCE = 16


def choose_device(name: Device) -> str:
    """The device networks run on: "cpu", "cuda" or "mps".

    "cpu" never imports torch; "auto" imports it only where it is installed, so ask when a network is about to run.

    Raises
    ------
    InputError
        If a GPU is asked for by name and this machine or this torch has none.
    """
    if name == "cpu":
        return "cpu"
    if find_spec("torch") is None:
        if name == "auto":
            return "cpu"
        raise InputError(f"Device {name} needs PyTorch, which is not installed; install lungcadlib[networks].")
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next((device for device, is_there in there.items() if is_there), "cpu")
    if not there[name]:
        raise InputError(
            f"Device {name} is not available here (PyTorch {torch.__version__}); use cpu, or install a PyTorch build "
            "for this machine's GPU."
        )
    return name


def predict(network: "Callable[[Tensor], Tensor]", inputs: "Tensor", device: str = "cpu") -> "Tensor":
    """What a network says of many cases, a batch at a time, without gradients.

    Parameters
    ----------
    network
        A module in evaluation mode, or a function of several.
    inputs
        (n, ...) on the CPU.
    device
        As `choose_device` gives it.

    Returns
    -------
    Tensor
        (n, ...) float32 on the CPU.
    """
    import torch

    with torch.inference_mode():
        parts = [network(part.to(device)).float().cpu() for part in inputs.split(CASES_AT_ONCE)]
    return torch.cat(parts)


def cores() -> int:
    """CPU cores this process may use: its affinity, and a container's quota where there is one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return allowed


def peak_memory_mb() -> float | None:
    """The most memory this process has held so far, in MB of 2^20 bytes; None where the system does not tell."""
    try:
        # getrusage would count what a parent process held before it started this one.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
