"""Nodules to compare methods on: one axial slice each, in HU, with the nodule in the middle and a label."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.training.appearance_data import patch_hu
from LungCADLib.training.appearance_fusion import measure
from LungCADLib.training.label_rules import LabelRule
from LungCADLib.training.patch_sets import Patches
from LungCADLib.training.slice_sets import Slices


@dataclass(frozen=True, eq=False)
class Cases:
    """Nodules as columns of equal length n.

    `hu` int16 (n, y, x) at native pixels, the nodule around pixel (y // 2, x // 2); `mask` bool (n, y, x), by one
    reader, all False where `outlined` is; `spacing_mm` (n,) per pixel; `diameter_mm` (n,), the long axis of the
    outline or what the table says; `suspicious` bool (n,), the label; `readers` (n,), how many rated it (0: unknown);
    `texture` (n,), their median, NaN if unknown; `vendor` and `patient` (n,); `terms` (n, 6), those of the
    reader-suspicion model as the outlines measure them, None without outlines.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]
    diameter_mm: NDArray[np.float64]
    suspicious: NDArray[np.bool_]
    readers: NDArray[np.int64]
    texture: NDArray[np.float64]
    vendor: NDArray[np.str_]
    patient: NDArray[np.str_]
    outlined: bool
    terms: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.hu)

    def only(self, rows: NDArray) -> "Cases":
        """Some of the nodules, by bool or index."""
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "outlined"}
        some: dict[str, Any] = {name: None if column is None else column[rows] for name, column in columns.items()}
        return Cases(**some, outlined=self.outlined)

    @staticmethod
    def of_slices(slices: Slices, rule: LabelRule = LabelRule.LEAVE_OUT) -> "Cases":
        """The slices that count by a rule: by default a median malignancy above 3 against one below 3.

        Measures every outline.
        """
        slices = slices.only(rule.counts(slices.median("malignancy")))
        measured = measure(slices)
        return Cases(
            hu=slices.hu,
            mask=slices.mask,
            spacing_mm=slices.spacing_mm,
            diameter_mm=measured.long_axis_mm,
            suspicious=rule.suspicious(slices.median("malignancy")),
            readers=slices.readers,
            texture=slices.median("texture"),
            vendor=slices.vendor,
            patient=slices.patient,
            outlined=True,
            terms=measured.terms,
        )

    @staticmethod
    def of_patches(patches: Patches) -> "Cases":
        """Every patch, in HU within its window; the file's label and diameter, no outlines."""
        n = len(patches)
        return Cases(
            hu=patch_hu(patches),
            mask=np.zeros(patches.patch.shape, bool),
            spacing_mm=patches.spacing_mm,
            diameter_mm=patches.diameter_mm,
            suspicious=patches.malignant,
            readers=np.zeros(n, np.int64),
            texture=np.full(n, np.nan),
            vendor=np.full(n, ""),
            patient=patches.patient,
            outlined=False,
        )
