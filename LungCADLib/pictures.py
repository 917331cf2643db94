"""Gray pictures of a scan: slices through a point, projections of the lungs, outlines as paths, PNG files."""

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask, LungLabel
from LungCADLib.scan import AIR_HU, Scan

Plane = Literal["axial", "coronal", "sagittal"]

LUNG_WINDOW = (-600.0, 1500.0)
"""Center and width in HU of the window lungs are read in (Fleischner glossary; the usual -600/1500)."""

# Windows of the overview: the brightest voxels along a ray through a lung are vessels near 0 HU, and a mean over the
# whole body is lower than any tissue in it.
_VESSELS, _BODY = (-150.0, 1000.0), (-500.0, 1000.0)

# Which array axes (of z, y, x) run down and to the right of each picture, as radiologists look at them: the head is
# up, and the patient's right is on the left of axial and coronal pictures.
_AXES: dict[Plane, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}

# A mark's outline sits on this level between outside (0) and inside (1).
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class View:
    """A square gray picture of one slice.

    Parameters
    ----------
    gray
        uint8 (rows, columns), windowed.
    side_mm
        Length of the picture's side.
    outline
        Path of the mask's outline in SVG's words, in units of the picture's side (0 to 1, y down); empty without one.
    """

    gray: NDArray[np.uint8]
    side_mm: float
    outline: str


def view(
    scan: Scan,
    plane: Plane,
    lps: tuple[float, float, float],
    side_mm: float,
    mask: BoxMask | None = None,
    pixels: int = 224,
) -> View:
    """A square of a slice around a position, linear, in the lung window; what lies beyond the scan is black.

    Parameters
    ----------
    scan
        The scan; the slice runs along its grid, as the scanner made it.
    plane
        The array axis held fixed: z for axial, y for coronal, x for sagittal.
    lps
        The picture's center, mm.
    side_mm, pixels
        The picture's side.
    mask
        What to outline, on the scan's grid.
    """
    from scipy import ndimage

    fixed, down, right = _AXES[plane]
    center = scan.geometry.to_index(lps)
    at = int(np.clip(round(float(center[fixed])), 0, scan.hu.shape[fixed] - 1))
    offsets = ((np.arange(pixels) + 0.5) / pixels - 0.5) * side_mm
    rows = center[down] + (-offsets if down == 0 else offsets) / scan.spacing[down]
    columns = center[right] + offsets / scan.spacing[right]
    low = np.maximum(np.floor([rows.min(), columns.min()]).astype(int) - 1, 0)
    high = np.ceil([rows.max(), columns.max()]).astype(int) + 2
    crop = np.take(scan.hu, at, axis=fixed)[low[0] : high[0], low[1] : high[1]]
    points = np.meshgrid(rows - low[0], columns - low[1], indexing="ij")
    hu = ndimage.map_coordinates(crop.astype(np.float32), points, order=1, cval=AIR_HU)
    path = ""
    if mask is not None and mask.start[fixed] <= at < mask.start[fixed] + mask.mask.shape[fixed]:
        slab = np.pad(np.take(mask.mask, at - mask.start[fixed], axis=fixed), 1)
        row, column = _contour(slab)
        row = (row + mask.start[down] - 1 - center[down]) * scan.spacing[down] / side_mm
        column = (column + mask.start[right] - 1 - center[right]) * scan.spacing[right] / side_mm
        path = _path(_HALF + (-row if down == 0 else row), _HALF + column)
    return View(window(hu), side_mm, path)


def window(hu: NDArray, center_width: tuple[float, float] = LUNG_WINDOW) -> NDArray[np.uint8]:
    """HU as gray values 0 to 255."""
    center, width = center_width
    return np.clip((hu - (center - width / 2)) * (255 / width), 0, 255).astype(np.uint8)


def _contour(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The border of a 2D mask as segments (n, 2) of rows and columns, corners cut (marching squares on two levels).

    Each segment joins the midpoints of two of the four sides of a square between pixel centers.
    """
    corners = [mask[:-1, :-1], mask[:-1, 1:], mask[1:, 1:], mask[1:, :-1]]
    case = sum(corner.astype(np.uint8) << bit for bit, corner in enumerate(corners))
    pieces = [
        (np.argwhere(case == number), _SIDES_OF_SQUARE[a], _SIDES_OF_SQUARE[b])
        for number, ends in _MARCHING.items()
        for a, b in ends
    ]
    row = np.concatenate([square[:, :1] + np.array([[a[0], b[0]]]) for square, a, b in pieces])
    column = np.concatenate([square[:, 1:] + np.array([[a[1], b[1]]]) for square, a, b in pieces])
    return row, column


# Midpoints (row, column) of a square's sides: top, right, bottom, left.
_SIDES_OF_SQUARE = ((0.0, 0.5), (0.5, 1.0), (1.0, 0.5), (0.5, 0.0))
# Which sides the border crosses, by which corners are inside (bits: top left, top right, bottom right, bottom left);
# Lorensen and Cline, SIGGRAPH 1987, in two dimensions.
_MARCHING: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 3),),
    2: ((0, 1),),
    3: ((1, 3),),
    4: ((1, 2),),
    5: ((0, 3), (1, 2)),
    6: ((0, 2),),
    7: ((2, 3),),
    8: ((2, 3),),
    9: ((0, 2),),
    10: ((0, 1), (2, 3)),
    11: ((1, 2),),
    12: ((1, 3),),
    13: ((0, 1),),
    14: ((0, 3),),
}


def _path(row: NDArray[np.float64], column: NDArray[np.float64]) -> str:
    return "".join(f"M{x[0]:.4f} {y[0]:.4f}L{x[1]:.4f} {y[1]:.4f}" for y, x in zip(row, column, strict=True))


@dataclass(frozen=True, eq=False)
class Overview:
    """The lungs as if looked through: the brightest voxel along each ray, over a faint picture of the whole body.

    Parameters
    ----------
    gray
        uint8 (rows, columns), pixels `mm` apart both ways.
    mm
        Size of a pixel.
    plane
        "coronal": seen from the front; "sagittal": seen from the patient's left.
    """

    gray: NDArray[np.uint8]
    mm: float
    plane: Plane
    scan: Scan

    def place(self, lps: tuple[float, float, float]) -> tuple[float, float]:
        """Row and column of a position, in pixels from the picture's upper left corner."""
        _, down, right = _AXES[self.plane]
        index = self.scan.geometry.to_index(lps) + _HALF
        row = (self.scan.hu.shape[down] - index[down]) * self.scan.spacing[down] / self.mm
        return float(row), float(index[right] * self.scan.spacing[right] / self.mm)


def overviews(scan: Scan, lungs: NDArray[np.uint8], height: int = 320) -> tuple[Overview, Overview]:
    """The front and side views of the lungs.

    Parameters
    ----------
    scan
        The scan.
    lungs
        uint8 (z, y, x) of `LungLabel`.
    height
        Rows of the pictures.
    """
    bright = [np.full((scan.hu.shape[0], scan.hu.shape[axis]), AIR_HU, np.int16) for axis in (2, 1)]
    whole = [np.empty(picture.shape, np.float32) for picture in bright]
    for z, (hu, labels) in enumerate(zip(scan.hu, lungs, strict=True)):
        thin = hu[::2, ::2]
        whole[0][z] = np.repeat(thin.mean(axis=0), 2)[: hu.shape[1]]
        whole[1][z] = np.repeat(thin.mean(axis=1), 2)[: hu.shape[0]]
        inside = (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT)
        if inside.any():
            lung = np.where(inside, hu, np.int16(AIR_HU))
            bright[0][z] = lung.max(axis=0)
            bright[1][z] = lung.max(axis=1)
    mm = scan.hu.shape[0] * scan.spacing[0] / height
    views = []
    for plane, near, far in zip(("coronal", "sagittal"), bright, whole, strict=True):
        right = _AXES[plane][2]  # type: ignore[index]
        columns = max(1, round(scan.hu.shape[right] * scan.spacing[right] / mm))
        gray = np.maximum(window(near, _VESSELS), window(far, _BODY) // 2)
        views.append(Overview(_stretched(gray[::-1], (height, columns)), mm, plane, scan))  # type: ignore[arg-type]
    return views[0], views[1]


def _stretched(gray: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    from scipy import ndimage

    steps = [(np.arange(n) + 0.5) * old / n - 0.5 for n, old in zip(shape, gray.shape, strict=True)]
    points = np.meshgrid(*steps, indexing="ij")
    return ndimage.map_coordinates(gray.astype(np.float32), points, order=1, mode="nearest").astype(np.uint8)


def png(gray: NDArray[np.uint8]) -> bytes:
    """An 8-bit gray (rows, columns) or RGB (rows, columns, 3) picture as a PNG file (ISO/IEC 15948)."""
    rows, columns = gray.shape[:2]
    color = 0 if gray.ndim == 2 else 2
    flat = gray.reshape(rows, -1)
    # Filter type 2 (Up): each row as its difference from the one above, which is small in a smooth picture.
    above = np.vstack([np.zeros_like(flat[:1]), flat[:-1]])
    lines = np.hstack([np.full((rows, 1), 2, np.uint8), flat - above])
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, color, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
