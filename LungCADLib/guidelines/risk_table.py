"""The published risk equations as tables: one row per term, the citation beside it.

Every equation is logistic, p = 1 / (1 + exp(-x)), x = intercept + sum of coefficient * of(input).
"""

from collections.abc import Callable
from dataclasses import dataclass

Value = float | bool | str

MCWILLIAMS = "McWilliams et al., N Engl J Med 2013;369:910-919"
SWENSEN = "Swensen et al., Arch Intern Med 1997;157:849-855"
HERDER = "Herder et al., Chest 2005;128:2490-2496"
GOULD = "Gould et al., Chest 2007;131:383-388"
LI = "Li et al., Clin Lung Cancer 2011;12:313-319"


@dataclass(frozen=True)
class Term:
    """One line of an equation: `coefficient` times `of` the named input."""

    input: str
    coefficient: float
    of: Callable[[Value], float]
    source: str


@dataclass(frozen=True)
class Equation:
    """A logistic equation and the nodules it was made for.

    `smallest_mm` and `largest_mm` bound the longest diameter (None: no bound); `solid_only` and `calcified_too` say
    which kinds it may be used on.
    """

    name: str
    intercept: float
    terms: tuple[Term, ...]
    source: str
    smallest_mm: float | None = None
    largest_mm: float | None = None
    solid_only: bool = False
    calcified_too: bool = False


def _number(value: Value) -> float:
    return float(value)


def _is(name: str) -> Callable[[Value], float]:
    return lambda value: float(value == name)


def _minus(center: float) -> Callable[[Value], float]:
    return lambda value: float(value) - center


def _brock_size(value: Value) -> float:
    """(d / 10 mm)^-0.5, centered at d = 4 mm: (4 / 10)^-0.5 = 1.58113883. Nothing is subtracted from d itself."""
    return float((float(value) / 10) ** -0.5) - 1.58113883


BROCK_2B = Equation(
    "Brock (PanCan) full model with spiculation, 2b",
    -6.789170,
    (
        Term("age_years", 0.0286687, _minus(62), MCWILLIAMS),
        Term("sex", 0.6010887, _is("female"), MCWILLIAMS),
        Term("family_history_lung_cancer", 0.296109, _number, MCWILLIAMS),
        Term("emphysema", 0.2953112, _number, MCWILLIAMS),
        Term("diameter_mm", -5.385484, _brock_size, MCWILLIAMS),
        Term("density", 0.3770, _is("part-solid"), MCWILLIAMS),
        Term("density", -0.1276, _is("non-solid"), MCWILLIAMS),
        Term("upper_lobe", 0.6581383, _number, MCWILLIAMS),
        Term("n_nodules", -0.0824156, _minus(4), MCWILLIAMS),
        Term("spiculated", 0.7729335, _number, MCWILLIAMS),
    ),
    f"{MCWILLIAMS}; coefficients agree with PMC6717521, Table 2",
)

BROCK_2A = Equation(
    "Brock (PanCan) full model without spiculation, 2a",
    -6.8071,
    (
        Term("age_years", 0.0321, _minus(62), MCWILLIAMS),
        Term("sex", 0.5635, _is("female"), MCWILLIAMS),
        Term("family_history_lung_cancer", 0.3013, _number, MCWILLIAMS),
        Term("emphysema", 0.3462, _number, MCWILLIAMS),
        Term("diameter_mm", -5.6693, _brock_size, MCWILLIAMS),
        Term("density", 0.3395, _is("part-solid"), MCWILLIAMS),
        Term("density", -0.3055, _is("non-solid"), MCWILLIAMS),
        Term("upper_lobe", 0.7116, _number, MCWILLIAMS),
        Term("n_nodules", -0.0803, _minus(4), MCWILLIAMS),
    ),
    f"{MCWILLIAMS}; coefficients as on medicalalgorithms.com, whose 'subtract 4 mm first' is wrong",
)

MAYO = Equation(
    "Mayo Clinic",
    -6.8272,  # Secondary tables print -6.872 and -6.8238; the paper's own value is this one.
    (
        Term("age_years", 0.0391, _number, SWENSEN),
        Term("ever_smoker", 0.7917, _number, SWENSEN),
        Term("extrathoracic_cancer", 1.3388, _number, SWENSEN),
        Term("diameter_mm", 0.1274, _number, SWENSEN),
        Term("spiculated", 1.0407, _number, SWENSEN),
        Term("upper_lobe", 0.7838, _number, SWENSEN),
    ),
    SWENSEN,
    smallest_mm=4.0,
    largest_mm=30.0,
    solid_only=True,
)

HERDER_PET = Equation(
    "Herder (Mayo with FDG-PET)",
    -4.739,
    (
        Term("mayo_probability", 3.691, _number, HERDER),
        Term("pet_uptake", 0.0, _is("none"), HERDER),
        Term("pet_uptake", 2.322, _is("faint"), HERDER),
        Term("pet_uptake", 4.617, _is("moderate"), HERDER),
        Term("pet_uptake", 4.771, _is("intense"), HERDER),
    ),
    HERDER,
    smallest_mm=8.0,
    largest_mm=30.0,
    solid_only=True,
)

VA = Equation(
    "Veterans Affairs",
    -8.404,
    (
        Term("ever_smoker", 2.061, _number, GOULD),
        Term("age_years", 0.0779, _number, GOULD),
        Term("diameter_mm", 0.112, _number, GOULD),
        # Time lowers the risk (odds ratio 0.6 per 10 years in the abstract); reprints of the table lost the minus.
        Term("years_since_quit", -0.0567, _number, GOULD),
    ),
    f"{GOULD} (PMC3008547)",
    smallest_mm=7.0,
    largest_mm=30.0,
)

PKU = Equation(
    "Peking University",
    -4.496,
    (
        Term("age_years", 0.07, _number, LI),
        Term("diameter_mm", 0.0676, _number, LI),
        Term("spiculated", 0.736, _number, LI),
        Term("family_history_cancer", 1.267, _number, LI),
        Term("calcified", -1.615, _number, LI),
        Term("smooth_border", -1.408, _number, LI),
    ),
    LI,
    largest_mm=30.0,
    calcified_too=True,
)

EQUATIONS: dict[str, Equation] = {
    "brock_2b": BROCK_2B,
    "brock_2a": BROCK_2A,
    "mayo": MAYO,
    "herder": HERDER_PET,
    "va": VA,
    "pku": PKU,
}


@dataclass(frozen=True)
class Unknown:
    """What an input nobody gave is taken to be (`neutral`), and the ends of what it could be (`could_be`)."""

    neutral: Value
    could_be: tuple[Value, Value]
    why: str


UNKNOWN: dict[str, Unknown] = {
    "age_years": Unknown(62.0, (50.0, 80.0), "the age Brock is centered on; the ages screened (USPSTF 2021)"),
    "sex": Unknown("male", ("male", "female"), "the reference level of Brock"),
    "ever_smoker": Unknown(False, (False, True), "risk factor taken as absent"),
    "years_since_quit": Unknown(0.0, (0.0, 30.0), "a current smoker; up to 30 years covers nearly all who quit"),
    "family_history_lung_cancer": Unknown(False, (False, True), "risk factor taken as absent"),
    "family_history_cancer": Unknown(False, (False, True), "risk factor taken as absent"),
    "emphysema": Unknown(False, (False, True), "risk factor taken as absent"),
    "extrathoracic_cancer": Unknown(False, (False, True), "risk factor taken as absent"),
    "upper_lobe": Unknown(False, (False, True), "risk factor taken as absent"),
}
"""Every `x` is linear in these, so the ends of `could_be` give the ends of the probability."""
