"""What the labels of any lung engine become: volumes, a verdict, and the region where nodules are looked for."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from LungCADLib.lungs.airways import airways
from LungCADLib.lungs.body import STANDARD_AIR_HU, air_level, inside_body
from LungCADLib.lungs.grid import COARSE_MM, Mask, bounding_box, coarse, dilate, finer, opening
from LungCADLib.lungs.verdict import LEAST_ML, Evidence, judge
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.scan import AIR_HU, Scan
from LungCADLib.study import LungsInfo

AIR_IN_BODY_HU = -350
SAFE_MM = 15.0
"""Around any air within the body: where nodules are looked for when the lungs are not trusted."""
INNER = 110
"""Of 200 (`grid.finer`): above this is inside."""
OPEN_MM2 = 1000.0
"""More lung than this on the first or last slice: it goes on beyond."""


@dataclass(frozen=True, eq=False)
class Body:
    """The patient on the coarse grid; masks are bool (z, y, x).

    `low` is shifted so that air reads -1000 HU; `air_hu` is what it reads in the scan.
    """

    low: Scan
    air_hu: float
    inside: Mask
    airway: Mask

    @property
    def shift_hu(self) -> int:
        """What was added to the scan's HU."""
        return _shift(self.air_hu)


def body(scan: Scan) -> Body:
    """The patient of a scan, cropped to what holds the patient."""
    low = coarse(scan)
    air_hu = air_level(low.hu)
    if _shift(air_hu):
        low = replace(low, hu=np.maximum(low.hu + np.int16(_shift(air_hu)), AIR_HU))
    inside = inside_body(low.hu)
    if inside.any():
        box = bounding_box(inside, 1)
        low, inside = low.crop(box), np.ascontiguousarray(inside[box])
        low = replace(low, hu=np.ascontiguousarray(low.hu))
    return Body(low, air_hu, inside, airways(low.hu, inside))


def network_answer(engine: str, scan: Scan, labels: NDArray[np.uint8]) -> Lungs:
    """The lungs a network outlined, judged as the classical ones are.

    Parameters
    ----------
    engine
        The network's name.
    scan, labels
        (z, y, x) on the scan's grid; `LungLabel`. Large airways are added where the network left them out.
    """
    found = body(scan)
    box, share = finer(found.airway, found.low.geometry, scan.geometry)
    labels[box][(share > INNER) & (labels[box] == LungLabel.BACKGROUND)] = LungLabel.AIRWAY
    lungs = _lungs(labels).astype(np.uint8)
    low = scan.geometry.resample(lungs, found.low.geometry, nearest=True).astype(bool)
    return answer(engine, scan, labels, found, low)


def answer(
    engine: str, scan: Scan, labels: NDArray[np.uint8], found: Body, low: Mask, hidden: Mask | None = None
) -> Lungs:
    """The lungs with their verdict.

    Parameters
    ----------
    engine
        Its name.
    scan, labels
        (z, y, x) on the scan's grid; `LungLabel`.
    found
        The patient.
    low, hidden
        bool (z, y, x) on the coarse grid: both lungs, and what else nodules are looked for in.
    """
    ml = {label: float(np.count_nonzero(labels == label)) * scan.geometry.voxel_mm3 / 1000 for label in LungLabel}
    verdict = judge(
        Evidence(
            right_ml=ml[LungLabel.RIGHT],
            left_ml=ml[LungLabel.LEFT],
            open_first=is_open(labels[0], scan),
            open_last=is_open(labels[-1], scan),
            edge_share=edge_share(low, found.inside),
            air_hu=found.air_hu,
        )
    )
    if verdict.status == "failed":
        region = safe_region(scan, found)
        if ml[LungLabel.RIGHT] + ml[LungLabel.LEFT] < LEAST_ML:
            labels[:] = LungLabel.BACKGROUND
            ml = dict.fromkeys(LungLabel, 0.0)
    else:
        region = _lungs(labels)
        if hidden is not None:
            box, share = finer(hidden, found.low.geometry, scan.geometry)
            region[box] |= (share > INNER) & (labels[box] != LungLabel.AIRWAY)
    info = LungsInfo(
        engine=engine,
        verdict=verdict,
        volume_ml=ml[LungLabel.RIGHT] + ml[LungLabel.LEFT],
        right_ml=ml[LungLabel.RIGHT],
        left_ml=ml[LungLabel.LEFT],
        airway_ml=ml[LungLabel.AIRWAY],
    )
    return Lungs(labels, region, info)


def safe_region(scan: Scan, found: Body) -> Mask:
    """Everything near air in the body, on the scan's grid; the whole body where it holds no air."""
    air = found.inside & (found.low.hu < AIR_IN_BODY_HU)
    near = dilate(opening(air, COARSE_MM), SAFE_MM) & found.inside
    box, share = finer(near if near.any() else found.inside, found.low.geometry, scan.geometry)
    region = np.zeros(scan.hu.shape, bool)
    region[box] = share > INNER
    return region


def edge_share(lungs: Mask, inside: Mask) -> float:
    """How much of the lungs' outline faces the air around the patient or the sides of the picture, 0 to 1."""
    sides = ((0, 0), (1, 1), (1, 1))
    lungs = np.pad(lungs, sides)
    shell = dilate(lungs, COARSE_MM) & ~lungs
    return float((shell & ~np.pad(inside, sides)).sum() / max(shell.sum(), 1))


def is_open(axial: NDArray[np.uint8], scan: Scan) -> bool:
    """Whether a slice at the end of the scan still cuts through lung."""
    return float(_lungs(axial).sum()) * scan.spacing[1] * scan.spacing[2] > OPEN_MM2


def _lungs(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT)


def _shift(air_hu: float) -> int:
    return int(STANDARD_AIR_HU - air_hu)
