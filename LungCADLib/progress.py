"""Where a run is, how long each stage took, and whether the person wants it to stop."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from LungCADLib.errors import Cancelled

if TYPE_CHECKING:
    from LungCADLib.study import Study


@dataclass(frozen=True)
class Step:
    """One message of progress: `fraction` of the whole run, 0 to 1."""

    stage: str
    fraction: float
    message: str = ""


@dataclass
class Progress:
    """Follows a run through its stages.

    Parameters
    ----------
    report
        Called with a `Step` whenever something moves.
    cancelled
        Asked at every update; when it answers True, `Cancelled` is raised from inside the stage.
    shares
        How much of the whole run each stage takes, by name; they need not add up to one.
    found
        Called with the study as far as it is known: once with its lungs and no nodules, once whole. Until nodules were
        looked for, its exam says that the lungs could not be evaluated.

    Attributes
    ----------
    timing_s
        Seconds spent in each finished stage, in the order they ran.
    """

    report: Callable[[Step], None] = lambda step: None
    cancelled: Callable[[], bool] = lambda: False
    shares: dict[str, float] = field(default_factory=dict)
    found: "Callable[[Study], None]" = lambda study: None
    timing_s: dict[str, float] = field(default_factory=dict)
    _stage: str = ""

    @contextmanager
    def stage(self, name: str, message: str = "") -> Iterator[None]:
        """Run one stage: announced at its start, timed at its end."""
        self._stage = name
        self.update(0.0, message)
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timing_s[name] = self.timing_s.get(name, 0.0) + time.perf_counter() - started
        self.update(1.0)

    def update(self, fraction: float, message: str = "") -> None:
        """Say how much of the current stage is done (0 to 1); raises `Cancelled` when asked to stop."""
        if self.cancelled():
            raise Cancelled(f"stopped during {self._stage}")
        total = sum(self.shares.values()) or 1.0
        before = 0.0
        for name, share in self.shares.items():
            if name == self._stage:
                break
            before += share
        share = self.shares.get(self._stage, 0.0)
        self.report(Step(self._stage, min((before + share * fraction) / total, 1.0), message))
