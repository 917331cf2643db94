"""Free-response ROC by LUNA16's rules (Setio et al., Med Image Anal 42:1-13, 2017, and its evaluation script).

- A mark hits a nodule when the squared distance of their centers is strictly less than the nodule's squared radius; a
  nodule without a diameter has one of 10 mm.
- A nodule's score is the highest of the marks that hit it; further hits are ignored, and none of them is false.
- A mark on an excluded finding (no nodule, below 3 mm, marked by one or two readers) is neither true nor false.
- A nodule that nothing hits counts in the denominator of sensitivity.
- False marks are counted per scan over all scans, those without nodules too.
- CPM is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false marks per scan, interpolated linearly; where the
  curve steps up at exactly such a rate, its upper end counts. The curve drawn has 10,001 points between 1/8 and 8.
- Intervals are the 2.5th and 97.5th percentile over 1,000 draws of the scans with replacement.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
POINTS = 10001
UNKNOWN_DIAMETER_MM = 10.0
NOT_FOUND = -np.inf
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Scored:
    """What became of the marks of one scan.

    Attributes
    ----------
    nodules
        (n,) best score of the marks that hit each nodule; `NOT_FOUND` where none does.
    false
        (m,) scores of the marks on nothing.
    """

    nodules: NDArray[np.float64]
    false: NDArray[np.float64]


def score_marks(
    marks_mm: NDArray,
    scores: NDArray,
    nodules_mm: NDArray,
    diameters_mm: NDArray,
    excluded_mm: NDArray | None = None,
    excluded_diameters_mm: NDArray | None = None,
) -> Scored:
    """Match the marks (m, 3) of a scan with its nodules (n, 3) and with what is excluded (k, 3), all LPS mm.

    Diameters are in mm, negative where nobody knows.
    """
    marks, scores = np.reshape(marks_mm, (-1, 3)).astype(float), np.asarray(scores, float)
    on_nodule = hits(marks, nodules_mm, diameters_mm)
    best = np.where(on_nodule, scores[:, None], NOT_FOUND).max(axis=0, initial=NOT_FOUND)
    nothing = ~on_nodule.any(axis=1)
    if excluded_mm is not None and excluded_diameters_mm is not None:
        nothing &= ~hits(marks, excluded_mm, excluded_diameters_mm).any(axis=1)
    return Scored(best, scores[nothing])


def hits(marks_mm: NDArray, centers_mm: NDArray, diameters_mm: NDArray) -> NDArray[np.bool_]:
    """(m, n): whether each mark lies in each ball."""
    marks, centers = (np.reshape(points, (-1, 3)).astype(float) for points in (marks_mm, centers_mm))
    diameters = np.asarray(diameters_mm, float)
    diameters = np.where(diameters < 0, UNKNOWN_DIAMETER_MM, diameters)
    squared = ((marks[:, None] - centers[None]) ** 2).sum(axis=2)
    return np.asarray(squared < (diameters / 2)[None] ** 2)


@dataclass(frozen=True, eq=False)
class Froc:
    """The curve on `POINTS` rates from 1/8 to 8 false marks per scan, and sensitivities at `RATES`."""

    rates: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    at: tuple[float, ...]

    @property
    def cpm(self) -> float:
        return float(np.mean(self.at))


def froc(scans: Sequence[Scored]) -> Froc:
    """The curve of some scans.

    Raises
    ------
    ValueError
        If no scan has a nodule.
    """
    nodules = np.concatenate([scan.nodules for scan in scans])
    false = np.concatenate([scan.false for scan in scans])
    if not len(nodules):
        raise ValueError("A FROC curve needs at least one nodule.")
    # One point for each score that occurs, from the strictest on; before it, nothing is marked at all.
    thresholds = np.unique(np.concatenate([nodules[np.isfinite(nodules)], false]))[::-1]
    found, wrong = (np.append(0, len(a) - np.searchsorted(np.sort(a), thresholds)) for a in (nodules, false))
    rates = np.linspace(RATES[0], RATES[-1], POINTS)
    false_per_scan, share = wrong / len(scans), found / len(nodules)
    at = np.interp(RATES, false_per_scan, share)
    return Froc(rates, np.interp(rates, false_per_scan, share), tuple(float(value) for value in at))


def resampled(scans: Sequence[Scored], seed: int = 0, times: int = RESAMPLES) -> NDArray[np.float64]:
    """(times, 1 + len(RATES)): CPM and sensitivities of scans drawn again with replacement.

    Draws without a nodule do not count. What `froc` of each draw would give, with the scores put in order only once.
    """
    rng = np.random.default_rng(seed)
    nodules, of_nodule = _flat([scan.nodules for scan in scans])
    false, of_false = _flat([scan.false for scan in scans])
    if not len(nodules):
        raise ValueError("A FROC curve needs at least one nodule.")
    levels = np.unique(np.concatenate([nodules[np.isfinite(nodules)], false]))
    hit = np.isfinite(nodules)
    # Place of each score from the strictest on; place 0 is that nothing is marked at all.
    found_at, wrong_at = (len(levels) - np.searchsorted(levels, scores) for scores in (nodules[hit], false))
    drawn: list[list[float]] = []
    while len(drawn) < times:
        weight = np.bincount(rng.integers(len(scans), size=len(scans)), minlength=len(scans)).astype(float)
        total = weight[of_nodule].sum()
        if not total:
            continue
        found = np.bincount(found_at, weight[of_nodule][hit], len(levels) + 1).cumsum()
        wrong = np.bincount(wrong_at, weight[of_false], len(levels) + 1).cumsum()
        at = np.interp(RATES, wrong / len(scans), found / total)
        drawn.append([float(at.mean()), *at.tolist()])
    return np.array(drawn)


def _flat(parts: Sequence[NDArray]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Numbers of all scans, and the scan of each."""
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def interval(values: NDArray) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
