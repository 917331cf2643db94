"""Sheets of small pictures, to look at what a network was shown and what it made of it."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.pictures import png

GAP = 2
"""White pixels between two pictures."""


def sheet(pictures: NDArray[np.floating], columns: int = 16, zoom: int = 2) -> bytes:
    """A PNG file with pictures (n, y, x) in -1..1, row by row, each pixel `zoom` wide.

    Raises
    ------
    ValueError
        If there is no picture.
    """
    if not len(pictures):
        raise ValueError("A sheet needs at least one picture.")
    gray = np.clip((pictures + 1) * 127.5, 0, 255).astype(np.uint8).repeat(zoom, axis=1).repeat(zoom, axis=2)
    n, height, width = gray.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    out = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), 255, np.uint8)
    for i, picture in enumerate(gray):
        y, x = i // columns * (height + GAP), i % columns * (width + GAP)
        out[y : y + height, x : x + width] = picture
    return png(out)


def beside(first: NDArray[np.floating], second: NDArray[np.floating], columns: int = 16) -> bytes:
    """A sheet of pairs (n, y, x): a row of the first, below it what became of them, and so on."""
    parts = [
        some[start : start + columns]
        for start in range(0, len(first) // columns * columns or len(first), columns)
        for some in (first, second)
    ]
    return sheet(np.concatenate(parts), min(columns, len(first)))
