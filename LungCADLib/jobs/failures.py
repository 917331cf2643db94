"""Why a run ended without a result, in one sentence for a person."""

import errno
import signal
from contextlib import suppress

from LungCADLib.errors import Cancelled, InputError, OutputError
from LungCADLib.jobs.events import Failed, FailureKind

EXIT_CODES: dict[FailureKind, int] = {
    "internal": 1, "input": 3, "output": 4, "memory": 5, "device": 6, "missing": 7, "cancelled": 130,
}  # fmt: skip
"""How a worker ends: said once more for when its last words cannot be written, as on a full disk."""

_NO_MEMORY = "This machine has not enough free memory for this scan."
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# NumPy says so without an error number (numpy/_core/src/multiarray/convert.c, PyArray_ToFile).
_FULL_WORDS = ("problem writing element", "requested and")
# How libraries say that memory ran out without a MemoryError: ITK's images, C++, PyTorch on the CPU.
_MEMORY_WORDS = ("failed to allocate memory", "bad_alloc", "not enough memory", "can't allocate memory")
_GPU_WORDS = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "MPS backend")
# Slicer's launcher ends with code 1 when the Python it started was killed, and says so.
_LAUNCHER_WORDS = "exit abnormally"
_CRASH_WORDS = "Fatal Python error"


def of_error(error: BaseException) -> Failed:
    """What an exception means for the person who asked for the run."""
    text = str(error)
    kind = type(error).__name__
    if isinstance(error, InputError):
        return Failed("input", _line(text))
    if isinstance(error, OutputError):
        return Failed("output", _line(text))
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return Failed("cancelled", "Stopped.")
    if kind == "OutOfMemoryError":  # torch's
        return Failed("memory", "The GPU has not enough free memory for this scan; choose the CPU as device.")
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _MEMORY_WORDS):
        return Failed("memory", _NO_MEMORY)
    if kind == "AcceleratorError" or any(words in text for words in _GPU_WORDS):
        return Failed("device", f"The GPU failed ({_first_line(text)}); choose the CPU as device, or restart.")
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("LungCADLib"):
        return Failed("missing", f"The package {error.name} is missing; install what LungCAD needs.")
    if isinstance(error, OSError) and (error.errno in _FULL or any(words in text for words in _FULL_WORDS)):
        where = f" ({error.filename})" if error.filename else ""
        return Failed("output", f"The disk is full{where}; make room and try again.")
    return Failed("internal", f"Error inside LungCAD: {kind}: {_first_line(text)}")


def of_exit(code: int, log: str) -> Failed:
    """What an exit without a last word means.

    Parameters
    ----------
    code
        As `subprocess` gives it: negative for a signal.
    log
        What the worker wrote to its standard error.
    """
    if code == EXIT_CODES["output"]:
        return Failed("output", "The disk for temporary files is full; make room and try again.")
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number == getattr(signal, "SIGKILL", None) or (_LAUNCHER_WORDS in log and _CRASH_WORDS not in log):
        return Failed(
            "memory",
            "The analysis was stopped by the system, most likely for lack of memory; close other programs and retry.",
        )
    if number:
        name = f"signal {number}"
        with suppress(ValueError):
            name = signal.Signals(number).name
        return Failed("internal", f"The analysis crashed inside a library ({name}); the log shows where.")
    if _CRASH_WORDS in log:
        return Failed("internal", "The analysis crashed inside a library; the log shows where.")
    return Failed("internal", f"The analysis ended without a word (exit code {code}); the log may say why.")


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0]


def _line(text: str) -> str:
    """A name may hold a line break; a message is one line."""
    return " ".join(text.splitlines())
