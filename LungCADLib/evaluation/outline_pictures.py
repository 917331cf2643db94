"""What an engine drew beside what the reader drew, as one picture of a nodule."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask
from LungCADLib.pictures import window
from LungCADLib.training.nodule_sets import Case

READER, ENGINE, CLICK = (0, 220, 0), (255, 60, 40), (255, 220, 0)
"""Colors (red, green, blue) of the two outlines and of the click."""

SIDE_MM = 40.0
PIXEL_MM = 0.25
MOST_SLICES = 8
_GAP = 4


def comparison(case: Case, found: BoxMask) -> NDArray[np.uint8]:
    """Axial slices in a row, from the feet to the head, with both outlines.

    Parameters
    ----------
    case
        The nodule.
    found
        The engine's outline, on the case's grid.

    Returns
    -------
    uint8 (rows, columns, 3): the reader's outline green, the engine's red, the click yellow in its slice.
    """
    drawn = found.full(case.scan.geometry.shape)
    index = case.scan.geometry.to_index(case.click_lps_mm)
    clicked = round(float(index[0]))
    used = np.flatnonzero((drawn | case.truth).any(axis=(1, 2)) | (np.arange(len(drawn)) == clicked))
    if len(used) > MOST_SLICES:
        used = used[np.linspace(0, len(used) - 1, MOST_SLICES).round().astype(int)]
        used[np.abs(used - clicked).argmin()] = clicked
    n = round(SIDE_MM / PIXEL_MM)
    offsets = (np.arange(n) - n / 2 + 0.5) * PIXEL_MM
    rows, columns = (np.round(index[axis] + offsets / case.scan.spacing[axis]).astype(int) for axis in (1, 2))
    seen = ((rows >= 0) & (rows < drawn.shape[1]))[:, None] & ((columns >= 0) & (columns < drawn.shape[2]))
    at = np.ix_(np.clip(rows, 0, drawn.shape[1] - 1), np.clip(columns, 0, drawn.shape[2] - 1))
    tiles = []
    for z in used:
        tile = np.repeat((window(case.scan.hu[z]).astype(np.uint8)[at] * seen)[..., None], 3, axis=2)
        for mask, color in ((case.truth[z], READER), (drawn[z], ENGINE)):
            tile[_rim(mask[at] & seen)] = color
        if z == clicked:
            tile[n // 2 - 2 : n // 2 + 2, n // 2 - 2 : n // 2 + 2] = CLICK
        tiles += [tile, np.full((n, _GAP, 3), 255, np.uint8)]
    return np.hstack(tiles[:-1])


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return mask & ~ndimage.binary_erosion(mask)
