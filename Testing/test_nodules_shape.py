"""Size and form from an outline alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.nodules.shape import measure_shape

share = st.floats(0, 1, exclude_max=True)


def ellipsoid(axes, spacing, shift=(0.0, 0.0, 0.0), turn=0.0):
    """Voxels (z, y, x) with their centers in an ellipsoid of semi-axes in mm, turned in its slices."""
    steps = np.array(spacing)
    shape = [2 * int(max(axes) / s + 2) + 1 for s in spacing]
    at = (np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) // 2 - np.array(shift).reshape(3, 1, 1, 1)) * (
        steps.reshape(3, 1, 1, 1)
    )
    y, x = at[1] * np.cos(turn) - at[2] * np.sin(turn), at[1] * np.sin(turn) + at[2] * np.cos(turn)
    return (at[0] / axes[0]) ** 2 + (y / axes[1]) ** 2 + (x / axes[2]) ** 2 <= 1


@given(st.floats(4, 30), share, share)
@settings(max_examples=60, deadline=None)
def test_a_discs_axes_are_its_diameter_within_a_pixel(diameter, dy, dx):
    disc = ellipsoid((0.1, diameter / 2, diameter / 2), (1, 1, 1), (0, dy, dx))
    measured = measure_shape(disc, (1, 1, 1))
    assert measured.long_axis_mm == pytest.approx(diameter, abs=1.0)
    assert measured.short_axis_mm == pytest.approx(diameter, abs=1.1)


@pytest.mark.parametrize("diameter", [4, 5, 6, 8, 10, 15, 20, 30])
def test_over_many_positions_both_axes_of_discs_are_unbiased(diameter):
    rng = np.random.default_rng(1)
    found = [
        measure_shape(ellipsoid((0.1, diameter / 2, diameter / 2), (1, 1, 1), (0, *rng.random(2))), (1, 1, 1))
        for _ in range(40)
    ]
    mean = np.mean([(s.long_axis_mm + s.short_axis_mm) / 2 for s in found])
    assert mean == pytest.approx(diameter, abs=0.3)
    assert np.mean([s.long_axis_mm for s in found]) == pytest.approx(diameter, abs=0.4)


@given(st.sampled_from([(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (1.25, 0.8, 0.8)]), st.tuples(share, share, share))
@settings(max_examples=20, deadline=None)
def test_a_ball_is_round_solid_and_of_its_volume_and_surface_at_any_spacing(spacing, shift):
    ball = measure_shape(ellipsoid((6, 6, 6), spacing, shift), spacing)
    assert ball.volume_mm3 == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.06)
    assert ball.surface_mm2 == pytest.approx(4 * np.pi * 36, rel=0.08)
    assert ball.sphericity > 0.95
    assert ball.solidity == 1
    assert ball.circularity > 0.9
    assert ball.area_mm2 == pytest.approx(np.pi * 36, rel=0.1)


@given(st.floats(0, np.pi))
@settings(max_examples=30, deadline=None)
def test_the_axes_of_an_ellipse_do_not_depend_on_how_it_is_turned(turn):
    shape = measure_shape(ellipsoid((4, 5, 10), (1, 0.7, 0.7), turn=turn), (1, 0.7, 0.7))
    assert shape.long_axis_mm == pytest.approx(20, abs=0.6)
    assert shape.short_axis_mm == pytest.approx(10, abs=0.6)
    assert shape.elongation == pytest.approx(0.5, abs=0.04)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_any_mask_measures_the_same_mirrored_and_moved(voxels):
    mask = np.zeros((6, 8, 8), bool)
    mask[tuple(np.array(voxels).T)] = True
    one = measure_shape(mask, (1.5, 0.7, 0.7))
    other = measure_shape(np.pad(mask[::-1, :, ::-1], ((2, 0), (1, 3), (0, 1))), (1.5, 0.7, 0.7))
    for name in ("long_axis_mm", "max_diameter_3d_mm", "volume_mm3", "surface_mm2", "solidity", "z_extent_mm"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6), name
    assert one.short_axis_mm <= one.long_axis_mm + 1e-9
    assert 0 < one.sphericity <= 1 and 0 < one.solidity <= 1 and 0 < one.circularity <= 1


def test_the_short_axis_is_the_widest_chord_across_the_long_axis_of_a_known_box():
    box = np.zeros((3, 12, 22), bool)
    box[1, 1:11, 1:21] = True
    shape = measure_shape(box, (1, 1, 1))
    assert shape.long_axis_mm == pytest.approx(np.hypot(20, 10), abs=1)
    # The chord through the middle of a 20 x 10 rectangle across its diagonal: 10 / cos(atan(10 / 20)).
    assert shape.short_axis_mm == pytest.approx(10 / np.cos(np.arctan(0.5)), abs=0.8)


def test_ends_of_both_axes_lie_in_the_slice_where_the_long_axis_is_greatest():
    mask = np.zeros((5, 30, 30), bool)
    mask[1, 10:15, 10:15] = True
    mask[3, 10:14, 5:25] = True
    ends = measure_shape(mask, (2, 1, 1)).axes_index
    assert set(ends[:, 0]) == {3.0}
    long, short = ends[1] - ends[0], ends[3] - ends[2]
    assert long @ short == pytest.approx(0, abs=1e-6)


def test_one_voxel_one_line_and_one_slice_can_be_measured():
    one = np.zeros((3, 3, 3), bool)
    one[1, 1, 1] = True
    line = np.zeros((1, 9, 9), bool)
    np.fill_diagonal(line[0], True)
    flat = np.ones((1, 6, 6), bool)
    assert measure_shape(one, (1, 1, 1)).volume_mm3 == 1
    assert measure_shape(line, (1, 1, 1)).long_axis_mm == pytest.approx(8 * np.sqrt(2), abs=1)
    assert measure_shape(flat, (2, 1, 1)).z_extent_mm == 2
    assert measure_shape(flat, (2, 1, 1)).solidity == 1


def test_an_l_is_less_solid_than_its_hull_and_a_star_less_round_than_a_disc():
    ell = np.zeros((1, 20, 20), bool)
    ell[0, :, :4] = ell[0, :4, :] = True
    shape = measure_shape(ell, (1, 1, 1))
    assert shape.solidity == pytest.approx(144 / 272, abs=0.02)  # the hull cuts the square's corner off
    assert shape.circularity < 0.5


def test_an_empty_outline_is_refused():
    with pytest.raises(ValueError, match="without voxels"):
        measure_shape(np.zeros((3, 3, 3), bool), (1, 1, 1))
