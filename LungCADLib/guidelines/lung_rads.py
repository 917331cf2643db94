"""Lung-RADS v2022: from one nodule's measurements and history to a category, and from nodules to the examination."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from LungCADLib.guidelines.conventions import looks_benign, rounded
from LungCADLib.guidelines.lung_rads_table import (
    FEATURES_4X,
    INCIDENTAL,
    MANAGEMENT_0,
    MEANINGS,
    NOT_CLASSIFIED,
    ROWS,
    SOURCE,
    STEP_TOLERANCE_MONTHS,
    STEPS,
    SUSPECTED_INFLAMMATION,
    Category,
    CystChange,
    History,
    Kind,
    Row,
)
from LungCADLib.study import Advice, Calcification, Density

GUIDELINE = "Lung-RADS v2022"

SUSPICION: tuple[Category, ...] = ("not classified", "1", "2", "3", "4A", "0", "4B", "4X")
"""From least to most suspicious. [P] A 0 (repeat in 1-3 months) comes before anything that can wait as long."""

_RANK: dict[str, int] = {category: rank for rank, category in enumerate(SUSPICION)}
_JUXTAPLEURAL_BELOW_MM = 10.0


@dataclass(frozen=True)
class Previous:
    """The same nodule on the scan before: its category, how many months ago, and how big it was (None: unknown)."""

    category: Category
    months: float | None = None
    mean_mm: float | None = None
    solid_mm: float = 0.0


@dataclass(frozen=True)
class Finding:
    """What the rules need to know about one nodule.

    Parameters
    ----------
    density, calcification
        As measured; eccentric or no calcification counts as solid. A cavitary nodule is solid by its total diameter.
    mean_mm, solid_mm
        Mean diameter of the whole and of the solid component, mm; rounded here to 0.1 mm.
    juxtapleural, smooth, benign_shape
        All three for the juxtapleural row: touches pleura or fissure, smooth margin, oval, lentiform or triangular.
    history
        Against earlier scans.
    solid_growing
        Whether it is the solid component of a growing part-solid nodule that grows; None takes it to be so.
    previous
        The scan before, for stepped management of a stable or decreased nodule.
    proven_benign
        A 4B that appropriate work-up proved benign.
    airway
        An endobronchial or endotracheal nodule; "segmental" includes everything more proximal.
    cyst, cyst_change
        An atypical pulmonary cyst and how it changed.
    inflammatory
        The reader suspects infection or inflammation (`SUSPECTED_INFLAMMATION` lists when).
    spiculated, lymphadenopathy, metastasis, doubled_in_a_year, chest_wall
        What makes a category 3 or 4 a 4X; `doubled_in_a_year` counts for non-solid nodules.
    known_cancer
        The nodule is known lung cancer.
    """

    density: Density = "solid"
    mean_mm: float = 0.0
    solid_mm: float = 0.0
    calcification: Calcification = "none"
    juxtapleural: bool = False
    smooth: bool = False
    benign_shape: bool = False
    history: History = "baseline"
    solid_growing: bool | None = None
    previous: Previous | None = None
    proven_benign: bool = False
    airway: Literal["subsegmental", "segmental"] | None = None
    cyst: Literal["thin-walled", "thick-walled", "multilocular", "fluid", "multiple"] | None = None
    cyst_change: CystChange = "baseline"
    inflammatory: bool = False
    spiculated: bool = False
    lymphadenopathy: bool = False
    metastasis: bool = False
    doubled_in_a_year: bool = False
    chest_wall: bool = False
    known_cancer: bool = False


def classify(finding: Finding) -> Advice:
    """The category of one nodule, what to do, and the row that says so."""
    if finding.known_cancer or finding.cyst in ("fluid", "multiple"):
        which = {"fluid": NOT_CLASSIFIED[1], "multiple": NOT_CLASSIFIED[2]}.get(finding.cyst or "", NOT_CLASSIFIED[3])
        return _advice("not classified", which)
    if finding.cyst == "thin-walled" and finding.cyst_change in ("baseline", "stable", "larger"):
        return _advice("not classified", NOT_CLASSIFIED[0])
    if not finding.cyst and looks_benign(finding.density, finding.calcification):
        look = "fat" if finding.density == "fat-containing" else f"{finding.calcification} calcification"
        return _advice("1", f"benign by its look: {look}")
    if finding.proven_benign:
        return _advice("2", "a 4B proven benign by work-up")
    if finding.inflammatory:
        reason = f"suspected infection or inflammation (such as {'; '.join(SUSPECTED_INFLAMMATION)})"
        return _advice("0", reason, MANAGEMENT_0["inflammation"])
    category, reason = _by_history(finding)
    features = [
        words
        for name, words in FEATURES_4X.items()
        if getattr(finding, name) and (name != "doubled_in_a_year" or finding.density == "non-solid")
    ]
    if features and category in ("3", "4A", "4B"):
        return _advice("4X", f"category {category} ({reason}) with {', '.join(features)}")
    return _advice(category, reason)


def examination(
    nodules: Sequence[tuple[str, Advice]],
    *,
    lungs_evaluable: bool = True,
    prior_awaited: bool = False,
    significant_other_finding: bool = False,
) -> Advice:
    """The examination's category: that of its most suspicious nodule; no nodule is 1.

    Parameters
    ----------
    nodules
        Each nodule's name and its `classify`.
    lungs_evaluable
        False where part or all of the lungs cannot be evaluated: category 0, naming the most suspicious nodule seen.
    prior_awaited
        An earlier CT is being located: category 0.
    significant_other_finding
        Adds the modifier S.
    """
    name, worst = max(nodules, key=lambda item: rank(item[1].category), default=("", None))
    if worst is None or worst.category == "not classified":
        advice = _advice("1", "no lung nodule that Lung-RADS classifies")
    else:
        advice = Advice(GUIDELINE, worst.category, worst.management, f"{name}: {worst.reason}", SOURCE)
    seen = f"; most suspicious so far: {advice.category} ({advice.reason})" if worst else ""
    then = f" Already seen, {advice.category}: {advice.management}" if rank(advice.category) > rank("2") else ""
    if not lungs_evaluable:
        advice = _advice("0", "part or all of the lungs cannot be evaluated" + seen, MANAGEMENT_0["coverage"] + then)
    elif prior_awaited:
        advice = _advice("0", "an earlier chest CT is being located" + seen, MANAGEMENT_0["prior"] + then)
    if significant_other_finding:
        advice = Advice(GUIDELINE, advice.category + "S", f"{advice.management} {INCIDENTAL}", advice.reason, SOURCE)
    return advice


def rank(category: str) -> int:
    """How suspicious a category is (without the modifier S), higher for more."""
    return _RANK[category]


def _advice(category: Category, reason: str, management: str | None = None) -> Advice:
    return Advice(GUIDELINE, category, management or MEANINGS[category].management, reason, SOURCE)


def _by_history(finding: Finding) -> tuple[Category, str]:
    """The category before the 4X features: stepped down where the nodule rests, otherwise by size and history."""
    kind, when = _kind(finding), _when(finding)
    resting = when in ("stable", "decreased")
    direct = _row(kind, when, finding.mean_mm, finding.solid_mm)
    if not resting or direct is not None:
        assert direct is not None, f"no row for {kind}, {when}"
        return direct.category, str(direct)
    # The remaining rows have no "stable": the size counts as at first detection, then stepped management applies.
    by_size = _row(kind, "baseline", finding.mean_mm, finding.solid_mm)
    assert by_size is not None, f"no row for {kind}"
    before = finding.previous
    if before is None or before.category in ("0", "1", "not classified"):
        return by_size.category, f"{when}, by size: {by_size}"
    if by_size.category == "4B":
        return "4B", f"{when}, but still {by_size}"
    if before.mean_mm is not None:
        was = _row(kind, "baseline", before.mean_mm, before.solid_mm)
        if was is not None and rank(by_size.category) > rank(was.category):
            return by_size.category, f"{when}, but crossed a size threshold: {by_size}"
    for step in STEPS:
        if before.category == step.before:
            if before.months is not None and before.months + STEP_TOLERANCE_MONTHS >= step.months:
                return step.after, f"category {step.before}, {when} after {before.months:g} months"
            return step.before, f"category {step.before}, {when}, but not yet for {step.months:g} months"
    return before.category, f"category {before.category}, {when}"


def _kind(finding: Finding) -> Kind:
    if finding.cyst in ("thin-walled", "thick-walled", "multilocular"):
        return f"{finding.cyst} cyst"  # type: ignore[return-value]
    growing = finding.history in ("growing", "slow-growing")
    # [P] The table has no growing subsegmental airway or juxtapleural nodule; growing, they are solid nodules.
    if finding.airway == "segmental" or (finding.airway == "subsegmental" and not growing):
        return f"{finding.airway} airway"  # type: ignore[return-value]
    if finding.density in ("part-solid", "non-solid"):
        return finding.density  # type: ignore[return-value]
    like_a_lymph_node = finding.juxtapleural and finding.smooth and finding.benign_shape and not finding.spiculated
    if like_a_lymph_node and not growing and rounded(finding.mean_mm, 1) < _JUXTAPLEURAL_BELOW_MM:
        return "juxtapleural"
    return "solid"


def _when(finding: Finding) -> History | CystChange:
    if finding.cyst:
        return finding.cyst_change
    if finding.history == "growing" and finding.density == "part-solid" and finding.solid_growing is False:
        # [P] Growth of the ground-glass part alone is in no row: the size counts, as when a threshold is crossed.
        return "baseline"
    return finding.history


def _row(kind: Kind, when: History | CystChange, mean_mm: float, solid_mm: float) -> Row | None:
    total, solid = rounded(mean_mm, 1), rounded(solid_mm, 1)
    for row in ROWS:
        if kind in row.kinds and when in row.when and total in row.total and solid in row.solid:
            return row
    return None
