"""British Thoracic Society 2015: nodules by size, then by Brock and Herder, then by growth.

Source of every row: Callister et al., Thorax 2015;70 Suppl 2:ii1-ii54. Sizes are the longest diameter in mm and the
volume in mm³; the guideline prefers volume. Marks [P] are this project's reading where the two disagree.
"""

from dataclasses import dataclass
from typing import Literal

from LungCADLib.guidelines.conventions import looks_benign, rounded
from LungCADLib.guidelines.growth import Growth
from LungCADLib.study import Advice, Calcification, Density, Risk

GUIDELINE = "BTS 2015"
SOURCE = "BTS 2015; Callister et al., Thorax 2015;70 Suppl 2:ii1-ii54"

BROCK_PET = 0.10
HERDER_BIOPSY, HERDER_RESECT = 0.10, 0.70
VDT_WORKUP_DAYS, VDT_WATCH_DAYS = 400, 600

Action = Literal["discharge", "CT 12 mo", "CT 3 mo", "CT surveillance", "PET/CT", "biopsy", "resection"]

ACTIONS: dict[Action, str] = {
    "discharge": "Discharge; no follow-up.",
    "CT 12 mo": "CT at 12 months.",
    "CT 3 mo": "CT at 3 months.",
    "CT surveillance": "CT surveillance, first at 3 months.",
    "PET/CT": "PET/CT, then reassess with the Herder model.",
    "biopsy": "Consider image-guided biopsy (or excision biopsy or CT surveillance, as risk and patient prefer).",
    "resection": "Consider resection, or non-surgical treatment (image-guided biopsy first where it may help).",
}
"""The categories from least to most urgent, and what they ask for."""

_ORDER: list[Action] = list(ACTIONS)

SUBSOLID_LATER = (
    "CT at 3 months; if it persists unchanged: Brock below 10%, CT at 1, 2 and 4 years; 10% or more, discuss "
    "surveillance, biopsy or resection; if it grows or its form changes, favor resection."
)


@dataclass(frozen=True)
class SizeRow:
    """A line of the size table: it applies from `from_mm` of longest diameter or from `from_mm3` of volume on."""

    name: str
    from_mm: float
    from_mm3: float | None
    action: Action


SOLID_ROWS: tuple[SizeRow, ...] = (
    SizeRow("<5 mm or <80 mm³", 0, None, "discharge"),
    SizeRow("5 to <6 mm", 5, None, "CT 12 mo"),
    SizeRow("≥6 mm or ≥80 mm³", 6, 80, "CT 3 mo"),
    SizeRow("≥8 mm or ≥300 mm³", 8, 300, "PET/CT"),
)
"""The last row's action is the one for Brock ≥10%; `advise` takes it from the risks."""


def advise(
    density: Density,
    longest_mm: float,
    volume_mm3: float | None,
    brock: Risk,
    herder: Risk,
    *,
    calcification: Calcification = "none",
) -> Advice:
    """What BTS 2015 says about a nodule seen for the first time.

    Parameters
    ----------
    longest_mm
        Longest diameter in mm, rounded here to 0.1 mm.
    volume_mm3
        Volume, None where it was not measured.
    brock
        The full model with spiculation (2b).
    herder
        Without a value where there was no PET.
    """
    if looks_benign(density, calcification):
        return _advice(["discharge"], "benign by its look (fat or benign calcification)")
    if density in ("part-solid", "non-solid"):
        if rounded(longest_mm, 1) < 5:
            return _advice(["discharge"], f"{density}, <5 mm")
        return _advice(["CT 3 mo"], f"{density}, ≥5 mm; Brock {_percent(brock)}", SUBSOLID_LATER)
    row = solid_row(longest_mm, volume_mm3)
    if row.action != "PET/CT":
        return _advice([row.action], f"solid, {row.name}")
    pairs = ((brock.low, herder.low), (brock.value, herder.value), (brock.high, herder.high))
    actions = list(dict.fromkeys(_by_risk(brock_p, herder_p) for brock_p, herder_p in pairs))
    pet = f"; Herder {_percent(herder)}" if herder.value is not None else ""
    return _advice(actions, f"solid, {row.name}; Brock {_percent(brock)}{pet}")


def solid_row(longest_mm: float, volume_mm3: float | None) -> SizeRow:
    """The line of the size table for a solid nodule.

    The guideline joins diameter and volume by "or" at each line. [P] Where the two contradict each other the largest
    line (risk assessment) is looked at first, then discharge, then the rest.
    """
    small, by_year, by_quarter, large = SOLID_ROWS
    longest = rounded(longest_mm, 1)
    assert large.from_mm3 is not None and by_quarter.from_mm3 is not None
    if longest >= large.from_mm or (volume_mm3 is not None and volume_mm3 >= large.from_mm3):
        return large
    if longest < by_year.from_mm or (volume_mm3 is not None and volume_mm3 < by_quarter.from_mm3):
        return small
    return by_quarter if longest >= by_quarter.from_mm or volume_mm3 is not None else by_year


def after_growth(growth: Growth, months: float, *, volumetric: bool = True) -> Advice:
    """What BTS 2015 says about a solid nodule at follow-up.

    Parameters
    ----------
    growth
        Volume change since the first scan.
    months
        Months since the first scan.
    volumetric
        Whether volumes were measured (or only diameters, which ask for a second year).
    """
    if growth.verdict == "growing" and growth.doubling_days is not None:
        doubling = rounded(growth.doubling_days)
        days = f"volume doubling time {doubling:.0f} days"
        if doubling <= VDT_WORKUP_DAYS:
            return _advice(["biopsy", "resection"], f"{days}, ≤400", "Further diagnostic work-up, consider resection.")
        if doubling <= VDT_WATCH_DAYS:
            return _advice(["CT surveillance", "biopsy"], f"{days}, 400-600", "Biopsy or further CT surveillance.")
        return _advice(["discharge", "CT surveillance"], f"{days}, >600", "Discharge or further CT surveillance.")
    reason = f"{growth.verdict}, {growth.change:+.0%} in {months:g} months (growth is 25% or more)"
    if months < 12:
        return _advice(["CT 12 mo"], reason, "CT 12 months after the first.")
    if volumetric or months >= 24:
        return _advice(["discharge"], reason)
    return _advice(["CT 12 mo"], reason, "CT 24 months after the first: diameters ask for a second year.")


def urgency(advice: Advice) -> int:
    """Rank of an advice's most urgent action, for choosing the nodule that leads."""
    return max(_ORDER.index(action) for action in _ORDER if action in advice.category.split(" or "))


def _by_risk(brock: float | None, herder: float | None) -> Action:
    if brock is not None and brock < BROCK_PET:
        return "CT surveillance"
    if herder is None:
        return "PET/CT"
    if herder < HERDER_BIOPSY:
        return "CT surveillance"
    return "biopsy" if herder <= HERDER_RESECT else "resection"


def _advice(actions: list[Action], reason: str, management: str | None = None) -> Advice:
    text = management or " Or, by what is not known of the patient: ".join(ACTIONS[action] for action in actions)
    return Advice(GUIDELINE, " or ".join(actions), text, reason, SOURCE)


def _percent(risk: Risk) -> str:
    if risk.value is None or risk.low is None or risk.high is None:
        return "unknown"
    if not risk.assumed:
        return f"{risk.value:.1%}"
    return f"{risk.low:.1%} to {risk.high:.1%} (assumed: {', '.join(risk.assumed)})"
