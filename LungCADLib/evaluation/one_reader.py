"""How well one reader's rating tells what the others think: as far as agreement with readers can mean anything."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.training.reader_fit import UNDECIDED

READERS = 4
"""Nodules that all of LIDC's readers rated."""


@dataclass(frozen=True, eq=False)
class OneReader:
    """Columns of equal length: a `rating` by one reader, bool `suspicious`, the others' median above the middle."""

    rating: NDArray[np.float64]
    suspicious: NDArray[np.bool_]
    patient: NDArray[np.str_]


def one_against_the_rest(ratings: Iterable[Sequence[float]], patients: Iterable[str]) -> OneReader:
    """Each reader of a nodule against the median of the other three, where that is not the middle.

    Parameters
    ----------
    ratings
        Those of each nodule, by the readers who rated it; nodules by fewer than four do not count.
    patients
        One per nodule.
    """
    rows = []
    for said, patient in zip(ratings, patients, strict=True):
        for i in range(len(said) if len(said) == READERS else 0):
            rest = float(np.median([*said[:i], *said[i + 1 :]]))
            if rest != UNDECIDED:
                rows.append((float(said[i]), rest > UNDECIDED, patient))
    rating, suspicious, whose = zip(*rows, strict=True) if rows else ((), (), ())
    return OneReader(np.array(rating, float), np.array(suspicious, bool), np.array(whose, str))
