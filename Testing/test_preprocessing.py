"""The named steps on pictures, each by a hand-worked example."""

import numpy as np
import pytest

from LungCADLib.malignancy.preprocessing import (
    OF_PATCHES,
    STEPS,
    Step,
    denoised,
    enhanced,
    eroded,
    eroded_mask,
    inverted,
    lung_field,
    preprocessed,
    rotations,
    segmented,
)

PICTURE = np.array([[1, 2, 3, 4], [5, 90, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]], np.int16)


def test_erosion_of_a_mask_takes_the_rim_with_its_corners():
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:5] = True
    mask[1, 1] = False
    # Of the inner 2 x 2, the pixel that touches the missing corner goes, too.
    assert np.argwhere(eroded_mask(mask)).tolist() == [[2, 3], [3, 2], [3, 3]]


def test_the_edge_of_the_picture_takes_nothing_from_a_mask():
    assert eroded_mask(np.ones((3, 3), bool)).all()


def test_gray_erosion_is_the_lowest_of_nine():
    assert eroded(PICTURE).tolist() == [[1, 1, 2, 3], [1, 1, 2, 3], [5, 5, 7, 7], [9, 9, 10, 11]]


def test_noise_removal_is_the_median_of_nine():
    # Around the outlier: 1 2 3 5 7 9 10 11 90.
    assert denoised(PICTURE)[1, 1] == 7
    assert (denoised(np.full((5, 5), 40)) == 40).all()


def test_enhancement_doubles_the_difference_from_the_mean_of_nine():
    # Around the outlier the mean is 138 / 9; 2 * 90 - 15.33 = 164.67.
    assert enhanced(PICTURE)[1, 1] == 165
    assert (enhanced(np.full((5, 5), -700)) == -700).all()


def test_inversion_is_within_the_lung_window():
    assert inverted(np.array([[-1024, -1000, -300, 0, 400, 3000]])).tolist() == [[400, 400, -300, -600, -1000, -1000]]
    assert (inverted(inverted(PICTURE)) == PICTURE).all()


def chest():
    """A slice 9 x 9: air around a body, in it a lung with a nodule."""
    hu = np.full((9, 9), -1000, np.int16)
    hu[1:8, 1:8] = 40
    hu[2:7, 2:7] = -850
    hu[4, 4] = 30
    return hu


def test_the_lung_is_air_that_does_not_reach_the_edge_with_its_nodule():
    expected = np.zeros((9, 9), bool)
    expected[2:7, 2:7] = True
    assert (lung_field(chest()) == expected).all()
    only = segmented(chest())
    assert only[4, 4] == 30
    assert (only[~expected] == -1024).all()


def test_a_slice_without_lung_has_no_field():
    assert not lung_field(np.full((5, 5), -1000)).any()
    assert not lung_field(np.full((5, 5), 40)).any()


@pytest.mark.parametrize("step", Step)
def test_a_stack_is_its_slices_one_by_one(step):
    random = np.random.default_rng(0)
    stack = random.integers(-1000, 400, (3, 12, 12)).astype(np.int16)
    together = STEPS[step](stack)
    assert together.dtype == np.int16
    for one, alone in zip(together, stack, strict=True):
        assert (one == STEPS[step](alone)).all()


def test_steps_follow_each_other():
    hu = np.random.default_rng(0).integers(-1000, 400, (9, 9)).astype(np.int16)
    assert (preprocessed(hu, [Step.DENOISE, Step.INVERT]) == inverted(denoised(hu))).all()
    assert (preprocessed(hu, []) == hu).all()


def test_what_needs_the_whole_slice_is_not_for_patches():
    assert set(Step) - set(OF_PATCHES) == {Step.SEGMENT}


def test_a_full_turn_has_36_copies_and_the_first_is_the_middle_itself():
    hu = np.random.default_rng(0).integers(-1000, 400, (15, 15)).astype(np.int16)
    copies = rotations(hu, 7)
    assert copies.shape == (36, 7, 7)
    assert (copies[0] == hu[4:11, 4:11]).all()


def test_a_quarter_turn_is_clockwise():
    hu = np.zeros((9, 9), np.int16)
    hu[2, 4] = 100  # above the middle
    quarter = rotations(hu, 5)[9]
    assert np.argwhere(quarter).tolist() == [[2, 4]]  # on its right
    assert (quarter == np.rot90(hu, -1)[2:7, 2:7]).all()


def test_the_corners_of_turned_copies_show_what_was_scanned():
    assert (rotations(np.full((15, 15), -850, np.int16), 9) == -850).all()
    # A bright rim just beyond √2 times the copy's half is never seen; a rim within it is.
    hu = np.zeros((31, 31), np.int16)
    hu[[0, -1]] = hu[:, [0, -1]] = 100
    assert (rotations(hu, 19) == 0).all()
    assert (rotations(hu, 21) > 0).any()


def test_a_picture_too_small_to_turn_is_refused():
    with pytest.raises(ValueError, match="too small"):
        rotations(np.zeros((9, 9)), 7)
    with pytest.raises(ValueError, match="no equal steps of 7"):
        rotations(np.zeros((9, 9)), 3, 7)
