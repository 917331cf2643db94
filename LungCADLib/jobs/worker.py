"""The worker: one request in, lines of JSON out, a log on standard error."""

import argparse
import errno
import faulthandler
import logging
import os
import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from LungCADLib import __version__
from LungCADLib.errors import InputError
from LungCADLib.jobs.events import Event, Failed, Finished, Found, Progressed, Started, to_line
from LungCADLib.jobs.failures import EXIT_CODES, of_error
from LungCADLib.progress import Progress, Step
from LungCADLib.study import Study

if TYPE_CHECKING:
    from LungCADLib.jobs.request import Request

PROGRESS_EVERY_S = 0.1
"""Steps of one stage that follow each other faster are not told."""
ESTIMATE_FROM = 0.04
ESTIMATE_AFTER_S = 1.0
"""No estimate of the time left before this part of the run, or this time, has passed."""
CLIENT_EVERY_S = 2.0

log = logging.getLogger("LungCADLib.jobs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one request and return the exit code, 0 or the failure's; the last line says which and why."""
    args = _arguments(argv)
    voice = Voice(_messages_stream())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    faulthandler.enable()
    log.info("LungCAD %s in %s, Python %s", __version__, Path(__file__).parents[1], platform.python_version())
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if args.client is not None and sys.platform != "win32":
            threading.Thread(target=_end_with, args=(args.client,), daemon=True).start()
        voice.say(Started(os.getpid(), __version__, platform.python_version()))
        last: Finished | Failed = Finished(_run(args, voice))
    except BaseException as error:
        last = of_error(error)
        log.log(logging.ERROR if last.kind == "internal" else logging.INFO, "%s", last.message, exc_info=error)
    # Nothing may come between the result and saying so.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        voice.say(last)
    except OSError as error:
        last = of_error(error)
    if args.client is not None and args.found is not None and not _runs(args.client):
        # Nobody else will remove the job's folder.
        shutil.rmtree(args.found.absolute().parent, ignore_errors=True)
    return 0 if isinstance(last, Finished) else EXIT_CODES[last.kind]


class Voice:
    """Says events to whoever started the worker; of the progress only as much as somebody can watch."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._stage, self._fraction, self._told = "", 0.0, -1.0

    def say(self, event: Event) -> None:
        """Say one event.

        Raises
        ------
        OSError
            If not all of it can be written.
        """
        line = to_line(event)
        if self._stream.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def step(self, step: Step) -> None:
        """Say how far the run is."""
        now = time.monotonic() - self._started
        if step.stage == self._stage and now - self._told < PROGRESS_EVERY_S:
            return
        if step.stage != self._stage:
            log.info("%s", step.stage)
        # A stage that another interrupts, or that says a smaller number than before, must not move the bar back.
        self._stage, self._told, self._fraction = step.stage, now, max(step.fraction, self._fraction)
        self.say(Progressed(step.stage, self._fraction, step.message, seconds_left(now, self._fraction)))


def seconds_left(passed_s: float, fraction: float) -> float | None:
    """How long a run may still take that has come so far in this time; None where that cannot be said yet."""
    if passed_s < ESTIMATE_AFTER_S or fraction < ESTIMATE_FROM:
        return None
    return passed_s * (1 - fraction) / fraction


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m LungCADLib.jobs", description="Run one request of an analysis.")
    parser.add_argument("request", nargs="?", default="-", help="JSON file of the request (default: standard input)")
    parser.add_argument("--found", type=Path, metavar="DIR", help="folder for parts of the result as they come")
    parser.add_argument("--client", type=int, metavar="PID", help="end when this process is gone")
    return parser.parse_args(argv)


def _run(args: argparse.Namespace, voice: Voice) -> Path:
    from LungCADLib.jobs.output import check_folder
    from LungCADLib.jobs.request import Request, read_request

    request = read_request(_text(args.request))
    check_folder(request.out, force=False)
    if isinstance(request, Request):
        _analyze(request, args.found, voice)
    else:
        from LungCADLib.jobs.question import answer

        answer(request, Progress(report=voice.step, shares={"explain": 1}))
    return request.out.absolute()


def _analyze(request: "Request", parts: Path | None, voice: Voice) -> None:
    from LungCADLib.compute import choose_device
    from LungCADLib.jobs.run import run
    from LungCADLib.pipeline import SHARES

    if request.settings.device in ("cuda", "mps"):
        choose_device(request.settings.device)

    def found(study: Study) -> None:
        from LungCADLib.jobs.found import write_found

        assert parts is not None
        what = "nodules" if (parts / "lungs").exists() else "lungs"
        write_found(study, parts / what)
        voice.say(Found(what, parts.absolute() / what))  # type: ignore[arg-type]

    progress = Progress(report=voice.step, shares=SHARES)
    if parts is not None:
        progress.found = found
    run(request, progress)


def _text(request: str) -> bytes:
    if request == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(request).read_bytes()
    except OSError as error:
        raise InputError(f"The request {request} cannot be read: {error.strerror}.") from None


def _messages_stream() -> BinaryIO:
    """Standard output for messages alone: whatever else a library prints there goes to the log."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return stream


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _end_with(client: int) -> None:
    """Stop this process, as somebody pressing Cancel would, when the client is gone: nobody waits for the result."""
    while _runs(client):
        time.sleep(CLIENT_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _runs(process: int) -> bool:
    """Whether a process is there; on Windows, which has no way to ask without ctypes, it always seems to be."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
