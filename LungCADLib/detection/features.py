"""What a blob looks like: a few dozen numbers with a meaning, the same for a whole scan and for a small crop.

All are sampled on spheres around the blob whose radii follow the blob's own, so that a 4 mm and a 20 mm nodule of the
same form get the same numbers; size enters once, as itself.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.detection.blobs import AIR_FLOOR_HU, SOLID_CEILING_HU, Blobs, LungGrid

SHELLS = (0.4, 1.0, 1.5, 2.0, 3.0)
"""Radii of the sampled spheres, in blob radii."""

BRIGHT_CEILING_HU = 400
"""Contrast in vessels and calcium differ from soft tissue up to here."""

NAMES = (
    "log_radius",
    "response",
    "roundness",
    "flatness",
    "hazy",
    "contrast",
    "peak_hu",
    "brightest_hu",
    "background_hu",
    *(f"mean_{k}" for k in SHELLS[1:]),
    *(f"bright_{k}" for k in SHELLS[1:]),
    *(f"outside_{k}" for k in SHELLS[1:]),
    *(f"through_{k}" for k in SHELLS[1:]),
    *(f"branch_{k}" for k in SHELLS[1:]),
    "vessels_6mm",
    "vessels_12mm",
)


def describe(grid: LungGrid, blobs: Blobs) -> NDArray[np.float64]:
    """(n, len(NAMES)) numbers for n blobs.

    `mean`, `through` and `branch` are relative to the blob's own contrast (0 lung around it, 1 its center): the mean
    over a sphere; the brightest pair of opposite directions, which a vessel running through has at every radius; and
    the brightest direction. `bright` is the part of the sphere brighter than half the contrast, `outside` the part that
    is not lung, `vessels` the part of the lung brighter than -500 HU at a distance of so many mm from the center.
    """
    directions = _directions()
    radius = np.sqrt(3) * blobs.sigma_mm
    reach = radius[:, None] * np.array(SHELLS)
    raw, inside = _sample(grid, blobs.index, reach, directions)
    brightest = np.clip(raw[:, 0].mean(1), AIR_FLOOR_HU, BRIGHT_CEILING_HU)
    hu = np.clip(raw, AIR_FLOOR_HU, SOLID_CEILING_HU)
    fixed_hu, fixed_inside = _sample(grid, blobs.index, np.broadcast_to([6.0, 12.0], (len(blobs), 2)), directions)

    outer = np.where(inside[:, 3:], hu[:, 3:], np.nan)
    outer = np.where(np.isnan(outer).all((1, 2), keepdims=True), hu[:, 3:], outer)
    background = np.nanpercentile(outer, 30, axis=(1, 2))
    peak = hu[:, 0].mean(1)
    contrast = np.maximum(peak - background, 20.0)
    relative = np.clip((hu - background[:, None, None]) / contrast[:, None, None], -0.5, 2.0)
    relative_inside = np.where(inside, relative, 0.0)
    lung_share = np.maximum(inside.mean(2), 1e-3)

    eigenvalues = blobs.eigenvalues
    columns = [
        np.log(radius),
        blobs.response / 500,
        blobs.roundness,
        eigenvalues[:, 1] / eigenvalues[:, 0],
        blobs.hazy.astype(float),
        contrast / 500,
        peak / 500,
        brightest / 500,
        background / 500,
    ]
    half = len(directions) // 2
    pair = np.minimum(relative_inside[:, :, :half], relative_inside[:, :, half:])
    for values in (
        relative_inside.sum(2) / (lung_share * len(directions)),
        ((relative > 0.5) & inside).sum(2) / (lung_share * len(directions)),
        1 - inside.mean(2),
        pair.max(2),
        relative_inside.max(2),
    ):
        columns.extend(values[:, k] for k in range(1, len(SHELLS)))
    fixed_share = np.maximum(fixed_inside.mean(2), 1e-3)
    columns.extend((((fixed_hu > -500) & fixed_inside).mean(2) / fixed_share).T)
    return np.stack(columns, 1)


def _sample(
    grid: LungGrid, centers: NDArray, reach: NDArray, directions: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """HU and region at centers (n, 3) + reach (n, k) * directions (d, 3): two (n, k, d) arrays."""
    points = centers[:, None, None, :] + reach[:, :, None, None] * directions[None, None]
    flat = points.reshape(-1, 3).T
    hu = ndimage.map_coordinates(grid.hu, flat, np.float32, order=1, mode="nearest")
    inside = ndimage.map_coordinates(grid.region, flat, np.uint8, order=0, mode="constant", cval=0)
    shape = points.shape[:3]
    return hu.reshape(shape).astype(float), inside.reshape(shape).astype(bool)


def _directions(pairs: int = 32) -> NDArray[np.float64]:
    """(2 * pairs, 3) evenly spread unit vectors; row i + pairs is opposite to row i (Fibonacci half sphere)."""
    i = np.arange(pairs) + 0.5
    z = 1 - i / pairs
    turn = np.pi * (1 + np.sqrt(5)) * i
    half = np.stack([z, np.sqrt(1 - z**2) * np.sin(turn), np.sqrt(1 - z**2) * np.cos(turn)], 1)
    return np.concatenate([half, -half])
