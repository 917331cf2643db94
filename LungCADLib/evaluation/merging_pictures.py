"""Distance merging and Z merging, step by step, as a picture of one candidate.

Above, the slice in which the candidate was in the most parts, or where it is largest, four times: the CT; the U-Net's
probabilities over it; the parts that the slice falls into, each with its center and the disc of its area; the same
after distance merging. Below, from the left: the candidate from the front, with lines between the centers that Z
merging linked; then its slices from the feet to the head, what belongs to it in green and what does not in gray.
"""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.merging import Chain, SlicePart
from LungCADLib.detection.slice_reader import PIXEL_MM, Merged, Slices
from LungCADLib.pictures import window

SIDE_MM, ZOOM = 96, 4
"""Of a panel above: width, and pixels for each mm."""

TILE_MM, TILES = 48, 6
"""Of a slice below: width, and how many at most."""

GAP = 6
CHAIN, OTHER, LINK = (60, 220, 60), (150, 150, 150), (255, 220, 0)
COLORS = ((60, 220, 60), (255, 90, 60), (70, 150, 255), (255, 200, 0), (230, 80, 230), (0, 210, 210))
"""Of the parts of a slice, in turn."""

Rgb = NDArray[np.uint8]


def picture(slices: Slices, probability: NDArray, merged: Merged, chain: Chain) -> Rgb:
    """The steps that led to a candidate.

    Parameters
    ----------
    slices, probability
        What was read, and each pixel's probability (z, y, x).
    merged
        All that was found.
    chain
        The candidate.

    Returns
    -------
    uint8 (rows, columns, 3).
    """
    chosen = max(chain.parts, key=lambda part: (_pieces(part, merged), part.area_mm2)).slice
    _, y, x = chain.center
    top = _Panel(slices.hu[chosen], (y, x), SIDE_MM)
    steps = [top.copy(), top.copy(), top.copy(), top.copy()]
    steps[1].heat(probability[chosen].astype(np.float32))
    for panel, parts in ((steps[2], merged.parts), (steps[3], merged.near)):
        for k, part in enumerate(part for part in parts if part.slice == chosen):
            panel.part(part, COLORS[k % len(COLORS)])
    above = _beside([panel.rgb for panel in steps])
    below = _beside([_front(slices, chain), *_strip(slices, merged, chain)])
    wide = max(above.shape[1], below.shape[1])
    rows = [np.pad(row, [(0, 0), (0, wide - row.shape[1]), (0, 0)]) for row in (above, below)]
    return np.vstack([rows[0], np.zeros((GAP, wide, 3), np.uint8), rows[1]])


class _Panel:
    """A square of a slice around a place (row, column in mm), enlarged, to draw on."""

    def __init__(self, hu: NDArray[np.int16], center_mm: tuple[float, float], side_mm: int) -> None:
        self.low = tuple(round(mm / PIXEL_MM) - side_mm // 2 for mm in center_mm)
        self.side = side_mm
        self.rgb: Rgb = np.repeat(self._enlarged(window(hu))[..., None], 3, axis=2)

    def copy(self) -> "_Panel":
        other = object.__new__(_Panel)
        other.low, other.side, other.rgb = self.low, self.side, self.rgb.copy()
        return other

    def heat(self, share: NDArray[np.float32]) -> None:
        """Lay red over what is likely, the redder the likelier."""
        alpha = 0.7 * self._enlarged(share)[..., None]
        self.rgb = (self.rgb * (1 - alpha) + np.array([255, 40, 0]) * alpha).astype(np.uint8)

    def outline(self, part: SlicePart, color: tuple[int, int, int]) -> None:
        from scipy import ndimage

        mask = np.zeros((self.side, self.side), bool)
        at = part.pixels - self.low
        at = at[((at >= 0) & (at < self.side)).all(axis=1)]
        mask[tuple(at.T)] = True
        mask = mask.repeat(ZOOM, 0).repeat(ZOOM, 1)
        self.rgb[mask & ~ndimage.binary_erosion(mask)] = color

    def part(self, part: SlicePart, color: tuple[int, int, int]) -> None:
        """Outline, center, and disc of the same area."""
        self.outline(part, color)
        row, column = ((mm / PIXEL_MM - a + 0.5) * ZOOM for mm, a in zip(part.center_mm, self.low, strict=True))
        y, x = np.mgrid[: self.side * ZOOM, : self.side * ZOOM] + 0.5
        away = np.hypot(y - row, x - column)
        self.rgb[np.abs(away - part.radius_mm / PIXEL_MM * ZOOM) < 0.7] = color
        self.rgb[away < 0.6 * ZOOM] = color

    def _enlarged(self, image: NDArray) -> NDArray:
        out = np.zeros((self.side, self.side), image.dtype)
        inside = [(max(a, 0), min(a + self.side, n)) for a, n in zip(self.low, image.shape, strict=True)]
        if all(b > a for a, b in inside):
            into = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, self.low, strict=True))
            out[into] = image[tuple(slice(a, b) for a, b in inside)]
        return out.repeat(ZOOM, 0).repeat(ZOOM, 1)


def _strip(slices: Slices, merged: Merged, chain: Chain) -> list[Rgb]:
    """Slices of a candidate with what belongs to it and what does not."""
    _, y, x = chain.center
    own = {id(part) for part in chain.parts}
    shown = list(range(chain.slices[0], chain.slices[-1] + 1))
    if len(shown) > TILES:
        shown = [shown[round(k)] for k in np.linspace(0, len(shown) - 1, TILES)]
    tiles = []
    for z in shown:
        panel = _Panel(slices.hu[z], (y, x), TILE_MM)
        for part in (part for part in merged.near if part.slice == z):
            panel.outline(part, CHAIN if id(part) in own else OTHER)
        tiles.append(panel.rgb)
    return tiles


def _front(slices: Slices, chain: Chain) -> Rgb:
    """The candidate from the front, head up: each part's center, lines between those of neighboring slices."""
    z, y, x = chain.center
    rows, columns = TILE_MM * ZOOM, SIDE_MM * ZOOM
    at_z = z + ((np.arange(rows) + 0.5) / ZOOM - TILE_MM / 2)[::-1] / slices.slice_mm
    at_x = x / PIXEL_MM + ((np.arange(columns) + 0.5) / ZOOM - SIDE_MM / 2) / PIXEL_MM
    index = [np.rint(at).astype(int) for at in (at_z, at_x)]
    seen = [(i >= 0) & (i < n) for i, n in zip(index, slices.hu.shape[::2], strict=True)]
    row_y = int(np.clip(round(y / PIXEL_MM), 0, slices.hu.shape[1] - 1))
    inside = [np.clip(i, 0, n - 1) for i, n in zip(index, slices.hu.shape[::2], strict=True)]
    gray = window(slices.hu[:, row_y][np.ix_(*inside)]) * (seen[0][:, None] & seen[1][None])
    rgb: Rgb = np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)

    def place(part: SlicePart) -> tuple[float, float]:
        up = (TILE_MM / 2 - (part.slice - z) * slices.slice_mm) * ZOOM
        return up, (SIDE_MM / 2 + part.center_mm[1] - x) * ZOOM

    for one in chain.parts:
        for other in chain.parts:
            if one.slice < other.slice <= one.slice + 2 and not _between(chain, one.slice, other.slice):
                _line(rgb, place(one), place(other), LINK)
    for part in chain.parts:
        row, column = place(part)
        _line(rgb, (row, column - part.radius_mm * ZOOM), (row, column + part.radius_mm * ZOOM), CHAIN)
    return rgb


def _pieces(part: SlicePart, merged: Merged) -> int:
    """How many parts distance merging made a part of."""
    own = {tuple(pixel) for pixel in part.pixels.tolist()}
    return sum(one.slice == part.slice and tuple(one.pixels[0].tolist()) in own for one in merged.parts)


def _between(chain: Chain, low: int, high: int) -> bool:
    return any(low < k < high for k in chain.slices)


def _line(rgb: Rgb, start: tuple[float, float], end: tuple[float, float], color: tuple[int, int, int]) -> None:
    steps = int(max(abs(end[0] - start[0]), abs(end[1] - start[1]))) + 2
    rows, columns = (np.rint(np.linspace(a, b, steps)).astype(int) for a, b in zip(start, end, strict=True))
    seen = (rows >= 0) & (rows < rgb.shape[0]) & (columns >= 0) & (columns < rgb.shape[1])
    rgb[rows[seen], columns[seen]] = color


def _beside(panels: list[Rgb]) -> Rgb:
    gap = np.zeros((panels[0].shape[0], GAP, 3), np.uint8)
    return np.hstack([part for panel in panels for part in (panel, gap)][:-1])
