"""Ground glass, soft tissue, calcium, fat: one digital example each, then what must not fool them."""

import numpy as np
import pytest
from digital_nodule import ball_patch, filled
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.nodules.density import read_density
from LungCADLib.nodules.patch import Patch

THIN = (1.0, 0.7, 0.7)
half = st.floats(-0.5, 0.5)


def density(patch, solidity=1.0, diameter=12.0):
    return read_density(patch, solidity, diameter)


def with_core(patch, hu, diameter_mm, shift_mm=(0.0, 0.0, 0.0)):
    """The patch with a ball of other tissue at its middle."""
    shape, steps = patch.mask.shape, np.array(patch.spacing)
    center = np.array(shape) // 2 * steps + np.array(shift_mm)
    share = filled(shape, patch.spacing, center, (diameter_mm / 2,) * 3)
    return Patch((patch.hu * (1 - share) + hu * share).astype(np.float32), patch.mask, patch.lung, patch.spacing)


def test_each_class():
    solid, glass = ball_patch(12, THIN)[0], ball_patch(12, THIN, -600)[0]
    assert density(solid).density == "solid"
    assert density(glass).density == "non-solid"
    assert density(with_core(glass, 0, 7)).density == "part-solid"
    assert density(with_core(solid, 600, 9)).density == "calcified"
    assert density(with_core(solid, -80, 9)).density == "fat-containing"


@pytest.mark.parametrize("spacing", [(2.5, 0.7, 0.7), (5.0, 0.7, 0.7)])
@pytest.mark.parametrize("diameter", [4, 5, 6])
def test_a_small_solid_nodule_in_thick_slices_is_no_ground_glass(diameter, spacing):
    rng = np.random.default_rng(2)
    found = []
    for _ in range(10):
        shift = tuple(rng.random(3) - 0.5)
        patch = ball_patch(diameter, spacing, shift=shift, noise=20, seed=int(rng.integers(99)))[0]
        if patch.mask.any():
            found.append(density(patch).density)
    assert found
    assert "non-solid" not in found


@given(st.floats(5, 15), st.floats(-650, -500), st.tuples(half, half, half), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_ground_glass_stays_ground_glass_wherever_it_lies_and_in_noise(diameter, hu, shift, seed):
    patch = ball_patch(diameter, (1.25, 0.7, 0.7), hu, shift=shift, noise=30, seed=seed)[0]
    assert density(patch).density == "non-solid"


@pytest.mark.parametrize("seed", range(4))
def test_a_sharp_kernels_noise_makes_neither_calcium_nor_fat(seed):
    patch = ball_patch(14, THIN, 40, noise=90, seed=seed)[0]
    reading = density(patch)
    assert (reading.density, reading.calcification) == ("solid", "none")


def test_contrast_is_no_calcium():
    assert density(ball_patch(14, THIN, 130, noise=20)[0]).calcification == "none"


def test_calcium_all_through_is_diffuse():
    assert density(ball_patch(8, THIN, 700)[0]).calcification == "diffuse"


def test_calcium_in_the_middle_is_central():
    assert density(with_core(ball_patch(14, THIN)[0], 500, 8)).calcification == "central"


def test_a_shell_of_calcium_is_laminated():
    shell = with_core(with_core(ball_patch(18, THIN)[0], 500, 16.5), 30, 13)
    assert density(shell).calcification == "laminated"


def test_several_clumps_of_calcium_are_popcorn():
    patch = ball_patch(20, THIN)[0]
    for shift in ((0, -5, 0), (0, 3, 5), (0, 3, -5), (5, 0, 0)):
        patch = with_core(patch, 500, 6, shift)
    assert density(patch).calcification == "popcorn"


def test_calcium_on_one_side_is_eccentric_and_leaves_the_nodule_solid():
    reading = density(with_core(ball_patch(16, THIN)[0], 500, 8, (0, 0, 4)))
    assert (reading.density, reading.calcification) == ("solid", "eccentric")


def test_fat_counts_in_smooth_nodules_only():
    fatty = with_core(ball_patch(12, THIN)[0], -80, 9)
    assert density(fatty, solidity=0.7).density == "solid"
    assert density(fatty, diameter=40).density == "solid"
