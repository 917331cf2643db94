"""A worker as the operating system sees it: a group of processes that start and end together."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import LungCADLib

REQUEST, MESSAGES, LOG, FOUND = "request.json", "messages.jsonl", "log.txt", "found"
"""What lies in a job's folder: the request, standard output, standard error, and parts of the result."""

# As `python -m LungCADLib.jobs`, but finding this very package: an installed extension is on no other Python's path,
# and a launcher may set PYTHONPATH itself.
_RUN = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('LungCADLib.jobs', run_name='__main__')"
)


class Worker:
    """A worker that has been started.

    Parameters
    ----------
    python
        The interpreter. It may be a launcher that starts the real one, as Slicer's `PythonSlicer` is; killing that
        alone would leave the worker running.
    folder
        Where the request is, and where messages and log go.
    environment
        Its environment variables.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(self, python: str, folder: Path, environment: Mapping[str, str]) -> None:
        home = Path(LungCADLib.__file__).resolve().parents[1]
        command = [python, "-c", _RUN, str(home), REQUEST, "--found", FOUND, "--client", str(os.getpid())]
        with (folder / MESSAGES).open("ab") as messages, (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=log,
                cwd=folder,
                env={**environment, "PYTHONUTF8": "1"},
                **_apart(),  # type: ignore[call-overload]
            )

    def exited(self) -> int | None:
        """The exit code of the process that was started, negative for a signal; None while it runs."""
        return self._process.poll()

    def gone(self) -> bool:
        """Whether nothing of the group is left."""
        if self._process.poll() is None:
            return False
        if sys.platform == "win32":
            return True
        with suppress(PermissionError):
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return True
        return False

    def ask_to_end(self) -> None:
        """Let the worker clean up after itself and end."""
        if sys.platform == "win32":
            self.kill()  # A process without a console hears no polite request.
        else:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its children, and theirs, now."""
        if sys.platform == "win32":
            # https://learn.microsoft.com/windows-server/administration/windows-commands/taskkill
            command = ["taskkill", "/T", "/F", "/PID", str(self._process.pid)]
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_apart())
        else:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _apart() -> dict[str, object]:
    """Popen's arguments for a process that shares neither group nor console with this one."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
