"""Lung-RADS v2022 as its published table: one row per line, most suspicious categories last.

Source of every row: American College of Radiology, Lung-RADS v2022 (November 2022), explained in Christensen et al.,
Chest 2024;165:738-753. Rows marked [P] are this project's reading where the table is silent; `reason` shows the mark.
Diameters are means of long and short axis in mm to 0.1 mm on the lung window; volumes are mm³.
"""

import math
from dataclasses import dataclass
from typing import Literal

SOURCE = "ACR Lung-RADS v2022; Christensen et al., Chest 2024;165:738-753"

Category = Literal["0", "1", "2", "3", "4A", "4B", "4X", "not classified"]

Kind = Literal[
    "solid",
    "part-solid",
    "non-solid",
    "juxtapleural",
    "subsegmental airway",
    "segmental airway",
    "thin-walled cyst",
    "thick-walled cyst",
    "multilocular cyst",
]
"""What the rows distinguish. "juxtapleural" is solid, smooth, oval, lentiform or triangular, and below 10 mm."""

History = Literal["baseline", "new", "growing", "slow-growing", "stable", "decreased"]
"""A nodule against earlier scans; "growing" is more than 1.5 mm in mean diameter within 12 months."""

CystChange = Literal["baseline", "stable", "larger", "thicker", "more loculated", "became multilocular"]
"""A cyst against earlier scans: growing cystic part, growing wall or nodularity, more loculation or new opacity."""

MM3 = {4.0: 34, 6.0: 113, 8.0: 268, 10.0: 524, 15.0: 1767, 30.0: 14137}
"""The volume printed beside each diameter threshold: the sphere's."""


@dataclass(frozen=True)
class Band:
    """A half-open range of mean diameter, `low` <= d < `high` in mm."""

    low: float = 0.0
    high: float = math.inf

    def __contains__(self, mm: float) -> bool:
        return self.low <= mm < self.high

    @property
    def volume_mm3(self) -> tuple[float, float]:
        """The same range as the table prints it in mm³."""
        return (MM3.get(self.low, 0.0), MM3.get(self.high, math.inf))

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"≥{self.low:g} mm (≥{MM3[self.low]} mm³)" if self.low else "any size"
        if not self.low:
            return f"<{self.high:g} mm (<{MM3[self.high]} mm³)"
        return f"≥{self.low:g} to <{self.high:g} mm ({MM3[self.low]} to <{MM3[self.high]} mm³)"


ANY = Band()


@dataclass(frozen=True)
class Row:
    """One line: the category of these kinds with these histories in this range of total and solid diameter."""

    category: Category
    kinds: tuple[Kind, ...]
    when: tuple[History | CystChange, ...]
    total: Band = ANY
    solid: Band = ANY
    note: str = ""

    def __str__(self) -> str:
        size = "" if self.total == ANY and self.solid == ANY else f", {self.total}"
        part = "" if self.solid == ANY else f", solid component {self.solid}"
        return f"{' or '.join(self.kinds)}, {' or '.join(self.when)}{size}{part}{self.note and f' ({self.note})'}"


ROWS: tuple[Row, ...] = (
    # Solid
    Row("2", ("solid",), ("baseline",), Band(0, 6)),
    Row("3", ("solid",), ("baseline",), Band(6, 8)),
    Row("4A", ("solid",), ("baseline",), Band(8, 15)),
    Row("4B", ("solid",), ("baseline",), Band(15)),
    Row("2", ("solid",), ("new",), Band(0, 4)),
    Row("3", ("solid",), ("new",), Band(4, 6)),
    Row("4A", ("solid",), ("new",), Band(6, 8)),
    Row("4B", ("solid",), ("new",), Band(8)),
    Row("4A", ("solid",), ("growing",), Band(0, 8)),
    Row("4B", ("solid",), ("growing",), Band(8)),
    # Part-solid
    Row("2", ("part-solid",), ("baseline",), Band(0, 6)),
    Row("3", ("part-solid",), ("baseline",), Band(6), Band(0, 6)),
    Row("4A", ("part-solid",), ("baseline",), Band(6), Band(6, 8)),
    Row("4B", ("part-solid",), ("baseline",), Band(6), Band(8)),
    Row("3", ("part-solid",), ("new",), Band(0, 6)),
    Row("4A", ("part-solid",), ("new",), Band(6), Band(0, 4), "[P] the solid component of a new nodule is new"),
    Row("4B", ("part-solid",), ("new",), Band(6), Band(4), "[P] the solid component of a new nodule is new"),
    Row("4A", ("part-solid",), ("growing",), ANY, Band(0, 4)),
    Row("4B", ("part-solid",), ("growing",), ANY, Band(4)),
    Row("4B", ("solid", "part-solid"), ("slow-growing",), note="growth over several screens"),
    # Non-solid
    Row("2", ("non-solid",), ("baseline", "new", "growing"), Band(0, 30)),
    Row("3", ("non-solid",), ("baseline", "new"), Band(30)),
    Row("3", ("non-solid",), ("growing",), Band(30), note="[P] grown across 30 mm counts as at baseline"),
    Row("2", ("non-solid",), ("stable", "slow-growing", "decreased")),
    # Juxtapleural, smooth, oval, lentiform or triangular
    Row("2", ("juxtapleural",), ("baseline", "new"), Band(0, 10)),
    # Airway
    Row("2", ("subsegmental airway",), ("baseline", "new", "stable", "decreased")),
    Row("4A", ("segmental airway",), ("baseline", "new")),
    Row("4A", ("segmental airway",), ("decreased",), note="[P] shrinking is not persistence, nor a step down"),
    Row("4B", ("segmental airway",), ("stable", "growing", "slow-growing"), note="or more proximal"),
    # Cysts
    Row("3", ("thick-walled cyst",), ("larger",), note="growing cystic component"),
    Row("4A", ("thick-walled cyst", "multilocular cyst"), ("baseline",)),
    Row("4A", ("thin-walled cyst", "thick-walled cyst", "multilocular cyst"), ("became multilocular",)),
    Row("4A", ("thin-walled cyst", "thick-walled cyst"), ("more loculated",), note="[P] it has become multilocular"),
    Row("4B", ("multilocular cyst",), ("larger", "more loculated")),
    Row("4B", ("thin-walled cyst", "thick-walled cyst", "multilocular cyst"), ("thicker",), note="wall or nodularity"),
)


@dataclass(frozen=True)
class Step:
    """Stepped management: `before`, stable or decreased after at least `months`, becomes `after`."""

    before: Category
    months: float
    after: Category


STEPS: tuple[Step, ...] = (Step("4A", 3, "3"), Step("3", 6, "2"))
"""Not for airway nodules. A 4B or 4X is not stepped down by time, only when work-up proves it benign (then 2)."""

STEP_TOLERANCE_MONTHS = 0.5
"""[P] A follow-up up to two weeks early still counts as the one recommended."""

FEATURES_4X: dict[str, str] = {
    "spiculated": "spiculation",
    "lymphadenopathy": "lymphadenopathy",
    "metastasis": "frank metastatic disease",
    "doubled_in_a_year": "ground-glass nodule doubled in one year",
    "chest_wall": "chest-wall or pleural signs",
}
"""What turns a category 3 or 4 into 4X; growth alone does not."""


@dataclass(frozen=True)
class Meaning:
    """What a category asks for, how often it was expected and the chance of cancer, as printed."""

    management: str
    prevalence: str
    cancer: str


PET = "PET/CT may be considered if there is a solid nodule or solid component ≥8 mm (≥268 mm³)"
WORKUP = (
    f"Diagnostic chest CT with or without contrast; {PET}; tissue sampling and/or referral for further clinical "
    "evaluation, by probability of cancer and comorbidities."
)

MEANINGS: dict[Category, Meaning] = {
    "0": Meaning("Complete or repeat the examination before it is categorized.", "1%", "unknown"),
    "1": Meaning("Continue screening: low-dose CT in 12 months.", "39%", "<1%"),
    "2": Meaning("Continue screening: low-dose CT in 12 months.", "45%", "<1%"),
    "3": Meaning("Low-dose CT in 6 months.", "9%", "1-2%"),
    "4A": Meaning(f"Low-dose CT in 3 months; {PET}.", "4%", "5-15%"),
    "4B": Meaning(WORKUP, "2%", ">15%"),
    "4X": Meaning(WORKUP, "<1%", ">15%"),
    "not classified": Meaning("Lung-RADS does not classify this finding.", "", ""),
}

MANAGEMENT_0: dict[str, str] = {
    "prior": "Compare with the earlier chest CT once it is found.",
    "coverage": "Repeat the low-dose CT or image the missing part.",
    "inflammation": "Low-dose CT in 1-3 months.",
}

SUSPECTED_INFLAMMATION: tuple[str, ...] = (
    "segmental or lobar consolidation",
    "more than six new nodules",
    "new solid nodule of 8 mm or more within a short interval",
    "new nodule in an immunocompromised person",
)

NOT_CLASSIFIED: tuple[str, ...] = (
    "thin-walled cyst",
    "fluid-containing cyst",
    "multiple cysts (lymphangioleiomyomatosis, Langerhans cell histiocytosis)",
    "known lung cancer",
)

INCIDENTAL = "S: a significant finding other than lung cancer; manage it by the ACR's incidental-findings guidance."
