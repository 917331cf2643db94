"""What the machine offers: engines, devices, and the memory that is free; found without importing torch."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from LungCADLib.engines import AUTO
from LungCADLib.panel.parameters import Choices
from LungCADLib.settings import Settings

_DEFAULTS = Settings()


def engines() -> dict[str, Choices]:
    """The engines by parameter, each in the first sentence of what it says of itself.

    Imports the stages, so not before somebody wants to choose; the engines import PyTorch only when they run.
    """
    from LungCADLib import detection, lungs, malignancy, nodules

    registries: dict[str, Any] = {
        "lung_engine": lungs, "detector": detection, "outliner": nodules, "malignancy": malignancy
    }  # fmt: skip
    found: dict[str, Choices] = {}
    for parameter, stage in registries.items():
        names = tuple((name, name.replace("-", " "), about(engine)) for name, engine in stage.ENGINES.items())
        if getattr(_DEFAULTS, parameter) == AUTO:
            network = _("The network where PyTorch is installed, and what needs no PyTorch where it is not.")
            names = ((AUTO, _("automatic"), network), *names)
        found[parameter] = names
    return found


def about(engine: Any) -> str:
    """The first paragraph of an engine's description, on one line."""
    return " ".join((engine.__doc__ or "").strip().split("\n\n")[0].split())


def devices(gpu_free: str | None) -> Choices:
    """Where networks can compute; `gpu_free` is what `FreeGpuMemory` found."""
    cpu = _("CPU ({free} free)").format(free=_gigabytes(free_memory())) if free_memory() else _("CPU")
    found = [("auto", _("automatic")), ("cpu", cpu)]
    if gpu_free:
        found.append(("cuda", _("NVIDIA GPU ({free} free)").format(free=gpu_free)))
    if sys.platform == "darwin" and find_spec("torch") is not None:
        found.append(("mps", _("Apple GPU (shares the memory)")))
    return tuple(found)


def free_memory() -> int | None:
    """Bytes that are free for a new process; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


class FreeGpuMemory:
    """Asks NVIDIA's driver how much memory is free, without waiting for it."""

    def __init__(self) -> None:
        program = shutil.which("nvidia-smi")
        self._process = (
            subprocess.Popen(
                [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) if os.name == "nt" else 0,
            )
            if program
            else None
        )

    @property
    def known(self) -> bool:
        """Whether the answer is there."""
        return self._process is None or self._process.poll() is not None

    def answer(self) -> str | None:
        """The free memory of the GPU with most of it; None where there is no GPU."""
        if self._process is None or self._process.returncode != 0:
            return None
        output = self._process.communicate()[0].decode()
        numbers = [int(line) for line in output.split() if line.isdecimal()]
        return _gigabytes(max(numbers) * 2**20) if numbers else None


def _gigabytes(size: int | None) -> str:
    return f"{(size or 0) / 2**30:.1f} GB"
