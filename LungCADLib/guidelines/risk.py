"""Risk equations on one nodule: a probability and its range over whatever nobody said.

The equations know nothing of the networks, and no network's output goes into them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from LungCADLib.guidelines.conventions import looks_benign, rounded
from LungCADLib.guidelines.risk_table import EQUATIONS, UNKNOWN, Equation, Value
from LungCADLib.settings import Patient
from LungCADLib.study import Calcification, Density, Risk


@dataclass(frozen=True)
class NoduleInputs:
    """What the equations need to know about the nodule.

    Parameters
    ----------
    diameter_mm
        Longest diameter on the lung window.
    density, calcification
        As measured; calcification in any pattern counts for PKU.
    upper_lobe
        None where the lobe is unknown.
    spiculated
        Margin.
    smooth_border
        PKU's clear border.
    n_nodules
        Non-calcified nodules on the scan, this one included.
    """

    diameter_mm: float
    density: Density = "solid"
    calcification: Calcification = "none"
    upper_lobe: bool | None = None
    spiculated: bool = False
    smooth_border: bool = False
    n_nodules: int = 1


def risk(key: str, nodule: NoduleInputs, patient: Patient) -> Risk:
    """One equation's answer.

    Parameters
    ----------
    key
        "brock_2b", "brock_2a", "mayo", "herder", "va" or "pku".

    Returns
    -------
    Risk
        `assumed` holds the `Patient` fields (and "upper_lobe") nobody gave; `inputs` the values used, assumed ones
        included; `low` and `high` the range over all admissible values of the assumed ones. All of it None with a
        `note` where the equation does not apply.
    """
    equation = EQUATIONS[key]
    why_not = _why_not(key, nodule, patient)
    if why_not:
        return Risk(equation.name, None, None, None, note=why_not)
    if key == "herder":
        return _herder(equation, nodule, patient)
    known = _known(nodule, patient)
    needed = {term.input: known[term.input] for term in equation.terms}
    assumed = [name for name, value in needed.items() if value is None]
    neutral = {name: UNKNOWN[name].neutral if value is None else value for name, value in needed.items()}
    could_be = [
        _probability(equation, {**neutral, **dict(zip(assumed, values, strict=True))})
        for values in product(*(UNKNOWN[name].could_be for name in assumed))
    ]
    note = "; ".join(f"{name} assumed {UNKNOWN[name].neutral} ({UNKNOWN[name].why})" for name in assumed)
    return Risk(
        equation.name, _probability(equation, neutral), min(could_be), max(could_be), {**neutral}, assumed, note
    )


def risks(nodule: NoduleInputs, patient: Patient) -> dict[str, Risk]:
    """Every equation's answer, by key."""
    return {key: risk(key, nodule, patient) for key in EQUATIONS}


def _herder(equation: Equation, nodule: NoduleInputs, patient: Patient) -> Risk:
    """Herder stands on Mayo's probability (not its logit), and takes its range from it."""
    mayo = risk("mayo", nodule, patient)
    # `_why_not` holds for Mayo wherever it holds for Herder, whose bounds lie inside Mayo's.
    assert patient.pet_uptake and mayo.value is not None and mayo.low is not None and mayo.high is not None
    uptake = patient.pet_uptake
    value, low, high = (
        _probability(equation, {"mayo_probability": p, "pet_uptake": uptake}) for p in (mayo.value, mayo.low, mayo.high)
    )
    inputs = {**mayo.inputs, "mayo_probability": mayo.value, "pet_uptake": uptake}
    return Risk(equation.name, value, low, high, inputs, list(mayo.assumed), mayo.note)


def _why_not(key: str, nodule: NoduleInputs, patient: Patient) -> str:
    """Why an equation does not apply, or an empty string."""
    equation = EQUATIONS[key]
    size = nodule.diameter_mm
    if not (math.isfinite(size) and size > 0):
        return "The nodule has no diameter."
    if nodule.density == "fat-containing" or (
        not equation.calcified_too and looks_benign(nodule.density, nodule.calcification)
    ):
        return f"{equation.name} is not meant for nodules with fat or a benign calcification."
    if equation.solid_only and nodule.density in ("part-solid", "non-solid"):
        return f"{equation.name} is meant for solid nodules."
    measured = rounded(size, 1)
    if equation.smallest_mm is not None and measured < equation.smallest_mm:
        return f"{equation.name} is meant for nodules of at least {equation.smallest_mm:g} mm."
    if equation.largest_mm is not None and measured > equation.largest_mm:
        return f"{equation.name} is meant for nodules of at most {equation.largest_mm:g} mm."
    if key in ("mayo", "herder") and patient.known_cancer and not patient.extrathoracic_cancer:
        return (
            f"{equation.name} excludes lung cancer and any cancer within five years "
            "(set extrathoracic_cancer for an older one elsewhere)."
        )
    if key == "herder" and patient.pet_uptake is None:
        return "Herder needs FDG uptake on PET (pet_uptake)."
    return ""


def _known(nodule: NoduleInputs, patient: Patient) -> dict[str, Value | None]:
    """Every input an equation can ask for; None where nobody said and nothing implies it."""
    smoker, quit_years = patient.ever_smoker, patient.years_since_quit
    if smoker is None and quit_years is not None:
        smoker = True
    if smoker is False:
        quit_years = 0.0
    lung, any_cancer = patient.family_history_lung_cancer, patient.family_history_cancer
    return {
        "age_years": patient.age_years,
        "sex": patient.sex,
        "ever_smoker": smoker,
        "years_since_quit": quit_years,
        "family_history_lung_cancer": False if lung is None and any_cancer is False else lung,
        "family_history_cancer": True if any_cancer is None and lung else any_cancer,
        "emphysema": patient.emphysema,
        "extrathoracic_cancer": patient.extrathoracic_cancer,
        "diameter_mm": nodule.diameter_mm,
        # A calcified nodule without a benign pattern is solid tissue to every equation.
        "density": nodule.density if nodule.density in ("part-solid", "non-solid") else "solid",
        "upper_lobe": nodule.upper_lobe,
        "spiculated": nodule.spiculated,
        "smooth_border": nodule.smooth_border,
        "calcified": nodule.calcification != "none" or nodule.density == "calcified",
        "n_nodules": nodule.n_nodules,
    }


def _probability(equation: Equation, inputs: Mapping[str, Value]) -> float:
    given = dict(inputs)
    if given.get("ever_smoker") is False and "years_since_quit" in given:
        given["years_since_quit"] = 0.0
    x = equation.intercept + sum(term.coefficient * term.of(given[term.input]) for term in equation.terms)
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
