"""A phantom's nodules are drawn with the volume, place and HU that their truth claims."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.phantom import DEMO_NODULES, NoduleSpec, sample_nodules
from LungCADLib.phantom.nodules import CALCIUM_HU, FAT_HU, GROUND_GLASS_HU, SOLID_HU, draw_nodule, make_form
from LungCADLib.scan import Geometry

GRID = Geometry((40, 90, 92), (1.25, 0.7, 0.65), (-30.0, 10.0, -200.0))
MIDDLE = GRID.to_lps((20, 45, 46))


def drawn(spec, center=MIDDLE, grid=GRID, seed=0):
    rng = np.random.default_rng(seed)
    form = make_form(spec, rng)
    return form, draw_nodule(spec, form, np.asarray(center, float), grid, rng)


@given(
    diameters=st.tuples(*[st.floats(4, 30)] * 3),
    spacing=st.tuples(st.floats(0.6, 2.5), st.floats(0.5, 1.0)),
    shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_volume_and_center_are_right_at_any_spacing_and_shift(diameters, spacing, shift, seed):
    grid = Geometry((80, 100, 100), (spacing[0], spacing[1], spacing[1]))
    center = grid.to_lps(np.array([40, 50, 50]) + shift)
    form, drawing = drawn(NoduleSpec(diameters), center, grid, seed)
    volume = drawing.inside.sum() * grid.voxel_mm3
    assert form.volume_mm3 == pytest.approx(np.pi / 6 * np.prod(diameters))
    assert volume == pytest.approx(form.volume_mm3, rel=0.03)
    index = np.moveaxis(np.indices(drawing.inside.shape), 0, -1) + np.array(drawing.start)
    centroid = (grid.to_lps(index) * drawing.inside[..., None]).sum((0, 1, 2)) / drawing.inside.sum()
    assert centroid == pytest.approx(center, abs=0.06)


@given(seed=st.integers(0, 999))
@settings(max_examples=15, deadline=None)
def test_bumps_leave_the_volume_as_it_was(seed):
    form, drawing = drawn(NoduleSpec((14.0, 12.0, 11.0), lobulated=True), seed=seed)
    assert drawing.inside.sum() * GRID.voxel_mm3 == pytest.approx(form.volume_mm3, rel=0.015)
    assert 13.5 < form.max_diameter_mm < 20


def test_a_smooth_nodule_is_as_long_as_its_longest_axis_in_any_direction():
    form, _ = drawn(NoduleSpec((14.0, 12.0, 8.0)), seed=5)
    assert form.max_diameter_mm == 14
    points = form.surface(4000)
    assert 2 * np.linalg.norm(points, axis=1).max() == pytest.approx(14, abs=0.05)
    assert 2 * np.linalg.norm(points, axis=1).min() == pytest.approx(8, abs=0.05)


def test_rays_show_but_are_not_part_of_the_truth():
    smooth = NoduleSpec(16.0)
    form, plain = drawn(smooth)
    _, spiky = drawn(replace(smooth, spiculated=True))
    assert spiky.inside.sum() * GRID.voxel_mm3 == pytest.approx(form.volume_mm3, rel=0.01)
    assert plain.share.sum() == plain.inside.sum()
    assert spiky.share.sum() > 1.02 * spiky.inside.sum()


def test_a_part_solid_nodules_core_has_its_own_volume():
    spec = NoduleSpec((20.0, 18.0, 16.0), density="part-solid", solid_core=0.6)
    form, drawing = drawn(spec)
    solid = (drawing.share * (drawing.hu - GROUND_GLASS_HU)).sum() / (SOLID_HU - GROUND_GLASS_HU)
    assert solid * GRID.voxel_mm3 == pytest.approx(0.6**3 * form.volume_mm3, rel=0.02)


def at_depth(spec, low, high):
    """HU of the fully covered voxels between two depths (0 center, 1 edge)."""
    form, drawing = drawn(spec)
    index = np.moveaxis(np.indices(drawing.share.shape), 0, -1) + np.array(drawing.start)
    depth = form.depth(GRID.to_lps(index) - MIDDLE)
    return drawing.hu[(depth >= low) & (depth < high) & (drawing.share > 0.99)]


@pytest.mark.parametrize(
    ("calcification", "center", "edge"),
    [
        ("central", CALCIUM_HU, SOLID_HU),
        ("diffuse", CALCIUM_HU, SOLID_HU),
        ("laminated", CALCIUM_HU, SOLID_HU),
    ],
)
def test_calcium_lies_where_its_pattern_says(calcification, center, edge):
    spec = NoduleSpec(24.0, density="calcified", calcification=calcification)
    assert at_depth(spec, 0, 0.15).mean() == pytest.approx(center, abs=5)
    assert at_depth(spec, 0.93, 1).mean() == pytest.approx(edge, abs=60)


def test_laminated_calcium_has_a_gap_that_diffuse_calcium_has_not():
    spec = NoduleSpec(24.0, density="calcified", calcification="laminated")
    assert at_depth(spec, 0.34, 0.42).mean() == pytest.approx(SOLID_HU, abs=60)
    assert at_depth(replace(spec, calcification="diffuse"), 0.34, 0.42).mean() == pytest.approx(CALCIUM_HU, abs=5)


@pytest.mark.parametrize(
    ("spec", "hu"),
    [
        (NoduleSpec(20.0, density="calcified", calcification="popcorn"), CALCIUM_HU),
        (NoduleSpec(20.0, density="calcified", calcification="eccentric"), CALCIUM_HU),
        (NoduleSpec(20.0, density="fat-containing"), FAT_HU),
    ],
)
def test_patches_lie_in_soft_tissue(spec, hu):
    values = at_depth(spec, 0, 0.9)
    patch = np.abs(values - hu) < 5
    assert 0.03 < patch.mean() < 0.6
    assert (np.abs(values - SOLID_HU) < 5).mean() > 0.2


def test_the_density_can_be_given():
    assert at_depth(NoduleSpec(10.0, density="non-solid", hu=-650), 0, 1) == pytest.approx(-650, abs=1)


def test_a_nodule_at_the_edge_of_the_scan_is_cut_by_it():
    spec = NoduleSpec(10.0)
    form, drawing = drawn(spec, GRID.to_lps((-0.5, 45, 46)))
    assert drawing.start[0] == 0
    assert drawing.inside.sum() * GRID.voxel_mm3 == pytest.approx(form.volume_mm3 / 2, rel=0.01)
    with pytest.raises(ValueError, match="outside the scan"):
        drawn(spec, GRID.to_lps((-30, 45, 46)))


def test_painting_one_slice_touches_only_the_nodules_part():
    _, drawing = drawn(NoduleSpec(10.0))
    corner = (drawing.start[1] + 3, drawing.start[2] - 2)
    plane = np.full((30, 40), -800, np.float32)
    drawing.add_to(plane, drawing.start[0] + drawing.share.shape[0], corner)
    assert (plane == -800).all()
    middle = drawing.share.shape[0] // 2
    drawing.add_to(plane, drawing.start[0] + middle, corner)
    ny, nx = drawing.share.shape[1:]
    share = drawing.share[middle, 3:]
    assert plane[: ny - 3, 2 : nx + 2] == pytest.approx(-800 + share * (SOLID_HU + 800), abs=0.01)
    assert (plane[ny - 3 :] == -800).all()


def test_sampled_nodules_are_as_large_as_lidcs_and_of_every_kind():
    specs = sample_nodules(np.random.default_rng(0), 3000)
    longest = np.array([max(s.axes_mm) for s in specs])
    assert np.percentile(longest, [5, 25, 50, 75, 95]) == pytest.approx([5.6, 7.0, 9.1, 13.5, 28.3], rel=0.06)
    share = {d: np.mean([s.density == d for s in specs]) for d in ("non-solid", "part-solid", "calcified")}
    assert share == pytest.approx({"non-solid": 0.052, "part-solid": 0.075, "calcified": 0.112}, abs=0.015)
    assert np.mean([s.spiculated for s in specs]) == pytest.approx(0.098, abs=0.02)
    assert all((s.calcification != "none") == (s.density == "calcified") for s in specs)


def test_the_demonstration_has_one_of_each_kind():
    assert {s.density for s in DEMO_NODULES} == {"solid", "part-solid", "non-solid", "calcified", "fat-containing"}
    assert {s.attachment for s in DEMO_NODULES} == {"isolated", "juxtapleural", "juxtavascular"}
    assert any(s.spiculated for s in DEMO_NODULES) and any(s.lobulated for s in DEMO_NODULES)
