"""Which nodules count as suspicious by what LIDC's readers said of malignancy: the choices papers make.

The rule decides how hard the task is. Left out, the nodules that nobody could decide make a ruler alone look good;
counted as suspicious, as paper 000 does, they bring it down.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

UNDECIDED = 3.0
"""The middle of LIDC's scale from 1 (highly unlikely) to 5 (highly suspicious)."""


class LabelRule(StrEnum):
    """By the median of a nodule's readers; the names are those of the command line."""

    LEAVE_OUT = "median!=3"
    """Above 3 against below 3; a median of 3 is in neither class. The usual protocol."""

    SUSPICIOUS = "median>=3"
    """3 and above against below 3: paper 000 cuts out nodules of "malignancy greater than or equal to 3"."""

    BENIGN = "median>3"
    """Above 3 against 3 and below."""

    def counts(self, median: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether a nodule with such a median (n,) is in one of the classes; NaN, which nobody rated, is in none."""
        rated: NDArray[np.bool_] = np.isfinite(median)
        return rated & (median != UNDECIDED) if self is LabelRule.LEAVE_OUT else rated

    def suspicious(self, median: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether a nodule that counts is suspicious (n,)."""
        out: NDArray[np.bool_] = median >= UNDECIDED if self is LabelRule.SUSPICIOUS else median > UNDECIDED
        return out
