"""Where a nodule may be: one function, several engines."""

from typing import Protocol

from LungCADLib.detection.blob_detector import detect as _blobs
from LungCADLib.detection.monai_bundle import detect as _retinanet
from LungCADLib.detection.reduction import detect as _network
from LungCADLib.detection.unet_merge import NAME as _UNET_MERGE
from LungCADLib.detection.unet_merge import detect as _unet_merge
from LungCADLib.engines import chosen, named
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.study import Candidate


class Detector(Protocol):
    """A way to find what may be a nodule inside `lungs.region`: at most 500 candidates, highest score first."""

    def __call__(self, scan: Scan, lungs: Lungs, progress: Progress) -> list[Candidate]: ...


ENGINES: dict[str, Detector] = {
    "blobs": _blobs,
    "network": _network,
    _UNET_MERGE: _unet_merge,
    "retinanet": _retinanet,
}

SECOND_LOOK = frozenset({"blobs"})
"""Engines whose candidates are many and get a second score from their outlines."""

OPERATING_POINT = 0.6
"""Candidates of the other engines are reported from this score on: on the scans of `lungcad evaluate detection` and of
`lungcad evaluate unet-merge`, each tested by the member that never saw it, fewer than one false mark of 4 mm or more
per scan. Untested for "retinanet"."""


def detector(engine: str) -> Detector:
    """The detector of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return chosen(ENGINES, named(engine, "network", "blobs"), "detector")
