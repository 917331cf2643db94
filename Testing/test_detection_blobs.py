"""Blobs are found where balls are, at their size, once each; vessels and walls alone are no blobs."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, filled
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.detection.blobs import BUDGET, LEVELS_MM, LungGrid, find_blobs, lung_grid
from LungCADLib.scan import Geometry, Scan

TISSUE_HU, HAZE_HU = 30.0, -600.0
SCALE_STEP = 2**0.5 * 1.02
"""Neighboring scales differ by the square root of two, rounded to a tenth of a mm."""

STEP_MM = {sigma: step for step, sigmas in LEVELS_MM for sigma in sigmas}


def grid_of(hu, region=None):
    region = np.ones(hu.shape, bool) if region is None else region
    return LungGrid(np.round(hu).astype(np.int16), region, Geometry(hu.shape, (1.0, 1.0, 1.0)), 1.0)


def draw(shape, *balls, hu=TISSUE_HU):
    """Lung with balls given as (center, radius) in mm."""
    image = np.full(shape, LUNG_HU)
    for center, radius in balls:
        image += filled(shape, (1.0, 1.0, 1.0), center, (radius,) * 3) * (hu - LUNG_HU)
    return image


def radii(blobs):
    return np.sqrt(3) * blobs.sigma_mm


def nearest(blobs, center):
    """Row and distance of the blob nearest to a center."""
    distance = np.linalg.norm(blobs.index - np.asarray(center), axis=1)
    return int(np.argmin(distance)), float(distance.min())


def distance_from(shape, kind, radius):
    """How far each voxel is from the axis or middle plane of an endless tube or plate, minus the radius."""
    at = np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2
    if kind.endswith("plate"):
        normal = np.array([1.0, 0, 0] if kind == "plate" else [0.8, 0.6, 0])
        return np.abs(at @ normal) - radius
    axis = np.array([1.0, 0, 0] if kind == "tube" else [0.6, 0.8, 0])
    return np.linalg.norm(np.cross(at, axis), axis=-1) - radius


@pytest.mark.parametrize("hu", [TISSUE_HU, HAZE_HU], ids=["solid", "ground-glass"])
@pytest.mark.parametrize("radius", [2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 25.0])
def test_a_ball_is_the_strongest_blob_at_its_place_and_size(radius, hu):
    shape = (int(4.5 * radius + 26),) * 3
    center = np.array(shape) / 2 + (0.3, -0.2, 0.1)
    blobs = find_blobs(grid_of(draw(shape, (center, radius), hu=hu)))
    # Half a voxel of the grid on which blobs of this scale are sought: 0.5, 1 or 2 mm.
    assert np.abs(blobs.index[0] - center).max() <= STEP_MM[float(blobs.sigma_mm[0])] / 2 + 0.01
    assert radius / SCALE_STEP < radii(blobs)[0] < radius * SCALE_STEP
    assert blobs.roundness[0] > 0.9


@pytest.mark.parametrize("radius", [2.0, 3.0, 4.0, 5.0])
def test_a_small_ball_is_found_within_a_millimeter(radius):
    center = (20.5, 19.7, 21.2)
    blobs = find_blobs(grid_of(draw((41, 41, 41), (center, radius))))
    assert nearest(blobs, center)[1] <= 1.0


@pytest.mark.parametrize(("hu", "hazy"), [(-700.0, False), (-780.0, True)])
def test_what_is_too_faint_for_the_solid_branch_is_seen_by_the_ground_glass_branch(hu, hazy):
    center = (27.5, 27.5, 27.5)
    blobs = find_blobs(grid_of(draw((56, 56, 56), (center, 6.0), hu=hu)))
    assert nearest(blobs, center) == (0, pytest.approx(np.sqrt(0.75)))
    assert blobs.hazy[0] == hazy


@pytest.mark.parametrize("radius", [1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("kind", ["tube", "oblique tube", "plate", "oblique plate"])
def test_a_tube_or_a_plate_is_no_blob(kind, radius):
    share = np.clip(0.5 - distance_from((60, 60, 60), kind, radius), 0, 1)
    blobs = find_blobs(grid_of(LUNG_HU + share * (TISSUE_HU - LUNG_HU)))
    away_from_the_edge = np.abs(blobs.index - 29.5).max(axis=1) < 15
    assert not away_from_the_edge.any()


def test_a_ball_on_a_vessel_is_still_a_blob():
    shape, center = (48, 48, 48), (23.5, 23.5, 23.5)
    vessel = LUNG_HU + np.clip(0.5 - distance_from(shape, "oblique tube", 1.5), 0, 1) * (TISSUE_HU - LUNG_HU)
    blobs = find_blobs(grid_of(np.maximum(vessel, draw(shape, (center, 5.0)))))
    row, distance = nearest(blobs, center)
    assert row == 0
    assert distance < 1.5


def test_a_ball_on_the_wall_is_found_because_what_is_not_lung_counts_as_lung_density():
    """A 6 mm ball sunk to its middle in the chest wall; the lung mask holds what stands out."""
    shape, center = (48, 48, 48), (24.0, 24.0, 30.0)
    wall = np.indices(shape)[2] >= 30
    hu = np.where(wall, TISSUE_HU, draw(shape, (center, 6.0)))
    middle = (24.0, 24.0, 27.8)  # of the half that stands out: 3/8 of the radius inward
    masked, everywhere = find_blobs(grid_of(hu, ~wall)), find_blobs(grid_of(hu))
    assert nearest(masked, middle) == (0, pytest.approx(0.2, abs=0.01))
    assert masked.response[0] > 1.25 * everywhere.response[nearest(everywhere, middle)[0]]


def test_nothing_is_sought_outside_the_region_or_in_empty_lung():
    hu = draw((40, 40, 40), ((20, 20, 20), 4.0))
    assert len(find_blobs(grid_of(hu, np.zeros(hu.shape, bool)))) == 0
    assert len(find_blobs(grid_of(np.full((40, 40, 40), LUNG_HU)))) == 0


LATTICE = 19 * np.array(list(np.ndindex(5, 5, 5))) + 9


@pytest.fixture(scope="module")
def many():
    """125 balls of 2 to 4 mm radius, 19 mm apart."""
    rng = np.random.default_rng(3)
    distance = np.linalg.norm(np.moveaxis(np.indices((19, 19, 19)), 0, -1) - 9, axis=-1)
    share = np.zeros((95, 95, 95))
    for center in LATTICE:
        cell = tuple(slice(c - 9, c + 10) for c in center)
        share[cell] = np.clip(rng.uniform(2, 4) + 0.5 - distance, 0, 1)
    return grid_of(LUNG_HU + share * (TISSUE_HU - LUNG_HU))


def test_the_budget_keeps_the_first_of_the_list(many):
    everything = find_blobs(many, budget=10_000)
    few = find_blobs(many, budget=20)
    assert len(few) == 20
    assert len(find_blobs(many)) <= BUDGET
    assert np.array_equal(few.index, everything.index[:20])
    assert np.array_equal(few.response, everything.response[:20])


def test_every_one_of_many_balls_is_one_blob(many):
    blobs = find_blobs(many)
    blobs = blobs.take(np.flatnonzero(radii(blobs) < 4 * SCALE_STEP))
    for center in LATTICE:
        assert (np.linalg.norm(blobs.index - center, axis=1) <= 1).sum() == 1


def test_no_two_blobs_of_like_size_share_a_place(many):
    blobs = find_blobs(many)
    distance = np.linalg.norm(blobs.index[:, None] - blobs.index[None], axis=2)
    radius = radii(blobs)
    larger = np.maximum(radius[:, None], radius[None])
    alike = larger < 2 * np.minimum(radius[:, None], radius[None])
    np.fill_diagonal(alike, False)
    assert not (alike & (distance < 0.5 * larger)).any()


def test_two_balls_close_to_each_other_stay_two():
    centers = [(24.0, 24.0, 17.0), (24.0, 24.0, 31.0)]
    blobs = find_blobs(grid_of(draw((48, 48, 48), *((c, 4.0) for c in centers))))
    assert all(nearest(blobs.take(np.arange(2)), center)[1] <= 1.0 for center in centers)


@settings(max_examples=12, deadline=None)
@given(shift=st.tuples(*[st.integers(-2, 2)] * 3), radius=st.floats(2.0, 5.0))
def test_a_shifted_lung_has_shifted_blobs(shift, radius):
    """By whole voxels of the coarsest grid everything moves along exactly."""
    center = np.array((26.2, 25.8, 26.4))
    hu = draw((52, 52, 52), (center, radius))
    moved = np.roll(hu, 4 * np.array(shift), (0, 1, 2))
    here, there = find_blobs(grid_of(hu)).take(np.arange(1)), find_blobs(grid_of(moved)).take(np.arange(1))
    assert np.array_equal(there.index, here.index + 4 * np.array(shift))
    assert there.sigma_mm == here.sigma_mm
    assert there.response == pytest.approx(here.response, rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(center=st.tuples(*[st.floats(18, 30)] * 3), radius=st.floats(2.0, 5.0))
def test_a_ball_is_found_wherever_it_lies_between_the_voxels(center, radius):
    blobs = find_blobs(grid_of(draw((48, 48, 48), (center, radius))))
    assert np.abs(blobs.index[0] - center).max() <= STEP_MM[float(blobs.sigma_mm[0])] / 2 + 0.25


def test_the_grid_is_the_lungs_box_at_one_millimeter_in_the_patients_place():
    """A scan of 2.5 mm slices and 0.7 mm pixels, off the origin: the ball is where it was in LPS."""
    spacing, shape = (2.5, 0.7, 0.7), (40, 120, 130)
    geometry = Geometry(shape, spacing, (-50.0, 20.0, -300.0))
    at = np.array((50.0, 42.0, 45.5))
    hu = LUNG_HU + filled(shape, spacing, at, (6.0,) * 3) * (TISSUE_HU - LUNG_HU)
    region = np.zeros(shape, bool)
    region[8:32, 20:100, 20:110] = True
    grid = lung_grid(Scan(np.round(hu).astype(np.int16), geometry), region, margin_mm=5.0)
    assert grid.geometry.spacing == (1.0, 1.0, 1.0)
    assert grid.slice_mm == 2.5
    assert grid.hu.shape == grid.region.shape == grid.geometry.shape
    assert grid.region.sum() == pytest.approx(region.sum() * geometry.voxel_mm3, rel=0.03)
    size = np.array([24 * 2.5, 80 * 0.7, 90 * 0.7]) + 10
    assert np.abs(np.array(grid.hu.shape) - size).max() <= 5
    blobs = find_blobs(grid)
    found = grid.geometry.to_lps(blobs.index[0])
    assert np.linalg.norm(found - geometry.to_lps(at / np.array(spacing))) < 2
