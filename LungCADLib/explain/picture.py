"""Heat maps over the CT, as a picture for people."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.explain.maps import HeatMap
from LungCADLib.masks import BoxMask
from LungCADLib.pictures import LUNG_WINDOW, window
from LungCADLib.scan import Scan

PANEL = 360
"""Pixels of a panel's side."""
GAP = 6
OPACITY = 0.65
FOR = np.array([255, 70, 0], np.float32)
AGAINST = np.array([0, 110, 255], np.float32)
OUTLINE = np.array([60, 255, 60], np.uint8)


def picture(scan: Scan, outline: BoxMask | None, maps: list[HeatMap], z: int) -> NDArray[np.uint8]:
    """An axial slice, alone and under each map: red where a value speaks for the answer, blue where against.

    Each map's color is full at its own greatest value anywhere. The patient's right is on the left.

    Parameters
    ----------
    scan, outline
        The CT, and the nodule's outline, drawn on the slice alone and on none of the maps.
    maps
        What to show.
    z
        The slice.

    Returns
    -------
    uint8 (rows, columns, 3): `PANEL` square panels side by side, as wide as the first map's box.
    """
    _, y, x = maps[0].box
    at = [
        np.linspace(s.start - 0.5, s.stop - 0.5, PANEL, endpoint=False) + 0.5 * (s.stop - s.start) / PANEL
        for s in (y, x)
    ]
    gray = _sampled(window(scan.hu[z], LUNG_WINDOW).astype(np.float32), at)
    plain = np.repeat(gray[..., None], 3, axis=2)
    panels = [plain.astype(np.uint8)]
    if outline is not None and outline.box[0].start <= z < outline.box[0].stop:
        whole = np.zeros(scan.hu.shape[1:], np.float32)
        whole[outline.box[1:]] = outline.mask[z - outline.start[0]]
        inside = _sampled(whole, at) > 0.5
        panels[0][inside & ~_eroded(inside)] = OUTLINE
    for each in maps:
        heat = np.zeros(scan.hu.shape[1:], np.float32)
        if each.box[0].start <= z < each.box[0].stop:
            heat[each.box[1:]] = each.values[z - each.start[0]]
        share = _sampled(heat, at)[..., None] / max(float(np.abs(each.values).max()), 1e-12)
        alpha = OPACITY * np.abs(share)
        panels.append((plain * (1 - alpha) + np.where(share > 0, FOR, AGAINST) * alpha).astype(np.uint8))
    gap = np.zeros((PANEL, GAP, 3), np.uint8)
    return np.hstack([part for panel in panels for part in (panel, gap)][:-1])


def _sampled(image: NDArray[np.float32], at: list[NDArray]) -> NDArray[np.float32]:
    from scipy import ndimage

    return ndimage.map_coordinates(image, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return ndimage.binary_erosion(mask, iterations=2)
