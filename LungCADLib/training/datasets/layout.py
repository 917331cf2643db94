"""What every data set offers, and what is said of one that was checked."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from LungCADLib.masks import BoxMask
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.study import Xyz

State = Literal["complete", "broken", "missing"]


@dataclass(frozen=True)
class CaseReport:
    """One case: `complete`, `broken` (a file cannot be used) or `missing` (a part is not there), and why."""

    case: str
    state: State
    problems: tuple[str, ...] = ()

    @staticmethod
    def of(case: str, missing: Sequence[str] = (), broken: Sequence[str] = ()) -> "CaseReport":
        """Broken outweighs missing."""
        state: State = "broken" if broken else "missing" if missing else "complete"
        return CaseReport(case, state, (*broken, *missing))


@dataclass(frozen=True)
class Report:
    """What a check found: every case in order, and what concerns the set as a whole."""

    data_set: str
    folder: str
    cases: tuple[CaseReport, ...]
    notes: tuple[str, ...] = ()

    def count(self, state: State) -> int:
        """How many cases are in a state."""
        return Counter(case.state for case in self.cases)[state]

    @property
    def complete(self) -> bool:
        """Whether every case is."""
        return self.count("complete") == len(self.cases)

    def to_json(self) -> dict[str, Any]:
        """As plain data, with the counts."""
        counts = {state: self.count(state) for state in ("complete", "broken", "missing")}
        return {**asdict(self), **counts}


@dataclass(frozen=True, eq=False)
class AnnotatedNodule:
    """A nodule that the set's annotators marked.

    Attributes
    ----------
    name
        Unique within its case.
    center_lps_mm
        (x, y, z).
    diameter_mm
        As the set states it, or of the ball with the outline's volume.
    outline
        On the scan's grid; None where the set has none.
    readers
        How many annotators marked it.
    ratings
        By characteristic, one per reader that gave it.
    label
        What the set calls it (a Lung-RADS class, benign, malignant); "" where it says nothing.
    """

    name: str
    center_lps_mm: Xyz
    diameter_mm: float
    outline: BoxMask | None = None
    readers: int = 1
    ratings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, eq=False)
class ScanCase:
    """One CT with what is known of it.

    `patient` is what to split by; `fold` the set's own (None if it has none); `cancer` the patient's label, None where
    the set has none.
    """

    name: str
    patient: str
    scan: Scan
    nodules: tuple[AnnotatedNodule, ...] = ()
    fold: int | None = None
    cancer: bool | None = None


class DataSet(Protocol):
    """One layout.

    Attributes
    ----------
    name
        In `SETS`, and on the command line.
    title
        What people call it, and where it is from.
    expects
        What a folder of it holds, as a part of a sentence.
    """

    name: str
    title: str
    expects: str

    def recognizes(self, folder: Path) -> bool:
        """Whether a folder looks like this set; quick, and never an error."""

    def check(self, folder: Path, progress: Progress) -> Report:
        """Every case: what is complete, broken or missing.

        Raises
        ------
        InputError
            If the folder is something else; the message says what was expected.
        """

    def cases(self, folder: Path) -> Iterator[ScanCase]:
        """One case after the other, each read when it is asked for; cases with something missing are left out.

        Raises
        ------
        InputError
            If the folder is something else, or a file is damaged.
        """
