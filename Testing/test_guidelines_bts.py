"""BTS 2015: size, Brock, Herder, growth."""

import pytest

from LungCADLib.guidelines.bts import advise, after_growth
from LungCADLib.guidelines.growth import volume_growth
from LungCADLib.study import Risk

NO_PET = Risk("Herder", None, None, None)


def known(p: float) -> Risk:
    return Risk("risk", p, p, p)


def between(low: float, value: float, high: float) -> Risk:
    return Risk("risk", value, low, high, assumed=["sex"])


@pytest.mark.parametrize(
    ("mm", "mm3", "expected"),
    [
        (4.9, None, "discharge"),
        (5.0, None, "CT 12 mo"),
        (5.9, None, "CT 12 mo"),
        (6.0, None, "CT 3 mo"),
        (7.9, None, "CT 3 mo"),
        (8.0, None, "CT surveillance"),
        (7.0, 79, "discharge"),
        (7.0, 80, "CT 3 mo"),
        (5.5, 80, "CT 3 mo"),
        (7.0, 299, "CT 3 mo"),
        (7.0, 300, "CT surveillance"),
        (4.9, 85, "discharge"),
        (8.0, 79, "CT surveillance"),
    ],
)
def test_solid_by_size(mm: float, mm3: float | None, expected: str) -> None:
    assert advise("solid", mm, mm3, known(0.05), NO_PET).category == expected


@pytest.mark.parametrize(("brock", "expected"), [(0.099, "CT surveillance"), (0.10, "PET/CT")])
def test_brock_of_10_percent_asks_for_pet(brock: float, expected: str) -> None:
    assert advise("solid", 10, 500, known(brock), NO_PET).category == expected


@pytest.mark.parametrize(
    ("herder", "expected"),
    [(0.099, "CT surveillance"), (0.10, "biopsy"), (0.70, "biopsy"), (0.701, "resection")],
)
def test_herder_decides_after_pet(herder: float, expected: str) -> None:
    assert advise("solid", 10, 500, known(0.2), known(herder)).category == expected


def test_a_range_across_a_threshold_says_both_and_names_what_was_assumed() -> None:
    advice = advise("solid", 10, 500, between(0.02, 0.05, 0.30), NO_PET)
    assert advice.category == "CT surveillance or PET/CT"
    assert "2.0% to 30.0% (assumed: sex)" in advice.reason
    wide = advise("solid", 10, 500, known(0.2), between(0.05, 0.4, 0.9))
    assert wide.category == "CT surveillance or biopsy or resection"


def test_a_large_nodule_without_a_risk_is_not_taken_for_a_safe_one() -> None:
    advice = advise("solid", 10, 500, NO_PET, NO_PET)
    assert advice.category == "PET/CT"
    assert "Brock unknown" in advice.reason


@pytest.mark.parametrize("density", ["part-solid", "non-solid"])
def test_subsolid(density: str) -> None:
    assert advise(density, 4.9, 60, known(0.2), NO_PET).category == "discharge"  # type: ignore[arg-type]
    advice = advise(density, 5.0, 60, known(0.2), NO_PET)  # type: ignore[arg-type]
    assert advice.category == "CT 3 mo"
    assert "1, 2 and 4 years" in advice.management


def test_benign_look_is_discharged() -> None:
    assert advise("fat-containing", 20, 4000, NO_PET, NO_PET).category == "discharge"
    assert advise("calcified", 20, 4000, NO_PET, NO_PET, calcification="central").category == "discharge"
    assert advise("calcified", 20, 4000, known(0.2), NO_PET, calcification="eccentric").category == "PET/CT"


@pytest.mark.parametrize(
    ("vdt", "expected"),
    [
        (399, "biopsy or resection"),
        (400, "biopsy or resection"),
        (401, "CT surveillance or biopsy"),
        (600, "CT surveillance or biopsy"),
        (601, "discharge or CT surveillance"),
    ],
)
def test_growth_by_doubling_time(vdt: float, expected: str) -> None:
    growth = volume_growth(100, 100 * 2 ** (365 / vdt), 365)
    assert after_growth(growth, 12).category == expected


@pytest.mark.parametrize(
    ("months", "volumetric", "expected"),
    [
        (3, True, "CT 12 mo"),
        (12, True, "discharge"),
        (12, False, "CT 12 mo"),
        (24, False, "discharge"),
    ],
)
def test_a_stable_nodule(months: float, volumetric: bool, expected: str) -> None:
    assert after_growth(volume_growth(100, 124, 90), months, volumetric=volumetric).category == expected
