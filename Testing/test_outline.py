"""Outlines of digital nodules with known truth: density, vessels, the wall, a poor click, thick slices."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, filled
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.evaluation.overlap import dice
from LungCADLib.lungs.crop import crop_region
from LungCADLib.nodules.outline import outline_nodule
from LungCADLib.nodules.seed import candidate_at
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import Candidate

SIDE_MM = 44.0
FINE, THICK = (0.7, 0.7, 0.7), (2.5, 0.7, 0.7)
SOLID_HU, GROUND_GLASS_HU, TISSUE_HU = 30.0, -550.0, 40.0
NOISE_HU = 20.0


class Chest:
    """A block of lung, mm from its middle; things drawn into it cover what was there as far as they fill a voxel."""

    def __init__(self, spacing=FINE, origin=(0.0, 0.0, 0.0)):
        shape = tuple(round(SIDE_MM / s) for s in spacing)
        self.geometry = Geometry(shape, spacing, origin)
        self.middle = (np.array(shape) - 1) / 2 * np.array(spacing)
        self.at = [np.arange(n) * s - m for n, s, m in zip(shape, spacing, self.middle, strict=True)]
        self.hu = np.full(shape, LUNG_HU)
        self.truth = np.zeros(shape, bool)

    def draw(self, share, hu):
        self.hu += share * (hu - self.hu)
        return self

    def nodule(self, diameter_mm, hu=SOLID_HU, center=(0.0, 0.0, 0.0), stretch=(1.0, 1.0, 1.0)):
        axes = tuple(diameter_mm / 2 * np.array(stretch))
        share = filled(self.hu.shape, self.geometry.spacing, self.middle + np.array(center), axes)
        self.truth |= share >= 0.5
        return self.draw(share, hu)

    def vessel(self, radius_mm, away_mm=0.0, hu=SOLID_HU):
        """Along the whole of y, `away_mm` beside the middle in x."""
        z, _, x = self.at
        distance = np.hypot(z[:, None, None], x[None, None, :] - away_mm) + np.zeros(self.hu.shape)
        return self.draw(np.clip((radius_mm - distance) / self.geometry.spacing[2] + 0.5, 0, 1), hu)

    def wall(self, from_x_mm, hu=TISSUE_HU):
        _, _, x = self.at
        return self.draw(np.clip((x - from_x_mm) / self.geometry.spacing[2] + 0.5, 0, 1)[None, None, :], hu)

    def scan(self, seed=0):
        noise = NOISE_HU * np.random.default_rng(seed).standard_normal(self.hu.shape)
        return Scan(np.round(self.hu + noise).astype(np.int16), self.geometry)

    def lps(self, off_mm=(0.0, 0.0, 0.0)):
        return tuple(float(v) for v in np.array(self.geometry.origin) + (self.middle + np.array(off_mm))[::-1])

    def outlined(self, off_mm=(0.0, 0.0, 0.0)):
        scan = self.scan()
        found = outline_nodule(scan, crop_region(scan), candidate_at(scan, self.lps(off_mm)))
        return found.full(self.geometry.shape)

    def score(self, off_mm=(0.0, 0.0, 0.0)):
        return dice(self.outlined(off_mm), self.truth)


DENSITIES = pytest.mark.parametrize("hu", [SOLID_HU, GROUND_GLASS_HU], ids=["solid", "ground-glass"])
SPACINGS = pytest.mark.parametrize("spacing", [FINE, THICK], ids=["0.7 mm", "2.5 mm"])


@DENSITIES
@SPACINGS
@pytest.mark.parametrize(("diameter", "least"), [(4, 0.7), (6, 0.83), (8, 0.78), (12, 0.9), (20, 0.92)])
def test_a_ball_from_one_click(diameter, least, spacing, hu):
    # A voxel is a fifth of a 4 mm ball's diameter, so that one layer of voxels costs it most; 8 mm at 2.5 mm slices
    # ends just between two slices.
    assert Chest(spacing).nodule(diameter, hu).score() > least


@DENSITIES
def test_an_oval(hu):
    assert Chest().nodule(10, hu, stretch=(1.0, 1.5, 0.75)).score() > 0.85


def test_the_ground_glass_around_a_solid_core_belongs_to_the_nodule():
    assert Chest().nodule(16, GROUND_GLASS_HU).nodule(6, SOLID_HU).score() > 0.85


@DENSITIES
@SPACINGS
@pytest.mark.parametrize("diameter", [6, 8, 14])
def test_a_click_two_mm_off_finds_the_same_nodule(diameter, spacing, hu):
    chest = Chest(spacing).nodule(diameter, hu)
    assert dice(chest.outlined((0.0, 1.4, 1.4)), chest.outlined()) > 0.9


@SPACINGS
@pytest.mark.parametrize("beside", [0.0, 1.0], ids=["through", "touching"])
@pytest.mark.parametrize("diameter", [6, 8, 14])
def test_a_vessel_is_cut(diameter, beside, spacing):
    chest = Chest(spacing).nodule(diameter).vessel(1.0, beside * diameter / 2)
    found = chest.outlined()
    assert dice(found, chest.truth) > 0.79
    # What is left of the vessel ends near the nodule.
    _, y, _ = chest.at
    assert np.abs(y[found.any(axis=(0, 2))]).max() < diameter / 2 + 3


@pytest.mark.parametrize(("diameter", "off"), [(8, (0.0, 2.5, 0.0)), (10, (0.0, 0.0, 3.0)), (12, (0.0, 0.0, 4.0))])
def test_a_vessel_is_cut_wherever_in_the_nodule_the_click_is(diameter, off):
    # Near the rim the nodule is as thin as its vessel: how thick it is must be asked at its middle.
    chest = Chest().nodule(diameter).vessel(1.5)
    _, y, _ = chest.at
    assert np.abs(y[chest.outlined(off).any(axis=(0, 2))]).max() < diameter / 2 + 3


@SPACINGS
@pytest.mark.parametrize("reach", [1.0, 0.5], ids=["touching", "a quarter inside"])
@pytest.mark.parametrize("diameter", [6, 8, 14])
def test_the_wall_is_cut(diameter, reach, spacing):
    # The wall's surface lies at x = reach * radius; a part of the ball beyond it cannot be told from it.
    surface = reach * diameter / 2
    chest = Chest(spacing).wall(surface).nodule(diameter)
    found = chest.outlined()
    _, _, x = chest.at
    assert dice(found, chest.truth) > 0.78
    assert np.count_nonzero(found[:, :, x > surface + 1] & ~chest.truth[:, :, x > surface + 1]) < 0.35 * found.sum()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_wall_is_cut_on_every_side(axis):
    chest = Chest().wall(5.0).nodule(10)
    scan = Scan(np.ascontiguousarray(np.moveaxis(chest.scan().hu, 2, axis)), chest.geometry)
    found = outline_nodule(scan, crop_region(scan), candidate_at(scan, chest.lps()))
    assert dice(found.full(scan.hu.shape), np.moveaxis(chest.truth, 2, axis)) > 0.85


KNOWN = {hu: Chest().nodule(8, hu).vessel(1.0, 3.0).scan() for hu in (SOLID_HU, GROUND_GLASS_HU)}


def outline_at(scan, index, radius_mm=4.0):
    lps = scan.geometry.to_lps(index)
    candidate = Candidate(tuple(float(v) for v in lps), radius_mm, "solid", 1.0)
    return outline_nodule(scan, np.ones(scan.hu.shape, bool), candidate)


places = st.floats(-500, 500).map(lambda v: round(v, 3))


@DENSITIES
@given(st.tuples(places, places, places), st.integers(-180, 180))
@settings(max_examples=8, deadline=None)
def test_the_place_and_attitude_of_the_patient_do_not_matter(hu, origin, degrees):
    scan = KNOWN[hu]
    middle = (np.array(scan.hu.shape) - 1) / 2
    here = outline_at(scan, middle)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    there = outline_at(Scan(scan.hu, Geometry(scan.hu.shape, scan.spacing, origin, turn)), middle)
    # Rounding in the last digit may move a voxel that stands on the threshold.
    moved, still = there.full(scan.hu.shape), here.full(scan.hu.shape)
    assert dice(moved, still) > 0.995


@DENSITIES
@given(st.tuples(*[st.integers(-4, 4)] * 3))
@settings(max_examples=8, deadline=None)
def test_the_place_in_the_scan_does_not_matter(hu, shift):
    scan = KNOWN[hu]
    middle = (np.array(scan.hu.shape) - 1) / 2
    here = outline_at(scan, middle)
    rolled = Scan(np.roll(scan.hu, shift, (0, 1, 2)), scan.geometry)
    there = outline_at(rolled, middle + np.array(shift))
    back = np.roll(there.full(scan.hu.shape), tuple(-s for s in shift), (0, 1, 2))
    assert dice(back, here.full(scan.hu.shape)) > 0.995


EVERYWHERE = {"air": -1024, "lung": int(LUNG_HU), "tissue": 40, "metal": 3071}


@pytest.mark.parametrize("hu", EVERYWHERE.values(), ids=EVERYWHERE)
@pytest.mark.parametrize("inside", [True, False], ids=["lung everywhere", "no lung"])
@pytest.mark.parametrize("corner", [0, 1])
def test_an_outline_is_never_empty_and_never_outside_the_scan(hu, inside, corner):
    shape = (5, 20, 20)
    scan = Scan(np.full(shape, hu, np.int16), Geometry(shape, THICK))
    lps = scan.geometry.to_lps(corner * (np.array(shape) - 1))
    candidate = candidate_at(scan, tuple(float(v) for v in lps))
    found = outline_nodule(scan, np.full(shape, inside), candidate)
    assert found.full(shape).sum() == found.mask.sum() > 0


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 14)] * 3), st.sampled_from([FINE, THICK]))
@settings(max_examples=25, deadline=None)
def test_an_outline_of_noise_is_not_empty_either(seed, shape, spacing):
    rng = np.random.default_rng(seed)
    scan = Scan(rng.integers(-1024, 400, shape, dtype=np.int16), Geometry(shape, spacing))
    click = tuple(float(v) for v in scan.geometry.to_lps(rng.uniform(0, np.array(shape) - 1)))
    found = outline_nodule(scan, rng.random(shape) > 0.5, candidate_at(scan, click))
    assert found.full(shape).sum() == found.mask.sum() > 0
