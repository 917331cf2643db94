"""Growth between two scans: doubling times and what counts as growth.

Doubling time: days * ln 2 / ln(V2 / V1) = days * ln 2 / (3 ln(D2 / D1)) for diameters (Schwartz, Cancer 1961;14:1272).
A change of volume below 25% is within what repeated measurement gives (BTS 2015) and gets no doubling time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from LungCADLib.errors import InputError
from LungCADLib.guidelines.conventions import rounded
from LungCADLib.guidelines.lung_rads_table import History
from LungCADLib.study import Density

GROWTH_FRACTION = 0.25
"""BTS 2015 (Thorax 2015;70:ii1-ii54): growth is a volume change of 25% or more."""

LUNG_RADS_GROWTH_MM = 1.5
LUNG_RADS_GROWTH_DAYS = 366
"""Lung-RADS v2022: growth is more than 1.5 mm of mean diameter within 12 months. [P] Not annualized beyond them."""

MALIGNANT_VDT_DAYS: dict[Density, int] = {"non-solid": 848, "part-solid": 598, "solid": 267}
MALIGNANT_MDT_DAYS: dict[Density, int] = {"non-solid": 655, "part-solid": 462, "solid": 230}
"""Mean volume and mass doubling times of malignant nodules, days (PMC5945695)."""


@dataclass(frozen=True)
class Growth:
    """What happened between two volumes (or masses): `change` 0.3 is 30% more.

    `doubling_days` is negative for a shrinking nodule (days to halve) and None for a stable one.
    """

    change: float
    doubling_days: float | None
    verdict: Literal["growing", "stable", "shrinking"]


def volume_growth(before: float, now: float, days: float) -> Growth:
    """Growth from two volumes in mm³ (or two masses in mg) `days` apart.

    Raises
    ------
    InputError
        If a size or the interval is not positive.
    """
    doubling = volume_doubling_days(before, now, days)
    change = now / before - 1
    if abs(change) < GROWTH_FRACTION - 1e-9:
        return Growth(change, None, "stable")
    return Growth(change, doubling, "growing" if change > 0 else "shrinking")


def volume_doubling_days(before: float, now: float, days: float) -> float:
    """Doubling time in days from two volumes in mm³ (or masses in mg); negative if shrinking, infinite if equal."""
    if not (0 < before < math.inf and 0 < now < math.inf and 0 < days < math.inf):
        raise InputError(
            f"A doubling time needs two sizes and an interval above zero, got {before:g}, {now:g} and {days:g} days; "
            "check the two scans' dates and the nodule's outlines."
        )
    ratio = math.log(now / before)
    return days * math.log(2) / ratio if ratio else math.inf


def diameter_doubling_days(before_mm: float, now_mm: float, days: float) -> float:
    """Volume doubling time in days from two diameters in mm, taking the nodule for a sphere."""
    return volume_doubling_days(before_mm**3, now_mm**3, days)


def mass_mg(volume_mm3: float, mean_hu: float) -> float:
    """Mass in mg: volume in mm³ * (mean HU + 1000) / 1000, air weighing nothing and water 1 mg/mm³."""
    return volume_mm3 * (mean_hu + 1000) / 1000


def lung_rads_history(earlier: Sequence[tuple[float, float]], now_mm: float) -> History:
    """A nodule's history in Lung-RADS's words.

    Parameters
    ----------
    earlier
        (days ago, mean diameter in mm) on each earlier scan that shows it, in any order. Empty: it was not there, so
        it is new; a first scan is "baseline" and needs no call.
    now_mm
        Mean diameter now.

    Returns
    -------
    History
        "growing" for more than 1.5 mm within 12 months; "slow-growing" for more than 1.5 mm over longer (note 8 of
        Lung-RADS v2022); "decreased" for more than 1.5 mm less than on the last scan [P]; else "stable".
    """
    if not earlier:
        return "new"
    now = rounded(now_mm, 1)
    gained = [(days, rounded(now - rounded(mm, 1), 1)) for days, mm in sorted(earlier)]
    if gained[0][1] < -LUNG_RADS_GROWTH_MM:
        return "decreased"
    grown = [days for days, mm in gained if mm > LUNG_RADS_GROWTH_MM]
    if not grown:
        return "stable"
    return "growing" if grown[0] <= LUNG_RADS_GROWTH_DAYS else "slow-growing"
