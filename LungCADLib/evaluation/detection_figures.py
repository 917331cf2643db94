"""Figures of detection: sensitivity, false marks, FROC, by size, density and place, with intervals over scans."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.detection_road import Walked
from LungCADLib.evaluation.froc import RATES, RESAMPLES, Scored, froc, interval, resampled

Figure = dict[str, float]

SIZES_MM = ((0.0, 6.0), (6.0, 10.0), (10.0, 20.0), (20.0, np.inf))


def figures(walked: Sequence[Walked], threshold: float, least_mm: float, seed: int = 0) -> dict[str, Figure]:
    """What one run found, under the names of `--json`; `n` is nodules, of `false_marks_per_scan` scans.

    `cpm` and `sensitivity_at_...` follow LUNA16 over all marks; `sensitivity` and `false_marks_per_scan` are of marks
    scored at least `threshold`, the latter of those with a mean diameter of at least `least_mm`.
    """
    scored = [one.scored for one in walked]
    found = [np.asarray(one.nodules >= threshold) for one in scored]
    false = [len(one.false(threshold, least_mm)) for one in walked]
    nodules = sum(map(len, found))
    out = {"false_marks_per_scan": _per_scan(np.array(false), seed)}
    if nodules:
        out = {**_curve(scored, nodules, seed), "sensitivity": _share(found, seed), **out}
        out |= {f"sensitivity_{name}": _share(parts, seed) for name, parts in _parts(walked, found).items()}
    return out


def found_at(walked: Sequence[Walked], rate: float) -> list[NDArray[np.bool_]]:
    """Which nodules are found at so many false marks per scan."""
    scored = [one.scored for one in walked]
    false = np.sort(np.concatenate([one.false for one in scored]))[::-1]
    allowed = int(rate * len(walked))
    limit = false[allowed] if len(false) > allowed else -np.inf
    return [np.asarray(one.nodules > limit) for one in scored]


def strata(walked: Sequence[Walked], rate: float, seed: int = 0) -> dict[str, Figure]:
    """Sensitivity at so many false marks per scan by size, density and place."""
    return {name: _share(parts, seed) for name, parts in _parts(walked, found_at(walked, rate)).items()}


def _parts(walked: Sequence[Walked], found: list[NDArray[np.bool_]]) -> dict[str, list[NDArray[np.bool_]]]:
    """Per scan what was found of each kind of nodule."""
    groups: dict[str, list[NDArray[np.bool_]]] = {}
    sizes = [(f"{low:g}_to_{high:g}_mm" if np.isfinite(high) else f"from_{low:g}_mm") for low, high in SIZES_MM]
    for one, here in zip(walked, found, strict=True):
        names: list[set[str]] = []
        for nodule in one.nodules:
            size = next(k for k, (low, high) in enumerate(SIZES_MM) if low <= nodule["diameter_mm"] < high)
            kinds = {nodule[key].replace("-", "_") for key in ("density", "attachment") if key in nodule}
            names.append({sizes[size], *kinds})
        for name in set().union(*names):
            chosen = np.array([name in kinds for kinds in names], bool)
            groups.setdefault(name, []).append(here[chosen])
    order = {name: place for place, name in enumerate(sizes)}
    return dict(sorted(groups.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _curve(scored: list[Scored], nodules: int, seed: int) -> dict[str, Figure]:
    curve, drawn = froc(scored), resampled(scored, seed)
    names = ["cpm", *(f"sensitivity_at_{rate:g}" for rate in RATES)]
    return {
        name: _figure(value, drawn[:, k], nodules)
        for k, (name, value) in enumerate(zip(names, (curve.cpm, *curve.at), strict=True))
    }


def _share(found: list[NDArray[np.bool_]], seed: int) -> Figure:
    """Of all nodules together; the interval draws scans."""
    hit, of = (np.array([getattr(part, what)() for part in found]) for what in ("sum", "__len__"))
    drawn = np.random.default_rng(seed).integers(len(found), size=(RESAMPLES, len(found)))
    some = of[drawn].sum(axis=1)
    return _figure(hit.sum() / of.sum(), hit[drawn].sum(axis=1)[some > 0] / some[some > 0], int(of.sum()))


def _per_scan(counts: NDArray[np.int64], seed: int) -> Figure:
    drawn = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLES, len(counts)))
    return _figure(float(counts.mean()), counts[drawn].mean(axis=1), len(counts))


def _figure(value: float, drawn: NDArray, n: int) -> Figure:
    low, high = interval(drawn)
    return {"value": float(value), "low": low, "high": high, "n": n}
