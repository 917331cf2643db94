"""Phantoms to learn from: every build, spacing, slice thickness, kernel and dose, with nodules of every kind."""

from collections.abc import Callable, Iterator

import numpy as np

from LungCADLib.detection.blobs import find_blobs, lung_grid
from LungCADLib.detection.features import describe
from LungCADLib.lungs import segment_lungs
from LungCADLib.phantom import varied_phantom
from LungCADLib.training.detection_grounds import LESION_MARGIN_MM, NEITHER, NOT_A_NODULE, Ground

FIRST_SEED = 700_000
"""Phantoms from this seed on teach; evaluation uses smaller seeds."""


def phantom_grounds(count: int, seed: int, follow: Callable[[str], None], budget: int) -> Iterator[Ground]:
    """Phantoms with at most `budget` blobs each, and which of those are nodules."""
    for i in range(count):
        follow(f"phantom {i + 1} of {count}")
        phantom = varied_phantom(FIRST_SEED + 1000 * seed + i)
        scan = phantom.scan
        region = segment_lungs(scan).region
        grid = lung_grid(scan, region)
        blobs = find_blobs(grid, budget)
        lps = grid.geometry.to_lps(blobs.index)
        lesion = np.full(len(blobs), NOT_A_NODULE)
        for k, nodule in enumerate(phantom.nodules):
            distance = np.linalg.norm(lps - np.array(nodule.center_lps_mm), axis=1)
            lesion[distance < nodule.diameter_mm / 2 + LESION_MARGIN_MM] = NEITHER
            lesion[distance < nodule.diameter_mm / 2] = k
        features = describe(grid, blobs)
        yield Ground(f"phantom {i}", True, scan, region, grid, blobs, features, lesion, len(phantom.nodules))
