"""One piece of a comparison: one method fitted, or loaded, for one fold, and what it says of the nodules it is asked.

What was trained is kept: a comparison that was killed goes on from there, and the same question is not worked out
twice. The name of a piece's folder holds the SHA-256 of all that the answer depends on but the code.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib import __version__
from LungCADLib.errors import InputError
from LungCADLib.training.methods import Fitted, Run, method
from LungCADLib.training.methods.cases import Cases

ANSWERS = "answers.npz"
SPENT = "seconds"
"""How long earlier runs of this piece have trained, so that a resumed one tells the whole."""

SPENT_EVERY_S = 2.0

REGRESSIONS, QUICK = ("ruler", "reader-model"), 0.02
"""What takes next to no time, like what is loaded, and how much that is for the progress bar."""

Share = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Piece:
    """What is to be done.

    Attributes
    ----------
    method
        Its key.
    part
        What it learns from, in a word: "fold-0", "all".
    learn
        Nodules to learn from.
    asked
        Nodules to be judged, by the name of their set.
    packaged
        The fold whose bundled member may answer instead (-1: all members); None trains.
    runs
        Folder in which the piece makes its own.
    seed, device, scale
        As `methods.Run` takes them.
    """

    method: str
    part: str
    learn: Cases
    asked: Mapping[str, Cases]
    packaged: int | None
    runs: Path
    seed: int
    device: str
    scale: float

    @property
    def weight(self) -> float:
        """About how long it takes, beside one that trains a network."""
        return QUICK if self.packaged is not None or self.method in REGRESSIONS else 1.0

    @property
    def folder(self) -> Path:
        """Where the piece's checkpoints and answers are kept."""
        digest = sha256(repr((self.method, self.seed, self.device, self.scale, __version__)).encode())
        for cases in (self.learn, *self.asked.values()):
            for field in fields(cases):
                digest.update(np.ascontiguousarray(getattr(cases, field.name) if field.name != "terms" else 0).data)
        return self.runs / f"{self.method}-{self.part}-{digest.hexdigest()[:16]}"


@dataclass(frozen=True, eq=False)
class Answers:
    """What came of a piece: probabilities (n,) by set, whether they come from bundled weights, and how long it took.

    `train_s` is 0 where nothing was trained; `predict_ms` is per nodule.
    """

    probabilities: Mapping[str, NDArray[np.float64]]
    loaded: bool
    train_s: float
    predict_ms: float


def work(piece: Piece, share: Share = lambda done: None) -> Answers:
    """Do it, or read what was kept of it.

    Parameters
    ----------
    piece
        What to do.
    share
        Told the share done, 0 to 1.

    Raises
    ------
    InputError
        If the method cannot use the nodules, or answers with anything but probabilities.
    """
    one = method(piece.method)
    bundled = None if piece.packaged is None else one.packaged(piece.packaged)
    if bundled is not None:
        return _asked(piece, bundled, True, 0.0)
    folder = piece.folder
    kept = _kept(folder / ANSWERS)
    if kept is None:
        folder.mkdir(parents=True, exist_ok=True)
        clock = _Clock(folder / SPENT, share)
        fitted = one.fit(piece.learn, Run(folder, piece.seed, piece.device, clock.progress, piece.scale))
        kept = _asked(piece, fitted, False, clock.stop())
        _keep(folder / ANSWERS, kept)
    return kept


class _Clock:
    """Counts seconds over several runs of a piece, and passes on how far it is."""

    def __init__(self, path: Path, share: Share) -> None:
        self._path, self._share = path, share
        self._before = float(path.read_text(encoding="utf-8")) if path.is_file() else 0.0
        self._start = self._written = time.perf_counter()

    def progress(self, done: float) -> None:
        if time.perf_counter() - self._written > SPENT_EVERY_S:
            self.stop()
        self._share(done)

    def stop(self) -> float:
        """The seconds so far, also written down."""
        self._written = time.perf_counter()
        spent = self._before + self._written - self._start
        partial = self._path.with_suffix(".partial")
        partial.write_text(f"{spent:.3f}", encoding="utf-8")
        partial.replace(self._path)
        return spent


def _asked(piece: Piece, fitted: Fitted, loaded: bool, train_s: float) -> Answers:
    said, total, seconds = {}, 0, 0.0
    for name, cases in piece.asked.items():
        if not len(cases):
            said[name] = np.zeros(0)
            continue
        if not total:
            fitted.predict(cases.only(np.arange(1)))  # what is loaded or compiled at first is not the method's time
        started = time.perf_counter()
        found = np.asarray(fitted.predict(cases), np.float64)
        seconds += time.perf_counter() - started
        total += len(cases)
        if found.shape != (len(cases),) or not ((found >= 0) & (found <= 1)).all():
            raise InputError(
                f"The method {piece.method} answered {len(cases)} nodules with an array {found.shape} that does not "
                "hold one probability, 0 to 1, for each."
            )
        said[name] = found
    return Answers(said, loaded, train_s, 1000 * seconds / max(total, 1))


def _keep(path: Path, answers: Answers) -> None:
    partial = path.with_suffix(".partial")
    arrays: dict[str, Any] = {f"said_{name}": values for name, values in answers.probabilities.items()}
    with partial.open("wb") as file:
        np.savez(file, train_s=answers.train_s, predict_ms=answers.predict_ms, **arrays)
    partial.replace(path)


def _kept(path: Path) -> Answers | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        said = {name.removeprefix("said_"): file[name] for name in file.files if name.startswith("said_")}
        return Answers(said, False, float(file["train_s"]), float(file["predict_ms"]))
