"""Doubling times, what counts as growth, and what Lung-RADS and BTS make of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from LungCADLib.errors import InputError
from LungCADLib.guidelines.growth import (
    MALIGNANT_MDT_DAYS,
    MALIGNANT_VDT_DAYS,
    Growth,
    diameter_doubling_days,
    lung_rads_history,
    mass_mg,
    volume_doubling_days,
    volume_growth,
)


def test_twice_the_volume_takes_one_doubling_time() -> None:
    assert volume_doubling_days(100, 200, 90) == pytest.approx(90)
    assert volume_doubling_days(100, 400, 90) == pytest.approx(45)


def test_a_diameter_8_to_10_mm_in_90_days() -> None:
    assert diameter_doubling_days(8, 10, 90) == pytest.approx(90 * math.log(2) / (3 * math.log(1.25)))


def test_shrinking_is_negative() -> None:
    assert volume_growth(200, 100, 90) == Growth(-0.5, pytest.approx(-90), "shrinking")


@pytest.mark.parametrize(
    ("now", "verdict"),
    [(124.9, "stable"), (125, "growing"), (75.1, "stable"), (75, "shrinking"), (100, "stable")],
)
def test_less_than_a_quarter_is_stable_and_has_no_doubling_time(now: float, verdict: str) -> None:
    growth = volume_growth(100, now, 90)
    assert growth.verdict == verdict
    assert (growth.doubling_days is None) == (verdict == "stable")


def test_mass_of_water_and_of_half_air() -> None:
    assert mass_mg(100, 0) == 100
    assert mass_mg(100, -500) == 50


def test_mass_doubles_like_volume() -> None:
    assert volume_growth(mass_mg(100, -600), mass_mg(100, -200), 60).doubling_days == pytest.approx(60)


def test_solid_cancers_double_faster_than_ground_glass() -> None:
    for table in (MALIGNANT_VDT_DAYS, MALIGNANT_MDT_DAYS):
        assert table["solid"] < table["part-solid"] < table["non-solid"]
    assert MALIGNANT_VDT_DAYS["solid"] == 267


@pytest.mark.parametrize(("before", "now", "days"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, -5), (math.nan, 1, 1)])
def test_sizes_and_interval_must_be_positive(before: float, now: float, days: float) -> None:
    with pytest.raises(InputError, match="above zero"):
        volume_growth(before, now, days)


@pytest.mark.parametrize(
    ("earlier", "now", "history"),
    [
        ([], 7.0, "new"),
        ([(365, 6.0)], 7.5, "stable"),
        ([(365, 6.0)], 7.6, "growing"),
        ([(366, 6.0)], 7.6, "growing"),
        ([(367, 6.0)], 7.6, "slow-growing"),
        ([(365, 7.0), (730, 6.0)], 8.0, "slow-growing"),
        ([(730, 6.0), (365, 6.2)], 8.0, "growing"),
        ([(90, 9.0)], 7.4, "decreased"),
        ([(90, 9.0)], 7.5, "stable"),
    ],
)
def test_lung_rads_growth_is_more_than_1_5_mm_within_12_months(
    earlier: list[tuple[float, float]], now: float, history: str
) -> None:
    assert lung_rads_history(earlier, now) == history


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(1, 3000))
def test_a_doubling_time_predicts_the_volume_it_came_from(before: float, now: float, days: float) -> None:
    doubling = volume_doubling_days(before, now, days)
    assert before * 2 ** (days / doubling) == pytest.approx(now, rel=1e-6)


@given(st.floats(1, 50), st.floats(1, 50), st.floats(1, 3000))
def test_spheres_double_alike_by_diameter_and_volume(before: float, now: float, days: float) -> None:
    volumes = (math.pi / 6 * mm**3 for mm in (before, now))
    assert diameter_doubling_days(before, now, days) == pytest.approx(volume_doubling_days(*volumes, days), rel=1e-3)
