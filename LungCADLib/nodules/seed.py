"""A candidate from a point: how large is the thing a person pointed at?"""

import numpy as np

from LungCADLib.scan import Scan
from LungCADLib.study import Candidate

RADII_MM = (1.7, 2.4, 3.5, 4.9, 6.9, 9.7, 13.9, 19.6, 27.7)
CLIP_HU = (-1000, 150)


def candidate_at(scan: Scan, center_lps_mm: tuple[float, float, float]) -> Candidate:
    """The candidate at an LPS position: its radius is that of the ball whose Laplacian of Gaussian answers best there.

    The response of a ball of radius r is greatest at sigma = r / sqrt(3) (Lindeberg, IJCV 1998;30:79).
    """
    part = scan.crop(scan.geometry.box_around(center_lps_mm, 2.2 * RADII_MM[-1])).resampled(1.0)
    hu = np.clip(part.hu, *CLIP_HU).astype(np.float32)
    center = part.geometry.to_index(center_lps_mm)
    z, y, x = (np.arange(n) - c for n, c in zip(hu.shape, center, strict=True))
    squared = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2
    responses = []
    for radius in RADII_MM:
        sigma2 = radius**2 / 3
        kernel = (3 - squared / sigma2) * np.exp(-squared / (2 * sigma2)) / sigma2**1.5
        kernel[squared > 12 * sigma2] = 0
        kernel -= (kernel.sum() / (squared <= 12 * sigma2).sum()) * (squared <= 12 * sigma2)
        responses.append(float((kernel * hu).sum()))
    best = int(np.argmax(responses))
    return Candidate(center_lps_mm, RADII_MM[best], "solid", 1.0)
