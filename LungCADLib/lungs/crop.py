"""The lung in a small crop, where nothing says which way is up: for nodules cut out of scans."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from LungCADLib.scan import Scan

AERATED_HU = -500
LEAST_MM3 = 2000.0
CLOSING_MM = 9.0


def crop_region(scan: Scan) -> NDArray[np.bool_]:
    """Aerated lung of a crop with what it encloses or nearly encloses: vessels, nodules, nodules on the wall.

    Parameters
    ----------
    scan
        A crop a few centimeters wide.

    Returns
    -------
    bool (z, y, x) on the crop's grid; all True where nothing is aerated.
    """
    cubic = scan.resampled(1.0)
    aerated = ndimage.gaussian_filter(cubic.hu.astype(np.float32), 1.0) < AERATED_HU
    labels, count = ndimage.label(aerated)
    if not count:
        return np.ones(scan.hu.shape, bool)
    size = np.bincount(labels.ravel())
    size[0] = 0
    lung = np.isin(labels, np.flatnonzero(size >= min(LEAST_MM3, size.max())))
    pad = int(CLOSING_MM) + 3
    padded = np.pad(lung, pad, mode="edge")
    grown = ndimage.distance_transform_edt(~padded) <= CLOSING_MM
    closed = (ndimage.distance_transform_edt(grown) > CLOSING_MM)[pad:-pad, pad:-pad, pad:-pad] | lung
    return cubic.geometry.resample(closed.astype(np.uint8), scan.geometry, nearest=True).astype(bool)
