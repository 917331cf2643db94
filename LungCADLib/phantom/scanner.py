"""What a scanner does to the true HU: blur, slice thickness, noise, and the circle of reconstruction."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from LungCADLib.progress import Progress
from LungCADLib.scan import AIR_HU

KERNELS = {"soft": (0.70, 0.28), "sharp": (0.40, 0.60)}
"""By kernel: sigma in mm of the in-plane blur, and the frequency in cycles/mm where the noise is strongest."""

HIGHEST_HU = 3071


def scan_slices(
    hu: NDArray[np.int16],
    spacing: tuple[float, float, float],
    thickness: float,
    kernel: str,
    noise_hu: float,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Blur as the scanner does and add its noise, in place.

    The voxels already hold their own box average; thicker slices (`thickness` mm) add the rest of a box's variance,
    (t² - s²) / 12. Noise has the power spectrum f · exp(-f² / 2p²): none at zero frequency, most near p, as filtered
    backprojection leaves it (Riederer, Pelc and Chesler, Phys Med Biol 23:446, 1978).
    """
    if thickness > spacing[0]:
        sigma = float(np.sqrt((thickness**2 - spacing[0] ** 2) / 12) / spacing[0])
        ndimage.gaussian_filter1d(hu, sigma, 0, output=hu, mode="nearest")
    sigma_mm, peak = KERNELS[kernel]
    ny, nx = hu.shape[1:]
    f2 = (fft.fftfreq(ny, spacing[1])[:, None] ** 2 + fft.rfftfreq(nx, spacing[2])[None, :] ** 2).astype(np.float32)
    blur = np.exp(-2 * (np.pi * sigma_mm) ** 2 * f2).astype(np.float32)
    power = np.sqrt(f2) * np.exp(-f2 / (2 * peak**2))
    twice = np.full(f2.shape[1], 2.0)
    twice[0] = 1
    amplitude = np.sqrt(power / (power * twice).sum() / 2).astype(np.float32) * np.float32(noise_hu * ny * nx)
    for k in range(hu.shape[0]):
        spectrum = fft.rfft2(hu[k].astype(np.float32)) * blur
        spectrum += amplitude * rng.standard_normal((*f2.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        hu[k] = np.clip(np.rint(fft.irfft2(spectrum, (ny, nx))), AIR_HU, HIGHEST_HU)
        if k % 16 == 0:
            progress.update(0.7 + 0.3 * k / hu.shape[0])


def outside_circle(shape: tuple[int, int], spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """Which pixels (y, x) lie outside the circle of reconstruction, as wide as the longer side of the picture."""
    y, x = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True))
    radius = max(n * s for n, s in zip(shape, spacing, strict=True)) / 2
    return np.asarray(y[:, None] ** 2 + x[None, :] ** 2 > radius**2)
