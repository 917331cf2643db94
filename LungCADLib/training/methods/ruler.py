"""The ruler: a nodule's diameter alone, brought to a probability. What every other method must beat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.reader_model import ReaderModel
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.reader_fit import fit

KEY = "ruler"


@dataclass(frozen=True, eq=False)
class FittedRuler:
    """A logistic regression on the logarithm of the diameter."""

    model: ReaderModel

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,)."""
        return self.model.suspicion(np.log(cases.diameter_mm)[:, None])[0]


class Ruler:
    """Fitted in no time, so nothing of it is packaged."""

    key = KEY
    title = "Ruler (diameter alone)"
    needs_outlines = False

    def fit(self, cases: Cases, run: Run) -> FittedRuler:
        """Two coefficients."""
        return FittedRuler(fit(np.log(cases.diameter_mm)[:, None], cases.suspicious, ("log_long_axis",)))

    def packaged(self, fold: int) -> None:
        """None: it is always fitted."""


METHOD = Ruler()
