"""What is left of a scan after each step of the detector "unet-merge", before the reduction network has its say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.merging import Chain
from LungCADLib.detection.slice_reader import Merged, Slices, centers, lung_slices, merge
from LungCADLib.detection.unet_merge import slice_reader
from LungCADLib.evaluation.detection_truth import Truth
from LungCADLib.evaluation.froc import hits
from LungCADLib.lungs import segment_lungs
from LungCADLib.readers import read_scan


@dataclass(frozen=True, eq=False)
class Read:
    """A scan after the U-Net and both merges: each pixel's probability (z, y, x), and what that became."""

    slices: Slices
    probability: NDArray[np.float16]
    merged: Merged

    def near(self, center_lps_mm: tuple[float, float, float]) -> Chain | None:
        """The candidate whose center is nearest to a place; None without candidates."""
        if not self.merged.chains:
            return None
        away = np.linalg.norm(centers(self.merged.chains, self.slices.geometry) - np.array(center_lps_mm), axis=1)
        return self.merged.chains[int(away.argmin())]


@dataclass(frozen=True)
class Steps:
    """How much of a scan is left after each step, and how many of its known lesions a candidate's center lies in."""

    name: str
    slices: int
    parts: int
    merged: int
    candidates: int
    found: int
    lesions: int


def read(path: Path, patient: str | None) -> Read:
    """A scan on the disk; the member that has not seen the patient answers, or all where none has."""
    scan = read_scan(path)
    slices = lung_slices(scan, segment_lungs(scan).region)
    probability = slice_reader().probabilities(slices, patient or scan.header.patient_id)
    return Read(slices, probability, merge(probability, slices.geometry))


def steps(name: str, seen: Read, truth: Truth) -> Steps:
    """Counts of a scan with known lesions."""
    at = centers(seen.merged.chains, seen.slices.geometry)
    on = hits(at, truth.nodules_mm, truth.diameters_mm).any(axis=0)
    merged = seen.merged
    return Steps(
        name,
        len(seen.slices.hu),
        len(merged.parts),
        len(merged.near),
        len(merged.chains),
        int(on.sum()),
        len(truth.nodules_mm),
    )
