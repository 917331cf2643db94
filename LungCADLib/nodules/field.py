"""The field a network sees of a nodule: few pixels, as fine as the nodule is small, in slices as they were scanned.

Slices are the scan's own where these are as far apart as the field's are to be, otherwise interpolated. Pixels are
interpolated linearly. The same code cuts a field for training, turned and mirrored, and for reading.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 48
"""Of a field, along y and x."""

SLICES = 16
"""A field is as high as it is wide; with closer slices than for this number, slices are interpolated."""

DIAMETERS, MARGIN_MM = 1.6, 8.0
LEAST_MM = 20.0
"""A field's side is so many diameters of the nodule and a margin, and at least so long."""

AIR_HU, DENSE_HU = -1000.0, 400.0
MIDDLE_HU, SCALE_HU = -400.0, 400.0
USUAL_PIXEL_MM = 0.6

LONE_STEP_MM = 2.5
"""What is taken for the distance of slices where there is only one."""

NEAR = 1e-4
"""Indices this near to a slice's are that slice's."""

STYLES = ("volume", "slice")
"""What is drawn: a nodule as readers outline it in a volume, or as the one reader of the lone slices does."""

CHANNELS = 6
"""HU, nearness to the center, whether there is data, the pixel's size, the slices' distance, and the style."""

Size = tuple[int, int, int]


def side_mm(diameter_mm: float) -> float:
    """How wide a field is for a nodule."""
    return max(LEAST_MM, DIAMETERS * diameter_mm + MARGIN_MM)


@dataclass(frozen=True, eq=False)
class Field:
    """Where a network looks.

    Attributes
    ----------
    center
        Fractional (z, y, x) index in the volume.
    spacing
        Of the volume, mm (z, y, x).
    pixel_mm
        The field's pixel.
    slices
        Fractional z index of each slice in the volume (n,), rising, evenly spaced; the first and the last may lie
        beyond it.
    turn
        Orthogonal 2 x 2 from the field's (y, x) to the volume's.
    """

    center: tuple[float, float, float]
    spacing: tuple[float, float, float]
    pixel_mm: float
    slices: NDArray[np.float64]
    turn: NDArray[np.float64] = field(default_factory=lambda: np.eye(2))

    @property
    def step_mm(self) -> float:
        """Between slices."""
        return float((self.slices[1] - self.slices[0]) * self.spacing[0]) if len(self.slices) > 1 else LONE_STEP_MM

    @staticmethod
    def around(
        center: tuple[float, float, float], spacing: tuple[float, float, float], shape: Size, diameter_mm: float
    ) -> "Field":
        """The field for a nodule of a diameter at a fractional index (z, y, x) of a volume; within its slices."""
        side = side_mm(diameter_mm)
        step = max(1.0, side / SLICES / spacing[0])
        middle = float(np.clip(center[0], 0, shape[0] - 1))
        middle = float(round(middle)) if step == 1 else middle
        reach = side / 2 / spacing[0] / step
        # One slice may lie beyond the volume, so that its last slices are between two of the field's.
        below, above = (int(np.ceil(min(reach, n / step) - NEAR)) for n in (middle, shape[0] - 1 - middle))
        slices: NDArray[np.float64] = middle + step * np.arange(-below, above + 1, dtype=np.float64)
        return Field(center, spacing, side / PIXELS, slices)

    def _index(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """y and x index in the volume of the field's pixels, each (PIXELS, PIXELS)."""
        along = (np.arange(PIXELS) - (PIXELS - 1) / 2) * self.pixel_mm
        y, x = np.einsum("ij,jkl->ikl", self.turn, np.stack(np.meshgrid(along, along, indexing="ij")))
        return self.center[1] + y / self.spacing[1], self.center[2] + x / self.spacing[2]

    def sample(self, *volumes: NDArray) -> "Tensor":
        """float32 (volumes, n, PIXELS, PIXELS) of volumes (z, y, x); beyond their edges the edge's values go on."""
        y, x = self._index()
        inside = np.clip(self.slices, 0, volumes[0].shape[0] - 1)
        low = np.floor(inside + NEAR).astype(int)
        part = inside - low
        first, last = int(low[0]), int(min(low[-1] + 2, volumes[0].shape[0]))
        rows, columns = (_needed(index, n) for index, n in ((y, volumes[0].shape[1]), (x, volumes[0].shape[2])))
        cut = np.stack([volume[first:last, rows, columns].astype(np.float32) for volume in volumes])
        slices = cut[:, low - first]
        if (part > 1e-6).any():
            next_one = np.minimum(low - first + 1, cut.shape[1] - 1)
            slices = slices + part[None, :, None, None].astype(np.float32) * (cut[:, next_one] - slices)
        flat = slices.reshape(-1, *slices.shape[2:])
        return _bilinear(flat, y - rows.start, x - columns.start).reshape(len(volumes), len(low), PIXELS, PIXELS)

    def inputs(self, hu: NDArray, style: str = STYLES[0]) -> "Tensor":
        """float32 (n, CHANNELS, PIXELS, PIXELS): what the network sees of a volume of HU (z, y, x)."""
        return self.dressed(self.sample(hu)[0], hu.shape, style)

    def dressed(self, hu: "Tensor", shape: Size, style: str) -> "Tensor":
        """`inputs` from HU already in the field (n, PIXELS, PIXELS), of a volume of a shape."""
        import torch

        y, x = self._index()
        valid = (y > -0.5) & (y < shape[1] - 0.5) & (x > -0.5) & (x < shape[2] - 0.5)
        dz = (self.slices - self.center[0]) * self.spacing[0]
        dy, dx = (y - self.center[1]) * self.spacing[1], (x - self.center[2]) * self.spacing[2]
        width = PIXELS * self.pixel_mm / 4
        near = np.exp(-(dz[:, None, None] ** 2 + dy**2 + dx**2) / (2 * width**2))
        out = torch.zeros(len(self.slices), CHANNELS, PIXELS, PIXELS)
        out[:, 0] = (hu.clamp(AIR_HU, DENSE_HU) - MIDDLE_HU) / SCALE_HU
        out[:, 1] = torch.from_numpy(near)
        out[:, 2] = torch.from_numpy(valid)
        out[:, 3] = float(np.log(self.pixel_mm / USUAL_PIXEL_MM))
        out[:, 4] = float(np.log(self.step_mm / self.pixel_mm / 3))
        out[:, 5] = STYLES.index(style)
        return out

    def voxels(self, shape: Size) -> "Voxels":
        """The voxels of a volume of a shape (z, y, x) that lie around here, and where they lie in the field."""
        import torch

        half = (PIXELS - 1) / 2
        reach = [half * self.pixel_mm / s for s in self.spacing[1:]]
        first = [
            min(max(0, int(np.ceil(c - r))), n - 1) for c, r, n in zip(self.center[1:], reach, shape[1:], strict=True)
        ]
        last = [
            max(min(n, int(np.floor(c + r)) + 1), f + 1)
            for c, r, n, f in zip(self.center[1:], reach, shape[1:], first, strict=True)
        ]
        along = [
            (np.arange(a, b) - c) * s / self.pixel_mm
            for a, b, c, s in zip(first, last, self.center[1:], self.spacing[1:], strict=True)
        ]
        y, x = np.einsum("ij,jkl->ikl", np.linalg.inv(self.turn), np.stack(np.meshgrid(*along, indexing="ij"))) / half
        bottom = max(0, int(np.ceil(self.slices[0] - NEAR)))
        top = min(shape[0], int(np.floor(self.slices[-1] + NEAR)) + 1)
        at = (
            (np.arange(bottom, top) - self.slices[0]) * self.spacing[0] / self.step_mm
            if len(self.slices) > 1
            else np.zeros(1)
        )
        low = np.clip(np.floor(at + NEAR).astype(int), 0, len(self.slices) - 1)
        grid = torch.from_numpy(np.stack([x, y], axis=-1).astype(np.float32))
        part = torch.from_numpy((at - low).astype(np.float32))
        return Voxels((bottom, first[0], first[1]), torch.from_numpy(low), part, grid)


@dataclass(frozen=True, eq=False)
class Voxels:
    """A box of a volume's voxels, and where they lie in a field.

    Attributes
    ----------
    start
        The first voxel (z, y, x).
    slice_below, part
        The field's slice at or below each of the box's (z,), and how far on the way to the next one it lies (z,).
    grid
        (y, x, 2): x and y in the field, from -1 at the first pixel's center to 1 at the last one's.
    """

    start: Size
    slice_below: "Tensor"
    part: "Tensor"
    grid: "Tensor"

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The box as slices into the volume."""
        shape = (len(self.part), *self.grid.shape[:2])
        return tuple(slice(a, a + n) for a, n in zip(self.start, shape, strict=True))  # type: ignore[return-value]

    @property
    def seen(self) -> "Tensor":
        """bool (y, x): which lie in the field, which a turned one does not fill."""
        return (self.grid.abs() <= 1 + 1e-6).all(dim=-1)

    def values(self, of: "Tensor") -> "Tensor":
        """(z, y, x): what a field's values (n, PIXELS, PIXELS) are at the voxels, linear."""
        from torch.nn.functional import grid_sample

        above = (self.slice_below + 1).clamp(max=len(of) - 1)
        part = self.part[:, None, None]
        slices = of[self.slice_below] * (1 - part) + of[above] * part
        return grid_sample(slices[None], self.grid[None], padding_mode="border", align_corners=True)[0]


def _needed(index: NDArray[np.float64], n: int) -> slice:
    """The part of an axis of n voxels that interpolation at some indices needs."""
    first = int(np.clip(np.floor(index.min()), 0, n - 1))
    return slice(first, int(np.clip(np.ceil(index.max()) + 1, first + 1, n)))


def _bilinear(slices: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64]) -> "Tensor":
    """float32 (n, *y.shape): slices (n, rows, columns) at fractional indices, edges going on."""
    import torch
    from torch.nn.functional import grid_sample

    rows, columns = slices.shape[1:]
    grid = np.stack([2 * x / max(columns - 1, 1) - 1, 2 * y / max(rows - 1, 1) - 1], axis=-1)
    return grid_sample(
        torch.from_numpy(np.ascontiguousarray(slices))[None],
        torch.from_numpy(grid.astype(np.float32))[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )[0]
