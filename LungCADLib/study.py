"""The one result of a run: plain dataclasses that go to JSON and come back equal.

Lengths mm, areas mm², volumes mm³, masses mg, intensities HU; positions LPS (x, y, z) in mm.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from LungCADLib.scan import Header
from LungCADLib.settings import Settings

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from LungCADLib.masks import Masks

SCHEMA_VERSION = "1.0"

Density = Literal["solid", "part-solid", "non-solid", "calcified", "fat-containing"]
Calcification = Literal["none", "central", "diffuse", "laminated", "popcorn", "eccentric"]
Side = Literal["right", "left", "unknown"]
Lobe = Literal["upper", "middle", "lower", "unknown"]
Status = Literal["found", "accepted", "rejected", "added"]
"""What became of a nodule: found by LungCAD and not looked at yet, a person's verdict on it, or a person's own."""

Action = Literal["accepted", "rejected", "added", "outlined", "undone"]
Xyz = tuple[float, float, float]


@dataclass(frozen=True)
class Candidate:
    """A place that may be a nodule: position, radius, which branch saw it, a score from 0 to 1, and why."""

    center_lps_mm: Xyz
    radius_mm: float
    kind: Literal["solid", "ground-glass", "mass"]
    score: float
    features: dict[str, float] = field(default_factory=dict)


@dataclass
class ScanInfo:
    """The scan as the Study remembers it: `shape` and `spacing_mm` in (z, y, x), `direction` row by row."""

    header: Header
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_lps_mm: Xyz
    direction: tuple[float, ...]


@dataclass
class LungVerdict:
    """Whether the lung masks can be trusted, and why not: `ok`, `doubtful`, or `failed` (a safe region is used).

    `complete` says whether the scan holds both lungs from top to bottom.
    """

    status: Literal["ok", "doubtful", "failed"]
    reasons: list[str] = field(default_factory=list)
    complete: bool = True


@dataclass
class LungsInfo:
    """Volumes in ml of what the lung engine found."""

    engine: str
    verdict: LungVerdict
    volume_ml: float
    right_ml: float
    left_ml: float
    airway_ml: float


@dataclass
class Attenuation:
    """HU statistics inside the outline."""

    mean: float
    sd: float
    minimum: float
    maximum: float
    p05: float
    median: float
    p95: float


@dataclass
class SolidPart:
    """The solid component of a nodule, measured like the nodule itself; all zero where there is none."""

    long_axis_mm: float
    short_axis_mm: float
    mean_diameter_mm: float
    volume_mm3: float
    fraction: float


@dataclass
class Shape:
    """Numbers of form that need the outline alone.

    `sphericity` is 1 for a ball; `solidity` is volume over convex-hull volume; `elongation` is short over long axis;
    `area_mm2` and `circularity` belong to the axial slice that carries the long axis.
    """

    surface_mm2: float
    sphericity: float
    solidity: float
    elongation: float
    z_extent_mm: float
    area_mm2: float
    circularity: float


@dataclass
class Margin:
    """Edge descriptors: each 0 (none) to 1 (marked), with the yes/no the guidelines ask for."""

    sharpness: float
    spiculation: float
    lobulation: float
    spiculated: bool
    lobulated: bool


@dataclass
class Location:
    """Where the nodule is; the lobe is an estimate by geometry with a confidence between 0 and 1."""

    side: Side
    lobe: Lobe
    lobe_confidence: float
    wall_distance_mm: float
    juxtapleural: bool
    perifissural_candidate: bool
    description: str


@dataclass
class Opinion:
    """A model's opinion.

    `value` is 0 to 1 with its interval `low` to `high`; `meaning` says what it is an opinion of; `tested` says how it
    was tested, with the ruler beside it.
    """

    model: str
    version: str
    value: float
    low: float
    high: float
    meaning: str
    tested: str


@dataclass
class Attribute:
    """How readers would be expected to rate one characteristic, from 1 to 5.

    `value` is the mean rating, `grade` one rating and `meaning` its word; `probabilities` are those of 1 to 5.
    """

    value: float
    grade: int
    probabilities: list[float]
    meaning: str


@dataclass
class Risk:
    """One risk equation's answer: a probability, its range over the inputs nobody gave, and which those are.

    `value` is None where the equation does not apply; `note` says why.
    """

    equation: str
    value: float | None
    low: float | None
    high: float | None
    inputs: dict[str, int | float | bool | str | None] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    note: str = ""


@dataclass
class Advice:
    """What a guideline says: a short `category`, the `management` it recommends, the rule (`reason`) and its source."""

    guideline: str
    category: str
    management: str
    reason: str
    source: str


@dataclass
class Nodule:
    """One nodule: where, how sure, how big, of what kind, how suspicious, what to do.

    `axes_lps_mm` holds the ends of the long axis, then of the short axis, in the slice at which they were measured.
    `attributes` holds how it looks, by LIDC's names of characteristics; empty where nothing rated it.
    """

    id: str
    score: float
    center_lps_mm: Xyz
    long_axis_mm: float
    short_axis_mm: float
    mean_diameter_mm: float
    max_diameter_3d_mm: float
    volume_mm3: float
    mass_mg: float
    axes_lps_mm: list[Xyz]
    density: Density
    calcification: Calcification
    attenuation_hu: Attenuation
    solid: SolidPart
    shape: Shape
    margin: Margin
    location: Location
    suspicion: Opinion | None = None
    opinions: list[Opinion] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    risk: dict[str, Risk] = field(default_factory=dict)
    lung_rads: Advice | None = None
    fleischner: Advice | None = None
    bts: Advice | None = None
    warnings: list[str] = field(default_factory=list)
    status: Status = "found"


@dataclass(frozen=True)
class Change:
    """What a person changed after the run: who, when (UTC, ISO 8601), on which nodule, and what."""

    who: str
    when: str
    nodule: str
    action: Action


@dataclass
class Exam:
    """The guidelines' word on the whole scan."""

    lung_rads: Advice
    fleischner: Advice
    bts: Advice


@dataclass
class Provenance:
    """What made the result: versions by package, SHA-256 by weights file, and the settings."""

    lungcad: str
    created: str
    versions: dict[str, str]
    weights: dict[str, str]
    settings: Settings
    device: str


@dataclass
class Study:
    """Everything a run found, with nodules in order of detection score, and what a person changed, oldest first.

    `masks` (the outlines as voxels, or None) is not part of the JSON and does not count when two studies are compared.
    """

    scan: ScanInfo
    lungs: LungsInfo
    nodules: list[Nodule]
    exam: Exam
    warnings: list[str]
    timing_s: dict[str, float]
    provenance: Provenance
    changes: list[Change] = field(default_factory=list)
    schema_version: str = SCHEMA_VERSION

    def __post_init__(self) -> None:
        self.masks: Masks | None = None

    @property
    def counted(self) -> list[Nodule]:
        """The nodules that nobody rejected: what the exam's category rests on, and what a report shows."""
        return [nodule for nodule in self.nodules if nodule.status != "rejected"]

    def to_json(self, indent: int | None = 2) -> str:
        """The study as JSON text (UTF-8 safe, no NaN)."""
        return _adapter().dump_json(self, indent=indent).decode()

    @staticmethod
    def from_json(text: str | bytes) -> "Study":
        """The study from its JSON text.

        Raises
        ------
        InputError
            If the text is not a study of this schema.
        """
        from pydantic import ValidationError

        from LungCADLib.errors import InputError

        try:
            study: Study = _adapter().validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(f"This is not a LungCAD study: {where}: {first['msg']}; analyze the scan again.") from None
        if study.schema_version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise InputError(
                f"This study has schema {study.schema_version}, this LungCAD reads {SCHEMA_VERSION}; analyze again."
            )
        return study

    def save(self, path: Path) -> None:
        """Write `study.json`."""
        path.write_text(self.to_json() + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> "Study":
        """Read `study.json`."""
        return Study.from_json(path.read_bytes())


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `study.json`."""
    schema = _adapter().json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "LungCAD study"}


@cache
def _adapter() -> "TypeAdapter[Study]":
    from pydantic import TypeAdapter

    return TypeAdapter(Study)
