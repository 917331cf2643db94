"""The nodules from which the outline network learns, from three files alike: boxes, crops and slices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.masks import in_plane_diameter_mm
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.nodule_sets import Case, read_crops, read_vois
from LungCADLib.training.slice_sets import Slices, read_slices

FAR_MM = 6.0
"""Distances from the reader's outline are kept up to this."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """One nodule to learn from.

    Attributes
    ----------
    hu
        int16 (z, y, x).
    truth
        bool (z, y, x).
    distance_mm
        float16 (z, y, x) from the outline, negative inside, within `FAR_MM`.
    spacing
        mm (z, y, x).
    center
        Fractional index (z, y, x) a person would click.
    diameter_mm
        As `masks.in_plane_diameter_mm` gives it.
    style
        Of `nodules.field.STYLES`.
    """

    patient: str
    hu: NDArray[np.int16]
    truth: NDArray[np.bool_]
    distance_mm: NDArray[np.float16]
    spacing: tuple[float, float, float]
    center: tuple[float, float, float]
    diameter_mm: float
    style: str


def read_lessons(data: Path) -> dict[str, list[Lesson]]:
    """Every nodule by the set it comes from: the folders `lidc-vois`, `lidc-crops` and `lidc-slices`.

    Raises
    ------
    InputError
        If a file is not as it should be, or holds nodules of a patient who is in no fold.
    """
    boxes = read_vois(data / "lidc-vois" / "vois.npz", data / "lidc-vois" / "ratings.csv")
    crops = read_crops(data / "lidc-crops" / "crops.npz", None)
    slices = read_slices(data / "lidc-slices" / "slices.npz", data / "lidc-slices" / "ratings.csv")
    lessons = {
        "box": [_of_case(case) for case in boxes],
        "crop": [_of_case(case) for case in crops],
        "slice": [slice_lesson(slices, i) for i in np.flatnonzero(slices.mask.any(axis=(1, 2))).tolist()],
    }
    strangers = {one.patient for some in lessons.values() for one in some} - fold_of_patient().keys()
    if strangers:
        raise InputError(
            f"{data} holds nodules of {min(strangers)}, who is in no fold (Models/lidc-folds.csv); a network that "
            "learned from them could not be tested fairly; leave them out."
        )
    return lessons


def _of_case(case: Case) -> Lesson:
    z, y, x = (float(v) for v in case.scan.geometry.to_index(case.click_lps_mm))
    return _lesson(case.patient, case.scan.hu, case.truth, case.scan.spacing, (z, y, x), "volume")


def slice_lesson(slices: Slices, i: int) -> Lesson:
    """A nodule of a file of slices as a volume of one slice, clicked in the middle."""
    spacing = float(slices.spacing_mm[i])
    hu, truth = slices.hu[i][None], slices.mask[i][None]
    middle = ((hu.shape[1] - 1) / 2, (hu.shape[2] - 1) / 2)
    return _lesson(str(slices.patient[i]), hu, truth, (1.0, spacing, spacing), (0.0, *middle), "slice")


def _lesson(
    patient: str,
    hu: NDArray[np.int16],
    truth: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    center: tuple[float, float, float],
    style: str,
) -> Lesson:
    from scipy import ndimage

    out, within = (ndimage.distance_transform_edt(m, sampling=spacing) for m in (~truth, truth))
    distance = np.clip(np.where(truth, -within, out), -FAR_MM, FAR_MM).astype(np.float16)
    return Lesson(patient, hu, truth, distance, spacing, center, in_plane_diameter_mm(truth, spacing), style)
