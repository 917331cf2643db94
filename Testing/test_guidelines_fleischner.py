"""Fleischner 2017, cell by cell."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from LungCADLib.guidelines import fleischner
from LungCADLib.guidelines.fleischner import advise, risk_group, urgency
from LungCADLib.settings import Patient

LOW = Patient(age_years=62, known_cancer=False, immunosuppressed=False, high_risk=False)
HIGH = replace(LOW, high_risk=True)
UNKNOWN = replace(LOW, high_risk=None)


def management(patient: Patient, mm: float, **facts: Any) -> str:
    return advise(patient, "solid", mm, **facts).management


@pytest.mark.parametrize(
    ("mm", "multiple", "low", "high"),
    [
        (5, False, "No routine follow-up.", "Optional CT at 12 months."),
        (6, False, "CT at 6-12 months, then consider CT at 18-24", "CT at 6-12 months, then CT at 18-24"),
        (8, False, "CT at 6-12 months, then consider CT at 18-24", "CT at 6-12 months, then CT at 18-24"),
        (9, False, "Consider CT at 3 months, PET/CT or tissue", "Consider CT at 3 months, PET/CT or tissue"),
        (5, True, "No routine follow-up.", "Optional CT at 12 months."),
        (6, True, "CT at 3-6 months, then consider CT at 18-24", "CT at 3-6 months, then CT at 18-24"),
        (8, True, "CT at 3-6 months, then consider CT at 18-24", "CT at 3-6 months, then CT at 18-24"),
        (9, True, "CT at 3-6 months, then consider CT at 18-24", "CT at 3-6 months, then CT at 18-24"),
    ],
)
def test_solid(mm: float, multiple: bool, low: str, high: str) -> None:
    assert management(LOW, mm, multiple=multiple).startswith(low)
    assert management(HIGH, mm, multiple=multiple).startswith(high)


@pytest.mark.parametrize(
    ("mm", "expected"),
    [
        (5.4, "no follow-up"),
        (5.5, "CT 6-12 mo"),
        (8.4, "CT 6-12 mo"),
        (8.5, "CT 3 mo, PET/CT or tissue"),
    ],
)
def test_sizes_are_rounded_to_whole_mm_half_up(mm: float, expected: str) -> None:
    assert advise(LOW, "solid", mm).category == expected


def test_single_ground_glass() -> None:
    assert advise(HIGH, "non-solid", 5).category == "no follow-up"
    assert advise(LOW, "non-solid", 6).management == "CT at 6-12 months to confirm, then every 2 years until 5 years."


def test_single_part_solid_by_its_solid_component() -> None:
    assert advise(HIGH, "part-solid", 5, 5).category == "no follow-up"
    small, large = (advise(LOW, "part-solid", 12, solid_mm).management for solid_mm in (5.4, 5.5))
    assert "yearly CT for 5 years" in small
    assert "yearly" not in large and "PET/CT, biopsy or resection" in large


@pytest.mark.parametrize("density", ["non-solid", "part-solid"])
def test_multiple_subsolid(density: Any) -> None:
    small, large = (advise(LOW, density, mm, multiple=True) for mm in (5, 6))
    assert small.category == large.category == "CT 3-6 mo"
    assert "2 and 4 years" in small.management
    assert "most suspicious" in large.management


@pytest.mark.parametrize(
    ("patient", "words"),
    [
        (replace(LOW, age_years=34.9), "35 years"),
        (replace(LOW, known_cancer=True), "cancer"),
        (replace(LOW, immunosuppressed=True), "immunosuppressed"),
    ],
)
def test_patients_it_is_not_for(patient: Patient, words: str) -> None:
    advice = advise(patient, "solid", 9)
    assert advice.category == "not applicable"
    assert words in advice.reason


def test_35_years_is_old_enough() -> None:
    assert advise(replace(LOW, age_years=35), "solid", 9).category != "not applicable"


def test_unknown_risk_says_both() -> None:
    advice = advise(UNKNOWN, "solid", 5)
    assert advice.category == "no follow-up or optional CT 12 mo"
    assert advice.management == "Low risk: No routine follow-up. High risk: Optional CT at 12 months."
    assert "risk unknown" in advice.reason
    assert advise(UNKNOWN, "solid", 9).management == advise(HIGH, "solid", 9).management


def test_what_nobody_said_about_the_patient_is_named() -> None:
    assert "assumed: age of 35 or more, no known cancer, no immunosuppression" in advise(Patient(), "solid", 7).reason
    assert "assumed" not in advise(LOW, "solid", 7).reason


@pytest.mark.parametrize(
    ("facts", "group"),
    [
        ({}, None),
        ({"ever_smoker": True}, "high"),
        ({"years_since_quit": 3}, "high"),
        ({"emphysema": True}, "high"),
        ({"family_history_lung_cancer": True}, "high"),
        ({"ever_smoker": False}, None),
        ({"ever_smoker": False, "age_years": 49}, "low"),
        ({"ever_smoker": False, "age_years": 50}, None),
        ({"ever_smoker": False, "age_years": 40, "emphysema": True}, "high"),
        ({"ever_smoker": True, "high_risk": False}, "low"),
    ],
)
def test_risk_group(facts: dict[str, Any], group: str | None) -> None:
    assert risk_group(Patient(**facts), spiculated=False) == group


def test_a_spiculated_nodule_is_high_risk_unless_the_reader_says_otherwise() -> None:
    assert risk_group(Patient(), spiculated=True) == "high"
    assert risk_group(LOW, spiculated=True) == "low"


def test_fat_and_benign_calcification_need_no_follow_up() -> None:
    assert advise(HIGH, "fat-containing", 20).category == "no follow-up"
    assert advise(HIGH, "calcified", 20, calcification="popcorn").category == "no follow-up"
    assert advise(HIGH, "calcified", 20, calcification="eccentric").category == "CT 3 mo, PET/CT or tissue"


@given(
    st.sampled_from([LOW, HIGH, UNKNOWN]),
    st.sampled_from(["solid", "part-solid", "non-solid", "calcified"]),
    st.floats(0, 80),
    st.floats(0, 80),
    st.floats(0, 30),
    st.booleans(),
)
def test_there_is_one_cell_for_every_nodule_and_larger_is_never_less_urgent(
    patient: Patient, density: Any, mm: float, solid_mm: float, more: float, multiple: bool
) -> None:
    small = advise(patient, density, mm, solid_mm, multiple=multiple)
    large = advise(patient, density, mm + more, solid_mm, multiple=multiple)
    assert urgency(small) <= urgency(large)


def test_urgency_follows_the_list_of_actions() -> None:
    assert [urgency(replace(advise(LOW, "solid", 5), category=action)) for action in fleischner.ACTIONS] == list(
        range(len(fleischner.ACTIONS))
    )
