"""Volumes turned the way a Scan holds them: z toward the head, y toward the back, x toward the patient's left."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from LungCADLib.scan import Geometry


def upright(array: NDArray, geometry: Geometry) -> tuple[NDArray, Geometry]:
    """The same voxels at the same places, axes permuted and flipped so that they grow head-, back- and leftward.

    Parameters
    ----------
    array
        (k, j, i) on `geometry`.
    geometry
        Any orthogonal grid; oblique axes stay oblique.

    Returns
    -------
    array, geometry
        (z, y, x), C-contiguous, and its grid; direction times identity has the greatest trace a right-handed
        arrangement of the axes can have.
    """
    order, signs = _arrangement(np.asarray(geometry.direction, float))
    axes = tuple(2 - a for a in reversed(order))
    turned = np.transpose(array, axes)[tuple(slice(None, None, s) for s in reversed(signs))]
    direction = np.asarray(geometry.direction)[:, order] * np.array(signs)
    first = [0, 0, 0]
    for axis, sign in zip(order, signs, strict=True):
        if sign < 0:
            first[2 - axis] = geometry.shape[2 - axis] - 1
    corner = geometry.to_lps(first)
    return np.ascontiguousarray(turned), replace(
        geometry,
        shape=turned.shape,
        spacing=(geometry.spacing[axes[0]], geometry.spacing[axes[1]], geometry.spacing[axes[2]]),
        origin=(float(corner[0]), float(corner[1]), float(corner[2])),
        direction=direction,
    )


def _arrangement(direction: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """Which old axis (0 = i, 1 = j, 2 = k) becomes x, y and z, and with which sign."""
    best: tuple[float, list[int], list[int]] = (-np.inf, [0, 1, 2], [1, 1, 1])
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            candidate = direction[:, order] * signs
            trace = float(np.trace(candidate))
            if trace > best[0] + 1e-9 and np.linalg.det(candidate) > 0:
                best = (trace, list(order), list(signs))
    return best[1], best[2]
