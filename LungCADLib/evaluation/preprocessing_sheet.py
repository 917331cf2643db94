"""A sheet of pictures: what each preprocessing step does to a nodule, and the turned copies."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.preprocessing import OF_PATCHES, STEPS, eroded_mask, rotations
from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU, SIDE_PIXELS, square
from LungCADLib.pictures import window

COLUMNS = ("as scanned", *OF_PATCHES, "outline", "eroded outline")
"""Of the first row, from the left; below it, the 36 turned copies."""

ZOOM = 4
GAP = 4
COPIES_ABREAST = 12
_OUTLINE = np.array([0, 220, 0], np.uint8)


def sheet(hu: NDArray[np.int16], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The steps of a nodule's slice (y, x) with its outline, and its turned copies: uint8 (rows, columns, 3)."""
    tiles = [_gray(hu), *(_gray(STEPS[step](hu)) for step in OF_PATCHES)]
    for outline in (mask, eroded_mask(mask)):
        tile = _gray(hu)
        tile[outline] = (tile[outline].astype(int) + _OUTLINE) // 2
        tiles.append(tile)
    steps = _row([_larger(tile, ZOOM) for tile in tiles])
    side = int(min(hu.shape) / np.sqrt(2))
    copies = [_gray(copy) for copy in rotations(hu, side)]
    zoom = max(1, (steps.shape[1] // COPIES_ABREAST - GAP) // side)
    rows = [
        _row([_larger(copy, zoom) for copy in copies[first : first + COPIES_ABREAST]])
        for first in range(0, len(copies), COPIES_ABREAST)
    ]
    width = max(row.shape[1] for row in (steps, *rows))
    return np.vstack([_framed(row, width) for row in (steps, *rows)])


def phantom_sheet() -> NDArray[np.uint8]:
    """The sheet of a nodule of a synthetic chest, so that it shows nobody's CT."""
    from LungCADLib.phantom import small_phantom

    phantom = small_phantom(0)
    outline = max(phantom.masks.nodules.values(), key=lambda one: int(one.mask.sum()))
    z = int(outline.mask.sum(axis=(1, 2)).argmax())
    y, x = (round(float(v)) for v in np.argwhere(outline.mask[z]).mean(axis=0) + outline.start[1:])
    hu, mask = phantom.scan.hu[outline.start[0] + z], np.zeros(phantom.scan.hu.shape[1:], bool)
    mask[outline.box[1:]] = outline.mask[z]
    return sheet(square(hu, (y, x), SIDE_PIXELS), square(mask, (y, x), SIDE_PIXELS))


def _gray(hu: NDArray) -> NDArray[np.uint8]:
    low, high = LUNG_WINDOW_HU
    return np.repeat(window(hu, ((low + high) / 2, high - low))[..., None], 3, axis=2)


def _larger(tile: NDArray[np.uint8], zoom: int) -> NDArray[np.uint8]:
    return tile.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _row(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.full((tiles[0].shape[0], GAP, 3), 255, np.uint8)
    return np.hstack([part for tile in tiles for part in (tile, gap)][:-1])


def _framed(row: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    return np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255)
