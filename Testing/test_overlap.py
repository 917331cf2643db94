"""Agreement of outlines: every measure against examples worked out by hand, and against MONAI's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.evaluation.overlap import dice, hd95_mm, overlap, surface_dice

ONE_MM = (1.0, 1.0, 1.0)


def box(shape, start, stop):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def ball(radius_mm, spacing=ONE_MM, half_mm=16.0):
    axes = [np.arange(-half_mm, half_mm + 1e-6, s) for s in spacing]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


# 2 x 2 x 2 against 2 x 2 x 3: 8 voxels common, 8 + 12 in all.
SMALL, LONGER = box((6, 6, 6), (1, 1, 1), (3, 3, 3)), box((6, 6, 6), (1, 1, 1), (3, 3, 4))
NOTHING = np.zeros((6, 6, 6), bool)


def test_dice_by_hand():
    assert dice(SMALL, LONGER) == pytest.approx(16 / 20)
    assert dice(SMALL, SMALL) == 1
    assert dice(SMALL, ~SMALL) == 0


def test_volume_is_compared_with_the_truth():
    assert overlap(LONGER, SMALL, ONE_MM).volume_bias_percent == pytest.approx(50)
    assert overlap(LONGER, SMALL, ONE_MM).volume_ratio == pytest.approx(1.5)
    assert overlap(SMALL, LONGER, ONE_MM).volume_bias_percent == pytest.approx(-100 / 3)


def test_two_empty_masks_agree_fully():
    same = overlap(NOTHING, NOTHING, ONE_MM)
    assert (same.dice, same.hd95_mm, same.surface_dice_1mm) == (1, 0, 1)
    assert np.isnan(same.volume_bias_percent)


def test_nothing_agrees_where_one_is_empty_and_the_distance_does_not_exist():
    missed, invented = overlap(NOTHING, SMALL, ONE_MM), overlap(SMALL, NOTHING, ONE_MM)
    for one in (missed, invented):
        assert (one.dice, one.surface_dice_1mm) == (0, 0)
        assert np.isnan(one.hd95_mm)
    assert missed.volume_bias_percent == -100
    assert np.isnan(invented.volume_bias_percent)


def test_distance_is_in_mm_along_every_axis():
    point = box((9, 9, 9), (2, 2, 2), (3, 3, 3))
    for axis, expected in enumerate((3 * 2.5, 3 * 0.5, 3 * 0.8)):
        assert hd95_mm(point, np.roll(point, 3, axis), (2.5, 0.5, 0.8)) == pytest.approx(expected)


def test_distance_is_the_larger_of_the_two_directed_percentiles():
    # From the point to the line 0 mm; from the line's 21 voxels 0 to 20 mm, of which the 95th percentile is 19.
    # Pooled, the 22 distances would give 18.95.
    point, line = box((3, 3, 23), (1, 1, 1), (2, 2, 2)), box((3, 3, 23), (1, 1, 1), (2, 2, 22))
    assert hd95_mm(point, line, ONE_MM) == pytest.approx(19)
    assert hd95_mm(line, point, ONE_MM) == pytest.approx(19)


def test_five_percent_of_the_surface_may_be_anywhere():
    # A 12 x 12 x 12 cube has 12^3 - 10^3 = 728 surface voxels; one voxel away from it is under 5% of them.
    cube = box((40, 40, 40), (2, 2, 2), (14, 14, 14))
    speck = cube | box((40, 40, 40), (35, 35, 35), (36, 36, 36))
    assert hd95_mm(speck, cube, ONE_MM) == 0


def test_distance_is_between_surfaces_not_volumes():
    # Balls around one center: the small one lies inside the large one, its surface 5 mm from the other's.
    assert hd95_mm(ball(5), ball(10), ONE_MM) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize(("radius", "expected"), [(10.0, 1.0), (10.6, 1.0), (12.0, 0.0)])
def test_surface_dice_of_balls_around_one_center(radius, expected):
    spacing = (0.5, 0.5, 0.5)
    assert surface_dice(ball(radius, spacing), ball(10, spacing), spacing, 1.0) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (1.0, 0.5, 0.5), (0.5, 1.0, 0.25)])
def test_surface_dice_weighs_areas(spacing):
    # A 10 x 10 x 10 mm cube against the same made 15 mm long in x. Of the cube's 600 mm2 all lie on the other's surface
    # but the middle 8 x 8 mm of the covered end; of the other's 800 mm2 one end and the first 11 mm of the sides
    # lie within 1 mm of the cube's: (600 - 64 + 100 + 4 * 10 * 11) / (600 + 800).
    n = [round(10 / s) for s in spacing]
    shape = [4 + k * 2 for k in n]
    cube = box(shape, (2, 2, 2), [2 + k for k in n])
    longer = box(shape, (2, 2, 2), (2 + n[0], 2 + n[1], 2 + n[2] * 3 // 2))
    assert surface_dice(cube, longer, spacing, 1.0) == pytest.approx(1076 / 1400, abs=0.03)
    assert surface_dice(longer, cube, spacing, 1.0) == pytest.approx(surface_dice(cube, longer, spacing, 1.0))


def test_surface_dice_knows_mm_from_voxels():
    # One thick slice off is 2.5 mm; one pixel off 0.6 mm.
    cube = box((12, 30, 30), (3, 5, 5), (9, 25, 25))
    spacing = (2.5, 0.6, 0.6)
    assert surface_dice(cube, np.roll(cube, 1, 1), spacing, 1.0) == 1
    assert surface_dice(cube, np.roll(cube, 1, 0), spacing, 1.0) < 0.9


def test_a_mask_at_the_arrays_edge_has_a_surface_there():
    # The same two shapes, once cut out tightly: nothing may change.
    one, other = box((9, 9, 9), (2, 2, 2), (7, 7, 6)), box((9, 9, 9), (2, 2, 2), (7, 7, 7))
    tight = np.s_[2:7, 2:7, 2:7]
    assert overlap(one[tight], other[tight], ONE_MM) == overlap(one, other, ONE_MM)


pairs = st.tuples(st.integers(0, 2**32 - 1), st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5])] * 3))


def blob(rng, shape=(9, 10, 11)):
    center, radius = rng.uniform(3, 6, 3), rng.uniform(1.5, 4)
    away = np.linalg.norm(np.indices(shape) - center[:, None, None, None], axis=0)
    return away <= radius


@given(pairs)
@settings(max_examples=25, deadline=None)
def test_monai_gives_the_same(pair):
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    rng, spacing = np.random.default_rng(pair[0]), pair[1]
    one, other = blob(rng), blob(rng)
    tensors = [torch.from_numpy(m[None, None]) for m in (one, other)]
    hd = metrics.compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=list(spacing))
    assert hd95_mm(one, other, spacing) == pytest.approx(float(hd), rel=1e-5)
    assert dice(one, other) == pytest.approx(float(metrics.compute_dice(*tensors, include_background=True)), rel=1e-5)


@given(pairs)
@settings(max_examples=25, deadline=None)
def test_agreement_has_no_direction_and_no_place(pair):
    rng, spacing = np.random.default_rng(pair[0]), pair[1]
    one, other = blob(rng), blob(rng)
    there, back = overlap(one, other, spacing), overlap(other, one, spacing)
    assert (there.dice, there.hd95_mm) == (back.dice, back.hd95_mm)
    assert there.surface_dice_1mm == pytest.approx(back.surface_dice_1mm, abs=1e-6)
    moved = overlap(np.pad(one, ((3, 0), (0, 2), (5, 1))), np.pad(other, ((3, 0), (0, 2), (5, 1))), spacing)
    assert moved == there
