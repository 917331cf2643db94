"""What the reduction network looks at."""

import numpy as np
import pytest

from LungCADLib.detection.views import LARGE_RADIUS_MM, NO_DATA, SIDE, pyramid, views


def ball(radius, shape=(100, 100, 100), center=(50, 50, 50), hu=0, lung=-800):
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    inside = sum((a - c) ** 2 for a, c in zip((z, y, x), center, strict=True)) <= radius**2
    return np.where(inside, hu, lung).astype(np.int16)


def seen(hu, center=(50, 50, 50), radius=3.0, **options):
    return views(pyramid(hu), np.array([center], float), np.array([radius]), **options)[0]


def wide(view):
    return int((view[SIDE // 2, SIDE // 2] > 110).sum())


def test_the_far_view_shows_a_nodule_half_as_wide():
    near, far = seen(ball(6))
    assert near.shape == far.shape == (SIDE, SIDE, SIDE)
    assert wide(near) == pytest.approx(12, abs=1.5)
    assert wide(far) == pytest.approx(6, abs=1.5)


@pytest.mark.parametrize("radius", [LARGE_RADIUS_MM, 2 * LARGE_RADIUS_MM, 3 * LARGE_RADIUS_MM])
def test_a_mass_looks_as_a_nodule_does(radius):
    near, _ = seen(ball(radius, shape=(120, 120, 120), center=(60, 60, 60)), (60, 60, 60), radius)
    assert wide(near) == pytest.approx(2 * LARGE_RADIUS_MM, abs=1.5)


def test_grays_span_the_window_and_leave_zero_for_what_was_not_scanned():
    hu = np.full((40, 40, 40), -3000, np.int16)
    hu[:, :, 20:] = 3000
    near, far = seen(hu, (0, 20, 20))
    assert near[0, 12, 12] == NO_DATA and near[-1, 12, 0] == 1 and near[-1, 12, -1] == 255
    assert (far == NO_DATA).mean() > (near == NO_DATA).mean()


def test_a_view_may_be_turned():
    hu = np.full((60, 60, 60), -800, np.int16)
    hu[30, 30, 30:] = 0  # a line along x
    quarter = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)
    straight = seen(hu, (30, 30, 30))[0].astype(int)
    turned = seen(hu, (30, 30, 30), turns=quarter[None])[0].astype(int)
    moved = (
        np.abs(turned - np.rot90(straight, 1, (1, 2))).mean(),
        np.abs(turned - np.rot90(straight, -1, (1, 2))).mean(),
    )
    assert min(moved) == 0 < max(moved)


def test_coarser_grids_are_means():
    hu = np.arange(5 * 4 * 4, dtype=np.int16).reshape(5, 4, 4)
    fine, half = pyramid(hu, 2)
    assert half.shape == (3, 2, 2)
    assert half[0, 0, 0] == fine[:2, :2, :2].mean()
    assert half[2, 0, 0] == fine[4, :2, :2].mean()
