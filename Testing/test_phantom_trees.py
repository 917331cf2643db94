"""The phantom's vessels: trees that obey their rules and are drawn with the right caliber."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.phantom.trees import MURRAY_POWER, distance_to_segments, draw, grow
from LungCADLib.scan import Geometry


def a_tree(seed=0, count=150):
    points = np.random.default_rng(seed).uniform(0, 100, (count, 3))
    return grow(np.array([50.0, 50.0, -10.0]), points, 0.4, 100.0)


def test_every_point_hangs_on_one_joined_before_it():
    tree = a_tree()
    assert len(tree.points) == 151
    assert (tree.parents[1:] < np.arange(1, 151)).all()


def test_radii_follow_murrays_law():
    tree = a_tree()
    children = [np.flatnonzero(tree.parents[1:] == i) + 1 for i in range(len(tree.points))]
    for i, below in enumerate(children):
        powers = (tree.radii[below] ** MURRAY_POWER).sum()
        expected = powers ** (1 / MURRAY_POWER) if len(below) else 0.4
        assert tree.radii[i] == pytest.approx(expected)


def test_a_ball_is_cleared_with_everything_that_hangs_behind_it():
    tree = a_tree()
    center = tree.points[np.argmax(tree.radii * (np.arange(151) > 0))]
    cleared = tree.without_ball(center, 8.0)
    start, end, _, radius = cleared.segments()
    assert 1 < len(cleared.points) < len(tree.points)
    assert (distance_to_segments(center, start, end) - radius >= 8.0).all()
    assert (cleared.parents[1:] < np.arange(1, len(cleared.points))).all()


def test_distance_to_a_segment():
    start, end = np.zeros((2, 3)), np.array([[10.0, 0, 0], [0, 10.0, 0]])
    assert distance_to_segments(np.array([5.0, 3.0, 0]), start, end) == pytest.approx([3, 5])
    assert distance_to_segments(np.array([13.0, 4.0, 0]), start, end)[0] == pytest.approx(5)


def volume_over_truth(radius, shift, tilt):
    """Drawn over true volume of a long straight vessel, cut by two planes of z (or of y, where it lies flat)."""
    grid = Geometry((40, 60, 60), (1.0, 0.7, 0.7))
    middle = grid.to_lps(np.array([20, 30, 30]) + shift)
    along = np.array([0.0, np.sin(tilt), np.cos(tilt)])
    volume = np.zeros(grid.shape, np.uint8)
    r = np.array([radius])
    draw(volume, grid, ((middle - 30 * along)[None], (middle + 30 * along)[None], r, r))
    if tilt < 0.8:
        part, length = volume[12:28], 16 * 1.0 / np.cos(tilt)
    else:
        part, length = volume[:, 22:38], 16 * 0.7 / np.sin(tilt)
    return part.sum() / 255 * grid.voxel_mm3 / (np.pi * radius**2 * length)


@given(radius=st.floats(0.5, 4), shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3), tilt=st.floats(0, 1.5))
@settings(max_examples=25, deadline=None)
def test_a_vessel_is_drawn_with_its_cross_section_at_any_caliber(radius, shift, tilt):
    assert volume_over_truth(radius, shift, tilt) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("radius", [0.35, 0.5, 1.0, 3.0])
def test_caliber_is_unbiased_over_all_places_in_the_voxel(radius):
    shifts = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3))
    tilts = np.linspace(0, 1.5, 40)
    ratios = [volume_over_truth(radius, s, t) for s, t in zip(shifts, tilts, strict=True)]
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
