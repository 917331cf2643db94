"""Where the lungs are: one function, several engines."""

from typing import Protocol

from LungCADLib.engines import chosen
from LungCADLib.lungs.classical import segment as _classical
from LungCADLib.lungs.lungmask_engine import segment as _lungmask
from LungCADLib.lungs.totalsegmentator_engine import segment as _totalsegmentator
from LungCADLib.lungs.whole_body_bundle import segment as _whole_body
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan


class LungEngine(Protocol):
    """A way to outline the lungs of a scan, on the scan's grid."""

    def __call__(self, scan: Scan, progress: Progress) -> Lungs: ...


ENGINES: dict[str, LungEngine] = {
    "classical": _classical,
    "lungmask": _lungmask,
    "totalsegmentator": _totalsegmentator,
    "whole-body": _whole_body,
}


def segment_lungs(scan: Scan, engine: str = "classical", progress: Progress | None = None) -> Lungs:
    """Outline the right lung, the left lung and the airways.

    Parameters
    ----------
    scan
        The CT, oriented as `Scan` says.
    engine
        A name in `ENGINES`.
    progress
        Told how far the work is, and asked whether to stop.

    Returns
    -------
    Lungs
        On the scan's grid. The verdict in `info` says whether to trust it; where it failed, `region` is a safe region.

    Raises
    ------
    InputError
        If there is no engine of that name.
    Cancelled
        If `progress` says so.
    """
    return lung_engine(engine)(scan, progress or Progress())


def lung_engine(name: str) -> LungEngine:
    """The lung engine of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return chosen(ENGINES, name, "lung engine")
