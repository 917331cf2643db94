"""What a nodule is made of: ground glass, soft tissue, calcium, fat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.nodules.patch import Patch
from LungCADLib.study import Calcification, Density

SMOOTHING_MM = 0.5
QUIET_NOISE_HU = 40.0
MOST_SMOOTHING_MM = 1.0
"""Smoothing within slices: the first where noise is below the second, growing with noise up to the last."""

POINT_SPREAD_SLICES = 0.5
POINT_SPREAD_MM = 0.9
"""Blur taken for the scanner's and the outline's together, as a Gaussian's sigma: across slices in slices, within them
in mm. It says how full each voxel of a small nodule can be expected to be."""

LEAST_FILL = 0.4
CORE_SHARE = 60.0
"""Of the voxels, the per cent expected to be fullest are asked what the nodule is made of."""

SOFT_TISSUE_HU = -325.0
NON_SOLID_PERCENTILE = 75.0
SOLID_PERCENTILE = 50.0
"""Non-solid: the first percentile of the core, brought to full voxels, is below the level. Solid: the second is above.
Part-solid: between. Scholten et al., Eur Radiol 2015;25:488 found -300 HU to tell part-solid from non-solid best."""

CALCIUM_HU = 200.0
"""Above the 164 HU that Siegelman et al., Radiology 1986;160:307 took without contrast, for scans with it."""

CALCIFIED_SHARE = 0.10
"""A share of the core above `CALCIUM_HU` makes a calcification."""

TISSUE_HU = -50.0
DIFFUSE_SHARE = 0.6
"""Calcium is diffuse where this share of the voxels above `TISSUE_HU` is calcium: then HU fall from calcium straight to
lung, with no rim of soft tissue."""

ECCENTRIC_OFFSET = 0.35
CENTRAL_SPREAD = 0.7
LAMINATED_SPREAD = 0.95
POPCORN_CLUSTERS = 3
"""Where else calcium lies: off the nodule's center by this share of its radius, eccentric; in several clusters,
popcorn; by its mean distance from the center over the nodule's own, central below the one share and laminated above the
other. Khan et al., Ann Thorac Med 2010;5:67 describe the patterns."""

FAT_HU = (-120.0, -40.0)
"""Fat in a smooth nodule of at most 2.5 cm: Siegelman et al., Radiology 1986;160:313 (hamartoma)."""
FAT_DEPTH_MM = 2.0
FAT_LEAST_MM3 = 15.0
FAT_SHARE = 0.25
FAT_GROUND_GLASS_SHARE = 0.05
FAT_LARGEST_MM = 30.0
FAT_SOLIDITY = 0.85


@dataclass(frozen=True)
class DensityReading:
    """Class and calcification, with the HU they were read from.

    Parameters
    ----------
    upper_hu, middle_hu
        The two percentiles of the core, brought to full voxels, that decide between ground glass and soft tissue.
    calcium_share
        Share of the core above `CALCIUM_HU`.
    """

    density: Density
    calcification: Calcification
    upper_hu: float
    middle_hu: float
    calcium_share: float


def smoothed(patch: Patch) -> NDArray[np.float32]:
    """HU (z, y, x) smoothed within slices by what the noise asks for."""
    from scipy import ndimage

    sigma = float(np.clip(SMOOTHING_MM * patch.noise_hu / QUIET_NOISE_HU, SMOOTHING_MM, MOST_SMOOTHING_MM))
    out: NDArray[np.float32] = ndimage.gaussian_filter(
        patch.hu, [0, sigma / patch.spacing[1], sigma / patch.spacing[2]]
    )
    return out


def expected_fill(patch: Patch) -> NDArray[np.float32]:
    """How full (0 to 1) each voxel (z, y, x) can be expected to be of the nodule, its outline blurred as the scan is.

    A 4 mm nodule in 2.5 mm slices has no full voxel: its HU stay below those of its tissue, more so the thicker the
    slices, and must be compared with this.
    """
    from scipy import ndimage

    sigma = [POINT_SPREAD_SLICES, POINT_SPREAD_MM / patch.spacing[1], POINT_SPREAD_MM / patch.spacing[2]]
    out: NDArray[np.float32] = ndimage.gaussian_filter(patch.mask.astype(np.float32), sigma, mode="constant")
    return out


def read_density(patch: Patch, solidity: float, diameter_mm: float) -> DensityReading:
    """Class and calcification pattern of a nodule.

    The voxels expected to be fullest are brought to what a full voxel would measure,
    lung + (HU - lung) / expected fill, and their percentiles compared with the level above. Level and percentiles were
    chosen on the `lidc-vois` nodules of patients with odd numbers; `Testing/test_nodules_readers.py` holds the
    agreement with the readers' texture and calcification on the even ones.

    Parameters
    ----------
    patch
        The nodule.
    solidity, diameter_mm
        Its shape: fat is looked for in smooth nodules of limited size only.
    """
    hu = smoothed(patch)
    fill = expected_fill(patch)
    core = patch.mask & (fill >= np.percentile(fill[patch.mask], 100 - CORE_SHARE))
    full = patch.background_hu + (hu[core] - patch.background_hu) / np.maximum(fill[core], LEAST_FILL)
    upper, middle = (float(v) for v in np.percentile(full, [NON_SOLID_PERCENTILE, SOLID_PERCENTILE]))

    share = float(np.mean(hu[core] > CALCIUM_HU))
    calcification = _pattern(patch, hu) if share >= CALCIFIED_SHARE else "none"
    density: Density
    if calcification not in ("none", "eccentric"):
        density = "calcified"
    elif upper < SOFT_TISSUE_HU:
        density = "non-solid"
    elif middle <= SOFT_TISSUE_HU:
        density = "part-solid"
    elif solidity >= FAT_SOLIDITY and diameter_mm <= FAT_LARGEST_MM and _has_fat(patch, hu):
        density = "fat-containing"
    else:
        density = "solid"
    return DensityReading(density, calcification, upper, middle, share)


def _pattern(patch: Patch, hu: NDArray[np.float32]) -> Calcification:
    """How the calcium lies in the nodule: central, diffuse, laminated and popcorn are the benign patterns."""
    from scipy import ndimage

    calcium = patch.mask & (hu > CALCIUM_HU)
    steps = np.array(patch.spacing)
    nodule, spots = np.argwhere(patch.mask) * steps, np.argwhere(calcium) * steps
    center = nodule.mean(axis=0)
    radius = float(np.cbrt(3 / (4 * np.pi) * len(nodule) * steps.prod()))
    if len(spots) >= DIFFUSE_SHARE * np.count_nonzero(patch.mask & (hu > TISSUE_HU)):
        return "diffuse"
    if float(np.linalg.norm(spots.mean(axis=0) - center)) > ECCENTRIC_OFFSET * radius:
        return "eccentric"
    if ndimage.label(calcium, np.ones((3, 3, 3)))[1] >= POPCORN_CLUSTERS:
        return "popcorn"
    own = np.linalg.norm(nodule - center, axis=1).mean()
    spread = float(np.linalg.norm(spots - center, axis=1).mean() / own)
    if spread < CENTRAL_SPREAD:
        return "central"
    return "laminated" if spread > LAMINATED_SPREAD else "diffuse"


def _has_fat(patch: Patch, hu: NDArray[np.float32]) -> bool:
    """Whether a cluster of fat lies deep inside, where no lung shares the voxels."""
    from scipy import ndimage

    deep = patch.inside_mm >= FAT_DEPTH_MM + max(patch.spacing[0], patch.spacing[1])
    fat = deep & (hu >= FAT_HU[0]) & (hu <= FAT_HU[1])
    labels, count = ndimage.label(fat)
    # Ground glass passes through fat's HU on its way down; fat has nothing darker beside it.
    if not count or np.count_nonzero(deep & (hu < FAT_HU[0])) > FAT_GROUND_GLASS_SHARE * np.count_nonzero(deep):
        return False
    largest = int(np.bincount(labels.ravel())[1:].max())
    large = largest * float(np.prod(patch.spacing)) >= FAT_LEAST_MM3
    return large and largest >= FAT_SHARE * int(np.count_nonzero(deep))
