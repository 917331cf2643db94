"""Whether lung masks can be trusted, and why not."""

from dataclasses import dataclass

from LungCADLib.study import LungVerdict

WHOLE_ML = (1000.0, 9000.0)
"""Both lungs of an adult between full expiration with disease and full inspiration."""
SYMMETRY = (0.5, 2.0)
"""Left over right volume."""
EDGE_SHARE = (0.02, 0.5)
"""Share of the lungs' outline that faces the air around the patient or the picture's side: doubtful, failed."""
AIR_OFF_HU = 40.0
LEAST_ML = 100.0
"""Less than this is gas somewhere else."""


@dataclass(frozen=True)
class Evidence:
    """What the verdict looks at: volumes in ml, whether the first and last slice cut lung, shares from 0 to 1, HU."""

    right_ml: float
    left_ml: float
    open_first: bool
    open_last: bool
    edge_share: float
    air_hu: float = -1000.0


def judge(found: Evidence) -> LungVerdict:
    """The verdict on a pair of lungs."""
    total = found.right_ml + found.left_ml
    if total < LEAST_ML:
        reason = f"hardly any lung was found ({total:.0f} ml): this may not be a chest CT"
        return LungVerdict("failed", [reason], complete=False)
    reasons = []
    failed = False
    partial = found.open_first or found.open_last
    if found.open_first and found.open_last:
        reasons.append("the lungs continue beyond the first and the last slice: part of them is not in the scan")
    elif found.open_first:
        reasons.append("the lungs continue below the first slice: their bases are not in the scan")
    elif found.open_last:
        reasons.append("the lungs continue above the last slice: their tops are not in the scan")
    if abs(found.air_hu + 1000) > AIR_OFF_HU:
        reasons.append(f"the air around the patient reads {found.air_hu:.0f} HU instead of -1000")
    small, large = min(found.right_ml, found.left_ml), max(found.right_ml, found.left_ml)
    if small < 0.1 * large:
        reasons.append(f"only the {'right' if found.right_ml > found.left_ml else 'left'} lung was found")
    elif not SYMMETRY[0] <= found.left_ml / found.right_ml <= SYMMETRY[1]:
        reasons.append(f"the lungs differ much in size (right {found.right_ml:.0f} ml, left {found.left_ml:.0f} ml)")
    if total < WHOLE_ML[0] and not partial:
        reasons.append(f"the lungs are small ({total:.0f} ml)")
    if total > WHOLE_ML[1]:
        reasons.append(f"the lungs are larger than lungs are ({total:.0f} ml)")
        failed = True
    if found.edge_share > EDGE_SHARE[0]:
        percent = f"{100 * found.edge_share:.0f}%"
        reasons.append(f"{percent} of the outline faces the air around the patient or the side of the picture")
        failed = failed or found.edge_share > EDGE_SHARE[1]
    return LungVerdict("failed" if failed else "doubtful" if reasons else "ok", reasons, complete=not partial)
