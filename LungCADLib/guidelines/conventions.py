"""How the guidelines round a length, and which nodules they call benign by their look."""

import math

from LungCADLib.study import Calcification, Density

BENIGN_CALCIFICATIONS: frozenset[Calcification] = frozenset({"central", "diffuse", "laminated", "popcorn"})
"""Central, complete (diffuse), concentric-ring (laminated) and popcorn: Lung-RADS v2022, category 1."""


def rounded(value: float, digits: int = 0) -> float:
    """Round half up to `digits` decimals, as a person reading a ruler does (Python's `round` goes to even)."""
    scale = 10**digits
    # The small addition undoes binary fractions such as 1.15 * 10 = 11.4999...
    return math.floor(value * scale + 0.5 + 1e-9) / scale


def looks_benign(density: Density, calcification: Calcification) -> bool:
    """Whether fat or a benign calcification pattern makes the nodule benign; eccentric or no pattern does not."""
    return density == "fat-containing" or calcification in BENIGN_CALCIFICATIONS
