"""Lung-RADS v2022, line by line."""

import math
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from LungCADLib.guidelines.lung_rads import Finding, Previous, classify, examination, rank
from LungCADLib.guidelines.lung_rads_table import MM3, ROWS, Category, CystChange, History
from LungCADLib.study import Calcification, Density


def category(**facts: Any) -> str:
    return classify(Finding(**facts)).category


def solid(mm: float, **facts: Any) -> str:
    return category(density="solid", mean_mm=mm, **facts)


def part_solid(mm: float, solid_mm: float, **facts: Any) -> str:
    return category(density="part-solid", mean_mm=mm, solid_mm=solid_mm, **facts)


def ground_glass(mm: float, **facts: Any) -> str:
    return category(density="non-solid", mean_mm=mm, **facts)


@pytest.mark.parametrize(
    ("mm", "expected"),
    [(5.9, "2"), (6.0, "3"), (7.9, "3"), (8.0, "4A"), (14.9, "4A"), (15.0, "4B"), (60.0, "4B")],
)
def test_solid_at_baseline(mm: float, expected: str) -> None:
    assert solid(mm) == expected


@pytest.mark.parametrize(("mm", "expected"), [(5.94, "2"), (5.95, "3"), (7.949, "3"), (7.95, "4A"), (14.95, "4B")])
def test_the_mean_diameter_counts_as_reported_to_a_tenth_of_a_mm(mm: float, expected: str) -> None:
    assert solid(mm) == expected


@pytest.mark.parametrize(
    ("mm", "expected"), [(3.9, "2"), (4.0, "3"), (5.9, "3"), (6.0, "4A"), (7.9, "4A"), (8.0, "4B")]
)
def test_solid_new(mm: float, expected: str) -> None:
    assert solid(mm, history="new") == expected


@pytest.mark.parametrize(("mm", "expected"), [(5.0, "4A"), (7.9, "4A"), (8.0, "4B")])
def test_solid_growing(mm: float, expected: str) -> None:
    assert solid(mm, history="growing") == expected


@pytest.mark.parametrize(
    ("total", "component", "expected"),
    [
        (5.9, 3.0, "2"),
        (5.9, 5.9, "2"),
        (6.0, 0.0, "3"),
        (20.0, 5.9, "3"),
        (20.0, 6.0, "4A"),
        (20.0, 7.9, "4A"),
        (20.0, 8.0, "4B"),
    ],
)
def test_part_solid_at_baseline(total: float, component: float, expected: str) -> None:
    assert part_solid(total, component) == expected


@pytest.mark.parametrize(
    ("total", "component", "expected"),
    [(5.9, 3.0, "3"), (6.0, 3.9, "4A"), (6.0, 4.0, "4B"), (20.0, 0.0, "4A"), (20.0, 9.0, "4B")],
)
def test_the_solid_component_of_a_new_part_solid_nodule_is_new(total: float, component: float, expected: str) -> None:
    assert part_solid(total, component, history="new") == expected


@pytest.mark.parametrize(("component", "expected"), [(3.9, "4A"), (4.0, "4B")])
def test_part_solid_with_growing_solid_component(component: float, expected: str) -> None:
    assert part_solid(10.0, component, history="growing") == expected
    assert part_solid(10.0, component, history="growing", solid_growing=True) == expected


def test_part_solid_growing_in_its_ground_glass_alone_goes_by_size() -> None:
    assert part_solid(10.0, 4.0, history="growing", solid_growing=False) == "3"


@pytest.mark.parametrize("history", ["baseline", "new", "growing"])
def test_ground_glass_below_30_mm_is_2(history: History) -> None:
    assert ground_glass(29.9, history=history) == "2"
    assert ground_glass(30.0, history=history) == "3"


@pytest.mark.parametrize("history", ["stable", "slow-growing", "decreased"])
def test_ground_glass_of_30_mm_that_rests_or_grows_slowly_is_2(history: History) -> None:
    assert ground_glass(30.0, history=history) == "2"
    assert ground_glass(12.0, history=history) == "2"


@pytest.mark.parametrize("density", ["solid", "part-solid"])
def test_slow_growth_of_a_solid_or_part_solid_nodule_is_4b(density: Density) -> None:
    assert category(density=density, mean_mm=5.0, solid_mm=2.0, history="slow-growing") == "4B"


LYMPH_NODE = {"juxtapleural": True, "smooth": True, "benign_shape": True}


@pytest.mark.parametrize(("mm", "expected"), [(6.0, "2"), (9.9, "2"), (10.0, "4A"), (15.0, "4B")])
def test_juxtapleural_lymph_node_is_2_below_10_mm_and_goes_by_size_from_there(mm: float, expected: str) -> None:
    assert solid(mm, **LYMPH_NODE) == expected


def test_juxtapleural_needs_place_margin_and_shape() -> None:
    for missing in LYMPH_NODE:
        assert solid(9.0, **{**LYMPH_NODE, missing: False}) == "4A"
    assert part_solid(9.0, 6.0, **LYMPH_NODE) == "4A"
    assert solid(9.0, **LYMPH_NODE, spiculated=True) == "4X"


def test_a_new_juxtapleural_lymph_node_is_2_and_a_growing_one_is_solid() -> None:
    assert solid(7.0, **LYMPH_NODE, history="new") == "2"
    assert solid(7.0, **LYMPH_NODE, history="growing") == "4A"


@pytest.mark.parametrize("calcification", ["central", "diffuse", "laminated", "popcorn"])
def test_benign_calcification_is_1_at_any_size(calcification: Calcification) -> None:
    assert category(density="calcified", calcification=calcification, mean_mm=25.0, history="growing") == "1"


@pytest.mark.parametrize("calcification", ["none", "eccentric"])
def test_other_calcification_counts_as_solid(calcification: Calcification) -> None:
    assert category(density="calcified", calcification=calcification, mean_mm=8.0) == "4A"


def test_fat_is_1() -> None:
    assert category(density="fat-containing", mean_mm=20.0) == "1"


@pytest.mark.parametrize(
    ("airway", "history", "expected"),
    [
        ("subsegmental", "baseline", "2"),
        ("subsegmental", "new", "2"),
        ("subsegmental", "stable", "2"),
        ("subsegmental", "growing", "4B"),
        ("segmental", "baseline", "4A"),
        ("segmental", "new", "4A"),
        ("segmental", "stable", "4B"),
        ("segmental", "growing", "4B"),
        ("segmental", "decreased", "4A"),
    ],
)
def test_airway_nodules(airway: str, history: str, expected: str) -> None:
    assert solid(9.0, airway=airway, history=history) == expected


def test_an_airway_nodule_is_not_stepped_down() -> None:
    assert solid(9.0, airway="segmental", history="stable", previous=Previous("4A", 3)) == "4B"


@pytest.mark.parametrize(
    ("cyst", "change", "expected"),
    [
        ("thin-walled", "baseline", "not classified"),
        ("thin-walled", "became multilocular", "4A"),
        ("thin-walled", "thicker", "4B"),
        ("thick-walled", "baseline", "4A"),
        ("thick-walled", "larger", "3"),
        ("thick-walled", "thicker", "4B"),
        ("thick-walled", "became multilocular", "4A"),
        ("multilocular", "baseline", "4A"),
        ("multilocular", "larger", "4B"),
        ("multilocular", "more loculated", "4B"),
        ("multilocular", "became multilocular", "4A"),
        ("fluid", "baseline", "not classified"),
        ("multiple", "baseline", "not classified"),
    ],
)
def test_cysts(cyst: str, change: str, expected: str) -> None:
    assert category(cyst=cyst, cyst_change=change, mean_mm=12.0) == expected


def test_known_lung_cancer_is_not_classified() -> None:
    assert solid(20.0, known_cancer=True) == "not classified"


def test_4a_steps_to_3_after_3_months_and_to_2_after_6_more() -> None:
    assert solid(9.0, history="stable", previous=Previous("4A", 3, 9.0)) == "3"
    assert solid(9.0, history="decreased", previous=Previous("4A", 3, 12.0)) == "3"
    assert solid(9.0, history="stable", previous=Previous("3", 6, 9.0)) == "2"
    assert solid(9.0, history="stable", previous=Previous("2", 12, 9.0)) == "2"
    assert part_solid(9.0, 6.0, history="stable", previous=Previous("4A", 3, 9.0, 6.0)) == "3"
    assert category(cyst="thick-walled", cyst_change="stable", previous=Previous("4A", 3)) == "3"


def test_a_step_takes_its_time() -> None:
    assert solid(9.0, history="stable", previous=Previous("4A", 2.4, 9.0)) == "4A"
    assert solid(9.0, history="stable", previous=Previous("4A", 2.8, 9.0)) == "3"
    assert solid(7.0, history="stable", previous=Previous("3", 3, 7.0)) == "3"
    assert solid(9.0, history="stable", previous=Previous("4A")) == "4A"


def test_a_stable_nodule_of_15_mm_stays_4b() -> None:
    for before in (None, Previous("4B", 12, 15.0), Previous("4A", 3), Previous("4B", 3)):
        assert solid(15.0, history="stable", previous=before) == "4B"


def test_a_smaller_nodule_that_was_4b_or_4x_is_not_stepped_down_by_time() -> None:
    assert solid(9.0, history="stable", previous=Previous("4B", 12, 9.0)) == "4B"
    assert solid(9.0, history="stable", previous=Previous("4X", 12, 9.0)) == "4X"


def test_4b_proven_benign_is_2() -> None:
    assert solid(20.0, history="stable", proven_benign=True) == "2"


def test_crossing_a_size_threshold_reclassifies_without_growth() -> None:
    assert solid(8.2, history="stable", previous=Previous("3", 6, 7.6)) == "4A"
    assert solid(6.3, history="stable", previous=Previous("2", 12, 5.5)) == "3"
    assert part_solid(10.0, 6.2, history="stable", previous=Previous("3", 6, 10.0, 5.5)) == "4A"


def test_a_stable_nodule_with_nothing_known_before_goes_by_size() -> None:
    assert solid(7.0, history="stable") == "3"
    assert solid(7.0, history="stable", previous=Previous("0", 3)) == "3"


@pytest.mark.parametrize("feature", ["spiculated", "lymphadenopathy", "metastasis", "chest_wall"])
def test_features_turn_3_and_4_into_4x_and_nothing_else(feature: str) -> None:
    assert solid(5.9, **{feature: True}) == "2"
    assert solid(6.0, **{feature: True}) == "4X"
    assert solid(15.0, **{feature: True}) == "4X"
    assert category(density="fat-containing", mean_mm=20.0, **{feature: True}) == "1"


def test_a_ground_glass_nodule_doubling_in_a_year_is_4x_from_category_3_on() -> None:
    assert ground_glass(31.0, history="growing", doubled_in_a_year=True) == "4X"
    assert ground_glass(20.0, history="growing", doubled_in_a_year=True) == "2"


def test_growth_alone_is_not_4x() -> None:
    assert solid(20.0, history="growing", doubled_in_a_year=True) == "4B"


def test_suspected_inflammation_is_0_with_a_ct_in_1_to_3_months() -> None:
    advice = classify(Finding(mean_mm=12.0, history="new", inflammatory=True))
    assert advice.category == "0"
    assert "1-3 months" in advice.management


def test_the_examination_takes_its_most_suspicious_nodule() -> None:
    named = [("N1", classify(Finding(mean_mm=5.0))), ("N2", classify(Finding(mean_mm=9.0)))]
    advice = examination(named)
    assert advice.category == "4A"
    assert advice.reason.startswith("N2: ")


def test_no_nodule_is_1() -> None:
    assert examination([]).category == "1"
    assert examination([("N1", classify(Finding(cyst="fluid")))]).category == "1"


def test_lungs_that_cannot_be_evaluated_are_0_and_say_what_was_seen() -> None:
    assert examination([], lungs_evaluable=False).category == "0"
    advice = examination([("N1", classify(Finding(mean_mm=20.0)))], lungs_evaluable=False)
    assert advice.category == "0"
    assert "cannot be evaluated" in advice.reason
    assert "N1" in advice.reason and "4B" in advice.management


def test_an_awaited_prior_is_0() -> None:
    advice = examination([("N1", classify(Finding(mean_mm=7.0)))], prior_awaited=True)
    assert advice.category == "0"
    assert "being located" in advice.reason


def test_inflammation_waits_no_longer_than_4a_but_does_not_hide_4b() -> None:
    inflamed = ("N1", classify(Finding(mean_mm=12.0, inflammatory=True)))
    assert examination([inflamed, ("N2", classify(Finding(mean_mm=9.0)))]).category == "0"
    assert examination([inflamed, ("N2", classify(Finding(mean_mm=15.0)))]).category == "4B"


@pytest.mark.parametrize("mm", [5.0, 7.0, 9.0, 16.0])
def test_the_modifier_s_is_added_to_any_category(mm: float) -> None:
    nodules = [("N1", classify(Finding(mean_mm=mm)))]
    plain = examination(nodules)
    assert examination(nodules, significant_other_finding=True).category == plain.category + "S"
    assert examination([], lungs_evaluable=False, significant_other_finding=True).category == "0S"


@pytest.mark.parametrize(
    ("mm", "text"),
    [(5.0, "12 months"), (7.0, "6 months"), (9.0, "3 months"), (16.0, "tissue sampling")],
)
def test_each_category_has_its_management(mm: float, text: str) -> None:
    assert text in classify(Finding(mean_mm=mm)).management


def test_printed_volumes_are_those_of_spheres() -> None:
    for mm, mm3 in MM3.items():
        assert round(math.pi / 6 * mm**3) == mm3
    assert next(row for row in ROWS if row.category == "3").total.volume_mm3 == (113, 268)


def test_rows_of_one_kind_and_history_never_overlap() -> None:
    sizes = [0.0, 3.9, 4.0, 5.9, 6.0, 7.9, 8.0, 9.9, 10.0, 14.9, 15.0, 29.9, 30.0, 60.0]
    for row, other in product(ROWS, ROWS):
        if row is not other and set(row.kinds) & set(other.kinds) and set(row.when) & set(other.when):
            both = [
                (total, part)
                for total, part in product(sizes, sizes)
                if total in row.total and total in other.total and part in row.solid and part in other.solid
            ]
            assert not both, f"{row} / {other}"


findings = st.builds(
    Finding,
    density=st.sampled_from(get_args(Density)),
    mean_mm=st.floats(0, 100),
    solid_mm=st.floats(0, 100),
    calcification=st.sampled_from(get_args(Calcification)),
    juxtapleural=st.booleans(),
    smooth=st.booleans(),
    benign_shape=st.booleans(),
    history=st.sampled_from(get_args(History)),
    solid_growing=st.none() | st.booleans(),
    previous=st.none()
    | st.builds(
        Previous,
        st.sampled_from(get_args(Category)),
        st.none() | st.floats(0, 36),
        st.none() | st.floats(0, 100),
        st.floats(0, 100),
    ),
    airway=st.none() | st.sampled_from(["subsegmental", "segmental"]),
    cyst=st.none() | st.sampled_from(["thin-walled", "thick-walled", "multilocular", "fluid", "multiple"]),
    cyst_change=st.sampled_from(get_args(CystChange)),
    spiculated=st.booleans(),
    doubled_in_a_year=st.booleans(),
)


@given(findings)
def test_every_finding_has_a_category_with_management_reason_and_source(finding: Finding) -> None:
    advice = classify(finding)
    assert advice.category in get_args(Category)
    assert advice.management and advice.reason and advice.source


@given(st.floats(0, 100), st.floats(0, 50), st.sampled_from(["baseline", "new", "growing"]))
def test_a_larger_solid_nodule_is_never_less_suspicious(mm: float, more: float, history: History) -> None:
    small = Finding(mean_mm=mm, history=history)
    assert rank(classify(small).category) <= rank(classify(replace(small, mean_mm=mm + more)).category)


@given(st.floats(0, 40), st.floats(0, 20), st.floats(0, 20), st.sampled_from(["baseline", "new", "growing"]))
def test_a_larger_solid_component_is_never_less_suspicious(
    mm: float, part: float, more: float, history: History
) -> None:
    small = Finding(density="part-solid", mean_mm=mm, solid_mm=part, history=history)
    assert rank(classify(small).category) <= rank(classify(replace(small, solid_mm=part + more)).category)
