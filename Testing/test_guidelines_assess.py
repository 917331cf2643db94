"""The guidelines on whole scans: what `assess` writes into nodules and says of the examination."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from LungCADLib.guidelines import assess
from LungCADLib.guidelines.risk_table import EQUATIONS
from LungCADLib.settings import Patient
from LungCADLib.study import Attenuation, Location, Margin, Nodule, Shape, SolidPart

MAN_62 = Patient(
    age_years=62,
    sex="male",
    ever_smoker=True,
    years_since_quit=0,
    family_history_lung_cancer=False,
    family_history_cancer=False,
    emphysema=False,
    extrathoracic_cancer=False,
    known_cancer=False,
    immunosuppressed=False,
)
PLACE = Location("right", "lower", 0.9, 20.0, False, False, "right lower lobe")
PLAIN = Margin(0.8, 0.1, 0.1, False, False)
CONVEX = Shape(314.0, 0.95, 0.95, 0.9, 10.0, 78.0, 0.9)


def nodule(name: str, mm: float, **facts: Any) -> Nodule:
    """A ball of the given diameter; keywords replace what is said of it."""
    ball: dict[str, Any] = {
        "id": name,
        "score": 0.9,
        "center_lps_mm": (0.0, 0.0, 0.0),
        "long_axis_mm": mm,
        "short_axis_mm": mm,
        "mean_diameter_mm": mm,
        "max_diameter_3d_mm": mm,
        "volume_mm3": 0.5236 * mm**3,
        "mass_mg": 0.5236 * mm**3,
        "axes_lps_mm": [],
        "density": "solid",
        "calcification": "none",
        "attenuation_hu": Attenuation(0, 0, 0, 0, 0, 0, 0),
        "solid": SolidPart(mm, mm, mm, 0.5236 * mm**3, 1.0),
        "shape": CONVEX,
        "margin": PLAIN,
        "location": PLACE,
    }
    return Nodule(**{**ball, **facts})


def brock(one: Nodule) -> float:
    answer = one.risk["brock_2b"].value
    assert answer is not None
    return answer


def test_every_nodule_gets_every_answer() -> None:
    one = nodule("N1", 10.0)
    exam = assess([one], MAN_62)
    assert list(one.risk) == list(EQUATIONS)
    assert 100 * brock(one) == pytest.approx(3.192, abs=0.0005)
    assert one.risk["herder"].value is None and "pet_uptake" in one.risk["herder"].note
    assert one.lung_rads and one.fleischner and one.bts
    assert (one.lung_rads.category, one.bts.category) == ("4A", "CT surveillance")
    assert exam.lung_rads.category == "4A"
    assert exam.fleischner.category == "CT 3 mo, PET/CT or tissue"
    assert exam.bts.reason.startswith("N1: ")


def test_no_nodules() -> None:
    exam = assess([], MAN_62)
    assert (exam.lung_rads.category, exam.fleischner.category, exam.bts.category) == ("1", "no follow-up", "discharge")
    assert assess([], replace(MAN_62, age_years=20)).fleischner.category == "not applicable"


def test_lungs_that_cannot_be_evaluated() -> None:
    assert assess([], MAN_62, lungs_evaluable=False).lung_rads.category == "0"
    assert assess([nodule("N1", 20.0)], MAN_62, lungs_evaluable=False).lung_rads.category == "0"


def test_brock_counts_the_nodules_that_are_not_benign_and_takes_the_long_axis() -> None:
    one = nodule("N1", 10.0, long_axis_mm=12.0)
    popcorn = nodule("N2", 9.0, density="calcified", calcification="popcorn")
    assess([one, popcorn, nodule("N3", 5.0)], MAN_62)
    assert one.risk["brock_2b"].inputs["n_nodules"] == 2
    assert one.risk["brock_2b"].inputs["diameter_mm"] == 12.0
    assert popcorn.lung_rads and popcorn.lung_rads.category == "1"
    assert popcorn.risk["brock_2b"].value is None


def test_an_unknown_lobe_is_assumed() -> None:
    one = nodule("N1", 10.0, location=replace(PLACE, lobe="unknown"))
    assess([one], MAN_62)
    assert one.risk["brock_2b"].assumed == ["upper_lobe"]


@pytest.mark.parametrize(("lobe", "upper"), [("upper", True), ("middle", False), ("lower", False)])
def test_the_lobe_counts(lobe: Any, upper: bool) -> None:
    one = nodule("N1", 10.0, location=replace(PLACE, lobe=lobe))
    assess([one], MAN_62)
    assert one.risk["brock_2b"].inputs["upper_lobe"] is upper


def test_pet_uptake_belongs_to_the_most_suspicious_nodule() -> None:
    small, large = nodule("N1", 9.0), nodule("N2", 16.0)
    assess([small, large], replace(MAN_62, pet_uptake="intense"))
    assert large.risk["herder"].value is not None
    assert small.risk["herder"].value is None and "N2" in small.risk["herder"].note


def test_a_lymph_node_at_the_pleura_is_2_when_smooth_and_convex() -> None:
    at_wall = replace(PLACE, juxtapleural=True)
    rough = replace(PLAIN, lobulated=True)
    dented = replace(CONVEX, solidity=0.84)
    cases = [
        (nodule("N1", 9.0, location=at_wall), "2"),
        (nodule("N2", 10.0, location=at_wall), "4A"),
        (nodule("N3", 9.0, location=at_wall, margin=rough), "4A"),
        (nodule("N4", 9.0, location=at_wall, shape=dented), "4A"),
        (nodule("N5", 9.0), "4A"),
    ]
    assess([one for one, _ in cases], MAN_62)
    for one, expected in cases:
        assert one.lung_rads and one.lung_rads.category == expected, one.id


def test_spiculation_makes_4x_and_raises_the_risk() -> None:
    smooth, spiculated = nodule("N1", 10.0), nodule("N2", 10.0, margin=replace(PLAIN, spiculated=True))
    exam = assess([smooth, spiculated], MAN_62)
    assert exam.lung_rads.category == "4X"
    assert exam.lung_rads.reason.startswith("N2: ")
    assert brock(spiculated) > brock(smooth)


def test_part_solid_goes_by_its_solid_component() -> None:
    one = nodule("N1", 12.0, density="part-solid", solid=SolidPart(6.5, 5.9, 6.2, 120.0, 0.2))
    assess([one], MAN_62)
    assert one.lung_rads and one.lung_rads.category == "4A"


def test_fleischner_counts_subsolid_nodules_among_themselves() -> None:
    ground_glass, solid = nodule("N1", 10.0, density="non-solid"), nodule("N2", 7.0)
    assess([ground_glass, solid], MAN_62)
    assert ground_glass.fleischner and ground_glass.fleischner.category == "CT 6-12 mo"
    assert solid.fleischner and solid.fleischner.category == "CT 3-6 mo"
    assess([ground_glass, nodule("N3", 4.0, density="part-solid")], MAN_62)
    assert ground_glass.fleischner.category == "CT 3-6 mo"


def test_a_mass_and_a_candidate_lymph_node_are_said_beside_the_advice() -> None:
    mass = nodule("N1", 45.0)
    at_fissure = nodule("N2", 9.0, location=replace(PLACE, perifissural_candidate=True))
    assess([mass, at_fissure], MAN_62)
    for advice in (mass.fleischner, mass.bts):
        assert advice and "mass" in advice.reason
    assert at_fissure.fleischner and "perifissural" in at_fissure.fleischner.reason


def test_assessing_twice_gives_the_same() -> None:
    nodules = [nodule("N1", 10.0), nodule("N2", 45.0)]
    patient = Patient(pet_uptake="moderate")
    first = assess(nodules, patient)
    before = [(one.risk, one.lung_rads, one.fleischner, one.bts) for one in nodules]
    assert assess(nodules, patient) == first
    assert [(one.risk, one.lung_rads, one.fleischner, one.bts) for one in nodules] == before


def test_the_answers_survive_json() -> None:
    one = nodule("N1", 10.0)
    assess([one], Patient(pet_uptake="faint", sex="female"))
    as_json = TypeAdapter(Nodule)
    assert as_json.validate_json(as_json.dump_json(one)) == one
