"""The published methods and what they are compared with, on one trunk: the same nodules, labels and folds.

Each method is a module behind a key of `METHODS`; `method(key)` imports it. A number is
that of the paper; a word is a model of LungCAD's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from LungCADLib.engines import chosen
from LungCADLib.training.methods.cases import Cases

METHODS: dict[str, str] = {
    "ruler": "LungCADLib.training.methods.ruler:METHOD",
    "reader-model": "LungCADLib.training.methods.reader:METHOD",
    "appearance": "LungCADLib.training.methods.appearance:METHOD",
    "000": "LungCADLib.training.methods.membership:METHOD",
    "001": "LungCADLib.training.methods.lung_rads_cnn:METHOD",
    "003": "LungCADLib.training.methods.calm:METHOD",
    "003-nn": "LungCADLib.training.methods.calm:NN",
    "003-lr": "LungCADLib.training.methods.calm:LR",
    "003-svm": "LungCADLib.training.methods.calm:SVM",
    "003-ae": "LungCADLib.training.methods.calm:AE",
    "003-cnn": "LungCADLib.training.methods.calm:CNN",
    "004": "LungCADLib.training.methods.cnn_2d:METHOD",
}
"""Key to `module:name` of its `Method`, in the order in which a table lists them."""


@dataclass(frozen=True)
class Run:
    """How a method is fitted.

    Parameters
    ----------
    folder
        Of this run's checkpoints and logs; a run that was killed goes on from there.
    seed
        Of everything random.
    device
        As `compute.choose_device` gives it.
    progress
        Called with the share done, 0 to 1.
    scale
        Share of the usual number of steps, epochs or rounds; a small one only shows that everything runs.
    """

    folder: Path
    seed: int = 0
    device: str = "cpu"
    progress: Callable[[float], None] = lambda share: None
    scale: float = 1.0

    def steps(self, usual: int) -> int:
        """The number of steps where `usual` is what a full run takes; at least one."""
        return max(1, round(usual * self.scale))


class Fitted(Protocol):
    """A method that has learned."""

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,) that readers find each case suspicious."""


class Method(Protocol):
    """One way to tell suspicious nodules from others.

    Attributes
    ----------
    key
        Its name in `METHODS`.
    title
        What a table calls it.
    needs_outlines
        Whether it measures outlines, and so cannot judge cases without them.
    """

    key: str
    title: str
    needs_outlines: bool

    def fit(self, cases: Cases, run: Run) -> Fitted:
        """Learn from these cases alone."""

    def packaged(self, fold: int) -> Fitted | None:
        """The bundled member that never saw the patients of a fold (0 to 4), or all of them for -1; None if none is."""


def method(key: str) -> Method:
    """The method of a key.

    Raises
    ------
    InputError
        If there is none of that key.
    """
    module, _, name = chosen(METHODS, key, "method").partition(":")
    found: Method = getattr(import_module(module), name)
    return found
