"""What joins the appearance network with the signs of the reader-suspicion model, fitted on slices it has not seen.

The network's log odds of a slice come from the member that never saw the slice's patient. On these, two logistic
regressions are fitted: one that only brings the log odds to a probability, and one that adds the six signs, measured
on the slice as on a CT. Each is fitted on all patients, for use, and without each fold, to be tested on it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.reader_model import BENIGN_CALCIFICATION, Signs, features
from LungCADLib.nodules.density import read_density
from LungCADLib.nodules.patch import Patch
from LungCADLib.nodules.shape import measure_shape
from LungCADLib.training.slice_sets import Slices

LEAST_READERS = 3
UNDECIDED = 3.0

COPIES = 3
"""A slice is measured as one of several alike: a nodule as flat as one slice would count as blurred away."""

THICKNESS_MM = 2.0
"""Taken for the slices', of which the file says nothing; no sign depends on it."""


@dataclass(frozen=True, eq=False)
class SliceSigns:
    """What the outlines of slices measure: the reader model's terms (n, 6), the ruler and the area (n,)."""

    terms: NDArray[np.float64]
    long_axis_mm: NDArray[np.float64]
    area_mm2: NDArray[np.float64]


def in_protocol(slices: Slices) -> NDArray[np.bool_]:
    """Nodules of three or more readers whose median malignancy is not 3."""
    return (slices.readers >= LEAST_READERS) & (slices.median("malignancy") != UNDECIDED)


def suspicious(slices: Slices) -> NDArray[np.bool_]:
    """Nodules whose median malignancy is above 3."""
    out: NDArray[np.bool_] = slices.median("malignancy") > UNDECIDED
    return out


def measure(slices: Slices) -> SliceSigns:
    """The signs of every slice, from the reader's outline, by the code that measures nodules in a CT."""
    measured = [_measure(*one) for one in zip(slices.hu, slices.mask, slices.spacing_mm, strict=True)]
    terms, axes = (np.array(column) for column in zip(*measured, strict=True))
    return SliceSigns(terms, axes, slices.area_mm2)


def _measure(hu: NDArray[np.int16], mask: NDArray[np.bool_], spacing_mm: float) -> tuple[NDArray[np.float64], float]:
    spacing = (THICKNESS_MM, float(spacing_mm), float(spacing_mm))
    outline = np.repeat(mask[None], COPIES, axis=0)
    form = measure_shape(outline, spacing)
    patch = Patch(np.repeat(hu[None].astype(np.float32), COPIES, axis=0), outline, np.ones(outline.shape, bool), spacing)
    reading = read_density(patch, form.solidity, form.mean_diameter_mm)
    calcified = reading.calcification in BENIGN_CALCIFICATION
    signs = Signs(form.mean_diameter_mm, form.elongation, form.solidity, calcified, reading.density)
    return features(signs), form.long_axis_mm
