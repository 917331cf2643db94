"""The risk equations against their published check values, and their ranges over what nobody said."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from LungCADLib.guidelines.risk import NoduleInputs, risk, risks
from LungCADLib.guidelines.risk_table import EQUATIONS, UNKNOWN
from LungCADLib.settings import Patient
from LungCADLib.study import Risk

MAN_62 = Patient(
    age_years=62,
    sex="male",
    ever_smoker=True,
    years_since_quit=0,
    family_history_lung_cancer=False,
    family_history_cancer=False,
    emphysema=False,
    extrathoracic_cancer=False,
)
LOWER_10 = NoduleInputs(10.0, upper_lobe=False)


def value(answer: Risk) -> float:
    assert answer.value is not None
    return answer.value


@pytest.mark.parametrize(
    ("patient", "nodule", "percent"),
    [
        (MAN_62, NoduleInputs(4.0, upper_lobe=False, n_nodules=4), 0.112),
        (MAN_62, LOWER_10, 3.192),
        (
            replace(MAN_62, sex="female", family_history_lung_cancer=True, emphysema=True),
            NoduleInputs(10.0, upper_lobe=True, spiculated=True),
            31.246,
        ),
        (
            replace(MAN_62, age_years=70, sex="female", emphysema=True),
            NoduleInputs(15.0, density="part-solid", upper_lobe=True),
            43.461,
        ),
    ],
)
def test_brock_2b_gives_the_check_values(patient: Patient, nodule: NoduleInputs, percent: float) -> None:
    assert 100 * value(risk("brock_2b", nodule, patient)) == pytest.approx(percent, abs=0.0005)


def test_brock_is_centered_at_4_mm_without_subtracting_4_mm() -> None:
    at_center = NoduleInputs(4.0, upper_lobe=False, n_nodules=4)
    for key, intercept in (("brock_2a", -6.8071), ("brock_2b", -6.789170)):
        assert value(risk(key, at_center, MAN_62)) == pytest.approx(1 / (1 + math.exp(-intercept)), rel=1e-6)


def test_brock_2a_by_hand() -> None:
    patient = replace(MAN_62, age_years=72, sex="female", family_history_lung_cancer=True, emphysema=True)
    nodule = NoduleInputs(10.0, density="part-solid", upper_lobe=True, n_nodules=2)
    x = 0.321 + 0.5635 + 0.3013 + 0.3462 + 5.6693 * 0.58113883 + 0.3395 + 0.7116 + 0.1606 - 6.8071
    assert value(risk("brock_2a", nodule, patient)) == pytest.approx(1 / (1 + math.exp(-x)), rel=1e-6)
    ground_glass = replace(nodule, density="non-solid")
    x += -0.3395 - 0.3055
    assert value(risk("brock_2a", ground_glass, patient)) == pytest.approx(1 / (1 + math.exp(-x)), rel=1e-6)


def test_brock_2a_does_not_ask_for_spiculation() -> None:
    spiculated = replace(LOWER_10, spiculated=True)
    assert risk("brock_2a", spiculated, MAN_62) == risk("brock_2a", LOWER_10, MAN_62)
    assert value(risk("brock_2b", spiculated, MAN_62)) > value(risk("brock_2b", LOWER_10, MAN_62))


def test_mayo_uses_the_paper_s_intercept() -> None:
    assert 100 * value(risk("mayo", LOWER_10, MAN_62)) == pytest.approx(8.81, abs=0.005)


@pytest.mark.parametrize(("uptake", "percent"), [("none", 1.2), ("faint", 11.0), ("moderate", 55.1), ("intense", 58.8)])
def test_herder_stands_on_the_probability_of_mayo(uptake: str, percent: float) -> None:
    answer = risk("herder", LOWER_10, replace(MAN_62, pet_uptake=uptake))  # type: ignore[arg-type]
    assert 100 * value(answer) == pytest.approx(percent, abs=0.05)
    assert answer.inputs["mayo_probability"] == pytest.approx(0.0881, abs=5e-5)


def test_va_falls_with_years_since_quitting() -> None:
    now, long_ago = (risk("va", LOWER_10, replace(MAN_62, years_since_quit=years)) for years in (0, 10))
    x = -8.404 + 2.061 + 0.0779 * 62 + 1.12
    assert value(now) == pytest.approx(1 / (1 + math.exp(-x)))
    assert value(long_ago) == pytest.approx(1 / (1 + math.exp(-(x - 0.567))))


def test_pku_by_hand() -> None:
    patient = replace(MAN_62, family_history_cancer=True)
    nodule = NoduleInputs(10.0, spiculated=True, calcification="eccentric", upper_lobe=False)
    x = -4.496 + 4.34 + 0.676 + 0.736 + 1.267 - 1.615
    assert value(risk("pku", nodule, patient)) == pytest.approx(1 / (1 + math.exp(-x)))
    smooth = replace(nodule, spiculated=False, smooth_border=True, calcification="none")
    x = -4.496 + 4.34 + 0.676 + 1.267 - 1.408
    assert value(risk("pku", smooth, patient)) == pytest.approx(1 / (1 + math.exp(-x)))


@pytest.mark.parametrize(
    ("key", "mm", "applies"),
    [
        ("mayo", 3.9, False),
        ("mayo", 4.0, True),
        ("mayo", 30.0, True),
        ("mayo", 30.1, False),
        ("herder", 7.9, False),
        ("herder", 8.0, True),
        ("herder", 30.1, False),
        ("va", 6.9, False),
        ("va", 7.0, True),
        ("pku", 30.0, True),
        ("pku", 30.1, False),
        ("brock_2b", 45.0, True),
        ("brock_2b", 0.0, False),
        ("brock_2b", math.nan, False),
    ],
)
def test_an_equation_is_silent_outside_the_sizes_it_was_made_for(key: str, mm: float, applies: bool) -> None:
    answer = risk(key, NoduleInputs(mm, upper_lobe=False), replace(MAN_62, pet_uptake="faint"))
    assert (answer.value is not None) == applies
    assert bool(answer.note) != applies


def test_mayo_and_herder_are_silent_for_subsolid_nodules_and_recent_cancer() -> None:
    patient = replace(MAN_62, pet_uptake="faint")
    recent = replace(patient, known_cancer=True)
    long_ago = replace(recent, extrathoracic_cancer=True)
    for key in ("mayo", "herder"):
        assert "solid nodules" in risk(key, replace(LOWER_10, density="part-solid"), patient).note
        assert "five years" in risk(key, LOWER_10, recent).note
        assert value(risk(key, LOWER_10, long_ago)) > value(risk(key, LOWER_10, patient))


def test_herder_needs_pet() -> None:
    answer = risk("herder", LOWER_10, MAN_62)
    assert answer.value is None
    assert "pet_uptake" in answer.note


def test_benign_calcification_and_fat_have_no_risk_but_pku_counts_calcification() -> None:
    popcorn = risks(replace(LOWER_10, density="calcified", calcification="popcorn"), MAN_62)
    assert {key for key, answer in popcorn.items() if answer.value is not None} == {"pku"}
    assert value(popcorn["pku"]) < value(risk("pku", LOWER_10, MAN_62))
    fat = risks(replace(LOWER_10, density="fat-containing"), MAN_62)
    assert all(answer.value is None and answer.note for answer in fat.values())
    eccentric = replace(LOWER_10, density="calcified", calcification="eccentric")
    assert value(risk("brock_2b", eccentric, MAN_62)) == value(risk("brock_2b", LOWER_10, MAN_62))


def test_nothing_is_assumed_when_everything_is_given() -> None:
    for answer in risks(LOWER_10, replace(MAN_62, pet_uptake="faint")).values():
        assert answer.low == answer.value == answer.high
        assert answer.assumed == []
        assert answer.note == ""


def test_unknown_inputs_are_named_and_give_the_ends_of_the_range() -> None:
    answer = risk("brock_2b", NoduleInputs(10.0), Patient())
    assert answer.assumed == ["age_years", "sex", "family_history_lung_cancer", "emphysema", "upper_lobe"]
    assert value(answer) == value(risk("brock_2b", LOWER_10, MAN_62))
    youngest = replace(MAN_62, age_years=50)
    oldest = replace(MAN_62, age_years=80, sex="female", family_history_lung_cancer=True, emphysema=True)
    assert answer.low == pytest.approx(value(risk("brock_2b", LOWER_10, youngest)))
    assert answer.high == pytest.approx(value(risk("brock_2b", replace(LOWER_10, upper_lobe=True), oldest)))


def test_assumed_inputs_are_fields_of_the_patient_or_the_lobe() -> None:
    assert set(UNKNOWN) - {"upper_lobe"} <= set(Patient.__dataclass_fields__)


def test_years_since_quitting_imply_smoking_and_never_smokers_have_none() -> None:
    quitter = replace(MAN_62, ever_smoker=None, years_since_quit=5)
    assert risk("va", LOWER_10, quitter) == risk("va", LOWER_10, replace(quitter, ever_smoker=True))
    never = risk("va", LOWER_10, replace(MAN_62, ever_smoker=False, years_since_quit=None))
    assert never.assumed == []
    assert never.inputs["years_since_quit"] == 0


def test_the_range_of_va_has_no_never_smoker_who_quit() -> None:
    unknown = risk("va", LOWER_10, replace(MAN_62, ever_smoker=None, years_since_quit=None))
    never = risk("va", LOWER_10, replace(MAN_62, ever_smoker=False))
    assert unknown.low == never.value


def test_lung_cancer_in_the_family_is_cancer_in_the_family() -> None:
    lung = replace(MAN_62, family_history_lung_cancer=True, family_history_cancer=None)
    assert risk("pku", LOWER_10, lung).inputs["family_history_cancer"] is True
    none = replace(MAN_62, family_history_lung_cancer=None, family_history_cancer=False)
    assert risk("brock_2b", LOWER_10, none).assumed == []


def test_herder_takes_its_range_and_assumptions_from_mayo() -> None:
    patient = Patient(age_years=62, pet_uptake="moderate")
    mayo, herder = (risk(key, LOWER_10, patient) for key in ("mayo", "herder"))
    assert herder.assumed == mayo.assumed == ["ever_smoker", "extrathoracic_cancer"]
    for end in ("low", "high"):
        x = -4.739 + 3.691 * getattr(mayo, end) + 4.617
        assert getattr(herder, end) == pytest.approx(1 / (1 + math.exp(-x)))


def test_every_term_has_a_citation() -> None:
    assert all(term.source for equation in EQUATIONS.values() for term in equation.terms)


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


patients = st.builds(
    Patient,
    age_years=maybe(st.floats(18, 100)),
    sex=maybe(st.sampled_from(["female", "male"])),
    ever_smoker=maybe(st.booleans()),
    years_since_quit=maybe(st.floats(0, 60)),
    family_history_lung_cancer=maybe(st.booleans()),
    family_history_cancer=maybe(st.booleans()),
    emphysema=maybe(st.booleans()),
    extrathoracic_cancer=maybe(st.booleans()),
    pet_uptake=maybe(st.sampled_from(["none", "faint", "moderate", "intense"])),
)
nodules = st.builds(
    NoduleInputs,
    diameter_mm=st.floats(0.5, 100),
    density=st.sampled_from(["solid", "part-solid", "non-solid", "calcified"]),
    upper_lobe=maybe(st.booleans()),
    spiculated=st.booleans(),
    smooth_border=st.booleans(),
    n_nodules=st.integers(1, 60),
)


@given(nodules, patients)
def test_every_answer_is_a_probability_inside_its_range(nodule: NoduleInputs, patient: Patient) -> None:
    for answer in risks(nodule, patient).values():
        if answer.value is None:
            assert answer.low is None and answer.high is None and answer.note
        else:
            assert answer.low is not None and answer.high is not None
            assert 0 <= answer.low <= answer.value <= answer.high <= 1
            assert bool(answer.assumed) or answer.low == answer.high


@given(nodules, patients, st.floats(0.01, 50))
def test_every_probability_grows_with_the_diameter(nodule: NoduleInputs, patient: Patient, more: float) -> None:
    larger = replace(nodule, diameter_mm=nodule.diameter_mm + more)
    for key in EQUATIONS:
        before, after = risk(key, nodule, patient), risk(key, larger, patient)
        if before.value is not None and after.value is not None:
            assert before.value <= after.value


@given(nodules, patients, st.floats(50, 80), st.booleans(), st.booleans())
def test_whatever_an_unknown_turns_out_to_be_lies_in_the_range(
    nodule: NoduleInputs, patient: Patient, age: float, yes: bool, upper: bool
) -> None:
    told = replace(
        patient,
        age_years=age if patient.age_years is None else patient.age_years,
        sex=("female" if yes else "male") if patient.sex is None else patient.sex,
        emphysema=yes if patient.emphysema is None else patient.emphysema,
    )
    placed = replace(nodule, upper_lobe=upper if nodule.upper_lobe is None else nodule.upper_lobe)
    for key in EQUATIONS:
        vague, exact = risk(key, nodule, patient), risk(key, placed, told)
        if vague.value is not None:
            assert vague.low - 1e-12 <= exact.low and exact.high <= vague.high + 1e-12  # type: ignore[operator]
