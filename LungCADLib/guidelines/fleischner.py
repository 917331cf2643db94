"""Fleischner Society 2017: incidental nodules from 35 years on, without cancer or immunosuppression.

Source of every row: MacMahon et al., Radiology 2017;284:228-243. Sizes are the mean of long and short axis, rounded to
whole mm; the volumes beside them are 100 and 250 mm³. Not for screening.
"""

import math
from dataclasses import dataclass
from typing import Literal

from LungCADLib.guidelines.conventions import looks_benign, rounded
from LungCADLib.settings import Patient
from LungCADLib.study import Advice, Calcification, Density

GUIDELINE = "Fleischner 2017"
SOURCE = "Fleischner Society 2017; MacMahon et al., Radiology 2017;284:228-243"
YOUNGEST_YEARS = 35

Kind = Literal["solid", "non-solid", "part-solid", "subsolid"]
RiskGroup = Literal["low", "high"]

ACTIONS = (
    "not applicable",
    "no follow-up",
    "optional CT 12 mo",
    "CT 6-12 mo",
    "CT 3-6 mo",
    "CT 3 mo, PET/CT or tissue",
)
"""The categories in this module's words, from least to most urgent; two joined by "or" where the risk is unknown."""


@dataclass(frozen=True)
class Row:
    """One cell of the table: whole mm from `low_mm` to `high_mm` (both included), solid component likewise."""

    kind: Kind
    multiple: bool
    low_mm: float
    high_mm: float
    risks: tuple[RiskGroup, ...]
    action: str
    management: str
    solid_from_mm: float = 0
    solid_to_mm: float = math.inf

    def __str__(self) -> str:
        size: dict[tuple[float, float], str] = {
            (0, 5): "<6 mm (<100 mm³)",
            (6, 8): "6-8 mm (100-250 mm³)",
            (9, math.inf): ">8 mm (>250 mm³)",
        }
        words = size.get((self.low_mm, self.high_mm), "≥6 mm (≥100 mm³)")
        part = "" if self.kind != "part-solid" or not self.low_mm else f", solid component {self._solid}"
        return f"{'multiple' if self.multiple else 'single'} {self.kind}, {words}{part}"

    @property
    def _solid(self) -> str:
        return "≥6 mm" if self.solid_from_mm else "<6 mm"


LOW: tuple[RiskGroup, ...] = ("low",)
HIGH: tuple[RiskGroup, ...] = ("high",)
BOTH: tuple[RiskGroup, ...] = ("low", "high")
NONE, OPTIONAL, IN_6_12, IN_3_6, NOW = ACTIONS[1:]
NO = "No routine follow-up."
MAYBE = "Optional CT at 12 months."
INF = math.inf

ROWS: tuple[Row, ...] = (
    Row("solid", False, 0, 5, LOW, NONE, NO),
    Row("solid", False, 0, 5, HIGH, OPTIONAL, MAYBE),
    Row("solid", False, 6, 8, LOW, IN_6_12, "CT at 6-12 months, then consider CT at 18-24 months."),
    Row("solid", False, 6, 8, HIGH, IN_6_12, "CT at 6-12 months, then CT at 18-24 months."),
    Row("solid", False, 9, INF, BOTH, NOW, "Consider CT at 3 months, PET/CT or tissue sampling."),
    Row("solid", True, 0, 5, LOW, NONE, NO),
    Row("solid", True, 0, 5, HIGH, OPTIONAL, MAYBE),
    Row("solid", True, 6, 8, LOW, IN_3_6, "CT at 3-6 months, then consider CT at 18-24 months."),
    Row("solid", True, 6, 8, HIGH, IN_3_6, "CT at 3-6 months, then CT at 18-24 months."),
    Row("solid", True, 9, INF, LOW, IN_3_6, "CT at 3-6 months, then consider CT at 18-24 months."),
    Row("solid", True, 9, INF, HIGH, IN_3_6, "CT at 3-6 months, then CT at 18-24 months."),
    Row("non-solid", False, 0, 5, BOTH, NONE, NO),
    Row("non-solid", False, 6, INF, BOTH, IN_6_12, "CT at 6-12 months to confirm, then every 2 years until 5 years."),
    Row("part-solid", False, 0, 5, BOTH, NONE, NO),
    Row(
        "part-solid",
        False,
        6,
        INF,
        BOTH,
        IN_3_6,
        "CT at 3-6 months to confirm; if unchanged, yearly CT for 5 years; if growing, PET/CT, biopsy or resection.",
        solid_to_mm=5,
    ),
    Row(
        "part-solid",
        False,
        6,
        INF,
        BOTH,
        IN_3_6,
        "CT at 3-6 months to confirm; if it persists, PET/CT, biopsy or resection.",
        solid_from_mm=6,
    ),
    Row("subsolid", True, 0, 5, BOTH, IN_3_6, "CT at 3-6 months; if stable, consider CT at 2 and 4 years."),
    Row("subsolid", True, 6, INF, BOTH, IN_3_6, "CT at 3-6 months, then as the most suspicious nodule asks."),
)


def why_not(patient: Patient) -> str:
    """Why the guideline does not apply to this patient, or an empty string."""
    if patient.age_years is not None and patient.age_years < YOUNGEST_YEARS:
        return f"Fleischner 2017 is for patients of {YOUNGEST_YEARS} years and older."
    if patient.known_cancer:
        return "Fleischner 2017 is not for patients with known cancer."
    if patient.immunosuppressed:
        return "Fleischner 2017 is not for immunosuppressed patients."
    return ""


def not_applicable(reason: str) -> Advice:
    """The answer for patients the guideline is not meant for."""
    return Advice(GUIDELINE, ACTIONS[0], "This guideline does not apply.", reason, SOURCE)


def risk_group(patient: Patient, spiculated: bool) -> RiskGroup | None:
    """Low or high risk, None where what is known decides neither.

    [P] The reader's own judgement first. Otherwise any smoking, emphysema, family history of lung cancer or a
    spiculated margin is high risk (the paper's risk factors); a never-smoker under 50 without any of them is low.
    """
    if patient.high_risk is not None:
        return "high" if patient.high_risk else "low"
    smoked = patient.ever_smoker or (patient.ever_smoker is None and patient.years_since_quit is not None)
    if smoked or patient.emphysema or patient.family_history_lung_cancer or spiculated:
        return "high"
    if patient.ever_smoker is False and patient.age_years is not None and patient.age_years < 50:
        return "low"
    return None


def advise(
    patient: Patient,
    density: Density,
    mean_mm: float,
    solid_mm: float = 0.0,
    *,
    multiple: bool = False,
    calcification: Calcification = "none",
    spiculated: bool = False,
) -> Advice:
    """What Fleischner 2017 says about one nodule.

    Parameters
    ----------
    mean_mm, solid_mm
        Mean diameter of the whole and of the solid component in mm; rounded here to whole mm.
    multiple
        For a solid nodule: it is not the only nodule. For a subsolid one: it is not the only subsolid nodule.
    """
    reason = why_not(patient)
    if reason:
        return not_applicable(reason)
    if looks_benign(density, calcification):
        return Advice(GUIDELINE, NONE, NO, "benign by its look (fat or benign calcification)", SOURCE)
    group = risk_group(patient, spiculated)
    rows = [_row(density, mean_mm, solid_mm, multiple, risk) for risk in ((group,) if group else BOTH)]
    differ = rows[0].management != rows[-1].management
    actions = list(dict.fromkeys(row.action for row in rows))
    management = f"Low risk: {rows[0].management} High risk: {rows[-1].management}" if differ else rows[0].management
    said = f"{group} risk" if group else "risk unknown"
    presumed = [
        words
        for value, words in (
            (patient.age_years, f"age of {YOUNGEST_YEARS} or more"),
            (patient.known_cancer, "no known cancer"),
            (patient.immunosuppressed, "no immunosuppression"),
        )
        if value is None
    ]
    reason = f"{rows[0]}, {said}" + (f"; assumed: {', '.join(presumed)}" if presumed else "")
    return Advice(GUIDELINE, " or ".join(actions), management, reason, SOURCE)


def urgency(advice: Advice) -> int:
    """Rank of an advice's most urgent action, for choosing the nodule that leads."""
    return max(rank for rank, action in enumerate(ACTIONS) if advice.category.endswith(action))


def _row(density: Density, mean_mm: float, solid_mm: float, multiple: bool, risk: RiskGroup) -> Row:
    size, solid = rounded(mean_mm), rounded(solid_mm)
    kind: Kind = "solid"
    if density in ("part-solid", "non-solid"):
        kind = "subsolid" if multiple else density  # type: ignore[assignment]
    return next(
        row
        for row in ROWS
        if row.kind == kind
        and row.multiple == multiple
        and row.low_mm <= size <= row.high_mm
        and row.solid_from_mm <= solid <= row.solid_to_mm
        and risk in row.risks
    )
