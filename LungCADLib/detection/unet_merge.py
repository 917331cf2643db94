"""The slice U-Net with distance and Z merging, and the reduction network's word on what it found.

After Pugliese, DeepLearn 2017 (Bilbao): segment each slice, merge what lies near each other in it, merge along z, then
classify each candidate by its three-dimensional surroundings. The last is done by the network of the detector
"network", so that scores mean the same.
"""

from functools import cache
from importlib.util import find_spec

import numpy as np

from LungCADLib.detection.blob_detector import MOST_CANDIDATES, as_candidates
from LungCADLib.detection.blobs import HAZE_CEILING_HU, lung_grid
from LungCADLib.detection.blobs_at import blobs_at
from LungCADLib.detection.features import describe
from LungCADLib.detection.merging import Chain
from LungCADLib.detection.reduction import ReductionModel, reduction_model, scored
from LungCADLib.detection.slice_reader import SliceReader, Slices, centers, lung_slices, merge
from LungCADLib.errors import InputError
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.study import Candidate
from LungCADLib.weights import bundled_members

NAME = "unet-merge"


def detect(scan: Scan, lungs: Lungs, progress: Progress) -> list[Candidate]:
    """What the packaged slice U-Net finds, merged within and across slices, scored by the reduction network.

    Raises
    ------
    InputError
        If PyTorch or the weights are missing.
    """
    return detect_with(slice_reader(), reduction_model(), scan, lungs, progress)


def detect_with(
    reader: SliceReader, judge: ReductionModel, scan: Scan, lungs: Lungs, progress: Progress
) -> list[Candidate]:
    """As `detect`, by any members."""
    slices = lung_slices(scan, lungs.region)
    progress.update(0.1)
    probability = reader.probabilities(slices, scan.header.patient_id, lambda share: progress.update(0.1 + 0.7 * share))
    chains = merge(probability, slices.geometry).chains[:MOST_CANDIDATES]
    if not chains:
        return []
    grid = lung_grid(scan, lungs.region)
    index = grid.geometry.to_index(centers(chains, slices.geometry))
    radius = np.array([radius_mm(chain) for chain in chains])
    blobs = blobs_at(grid, index, radius, np.array([_is_hazy(chain, slices) for chain in chains]))
    progress.update(0.9)
    return as_candidates(grid, blobs, scored(judge, grid, blobs, describe(grid, blobs), scan.header.patient_id))


def radius_mm(chain: Chain) -> float:
    """Of the ball with a candidate's volume."""
    return float(np.cbrt(3 / (4 * np.pi) * chain.volume_mm3))


@cache
def slice_reader() -> SliceReader:
    """The packaged members.

    Raises
    ------
    InputError
        If PyTorch or the weights are missing.
    """
    if find_spec("torch") is None:
        raise InputError(
            f"The detector {NAME!r} needs PyTorch, which is not installed; install lungcadlib[networks], or choose "
            "the detector 'blobs'."
        )
    members, description = bundled_members(NAME)
    return SliceReader(members, description, "auto")


def _is_hazy(chain: Chain, slices: Slices) -> bool:
    """Whether most of a candidate is no denser than ground glass."""
    hu = np.concatenate([slices.hu[part.slice][tuple(part.pixels.T)] for part in chain.parts])
    return bool(np.median(hu) < HAZE_CEILING_HU)
