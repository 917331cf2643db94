"""Whether a volume of numbers can be a chest CT in HU at all."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.scan import AIR_HU, Geometry

# Darker than fat (-120 HU) and than any partial volume of it: only air and lung.
AIR_BELOW_HU = -400
# Softer than air by far; a scan holds some tissue.
TISSUE_ABOVE_HU = -200
MIN_PART = 0.001
# Aerated lung between the air outside (-1000) and tissue, and how much of it makes a lung: a normal one holds 2 liters.
LUNG_HU = (-960, -500)
MIN_LUNG_ML = 20.0
_BLOCK_MM = 5.0


def check_range(low: float, high: float, air_part: float, tissue_part: float) -> None:
    """Refuse values that are clearly not HU.

    Parameters
    ----------
    low, high
        The least and the greatest value.
    air_part, tissue_part
        Parts of the volume below `AIR_BELOW_HU` and above `TISSUE_ABOVE_HU`.

    Raises
    ------
    InputError
        The message is the reason without a subject.
    """
    span = f"its values run from {low:g} to {high:g}"
    if low == high:
        raise InputError(f"every voxel is {low:g}, so there is no picture")
    if low >= -1 and high <= 1:
        raise InputError(f"{span}, which is a normalized picture and not HU; give the CT in HU")
    if low >= 0 and high <= 255:
        raise InputError(f"{span}, which is an 8-bit picture or a label map and not HU; give the CT in HU")
    if low >= 0:
        raise InputError(f"{span}, so they are not HU (air is -1000); apply the rescale slope and intercept first")
    if air_part < MIN_PART:
        raise InputError(f"{span} and almost no voxel is as dark as air, so it is not a chest CT in HU")
    if tissue_part < MIN_PART:
        raise InputError(f"{span} and almost no voxel is as bright as tissue, so it is not a chest CT in HU")


def check(hu: NDArray[np.int16], low: float, high: float) -> None:
    """`check_range` for a volume in any order of axes; `low` and `high` are its extremes before clipping.

    Padding is exactly -1024 and no air: around stored values that were never rescaled it would pass for it.
    """
    sample = hu[:, ::2, ::2]
    air = (sample < AIR_BELOW_HU) & (sample > AIR_HU)
    check_range(low, high, float(np.mean(air)), float(np.mean(sample > TISSUE_ABOVE_HU)))


def lung_ml(hu: NDArray[np.int16], geometry: Geometry) -> float:
    """Milliliters about as dense as aerated lung with tissue on at least three of the four sides in the axial plane.

    Measured on means over blocks of about 5 mm, eroded once, so that noise, skin and cables do not count. Three sides,
    because a tight field of view may cut the fourth; cushions and clothing have the patient on one side only. On the
    real chest CTs at hand, slabs included, it is 500 ml or more; on a head CT with large cushions it is 5 ml.
    """
    from scipy import ndimage

    size = [max(1, round(_BLOCK_MM / s)) for s in geometry.spacing]
    shape = [n // b for n, b in zip(hu.shape, size, strict=True)]
    if min(shape) < 3:
        return 0.0
    blocks = np.empty(shape, np.float32)
    for k in range(shape[0]):
        slab = hu[k * size[0] : (k + 1) * size[0], : shape[1] * size[1], : shape[2] * size[2]]
        blocks[k] = slab.reshape(size[0], shape[1], size[1], shape[2], size[2]).mean(axis=(0, 2, 4), dtype=np.float32)
    tissue = blocks > TISSUE_ABOVE_HU
    sides = np.zeros(shape, np.uint8)
    for axis in (1, 2):
        sides += np.maximum.accumulate(tissue, axis)
        sides += np.flip(np.maximum.accumulate(np.flip(tissue, axis), axis), axis)
    lung = ndimage.binary_erosion((blocks > LUNG_HU[0]) & (blocks < LUNG_HU[1]) & (sides >= 3), border_value=1)
    return float(lung.sum()) * float(np.prod(size)) * geometry.voxel_mm3 / 1000
