"""Every figure an outline engine is shown with, over nodules and in strata of size, density and vendor."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import Estimate, Resamples
from LungCADLib.evaluation.overlap import Overlap
from LungCADLib.training.lidc_nodules import NON_SOLID_TEXTURE, PART_SOLID_TEXTURE
from LungCADLib.training.nodule_sets import Case

SIZES_MM = (6.0, 8.0, 15.0)
"""Where the strata of size meet; a nodule of just that size belongs to the larger ones."""

LEAST_PATIENTS = 5
"""Drawing fewer patients again says nothing about others; the figure then comes without an interval."""

LIMITS_SD = 1.96
"""Half the width of the limits of agreement in SD (Bland and Altman, Lancet 1986;327:307), on ln(found / true)."""

Values = NDArray[np.float64]
Statistic = Callable[[Values], float]
Figures = dict[str, Estimate]

DECIMALS = 6
"""Of figures in JSON."""


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _median(values: Values) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _limit(sign: int) -> Statistic:
    def limit(ratio: Values) -> float:
        logs = _logs(ratio)
        return float(np.exp(logs.mean() + sign * LIMITS_SD * logs.std(ddof=1))) if len(logs) > 1 else float("nan")

    return limit


def _geometric_mean(ratio: Values) -> float:
    return float(np.exp(_mean(_logs(ratio))))


def _logs(ratio: Values) -> Values:
    return np.log(ratio[ratio > 0])


@dataclass(frozen=True)
class Row:
    """A figure: what it is called in a table, the field of `Overlap` it comes from, how, and its decimals."""

    label: str
    field: str
    statistic: Statistic
    decimals: int = 3


MEANS = {
    "dice": Row("Dice", "dice", _mean),
    "hd95_mm": Row("HD95, mm", "hd95_mm", _mean, 2),
    "surface_dice_1mm": Row("Surface Dice, 1 mm", "surface_dice_1mm", _mean),
    "volume_bias_percent": Row("Volume bias, %", "volume_bias_percent", _mean, 1),
}
"""What is also shown in strata."""

WHOLE = {
    "dice": MEANS["dice"],
    "dice_median": Row("Dice, median", "dice", _median),
    "dice_below_half": Row("Share with Dice below 0.5", "dice", lambda values: _mean((values < 0.5).astype(float))),
    "hd95_mm": MEANS["hd95_mm"],
    "hd95_median_mm": Row("HD95, median, mm", "hd95_mm", _median, 2),
    "surface_dice_1mm": MEANS["surface_dice_1mm"],
    "volume_bias_percent": MEANS["volume_bias_percent"],
    "volume_bias_median_percent": Row("Volume bias, median, %", "volume_bias_percent", _median, 1),
    "volume_ratio": Row("Volume, found / true, geometric mean", "volume_ratio", _geometric_mean),
    "volume_ratio_lower_limit": Row("Volume ratio, lower 95% limit of agreement", "volume_ratio", _limit(-1)),
    "volume_ratio_upper_limit": Row("Volume ratio, upper 95% limit of agreement", "volume_ratio", _limit(1)),
}


@dataclass(frozen=True, eq=False)
class Stratum:
    """Some of the nodules: the name in JSON, the words in a table, and bool (n,) which they are."""

    name: str
    label: str
    among: NDArray[np.bool_]


def strata(cases: Sequence[Case], vendors: Mapping[str, str], tuned_on: set[str] | None) -> list[Stratum]:
    """Strata of size (by the reader's outline), density (by texture), vendor and use; those without a nodule left out.

    Parameters
    ----------
    cases
        The nodules.
    vendors
        Vendor by series.
    tuned_on
        Patients of whom nodules were used to choose the engine's constants; None where nobody knows.
    """
    size = np.digitize([case.diameter_mm for case in cases], SIZES_MM)
    texture = np.array([np.nan if case.texture is None else case.texture for case in cases])
    non_solid, solid = texture <= NON_SOLID_TEXTURE, texture > PART_SOLID_TEXTURE
    a, b, c = SIZES_MM
    found = [
        Stratum(f"below_{a:.0f}_mm", f"below {a:.0f} mm", size == 0),
        Stratum(f"{a:.0f}_{b:.0f}_mm", f"{a:.0f} to {b:.0f} mm", size == 1),
        Stratum(f"{b:.0f}_{c:.0f}_mm", f"{b:.0f} to {c:.0f} mm", size == 2),
        Stratum(f"{c:.0f}_mm_or_more", f"{c:.0f} mm or more", size == 3),
        Stratum("non_solid", "non-solid", non_solid),
        Stratum("part_solid", "part-solid", (texture > NON_SOLID_TEXTURE) & ~solid),
        Stratum("solid", "solid", solid),
    ]
    vendor = np.array([vendors.get(case.series, "") for case in cases])
    found += [Stratum(name.lower(), name, vendor == name) for name in sorted(set(vendors.values()))]
    if tuned_on is not None:
        new = np.array([case.patient not in tuned_on for case in cases])
        found.append(Stratum("patients_not_tuned_on", "patients not tuned on", new))
    return [stratum for stratum in found if stratum.among.any()]


@dataclass(frozen=True, eq=False)
class Result:
    """The figures of one set, its strata, and what to know about them."""

    groups: list[Stratum]
    figures: Figures
    notes: list[str]

    def plain(self) -> dict[str, Any]:
        """Every figure by name for JSON, null where it does not exist, and the notes."""
        numbers = {
            name: {
                key: None if math.isnan(number) else round(number, DECIMALS) for key, number in asdict(figure).items()
            }
            for name, figure in self.figures.items()
        }
        return numbers | {"notes": self.notes}


def figures(overlaps: Sequence[Overlap], patients: Sequence[str], groups: Sequence[Stratum]) -> Figures:
    """Every figure by name, `dice` over all nodules and `dice_solid` in a stratum, with intervals over patients.

    `n` counts the nodules for which the measure exists.
    """
    resamples, values = Resamples(patients), _columns(overlaps)

    def estimate(row: Row, among: NDArray[np.bool_]) -> Estimate:
        column = values[row.field]
        return _estimate(resamples, patients, column, row.statistic, among & ~np.isnan(column))

    everyone = np.ones(len(overlaps), bool)
    found = {name: estimate(row, everyone) for name, row in WHOLE.items()}
    for group in groups:
        found |= {f"{name}_{group.name}": estimate(row, group.among) for name, row in MEANS.items()}
    return found


def beside(
    overlaps: Sequence[Overlap], classical: Sequence[Overlap], patients: Sequence[str], groups: Sequence[Stratum]
) -> Figures:
    """The classical engine's figures under their names with `_classical`, and by how much Dice differs."""
    resamples = Resamples(patients)
    gain = _columns(overlaps)["dice"] - _columns(classical)["dice"]
    found = {f"{name}_classical": figure for name, figure in figures(classical, patients, groups).items()}
    everyone = np.ones(len(gain), bool)
    found["dice_minus_classical"] = _estimate(resamples, patients, gain, _mean, everyone)
    return found


def _columns(overlaps: Sequence[Overlap]) -> dict[str, Values]:
    rows = (*MEANS.values(), *WHOLE.values())
    return {row.field: np.array([getattr(o, row.field) for o in overlaps], float) for row in rows}


def _estimate(
    resamples: Resamples, patients: Sequence[str], column: Values, statistic: Statistic, known: NDArray[np.bool_]
) -> Estimate:
    if len(set(np.asarray(patients)[known].tolist())) < LEAST_PATIENTS:
        return Estimate(statistic(column[known]), float("nan"), float("nan"), int(known.sum()))
    return resamples.estimate(lambda index: statistic(column[index]), known)


def whole_columns(with_classical: bool) -> tuple[str, ...]:
    """The columns of `whole_rows`."""
    return ("", "value", *(("classical",) if with_classical else ()), "nodules")


def columns(with_classical: bool) -> tuple[str, ...]:
    """The columns of `strata_rows`."""
    means = [row.label for row in MEANS.values()]
    return ("", *means, *((f"{means[0]}, classical",) if with_classical else ()), "nodules")


def whole_rows(found: Figures) -> list[tuple[str, ...]]:
    """The figures over all nodules as text in the order of `whole_columns`."""
    rows = []
    for name, row in WHOLE.items():
        other = found.get(f"{name}_classical")
        rows.append((row.label, _text(found[name], row), *((_text(other, row),) if other else ()), str(found[name].n)))
    if "dice_minus_classical" in found:
        gain = found["dice_minus_classical"]
        rows.append(("Dice, difference from classical", _text(gain, WHOLE["dice"]), "", str(gain.n)))
    return rows


def strata_rows(found: Figures, groups: Sequence[Stratum]) -> list[tuple[str, ...]]:
    """The strata as text in the order of `columns`."""
    rows = []
    for group in groups:
        means = [_text(found[f"{name}_{group.name}"], row) for name, row in MEANS.items()]
        other = found.get(f"dice_{group.name}_classical")
        beside_it = (f"{other.value:.{MEANS['dice'].decimals}f}",) if other else ()
        rows.append((group.label, *means, *beside_it, str(int(group.among.sum()))))
    return rows


def _text(figure: Estimate, row: Row) -> str:
    sign = "+" if row.label.startswith("Volume bias") else ""
    value, low, high = (f"{number:{sign}.{row.decimals}f}" for number in (figure.value, figure.low, figure.high))
    return value if math.isnan(figure.low) else f"{value} ({low} to {high})"
