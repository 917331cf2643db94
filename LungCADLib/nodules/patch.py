"""A nodule with its surroundings: what density, margin and volume are read from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask, LungLabel, Lungs
from LungCADLib.scan import Scan

REACH_MM = 12.0
"""How far beyond the outline the surroundings go: one vessel, some lung, the wall if it is near."""

AERATED_HU = -600
"""Lung darker than this is taken for parenchyma; normal lung is -700 to -900 HU."""

LEAST_BACKGROUND_VOXELS = 30

USUAL_LUNG_HU = -860.0
"""Taken for the background where no aerated lung is near."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A box around a nodule on the scan's own grid.

    Parameters
    ----------
    hu
        float32 (z, y, x).
    mask
        bool (z, y, x): the nodule.
    lung
        bool (z, y, x): the lungs as far as they are known, the nodule included, airways not.
    spacing
        mm between voxel centers in (z, y, x).
    start
        (z, y, x) of the box's first voxel in the scan.
    """

    hu: NDArray[np.float32]
    mask: NDArray[np.bool_]
    lung: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    start: tuple[int, int, int] = (0, 0, 0)

    @staticmethod
    def around(scan: Scan, lungs: Lungs, outline: BoxMask) -> "Patch":
        """The box of an outline with `REACH_MM` on every side, as far as the scan goes."""
        tight = outline.trimmed()
        reach = [round(REACH_MM / s) + 1 for s in scan.spacing]
        begin = [max(0, a - r) for a, r in zip(tight.start, reach, strict=True)]
        end = [
            min(n, a + m + r) for n, a, m, r in zip(scan.hu.shape, tight.start, tight.mask.shape, reach, strict=True)
        ]
        box = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
        mask = np.zeros([b - a for a, b in zip(begin, end, strict=True)], bool)
        mask[tuple(slice(a - b, a - b + n) for a, b, n in zip(tight.start, begin, tight.mask.shape, strict=True))] = (
            tight.mask
        )
        labels = lungs.labels[box]
        lung = (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT) | mask
        return Patch(scan.hu[box].astype(np.float32), mask, lung, scan.spacing, (begin[0], begin[1], begin[2]))

    @cached_property
    def outside_mm(self) -> NDArray[np.float32]:
        """Distance (z, y, x) in mm to the nearest voxel center of the nodule; 0 inside."""
        from scipy import ndimage

        return ndimage.distance_transform_edt(~self.mask, sampling=self.spacing).astype(np.float32)

    @cached_property
    def inside_mm(self) -> NDArray[np.float32]:
        """Distance (z, y, x) in mm to the nearest voxel center outside the nodule; 0 outside."""
        from scipy import ndimage

        padded = np.pad(self.mask, 1)
        core = (slice(1, -1),) * 3
        return ndimage.distance_transform_edt(padded, sampling=self.spacing)[core].astype(np.float32)

    @cached_property
    def background(self) -> NDArray[np.bool_]:
        """Aerated lung (z, y, x) 2 mm and more from the nodule; anywhere in the box where the lungs are not known."""
        aerated = (self.hu < AERATED_HU) & (self.outside_mm > 2)
        known = aerated & self.lung
        return known if np.count_nonzero(known) >= LEAST_BACKGROUND_VOXELS else aerated

    @cached_property
    def background_hu(self) -> float:
        """Median HU of the parenchyma nearby, vessels' upper tail cut off."""
        values = self.hu[self.background]
        if len(values) < LEAST_BACKGROUND_VOXELS:
            return USUAL_LUNG_HU
        for _ in range(3):
            low, middle = np.percentile(values, [16, 50])
            values = values[values <= middle + 2 * max(middle - low, 10)]
        return float(np.median(values))

    @property
    def has_background(self) -> bool:
        """Whether enough aerated lung is near to say what the background is."""
        return int(np.count_nonzero(self.background)) >= LEAST_BACKGROUND_VOXELS

    @cached_property
    def noise_hu(self) -> float:
        """Noise in HU: robust spread of second differences along rows in the parenchyma, as for white noise."""
        middle = self.background[:, :, 1:-1]
        second = (self.hu[:, :, :-2] - 2 * self.hu[:, :, 1:-1] + self.hu[:, :, 2:])[middle]
        if len(second) < LEAST_BACKGROUND_VOXELS:
            return 0.0
        return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6))
