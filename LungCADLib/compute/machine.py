"""The machine a run has: how many cores, how much memory is free, how much was used."""

import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """CPU cores this process may use: its affinity, and a container's quota where there is one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return max(1, min(allowed, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return allowed


def free_memory(device: str) -> int | None:
    """Bytes that a device ("cpu", "cuda" or "mps") has to spare; None where the system does not tell."""
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    if device == "mps":
        import torch

        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    found = [bytes_left for bytes_left in (_system_memory(), _container_memory()) if bytes_left is not None]
    return min(found, default=None)


def _system_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _container_memory() -> int | None:
    """What a container's limit leaves; its page cache counts as used, so this is rather too little."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return limit - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # "max" where there is no limit
        return None


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
