"""What the phantom's scanner does to HU: noise of the asked strength and texture, blur, slice thickness, padding."""

import numpy as np
import pytest

from LungCADLib.phantom.scanner import outside_circle, scan_slices
from LungCADLib.progress import Progress

SPACING = (2.0, 0.7, 0.8)


def scanned(hu, *, spacing=SPACING, thickness=2.0, kernel="soft", noise_hu=0.0):
    out = hu.astype(np.int16)
    scan_slices(out, spacing, thickness, kernel, noise_hu, np.random.default_rng(0), Progress())
    return out.astype(float)


@pytest.mark.parametrize("kernel", ["soft", "sharp"])
@pytest.mark.parametrize("size", [(96, 128), (95, 127)])
def test_noise_has_the_asked_standard_deviation_and_no_bias(kernel, size):
    noisy = scanned(np.full((20, *size), -100), kernel=kernel, noise_hu=25)
    assert noisy.std() == pytest.approx(25, rel=0.03)
    assert noisy.mean() == pytest.approx(-100, abs=0.3)


def test_a_sharp_kernel_makes_finer_noise_and_sharper_edges():
    flat = np.full((8, 128, 128), 0)

    def neighbor_correlation(kernel):
        noise = scanned(flat, kernel=kernel, noise_hu=30)
        return np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]

    assert neighbor_correlation("soft") > neighbor_correlation("sharp") + 0.2
    step = flat.copy()
    step[..., 40:90] = 1000
    rise = {kernel: np.diff(scanned(step, kernel=kernel)[4, 64]).max() for kernel in ("soft", "sharp")}
    assert rise["sharp"] > 1.2 * rise["soft"]


def test_blur_keeps_the_sum():
    point = np.full((9, 64, 64), 0)
    point[4, 30, 33] = 2000
    assert scanned(point)[4].sum() == pytest.approx(2000, rel=0.02)


def test_a_thicker_slice_spreads_along_z_as_a_box_of_its_thickness_does():
    column = np.full((41, 32, 32), 0)
    column[20] = 3000
    profile = scanned(column, spacing=(1.0, 0.7, 0.7), thickness=5.0)[:, 16, 16]
    z = np.arange(41) - 20
    variance = (profile * z**2).sum() / profile.sum()
    assert variance == pytest.approx((5.0**2 - 1) / 12, rel=0.05)
    assert scanned(column, spacing=(1.0, 0.7, 0.7), thickness=1.0)[19, 16, 16] == 0


def test_padding_lies_outside_the_circle_only():
    outside = outside_circle((60, 60), (1.0, 1.0))
    assert outside[0, 0] and outside[59, 59]
    assert not outside[30, 0] and not outside[30, 30]
    assert 1 - outside.mean() == pytest.approx(np.pi / 4, abs=0.02)


def test_the_circle_is_as_wide_as_the_longer_side_in_mm():
    outside = outside_circle((40, 100), (1.5, 1.0))
    assert not outside[20].any()
    assert not outside[0, 20:80].any()
    assert outside[0, 0]
