"""Distance merging and Z merging, each rule by an example that a hand can check; pixels are 1 mm unless said."""

import numpy as np
import pytest

from LungCADLib.detection.merging import SlicePart, distance_merging, overlap, slice_components, z_merging


def square(slice_, row, column, side=2, probability=0.8, pixel_mm=(1.0, 1.0)):
    """A square part with its first pixel at (row, column)."""
    pixels = np.argwhere(np.ones((side, side))) + np.array([row, column])
    center = tuple(float(v) for v in (pixels * np.array(pixel_mm)).mean(axis=0))
    return SlicePart(slice_, center, pixels, probability, pixel_mm)


def test_a_part_is_four_connected_pixels_of_one_half_or_more():
    probability = np.zeros((8, 12))
    probability[1, 1:5] = 0.5
    probability[3, 8:11] = 0.9  # three pixels and, at a corner, a fourth
    probability[4, 11] = 0.9
    probability[6, 1:4] = 1.0  # three only
    probability[7, 6:12] = 0.49
    parts = slice_components(probability, (1.0, 1.0), number=7)
    assert [len(part.pixels) for part in parts] == [4, 4]
    assert [part.slice for part in parts] == [7, 7]
    assert parts[0].center_mm == (1.0, 2.5)
    assert parts[1].probability == pytest.approx(0.9)


def test_a_part_has_its_weight_where_it_is_likely():
    probability = np.zeros((4, 8))
    probability[1, 2:6] = (0.5, 0.5, 0.5, 1.0)
    (part,) = slice_components(probability, (0.5, 2.0))
    # (2 * 0.5 + 3 * 0.5 + 4 * 0.5 + 5 * 1) / 2.5 = 3.8 columns of 2 mm
    assert part.center_mm == pytest.approx((0.5, 7.6))
    assert part.area_mm2 == 4.0
    assert part.radius_mm == pytest.approx(np.sqrt(4 / np.pi))
    assert part.feret_mm == pytest.approx(np.hypot(0.5, 8.0))


def test_parts_4_mm_apart_are_one_and_6_mm_apart_are_two():
    near, far = square(0, 0, 4), square(0, 0, 10)
    merged = distance_merging([square(0, 0, 0), near])
    assert len(merged) == 1 and len(merged[0].pixels) == 8
    assert len(distance_merging([near, far])) == 2


def test_exactly_5_mm_apart_are_two_unless_one_is_large():
    # A square of 6 mm has a radius of 3.4 mm: its reach is 5.4 mm.
    assert len(distance_merging([square(0, 0, 0), square(0, 0, 5)])) == 2
    assert len(distance_merging([square(0, 0, 0, side=6), square(0, 2, 7)])) == 1


def test_merging_goes_on_from_part_to_part():
    assert len(distance_merging([square(0, 0, 0), square(0, 0, 8), square(0, 0, 4)])) == 1


def test_the_merged_center_leans_to_the_likelier_part():
    (merged,) = distance_merging([square(0, 0, 0, probability=0.9), square(0, 0, 4, probability=0.6)])
    # (0.9 * 0.5 + 0.6 * 4.5) / 1.5 = 2.1
    assert merged.center_mm == pytest.approx((0.5, 2.1))
    assert merged.probability == pytest.approx(0.75)


def test_three_slices_are_one_chain():
    parts = [square(k, 10 + k, 20, side=4, probability=p) for k, p in ((3, 0.6), (4, 0.9), (5, 0.9))]
    (chain,) = z_merging(parts[::-1], 1.5)
    assert chain.slices == [3, 4, 5]
    assert chain.center == pytest.approx((4.0, 15.5, 21.5))
    assert chain.extent_mm == 4.5
    assert chain.volume_mm3 == 3 * 16 * 1.5
    assert chain.diameter_mm == pytest.approx(np.hypot(4, 4))
    assert chain.score == pytest.approx(0.8)


def test_the_center_of_a_chain_is_weighted_by_volume():
    (chain,) = z_merging([square(0, 0, 0, side=4), square(1, 1, 1, side=2)], 1.0)
    assert chain.center == pytest.approx(((16 * 0 + 4 * 1) / 20, 1.5, 1.5))


def test_the_score_is_that_of_the_three_best_slices():
    parts = [square(k, 0, 0, probability=p) for k, p in enumerate((0.5, 1.0, 0.9, 0.8, 0.6))]
    assert z_merging(parts, 1.0)[0].score == pytest.approx(0.9)


def test_centers_nearer_than_the_larger_radius_link():
    # A square of 4 mm has a radius of 2.26 mm; these do not touch each other's pixels.
    apart = [square(0, 0, 0, side=4), square(1, 0, 3, side=2)]
    assert apart[1].center_mm[1] - apart[0].center_mm[1] == 2.0
    assert len(z_merging(apart, 3.0)) == 1
    assert len(z_merging([square(0, 0, 0, side=4), square(1, 0, 4, side=2)], 3.0)) == 2


def test_parts_that_overlap_link_however_far_their_centers():
    bar, across = (
        SlicePart(k, tuple(p.mean(axis=0)), p, 0.8, (1.0, 1.0))
        for k, p in ((0, np.argwhere(np.ones((1, 30)))), (1, np.argwhere(np.ones((1, 10))) + np.array([0, 24])))
    )
    assert overlap(bar, across) == pytest.approx(6 / 34)
    assert abs(bar.center_mm[1] - across.center_mm[1]) > max(bar.radius_mm, across.radius_mm)
    assert len(z_merging([bar, across], 3.0)) == 1
    less = SlicePart(1, (0.0, 32.5), across.pixels + np.array([0, 4]), 0.8, (1.0, 1.0))
    assert overlap(bar, less) == pytest.approx(2 / 38)
    assert len(z_merging([bar, less], 3.0)) == 2


@pytest.mark.parametrize(("slice_mm", "missing", "chains"), [(3.0, 1, 1), (3.1, 1, 2), (1.0, 1, 1), (1.0, 2, 0)])
def test_one_slice_of_up_to_3_mm_may_be_missing(slice_mm, missing, chains):
    # At 1 mm two missing slices leave two single slices, which are no candidates.
    assert len(z_merging([square(0, 0, 0), square(1 + missing, 0, 0)], slice_mm)) == chains


@pytest.mark.parametrize(("slice_mm", "chains"), [(2.4, 0), (2.5, 1)])
def test_a_single_slice_counts_where_slices_are_thick(slice_mm, chains):
    assert len(z_merging([square(0, 0, 0)], slice_mm)) == chains


def test_two_parts_of_a_slice_can_be_one_through_the_next_slice():
    fork = [square(0, 6, 0, side=3), square(0, 6, 12, side=3), square(1, 0, 0, side=15)]
    (chain,) = z_merging(fork, 1.0)
    assert len(chain.parts) == 3 and chain.slices == [0, 1]


def test_nothing_gives_nothing():
    assert slice_components(np.zeros((5, 5)), (1.0, 1.0)) == []
    assert distance_merging([]) == []
    assert z_merging([], 1.0) == []
