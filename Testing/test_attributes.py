"""The attributes of digital nodules: what is solid, round, smooth or spiculated is said to be so, wherever it lies."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, filled, scan_of
from hypothesis import given, settings
from hypothesis import strategies as st
from study_factory import make_scan, make_study

from LungCADLib.malignancy.attributes import (
    WORDS,
    attribute,
    expected,
    grade,
    probabilities,
    rate_attributes,
    thresholds,
)
from LungCADLib.malignancy.attributes_views import CHANNELS, PIXEL_MM, SIDE, Cut, slices_of, view, windowed
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Study

torch = pytest.importorskip("torch")

SPACING = (1.25, 0.7, 0.7)
SHAPE = (40, 80, 80)


def volume(share, hu=30.0, noise=12.0, spacing=SPACING):
    """A scan of lung with something in it, and where it fills half of a voxel."""
    image = LUNG_HU + share * (hu - LUNG_HU) + np.random.default_rng(3).normal(0, noise, share.shape)
    return scan_of(image, spacing), BoxMask((0, 0, 0), share >= 0.5).trimmed()


def ball(diameter=12.0, hu=30.0, shape=SHAPE, spacing=SPACING, center=None, stretch=(1.0, 1.0, 1.0)):
    center = (np.array(shape) - 1) / 2 * spacing if center is None else np.array(center)
    share = filled(shape, spacing, center, tuple(diameter / 2 * np.array(stretch)))
    return volume(share, hu, spacing=spacing)


def spiculated(diameter=16.0, rays=16, length_mm=9.0):
    """A ball with thin strands that run out of it in its middle slices."""
    center = (np.array(SHAPE) - 1) / 2 * SPACING
    share = filled(SHAPE, SPACING, center, (diameter / 2,) * 3)
    z, y, x = (np.indices(SHAPE).T * SPACING - center).T
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    beside = np.abs(np.sin(angle * rays / 2)) * radius * 2 / rays
    width = 0.9 * (1 - (radius - diameter / 2) / length_mm)
    strand = (radius < diameter / 2 + length_mm) & (beside < width) & (np.abs(z) < diameter / 3)
    return volume(np.maximum(share, 0.9 * strand))


def rated(case, **kwargs):
    return {name: one.value for name, one in rate_attributes(*case, **kwargs).items()}


def test_each_attribute_has_a_grade_its_word_and_five_probabilities():
    said = rate_attributes(*ball())
    assert tuple(said) == tuple(WORDS)
    for name, one in said.items():
        assert len(one.probabilities) == 5
        assert min(one.probabilities) >= 0
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.value == pytest.approx(np.dot(one.probabilities, np.arange(1, 6)))
        assert one.meaning == WORDS[name][one.grade - 1]


def test_soft_tissue_is_solid_and_ground_glass_is_not():
    solid, glass = rated(ball(14.0)), rated(ball(14.0, hu=-620.0))
    assert solid["texture"] > 4.5
    assert glass["texture"] < 3
    assert glass["margin"] < solid["margin"]
    assert glass["subtlety"] < solid["subtlety"]


def test_a_ball_is_round_smooth_and_sharp_and_strands_make_it_spiculated():
    smooth, rough = rated(ball(16.0)), rated(spiculated())
    assert smooth["margin"] > 4
    assert smooth["spiculation"] < 2
    assert rough["spiculation"] > smooth["spiculation"] + 1
    assert rough["margin"] < smooth["margin"]
    assert rough["malignancy"] > smooth["malignancy"]


def test_a_long_nodule_is_less_spherical_than_a_ball():
    assert rated(ball(9.0, stretch=(1.0, 0.6, 2.2)))["sphericity"] < rated(ball(9.0))["sphericity"] - 0.3


def test_a_larger_nodule_is_more_suspicious_and_easier_to_see():
    small, large = rated(ball(4.0)), rated(ball(22.0))
    assert large["malignancy"] > small["malignancy"] + 0.5
    assert large["subtlety"] > small["subtlety"]


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_a_mirrored_scan_is_rated_the_same(axes):
    scan, outline = spiculated()
    turned = np.flip(scan.hu, axes).copy()
    mask = np.flip(outline.full(SHAPE), axes)
    mirrored = rated((scan_of(turned, SPACING), BoxMask((0, 0, 0), mask).trimmed()))
    assert mirrored == pytest.approx(rated((scan, outline)), abs=1e-3)


def test_only_what_lies_around_the_nodule_counts():
    """The nodule of a large scan is rated as in a cut-out as wide as the network sees."""
    scan, outline = ball(10.0, shape=(20, 160, 160))
    hu = scan.hu.copy()
    hu[:, :20] = hu[:, -20:] = 800
    assert rated((scan_of(hu, SPACING), outline)) == pytest.approx(rated((scan, outline)), abs=1e-6)


@pytest.mark.parametrize("center", [(1.25, 2.1, 2.1), (2.5, 1.4, 27.0), (20.0, 54.6, 54.6)])
def test_a_nodule_at_the_edge_of_the_scan_is_rated_too(center):
    said = rated(ball(10.0, center=center))
    assert all(1 <= value <= 5 for value in said.values())
    assert said["texture"] > 4


def test_thick_slices_and_a_single_slice_change_little():
    thin = rated(ball(12.0))
    thick = rated(ball(12.0, shape=(9, 80, 80), spacing=(6.0, 0.7, 0.7)))
    scan, outline = ball(12.0)
    middle = outline.mask.shape[0] // 2
    flat = BoxMask((outline.start[0] + middle, *outline.start[1:]), outline.mask[middle : middle + 1])
    for other in (thick, rated((scan, flat))):
        assert max(abs(other[name] - thin[name]) for name in WORDS) < 0.8


def test_an_empty_outline_is_refused():
    scan, _ = ball()
    with pytest.raises(ValueError, match="without voxels"):
        rate_attributes(scan, BoxMask((0, 0, 0), np.zeros((3, 3, 3), bool)))


def test_the_packaged_thresholds_rise_with_the_grade():
    for unseen in (*range(5), -1):
        assert thresholds(unseen).shape == (len(WORDS), 4)
        assert (np.diff(thresholds(unseen), axis=1) >= 0).all()


def test_chances_become_probabilities_a_mean_and_a_grade():
    """Above 1: surely; above 2: 0.8; above 3: 0.3; above 4: 0.1."""
    above = np.array([1.0, 0.8, 0.3, 0.1])
    assert probabilities(above) == pytest.approx([0.0, 0.2, 0.5, 0.2, 0.1])
    assert expected(above) == pytest.approx(3.2)
    assert grade(above, [1.5, 2.5, 3.1, 4.5]) == 4
    one = attribute("margin", above, [1.5, 2.5, 3.5, 4.5])
    assert (one.grade, one.meaning) == (3, "medium")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(any))
def test_the_slices_looked_at_are_large_ones_and_the_largest_is_among_few(areas):
    mask = np.zeros((len(areas), 7, 7), bool)
    for z, area in enumerate(areas):
        mask[z].flat[:area] = True
    chosen = slices_of(mask)
    assert 1 <= len(chosen) <= 5
    assert chosen == sorted(set(chosen))
    assert all(areas[z] >= max(areas) / 2 for z in chosen)
    large = sum(area >= max(areas) / 2 for area in areas)
    assert large > 5 or areas.index(max(areas)) in chosen


def test_a_view_shows_millimeters_and_says_where_the_scan_ends():
    """A square of 10 by 15 pixels of 1.5 mm in the middle of 20 by 20: 15 mm are 20 pixels of the view, 22.5 mm 30."""
    hu = np.full((20, 20), -900, np.int16)
    mask = np.zeros((20, 20), bool)
    mask[5:15, 3:18] = True
    hu[mask] = 50
    seen = view(Cut(hu, mask, (1.5, 1.5), (9.5, 10.0)))
    assert seen.shape == (CHANNELS, SIDE, SIDE)
    middle = SIDE // 2
    assert (seen[2, :, middle] > 0.5).sum() == pytest.approx(15 / PIXEL_MM, abs=1)
    assert (seen[2, middle] > 0.5).sum() == pytest.approx(22.5 / PIXEL_MM, abs=1)
    assert (seen[3].any(axis=0)).sum() == pytest.approx(30 / PIXEL_MM, abs=2)
    assert windowed(seen)[0].min() == pytest.approx(-1 + 2 * 100 / 1200, abs=1e-5)


def test_form_numbers_tell_a_disc_from_a_star_and_a_line():
    from LungCADLib.malignancy.attributes_descriptors import FORMS, forms

    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    disc, star = radius < 12, radius < 12 + 5 * np.cos(8 * angle)
    line = (np.abs(y) < 2) & (np.abs(x) < 18)
    found = forms(torch.from_numpy(np.stack([disc, star, line]).astype(np.float32))).numpy()
    assert found.shape == (3, FORMS)
    axes, circularity, hull, widths = (found[:, k] for k in (3, 4, 6, 8))
    assert axes[0] == pytest.approx(1, abs=0.01)
    assert axes[2] < 0.2
    assert circularity[0] > 2 * circularity[1]
    assert hull[0] > hull[1] + 0.2
    assert widths[0] > 0.95
    assert widths[2] < 0.2
    assert np.exp(found[0, 0]) == pytest.approx(np.pi * 144, rel=0.02)


def test_shells_lie_inside_and_outside_and_do_not_overlap():
    from LungCADLib.malignancy.attributes_descriptors import SHELLS, shells

    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    outline = torch.from_numpy((np.hypot(y, x) < 10).astype(np.float32))[None, None]
    parts = shells(outline)[0]
    assert len(parts) == SHELLS
    assert torch.equal(parts[1:4].sum(dim=0), outline[0, 0])
    outside = parts[4:].sum(dim=0)
    assert float(outside.max()) == 1
    assert float((outside * outline[0, 0]).sum()) == 0
    reach = np.hypot(y, x)[outside.numpy() > 0].max()
    assert 17 < reach < 20


def test_a_view_without_outline_has_numbers_too():
    from LungCADLib.malignancy.attributes_descriptors import DESCRIPTORS, describe

    found = describe(torch.zeros(2, CHANNELS, SIDE, SIDE))
    assert found.shape == (2, DESCRIPTORS)
    assert torch.isfinite(found).all()


def test_a_study_keeps_attributes():
    study = make_study(make_scan())
    scan, outline = ball()
    study.nodules[0].attributes = rate_attributes(scan, outline)
    assert Study.from_json(study.to_json()) == study


def test_a_scan_is_left_as_it_was():
    scan, outline = ball()
    before = scan.hu.copy()
    rate_attributes(scan, outline)
    assert isinstance(scan, Scan)
    assert np.array_equal(scan.hu, before)
