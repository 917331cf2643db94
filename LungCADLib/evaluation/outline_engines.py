"""One nodule, one click, one engine: what was drawn, and how well that agrees with the reader."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

from LungCADLib.compute import cores
from LungCADLib.evaluation.overlap import Overlap, overlap
from LungCADLib.masks import BoxMask
from LungCADLib.nodules.field import LONE_STEP_MM
from LungCADLib.scan import Geometry, Header, Scan
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.nodule_sets import CHARACTERISTICS, Case
from LungCADLib.training.slice_sets import Slices

NETWORK = "network"

SLICES = "slices"
"""The kind of set in which the network draws lone slices, as their reader did."""

SLICE_GUESSES_MM = (7.0, 15.0)
"""Diameters with which the network's first look at a lone slice is made, where no detector guesses one; of the two
outlines the one that the network is surer of counts."""

FEW = 50
"""Fewer nodules are outlined sooner than other processes start and load their packages."""

MOST_PROCESSES = 4
"""Each takes a few hundred MB."""


@dataclass(frozen=True, eq=False)
class Outlined:
    """What the engine drew on a nodule, and how well that agrees with the reader."""

    mask: BoxMask
    overlap: Overlap


def outline_case(case: Case, engine: str, kind: str = "vois") -> Outlined:
    """Outline one nodule from its click alone.

    Parameters
    ----------
    case
        The nodule; a patient in `lidc-folds.csv` is outlined by the one member that never saw that patient.
    engine
        A name of `nodules.ENGINES`.
    kind
        The set: crops, vois or slices.
    """
    mask = _by_network_in_plane(case) if kind == SLICES and engine == NETWORK else _by_engine(case, engine)
    found, truth, spacing = mask.full(case.scan.geometry.shape), case.truth, case.scan.spacing
    if kind == SLICES:
        return Outlined(mask, overlap(found[0], truth[0], spacing[1:]))
    return Outlined(mask, overlap(found, truth, spacing))


def _by_engine(case: Case, engine: str) -> BoxMask:
    from LungCADLib.lungs.crop import crop_region
    from LungCADLib.nodules import outliner
    from LungCADLib.nodules.outline_network import outline_candidates, packaged
    from LungCADLib.nodules.seed import candidate_at

    region, candidate = crop_region(case.scan), candidate_at(case.scan, case.click_lps_mm)
    if engine != NETWORK:
        return outliner(engine)(case.scan, region, candidate)
    network = packaged("cpu", fold_of_patient().get(case.patient))
    return outline_candidates(network, case.scan, region, [candidate])[0]


def _by_network_in_plane(case: Case) -> BoxMask:
    from LungCADLib.nodules.outline_network import packaged

    network = packaged("cpu", fold_of_patient().get(case.patient))
    z, y, x = (float(v) for v in case.scan.geometry.to_index(case.click_lps_mm))
    n = len(SLICE_GUESSES_MM)
    drawn = network.outline([case.scan.hu] * n, [case.scan.spacing] * n, [(z, y, x)] * n, SLICE_GUESSES_MM, "slice")
    return max(drawn, key=lambda one: one.expected_dice).mask


def outline_all(
    cases: Sequence[Case], engine: str, step: Callable[[], None] = lambda: None, kind: str = "vois"
) -> list[Outlined]:
    """Outline every nodule, in the order given, on several processes where that pays; `step` is called after each."""
    processes = min(cores(), MOST_PROCESSES)
    work = partial(outline_case, engine=engine, kind=kind)
    if len(cases) < FEW or processes < 2:
        return list(_stepping(map(work, cases), step))
    with ProcessPoolExecutor(processes, get_context("spawn"), _one_thread) as pool:
        try:
            return list(_stepping(pool.map(work, cases, chunksize=4), step))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def slice_cases(slices: Slices, source: str) -> tuple[list[Case], dict[str, str]]:
    """The nodules of a file of slices as scans of one slice, clicked in the middle, and vendors by their `series`.

    Slices without an outline are left out. The file names no series: each slice stands for its own.
    """
    cases: list[Case] = []
    vendors: dict[str, str] = {}
    medians = {name: slices.median(name) for name in CHARACTERISTICS}
    for i in np.flatnonzero(slices.mask.any(axis=(1, 2))).tolist():
        pixel = float(slices.spacing_mm[i])
        hu = slices.hu[i][None]
        scan = Scan(hu, Geometry(hu.shape, (LONE_STEP_MM, pixel, pixel)), Header(source=source))
        x, y, z = (float(v) for v in scan.geometry.to_lps((np.array(hu.shape) - 1) / 2))
        said = {name: float(median[i]) for name, median in medians.items() if np.isfinite(median[i])}
        name = f"slice {i}"
        cases.append(Case(name, str(slices.patient[i]), name, scan, slices.mask[i][None], (x, y, z), said))
        vendors[name] = str(slices.vendor[i])
    return cases, vendors


def _one_thread() -> None:
    """Each process of several keeps to one core."""
    import SimpleITK as sitk
    import torch

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    torch.set_num_threads(1)


def _stepping(outlined: Iterable[Outlined], step: Callable[[], None]) -> Iterator[Outlined]:
    for one in outlined:
        step()
        yield one
