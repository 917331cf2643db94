"""The client: start a worker, hear what it says, end it, and never wait for it.

Everything happens inside `Job.poll`, which looks, does a little and returns within some 50 ms; there is no thread,
because Slicer lets Python threads run only while Python runs on the main one. From a timer, every 50 to 200 ms::

    job = Job(Volume(array, geometry, header), settings, scene=False,
              python=shutil.which("PythonSlicer"), environment=slicer.util.startupEnvironment())

    def tick():
        for event in job.poll():
            match event:
                case Progressed():  # event.stage, .fraction, .message, .seconds_left (None: not known yet)
                case Found():       # study = read_found(event.folder), with masks: first the lungs, then the nodules
                case Finished():    # the files are in event.folder (until job.close(), if `out` was not given)
                case Failed():      # event.kind, event.message: one sentence; job.log has the details

`Finished` or `Failed` comes exactly once, as the last event; by then the worker and its children are gone, and after
`Failed` so are the files of the run. `job.cancel()` returns at once, and `Failed("cancelled", ...)` follows within two
seconds. `job.close()` ends what still runs (waiting up to two seconds) and removes the temporary folder: call it when
the results have been read, and when the application closes.

`prepare()` once, at a moment of rest, keeps the first `read_found` (and the first `Study.to_json`) from taking longer
than 100 ms: it loads pydantic.

The other kind of work is a `Question`, where a network looked: ``Job(Question(...))`` ends with `Finished`, and
`read_explanation(event.folder)` has the answer.

Messages and log travel through files and not through pipes: a file never blocks a worker that says more than anybody
reads, nor a client that reads before there is anything, on any system.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from LungCADLib.errors import InputError
from LungCADLib.jobs import process
from LungCADLib.jobs.events import Event, Failed, Finished, Progressed, Started, from_line
from LungCADLib.jobs.failures import of_error, of_exit
from LungCADLib.jobs.output import leftovers
from LungCADLib.jobs.question import Question
from LungCADLib.jobs.request import ExplainRequest, Request
from LungCADLib.jobs.volume import Volume
from LungCADLib.settings import Settings

POLL_S = 0.04
"""How long one `poll` may write at a volume that is handed over."""
ASKED_S, KILLED_S = 0.8, 0.4
"""How long a worker that was asked to end may take, and how long one that was killed; together under two seconds."""
LOG_BYTES, LOG_FILE_BYTES = 1 << 18, 1 << 24
"""How much of the log's end is kept, and how large its file may get before its beginning goes."""


class Job:
    """One analysis in a process of its own.

    Parameters
    ----------
    input
        A path as `lungcad analyze` takes it, a volume in memory, or a question about one nodule.
    settings
        How the scan is analyzed; no matter to a question.
    out
        Folder for the results; None keeps them in the job's temporary folder.
    series
        Series Instance UID to read.
    scene
        Whether to write `scene.mrb` too.
    python
        The interpreter: Slicer's `PythonSlicer`; None takes this process's own.
    environment
        The worker's environment variables: Slicer's `slicer.util.startupEnvironment()`; None takes this process's own.
    temporary
        Where the temporary folder is made; None takes the system's place.
    """

    def __init__(
        self,
        input: Path | Volume | Question,
        settings: Settings | None = None,
        *,
        out: Path | None = None,
        series: str | None = None,
        scene: bool = True,
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
        temporary: Path | None = None,
    ) -> None:
        self._input, self._settings, self._out = input, settings or Settings(), out
        self._series, self._scene, self._temporary = series, scene, temporary
        self._python = python or sys.executable
        self._environment = os.environ if environment is None else environment
        self._folder: Path | None = None
        self._writing: Iterator[None] | None = None
        self._worker: process.Worker | None = None
        self._worker_id: int | None = None
        self._read_bytes, self._rest = 0, b""
        self._last: Finished | Failed | None = None
        self._ended = self._cancelled = False
        self._deadline: float | None = None
        self._killed = False
        self._log, self._log_before = "", b""

    def poll(self) -> list[Event]:
        """What has happened since the last call, in order. Returns at once."""
        if self._ended:
            return []
        try:
            return self._advance()
        except (OSError, InputError) as error:
            if self._worker is not None:
                self._worker.kill()
            self._last = self._last or of_error(error)
            return self._end()

    @property
    def running(self) -> bool:
        """Whether `Finished` or `Failed` is still to come."""
        return not self._ended

    @property
    def log(self) -> str:
        """The end of what the worker wrote beside its messages (its standard error)."""
        if self._folder is not None and not self._ended:
            self._keep_log()
        return self._log

    def cancel(self) -> None:
        """Ask the worker to stop, and end it with its children if it does not; returns at once."""
        if not self._ended and not self._cancelled:
            self._cancelled = True
            if self._worker is not None:
                self._ask_to_end()

    def close(self) -> None:
        """End what still runs and remove the temporary folder; waits, up to two seconds, only if something runs."""
        self.cancel()
        while self.running:
            self.poll()
            time.sleep(0.01)
        self._remove_folder()

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _advance(self) -> list[Event]:
        if self._worker is None:
            if self._cancelled:
                return self._end()
            if self._hand_over():
                self._start()
            return []
        exited = self._worker.exited()
        # In this order: a worker that has ended has said all there is to hear.
        events = self._hear()
        self._bound_log()
        if self._last is not None and self._deadline is None:
            # It has said its last word; what lingers in it ends.
            self._deadline = time.monotonic() + ASKED_S
        if exited is None:
            if not self._late():
                return events
            if self._killed:  # Not even the system gets rid of it; nobody waits any longer.
                return [*events, *self._end()]
            self._kill()
            return events
        if self._last is None:
            self._keep_log()
            self._last = of_exit(exited, self._log)
        if self._worker.gone() or (self._killed and self._late()):
            return [*events, *self._end()]
        # What the worker left behind ends; where it was a launcher that was asked to, its worker may clean up first.
        if not self._cancelled or self._late():
            self._kill()
        return events

    def _hand_over(self) -> bool:
        """Make the folder and write the volume, if there is one, a piece per call; True when all is there."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="lungcad-job-", dir=self._temporary))
            if isinstance(self._input, Volume | Question):
                self._writing = self._input.write(self._folder / self._input.file_name)
        until = time.monotonic() + POLL_S
        while self._writing is not None and time.monotonic() < until:
            if next(self._writing, self) is self:
                self._writing = None
        return self._writing is None

    def _start(self) -> None:
        assert self._folder is not None
        (self._folder / "request.json").write_text(self._request(self._folder).to_json(), encoding="utf-8")
        self._worker = process.Worker(self._python, self._folder, self._environment)

    def _request(self, folder: Path) -> Request | ExplainRequest:
        given, out = self._input, self._results.absolute()
        if isinstance(given, Question):
            return given.request(folder / given.file_name, out)
        volume = given if isinstance(given, Volume) else None
        return Request(
            input=folder / volume.file_name if volume else Path(given).absolute(),  # type: ignore[arg-type]
            out=out,
            series=self._series,
            header=volume.header if volume else None,
            settings=self._settings,
            scene=self._scene,
        )

    @property
    def _results(self) -> Path:
        assert self._folder is not None
        return self._out or self._folder / "results"

    def _hear(self) -> list[Event]:
        """The whole lines that are new; a line without its end waits, and is nobody's if the end never comes."""
        assert self._folder is not None
        with (self._folder / process.MESSAGES).open("rb") as file:
            file.seek(self._read_bytes)
            new = file.read()
        self._read_bytes += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        heard: list[Event] = []
        for event in map(from_line, lines):
            match event:
                case Started():
                    self._worker_id = event.process
                case Finished() | Failed():
                    self._last = self._last or event
                case None:
                    pass
                case _ if not self._cancelled:
                    heard.append(event)
        # Only the newest place of the bar is worth drawing.
        newest = max((i for i, event in enumerate(heard) if isinstance(event, Progressed)), default=-1)
        return [event for i, event in enumerate(heard) if i == newest or not isinstance(event, Progressed)]

    def _ask_to_end(self) -> None:
        assert self._worker is not None
        self._worker.ask_to_end()
        self._deadline = time.monotonic() + ASKED_S

    def _kill(self) -> None:
        assert self._worker is not None
        if not self._killed:
            self._killed = True
            self._worker.kill()
            self._deadline = time.monotonic() + KILLED_S

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _end(self) -> list[Event]:
        self._keep_log()
        self._ended, self._writing = True, None
        if self._cancelled or self._last is None:
            self._last = Failed("cancelled", "Stopped.")
        if isinstance(self._last, Failed):
            if self._folder is not None and self._worker_id is not None:
                for path in leftovers(self._results, self._worker_id):
                    shutil.rmtree(path, ignore_errors=True)
            self._remove_folder()
        return [self._last]

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _keep_log(self) -> None:
        """Remember the end of the log, which outlives its file."""
        if self._folder is not None:
            with suppress(OSError), (self._folder / process.LOG).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LOG_BYTES))
                self._log = (self._log_before + file.read())[-LOG_BYTES:].decode("utf-8", "replace")

    def _bound_log(self) -> None:
        """Keep a worker that floods its log from filling the disk."""
        assert self._folder is not None
        path = self._folder / process.LOG
        with suppress(OSError):
            if path.stat().st_size > LOG_FILE_BYTES:
                self._keep_log()
                os.truncate(path, 0)  # The worker appends, and goes on at the new end.
                self._log_before = self._log.encode()
