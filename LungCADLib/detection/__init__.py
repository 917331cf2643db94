"""Where a nodule may be: one function, several engines."""

from typing import Protocol

from LungCADLib.detection.blob_detector import detect as _blobs
from LungCADLib.errors import InputError
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.study import Candidate


class Detector(Protocol):
    """A way to find what may be a nodule, best first."""

    def __call__(self, scan: Scan, lungs: Lungs, progress: Progress) -> list[Candidate]: ...


ENGINES: dict[str, Detector] = {"blobs": _blobs}


def detector(engine: str) -> Detector:
    """The detector of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no detector named {engine!r}; choose one of {', '.join(sorted(ENGINES))}.")
    return ENGINES[engine]


def find_candidates(
    scan: Scan, lungs: Lungs, engine: str = "blobs", progress: Progress | None = None
) -> list[Candidate]:
    """Places that may be nodules, highest score first, at most 500.

    Parameters
    ----------
    scan
        The CT.
    lungs
        Its lungs; only `lungs.region` is searched.
    engine
        A name in `ENGINES`.
    progress
        Told how far the work is, and asked whether to stop.

    Raises
    ------
    InputError
        If there is no detector of that name.
    Cancelled
        If `progress` says so.
    """
    return detector(engine)(scan, lungs, progress or Progress())
