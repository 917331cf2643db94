"""Outlines as voxels: lungs as one label volume, each nodule as a small box."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from LungCADLib.scan import Box, Geometry
from LungCADLib.study import LungsInfo


class LungLabel(IntEnum):
    """Values in a lung label volume. Right and left are the patient's."""

    BACKGROUND = 0
    RIGHT = 1
    LEFT = 2
    AIRWAY = 3


@dataclass(frozen=True, eq=False)
class BoxMask:
    """A mask that is False outside a box of the scan's grid.

    Parameters
    ----------
    start
        (z, y, x) of the box's first voxel in the scan.
    mask
        bool (z, y, x).
    """

    start: tuple[int, int, int]
    mask: NDArray[np.bool_]

    @property
    def box(self) -> Box:
        """The box as slices into the scan's array."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.mask.shape, strict=True))  # type: ignore[return-value]

    def full(self, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """The mask on the whole grid."""
        out = np.zeros(shape, bool)
        out[self.box] = self.mask
        return out

    def trimmed(self, margin: int = 0) -> "BoxMask":
        """The same mask in the smallest box that holds it, plus a margin of False voxels."""
        if not self.mask.any():
            return BoxMask(self.start, np.zeros((1, 1, 1), bool))
        found = [np.flatnonzero(self.mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        inner = self.mask[tuple(slice(int(f[0]), int(f[-1]) + 1) for f in found)]
        start = tuple(int(s + f[0] - margin) for s, f in zip(self.start, found, strict=True))
        return BoxMask(start, np.pad(inner, margin))  # type: ignore[arg-type]

    def padded(self, margin: ArrayLike, shape: tuple[int, int, int]) -> "BoxMask":
        """The same mask in a box wider by `margin` voxels (z, y, x) on each side, clipped to a grid of `shape`."""
        low = np.maximum(np.array(self.start) - np.asarray(margin), 0)
        high = np.minimum(np.array(self.start) + self.mask.shape + np.asarray(margin), shape)
        mask = np.zeros(high - low, bool)
        mask[tuple(slice(a, a + n) for a, n in zip(np.array(self.start) - low, self.mask.shape, strict=True))] = (
            self.mask
        )
        return BoxMask((int(low[0]), int(low[1]), int(low[2])), mask)


@dataclass(frozen=True, eq=False)
class Lungs:
    """What a lung engine answers, on the scan's grid.

    Parameters
    ----------
    labels
        uint8 (z, y, x) of `LungLabel`; nodules and vessels inside or touching the wall belong to the lung.
    region
        bool (z, y, x): where nodules are looked for. The lungs without the airways, or a safe region where the engine
        does not trust its own lungs.
    info
        Volumes and verdict.
    """

    labels: NDArray[np.uint8]
    region: NDArray[np.bool_]
    info: LungsInfo


@dataclass(eq=False)
class Masks:
    """Every outline of a study on the scan's grid: `lungs` uint8 of `LungLabel`, `nodules` by nodule id."""

    geometry: Geometry
    lungs: NDArray[np.uint8]
    nodules: dict[str, BoxMask] = field(default_factory=dict)


def in_plane_diameter_mm(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """Diameter of the disc with the area of a mask's (z, y, x) largest slice; spacing in mm (z, y, x)."""
    area = float(mask.sum(axis=(1, 2)).max()) * spacing[1] * spacing[2]
    return float(2 * np.sqrt(area / np.pi))
