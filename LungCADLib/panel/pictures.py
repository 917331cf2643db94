"""Small pictures of a nodule in three planes, its outline drawn on them."""

import re
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask
from LungCADLib.pictures import Plane, png, view
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule

PIXELS = 132
_OUTLINE = (240, 200, 60)
_SIDE_DIAMETERS, _SIDE_MIN_MM = 3.0, 30.0
_NUMBER = re.compile(r"-?\d+\.\d+")


def nodule_pictures(scan: Scan, nodule: Nodule, outline: BoxMask | None) -> dict[str, bytes]:
    """PNG files by plane (axial, coronal, sagittal), each a square around the nodule's center in the lung window."""
    side = picture_side_mm(nodule)
    pictures = {}
    for plane in get_args(Plane):
        seen = view(scan, plane, nodule.center_lps_mm, side, outline, PIXELS)
        pictures[plane] = png(_drawn(np.repeat(seen.gray[:, :, None], 3, axis=2), seen.outline))
    return pictures


def picture_side_mm(nodule: Nodule) -> float:
    """How much of the CT a nodule's pictures show."""
    return max(_SIDE_DIAMETERS * nodule.long_axis_mm, _SIDE_MIN_MM)


def _drawn(picture: NDArray[np.uint8], path: str) -> NDArray[np.uint8]:
    """The picture with a path of straight pieces (x and y from 0 to 1) drawn one pixel wide."""
    ends = np.array([float(number) for number in _NUMBER.findall(path)]).reshape(-1, 2, 2)
    if len(ends):
        steps = np.linspace(0, 1, 16)[None, :, None]
        points = (ends[:, :1] * (1 - steps) + ends[:, 1:] * steps).reshape(-1, 2) * PIXELS
        columns, rows = np.clip(points.astype(int), 0, PIXELS - 1).T
        picture[rows, columns] = _OUTLINE
    return picture
