"""The pieces of a comparison, done one after the other, or by several processes with one thread each.

A piece that fails, or takes its process with it, leaves the others unharmed. Processes end when the one that started
them does, however that ends, since they speak to it through a pipe.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from LungCADLib.errors import InputError
from LungCADLib.evaluation.compare_work import Answers, Piece, work
from LungCADLib.jobs.failures import of_exit

Told = Callable[[Piece, float], None]
Outcome = tuple[Piece, "Answers | str"]
"""A piece, and its answers or one sentence on why there are none."""

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def work_through(pieces: Sequence[Piece], workers: int, told: Told = lambda piece, share: None) -> Iterator[Outcome]:
    """Every piece with its outcome, as they are done; a method that failed once is not tried again.

    Parameters
    ----------
    pieces
        What to do, in this order.
    workers
        Processes; 1 works here.
    told
        Called with a piece and the share of it that is done.
    """
    failed: set[str] = set()
    outcomes = _here(pieces, failed, told) if workers == 1 else _in_processes(pieces, workers, failed, told)
    for piece, outcome in outcomes:
        if isinstance(outcome, str):
            failed.add(piece.method)
        yield piece, outcome


def _here(pieces: Sequence[Piece], failed: set[str], told: Told) -> Iterator[Outcome]:
    for piece in pieces:
        if piece.method not in failed:
            yield piece, _outcome(piece, lambda share, piece=piece: told(piece, share))  # type: ignore[misc]


def _outcome(piece: Piece, share: Callable[[float], None]) -> Answers | str:
    try:
        with redirect_stdout(sys.stderr):  # standard output is for the results
            return work(piece, share)
    except (BrokenPipeError, ConnectionError):
        raise
    except InputError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _in_processes(pieces: Sequence[Piece], workers: int, failed: set[str], told: Told) -> Iterator[Outcome]:
    waiting = list(pieces)
    crew = [_Worker() for _ in range(min(workers, len(pieces)))]

    def next_piece() -> Piece | None:
        while waiting:
            piece = waiting.pop(0)
            if piece.method not in failed:
                return piece
        return None

    try:
        for worker in crew:
            worker.start(next_piece())
        while busy := {worker.line: worker for worker in crew if worker.piece}:
            for line in connection.wait(list(busy)):
                worker = busy[line]  # type: ignore[index]
                piece, said = worker.piece, worker.hear()
                assert piece is not None
                if isinstance(said, float):
                    told(piece, said)
                else:
                    yield piece, said
                    worker.start(next_piece())
    finally:
        for worker in crew:
            worker.stop()


class _Worker:
    """A process that does one piece after the other."""

    def __init__(self) -> None:
        self.piece: Piece | None = None
        self.line, self._process = self._hire()

    def _hire(self) -> tuple[Connection, BaseProcess]:
        context = get_context("spawn")
        mine, its = context.Pipe()
        process = context.Process(target=_serve, args=(its,), daemon=True)
        with _one_thread():
            process.start()
        its.close()
        return mine, process

    def start(self, piece: Piece | None) -> None:
        """Hand it a piece; None leaves it idle."""
        self.piece = piece
        if piece is not None:
            self.line.send(piece)

    def hear(self) -> float | Answers | str:
        """A share, or the outcome; what ended without a word is replaced."""
        try:
            said: float | Answers | str = self.line.recv()
        except (EOFError, OSError):
            self._process.join()
            said = of_exit(self._process.exitcode or 0, "").message
            self.line.close()
            self.line, self._process = self._hire()
        return said

    def stop(self) -> None:
        """End it at once."""
        self._process.terminate()
        self._process.join()
        self.line.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Libraries that a process loads meanwhile compute with one thread; so the same bits come out everywhere."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _serve(line: Connection) -> None:
    """Do pieces until the other end of the line is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    with suppress(EOFError, BrokenPipeError, ConnectionError):
        while True:
            piece: Piece = line.recv()
            line.send(_outcome(piece, lambda share: line.send(float(share))))
