"""The detector that needs no downloaded weights: scale-space blobs, scored by what they look like."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.blobs import MASS_FROM_SIGMA_MM, Blobs, LungGrid, find_blobs, lung_grid
from LungCADLib.detection.features import describe
from LungCADLib.detection.score import BlobScore
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.study import Candidate
from LungCADLib.weights import bundled_table

MOST_CANDIDATES = 500


class BlobDetector:
    """Blobs of every scale inside the lungs, scored by interpretable features."""

    def __call__(self, scan: Scan, lungs: Lungs, progress: Progress) -> list[Candidate]:
        """All candidates, highest score first."""
        grid = lung_grid(scan, lungs.region)
        progress.update(0.2)
        blobs = find_blobs(grid)
        progress.update(0.9)
        if not len(blobs):
            return []
        scores = score_model().predict(describe(grid, blobs))
        best = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
        return as_candidates(grid, blobs.take(best), scores[best])


def as_candidates(grid: LungGrid, blobs: Blobs, scores: NDArray[np.float64]) -> list[Candidate]:
    """Blobs of a grid in the patient, highest score (n,) first."""
    centers = grid.geometry.to_lps(blobs.index)
    candidates = []
    for i in np.argsort(-scores, kind="stable"):
        mass = blobs.sigma_mm[i] >= MASS_FROM_SIGMA_MM
        candidates.append(
            Candidate(
                center_lps_mm=(float(centers[i, 0]), float(centers[i, 1]), float(centers[i, 2])),
                radius_mm=float(np.sqrt(3) * blobs.sigma_mm[i]),
                kind="ground-glass" if blobs.hazy[i] else ("mass" if mass else "solid"),
                score=float(scores[i]),
            )
        )
    return candidates


@cache
def score_model() -> BlobScore:
    """The packaged score."""
    return BlobScore.from_json(bundled_table("blob-score"))


detect = BlobDetector()
