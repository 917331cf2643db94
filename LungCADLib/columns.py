"""The table of nodules, column by column: what the CSV file, the scene's table and the panel show."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from LungCADLib.study import Nodule

Cell = str | float | bool | None

RATED = {
    "subtlety": "extremely subtle to obvious",
    "margin": "poorly defined to sharp",
    "lobulation": "none to marked",
    "spiculation": "none to marked",
    "texture": "non-solid to solid",
    "sphericity": "linear to round",
    "malignancy": "highly unlikely to highly suspicious",
}
"""LIDC's characteristics and what their ratings from 1 to 5 go from and to."""

RISK_EQUATIONS = ("brock_2a", "brock_2b", "mayo", "herder", "va", "pku")


@dataclass(frozen=True)
class Column:
    """One column: a stable name that ends in its unit, the unit in UCUM, what it says, and how to read it.

    `kind` is the type of every cell; a number or a text may also be missing (None).
    """

    name: str
    unit: str
    description: str
    kind: type
    value: Callable[[Nodule], Cell]


def rows(nodules: list[Nodule]) -> list[list[Cell]]:
    """One row per nodule, in the study's order, with a cell for each of `COLUMNS`."""
    return [[column.value(nodule) for column in COLUMNS] for nodule in nodules]


def as_text(cell: Cell) -> str:
    """A cell as text: numbers with at most four decimals, yes or no, nothing where there is nothing."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float | int):
        text = f"{cell:.4f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return cell


def _number(name: str, unit: str, description: str, path: str = "") -> Column:
    """A column of numbers; `path` is the attribute below the nodule, the column's own name if empty."""
    return Column(name, unit, description, float, _optional(path or name))


def _text(name: str, description: str, path: str = "") -> Column:
    return Column(name, "", description, str, _optional(path or name))


def _yes(name: str, description: str, path: str) -> Column:
    return Column(name, "", description, bool, attrgetter(path))


def _optional(path: str) -> Callable[[Nodule], Any]:
    """Reads a dotted path; None as soon as one step is None (an opinion nobody gave, a guideline nobody asked)."""
    steps = path.split(".")

    def read(nodule: Nodule) -> Any:
        value: Any = nodule
        for step in steps:
            if value is None:
                return None
            value = getattr(value, step)
        return value

    return read


def _center(axis: int, name: str, toward: str) -> Column:
    description = f"Center of the nodule, {name} in LPS (grows toward the patient's {toward})"
    return Column(f"center_{name}_lps_mm", "mm", description, float, lambda nodule: nodule.center_lps_mm[axis])


def _rating(name: str, scale: str) -> Column:
    def read(nodule: Nodule) -> Cell:
        attribute = nodule.attributes.get(name)
        return None if attribute is None else attribute.value

    description = f"{name.capitalize()} as readers would be expected to rate it, from 1 to 5 ({scale})"
    return Column(f"{name}_rating", "1", description, float, read)


def _risk(equation: str) -> list[Column]:
    def read(bound: str) -> Callable[[Nodule], Cell]:
        def percent(nodule: Nodule) -> Cell:
            risk = nodule.risk.get(equation)
            value = None if risk is None else getattr(risk, bound)
            return None if value is None else 100 * value

        return percent

    label = equation.replace("_", " ")
    return [
        Column(f"{equation}_percent", "%", f"Risk of malignancy by the {label} equation", float, read("value")),
        Column(f"{equation}_low_percent", "%", f"Lowest {label} risk over the inputs not given", float, read("low")),
        Column(f"{equation}_high_percent", "%", f"Highest {label} risk over the inputs not given", float, read("high")),
    ]


COLUMNS: tuple[Column, ...] = (
    _text("id", "Lesion ID, the same in segmentation, markups and report"),
    _number("score", "1", "Detection score, 0 to 1; the rows are in this order"),
    _center(0, "x", "left"),
    _center(1, "y", "back"),
    _center(2, "z", "head"),
    _number("long_axis_mm", "mm", "Long axis on the axial slice where it is greatest"),
    _number("short_axis_mm", "mm", "Greatest extent perpendicular to the long axis on that slice"),
    _number("mean_diameter_mm", "mm", "Mean of long and short axis"),
    _number("max_diameter_3d_mm", "mm", "Longest distance between two points of the outline in 3D"),
    _number("volume_mm3", "mm3", "Volume of the outline"),
    _number("mass_mg", "mg", "Volume times mean density, with density 1 + HU/1000 in mg/mm3"),
    _text("density", "solid, part-solid, non-solid, calcified or fat-containing"),
    _text("calcification", "Pattern of calcification, or none"),
    _number("attenuation_mean_hu", "[hnsf'U]", "Mean attenuation inside the outline", "attenuation_hu.mean"),
    _number("attenuation_sd_hu", "[hnsf'U]", "Standard deviation of the attenuation", "attenuation_hu.sd"),
    _number("attenuation_minimum_hu", "[hnsf'U]", "Lowest attenuation", "attenuation_hu.minimum"),
    _number("attenuation_median_hu", "[hnsf'U]", "Median attenuation", "attenuation_hu.median"),
    _number("attenuation_maximum_hu", "[hnsf'U]", "Highest attenuation", "attenuation_hu.maximum"),
    _number("solid_long_axis_mm", "mm", "Long axis of the solid component", "solid.long_axis_mm"),
    _number("solid_short_axis_mm", "mm", "Short axis of the solid component", "solid.short_axis_mm"),
    _number("solid_mean_diameter_mm", "mm", "Mean diameter of the solid component", "solid.mean_diameter_mm"),
    _number("solid_volume_mm3", "mm3", "Volume of the solid component", "solid.volume_mm3"),
    _number("solid_fraction", "1", "Solid component's share of the volume, 0 to 1", "solid.fraction"),
    _number("surface_mm2", "mm2", "Surface of the outline", "shape.surface_mm2"),
    _number("sphericity", "1", "1 for a ball, less for anything else", "shape.sphericity"),
    _number("solidity", "1", "Volume over the volume of the convex hull", "shape.solidity"),
    _number("elongation", "1", "Short over long axis", "shape.elongation"),
    _number("spiculation", "1", "Spiculation of the margin, 0 (none) to 1 (marked)", "margin.spiculation"),
    _number("lobulation", "1", "Lobulation of the margin, 0 (none) to 1 (marked)", "margin.lobulation"),
    _number("margin_sharpness", "1", "Sharpness of the margin, 0 to 1", "margin.sharpness"),
    _yes("spiculated", "Whether the margin counts as spiculated in risk equations", "margin.spiculated"),
    *(_rating(name, scale) for name, scale in RATED.items()),
    _text("side", "right or left lung of the patient", "location.side"),
    _text("lobe", "Lobe, an estimate by geometry", "location.lobe"),
    _number("lobe_confidence", "1", "Confidence of the lobe estimate, 0 to 1", "location.lobe_confidence"),
    _number("wall_distance_mm", "mm", "Distance from the outline to the lung's edge", "location.wall_distance_mm"),
    _yes("juxtapleural", "Whether the nodule touches the pleura", "location.juxtapleural"),
    _yes("perifissural_candidate", "Whether the nodule may be perifissural", "location.perifissural_candidate"),
    _text("location", "Place in words", "location.description"),
    _number("suspicion", "1", "Opinion of the model in suspicion_model, 0 to 1", "suspicion.value"),
    _number("suspicion_low", "1", "Lower end of the opinion's interval", "suspicion.low"),
    _number("suspicion_high", "1", "Upper end of the opinion's interval", "suspicion.high"),
    _text("suspicion_model", "Model that gave the opinion", "suspicion.model"),
    _text("suspicion_meaning", "What the opinion is an opinion of", "suspicion.meaning"),
    *(column for equation in RISK_EQUATIONS for column in _risk(equation)),
    _text("lung_rads", "Lung-RADS v2022 category of this nodule", "lung_rads.category"),
    _text("management", "What Lung-RADS v2022 recommends for this category", "lung_rads.management"),
    _text("fleischner", "Fleischner 2017 category", "fleischner.category"),
    _text("fleischner_management", "What Fleischner 2017 recommends", "fleischner.management"),
    _text("bts", "British Thoracic Society 2015 category", "bts.category"),
    _text("bts_management", "What the British Thoracic Society 2015 recommends", "bts.management"),
    _text("status", "found, accepted or rejected by a person, or added by a person"),
    Column("warnings", "", "Why to be careful with this row", str, lambda nodule: "; ".join(nodule.warnings)),
)
