"""Volume to a fraction of a voxel, on digital ellipsoids of known volume."""

import time

import numpy as np
import pytest
from digital_nodule import LUNG_HU, ball_patch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from LungCADLib.nodules.patch import Patch
from LungCADLib.nodules.volume import partial_volume_mm3

half = st.floats(-0.5, 0.5)


@given(
    st.floats(4, 12),
    st.floats(0.6, 1.5),
    st.floats(0.6, 0.9),
    st.sampled_from([30.0, -600.0]),
    st.tuples(half, half, half),
    st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_within_5_percent_for_turned_ellipsoids_in_thin_slices(diameter, dz, pixel, hu, shift, seed):
    frame = Rotation.random(random_state=seed).as_matrix()
    patch, truth = ball_patch(diameter, (dz, pixel, pixel), hu, shift=shift, stretch=(1.2, 1, 0.85), frame=frame)
    assert partial_volume_mm3(patch) == pytest.approx(truth, rel=0.05)


@given(
    st.floats(6, 14),
    st.floats(1.5, 2.5),
    st.floats(0.6, 0.9),
    st.sampled_from([30.0, -600.0]),
    st.tuples(half, half, half),
)
@settings(max_examples=15, deadline=None)
def test_within_5_percent_for_balls_of_6_mm_and_more_in_thick_slices(diameter, dz, pixel, hu, shift):
    patch, truth = ball_patch(diameter, (dz, pixel, pixel), hu, shift=shift)
    assert partial_volume_mm3(patch) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("diameter", [4, 5])
def test_a_small_ball_in_the_thickest_slices_is_right_on_the_average_and_never_far_off(diameter):
    rng = np.random.default_rng(3)
    ratio = []
    for _ in range(12):
        patch, truth = ball_patch(diameter, (2.5, 0.7, 0.7), shift=tuple(rng.random(3) - 0.5))
        ratio.append(partial_volume_mm3(patch) / truth)
    assert np.mean(ratio) == pytest.approx(1, abs=0.05)
    assert np.median(np.abs(np.array(ratio) - 1)) < 0.05
    assert np.abs(np.array(ratio) - 1).max() < 0.2


def test_a_lesion_on_two_thick_slices_takes_no_longer_than_others():
    patch, truth = ball_patch(26, (5.0, 0.6, 0.6), -600, shift=(0.5, 0.2, 0.3), stretch=(0.4, 0.7, 1.2), noise=30)
    started = time.process_time()
    volume = partial_volume_mm3(patch)
    assert time.process_time() - started < 2
    assert volume == pytest.approx(truth, rel=0.05)


def test_a_30_mm_mass():
    patch, truth = ball_patch(30, (2.5, 0.7, 0.7))
    assert partial_volume_mm3(patch) == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize(("hu", "tolerance"), [(30, 0.05), (-600, 0.1)])
def test_noise_adds_no_volume(hu, tolerance):
    ratio = []
    for seed in range(4):
        patch, truth = ball_patch(8, (1.25, 0.7, 0.7), hu, noise=30, seed=seed)
        ratio.append(partial_volume_mm3(patch) / truth)
    assert np.mean(ratio) == pytest.approx(1, abs=tolerance)


@pytest.mark.parametrize("grown", [-1, 1])
def test_an_outline_one_pixel_off_changes_little(grown):
    from scipy import ndimage

    patch, truth = ball_patch(12, (1.0, 0.7, 0.7))
    change = ndimage.binary_dilation if grown > 0 else ndimage.binary_erosion
    other = Patch(patch.hu, change(patch.mask), patch.lung, patch.spacing)
    assert partial_volume_mm3(other) == pytest.approx(truth, rel=0.05)
    assert abs(other.mask.sum() / patch.mask.sum() - 1) > 0.2


def test_the_wall_and_a_vessel_that_touch_are_not_counted():
    patch, truth = ball_patch(10, (1.0, 0.7, 0.7))
    hu = patch.hu.copy()
    rows = np.flatnonzero(patch.mask.any(axis=(0, 2)))
    middle = patch.mask.shape[0] // 2
    wall = np.zeros_like(patch.mask)
    wall[:, rows[-1] :, :] = True
    vessel = np.zeros_like(patch.mask)
    vessel[middle - 1 : middle + 2, : rows[0] + 2, patch.mask.shape[2] // 2 - 1 : patch.mask.shape[2] // 2 + 2] = True
    hu[wall | (vessel & ~patch.mask)] = 40
    attached = Patch(hu, patch.mask & ~wall, patch.lung & ~wall, patch.spacing)
    assert partial_volume_mm3(attached) == pytest.approx(truth, rel=0.1)


def test_without_contrast_or_lung_nearby_the_voxels_are_counted():
    patch, _ = ball_patch(8, (1.0, 0.7, 0.7), hu=LUNG_HU + 60)
    plain = patch.mask.sum() * np.prod(patch.spacing)
    assert partial_volume_mm3(patch) == pytest.approx(plain)
    drowned = Patch(np.full_like(patch.hu, 20), patch.mask, patch.lung, patch.spacing)
    assert partial_volume_mm3(drowned) == pytest.approx(plain)
