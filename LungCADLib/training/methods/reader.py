"""The reader-suspicion model's six signs, fitted again on the outlines of the cases at hand.

The packaged reader-suspicion model was fitted on LIDC's consensus outlines in 3D; here its terms come from one reader's
outline of one slice, and its coefficients from the training cases alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.malignancy.reader_model import TERMS, ReaderModel
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.reader_fit import fit

KEY = "reader-model"


@dataclass(frozen=True, eq=False)
class FittedSigns:
    """A logistic regression on the signs."""

    model: ReaderModel

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,).

        Raises
        ------
        InputError
            If the cases have no outlines.
        """
        return self.model.suspicion(_terms(cases))[0]


class ReaderSigns:
    """Fitted in no time, so nothing of it is packaged."""

    key = KEY
    title = "Reader-suspicion model"
    needs_outlines = True

    def fit(self, cases: Cases, run: Run) -> FittedSigns:
        """Seven coefficients.

        Raises
        ------
        InputError
            If the cases have no outlines.
        """
        return FittedSigns(fit(_terms(cases), cases.suspicious, tuple(term.name for term in TERMS)))

    def packaged(self, fold: int) -> None:
        """None: the packaged coefficients have seen every development patient of LIDC."""


def _terms(cases: Cases) -> NDArray[np.float64]:
    if cases.terms is None:
        raise InputError("The reader-suspicion model measures outlines, and these cases have none.")
    return cases.terms


METHOD = ReaderSigns()
