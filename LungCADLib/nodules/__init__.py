"""From a candidate to a measured nodule: one function outlines, with several engines, and one measures."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from LungCADLib.engines import chosen, named
from LungCADLib.masks import BoxMask
from LungCADLib.nodules.accept import impression, nodule_score
from LungCADLib.nodules.measure import measure_nodule
from LungCADLib.nodules.outline import outline_nodule
from LungCADLib.nodules.outline_network import outline_all_by_network, outline_by_network
from LungCADLib.scan import Scan
from LungCADLib.study import Candidate

__all__ = [
    "ENGINES",
    "MOST_OUTLINED",
    "Outliner",
    "impression",
    "measure_nodule",
    "nodule_score",
    "outline_all_by_network",
    "outliner",
]

MOST_OUTLINED = 60
"""So many candidates of a scan, the best, are outlined and looked at again."""


class Outliner(Protocol):
    """A way to outline the nodule at a candidate; `region` is where lung is, on the scan's grid."""

    def __call__(self, scan: Scan, region: NDArray[np.bool_], candidate: Candidate) -> BoxMask: ...


ENGINES: dict[str, Outliner] = {"classical": outline_nodule, "network": outline_by_network}


def outliner(engine: str) -> Outliner:
    """The outliner of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return chosen(ENGINES, named(engine, "network", "classical"), "outline engine")
