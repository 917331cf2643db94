"""What the evaluation of "unet-merge" says in tables, on the screen and on its model card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import Estimate
from LungCADLib.evaluation.detection_card import (
    SCAN_COLUMNS,
    STRATA_AT,
    THRESHOLD_COLUMNS,
    rows_of,
    scan_rows,
    table,
    threshold_rows,
)
from LungCADLib.evaluation.detection_figures import figures, strata
from LungCADLib.evaluation.detection_road import Walked
from LungCADLib.evaluation.merging_steps import Steps
from LungCADLib.settings import Settings

STEP_COLUMNS = ("scan", "slices", "parts of slices", "after distance merging", "candidates", "lesions with one")

Rows = list[tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything one evaluation found.

    Attributes
    ----------
    slices
        Figures of `slice_dice`.
    steps
        Of each scan.
    crops
        (n,) best score in each crop's nodule.
    scans, phantoms
        After the whole road.
    """

    slices: Mapping[str, Estimate]
    steps: Sequence[Steps]
    crops: NDArray[np.float64]
    scans: Sequence[Walked]
    phantoms: Sequence[Walked]


def estimate_rows(found: Mapping[str, Estimate]) -> Rows:
    """Each figure as a row: name, value with interval, n."""
    return [
        (name.replace("_", " "), f"{f.value:.3f} ({f.low:.3f} to {f.high:.3f})", str(f.n)) for name, f in found.items()
    ]


def step_rows(found: Sequence[Steps]) -> Rows:
    """Each scan as a row of `STEP_COLUMNS`."""
    return [
        (s.name, str(s.slices), str(s.parts), str(s.merged), str(s.candidates), f"{s.found} of {s.lesions}")
        for s in found
    ]


def card(description: Mapping[str, Any], found: Measured, threshold: float) -> str:
    """The card in Markdown, from what the file of weights says of itself and what was measured."""
    least_mm = Settings().min_diameter_mm
    return _CARD.format(
        **description["training"],
        widths=", ".join(map(str, description["widths"])),
        threshold=f"{threshold:g}",
        least_mm=f"{least_mm:g}",
        outlined=table(("", "value", "n"), estimate_rows(found.slices)),
        merged=table(STEP_COLUMNS, step_rows(found.steps)),
        scans=table(SCAN_COLUMNS, scan_rows(found.scans, threshold)),
        crops_seen=f"{np.mean(found.crops > 0):.0%} of {len(found.crops)}",
        points=table(THRESHOLD_COLUMNS, threshold_rows(found.scans, found.crops, threshold)),
        phantom_count=len(found.phantoms),
        figures=table(("", "value", "n"), rows_of(figures(found.phantoms, threshold, least_mm))),
        strata=table(("nodules", "found", "n"), rows_of(strata(found.phantoms, STRATA_AT))),
        strata_at=f"{STRATA_AT:g}",
    )


_CARD = """# Slice U-Net with distance and Z merging 1

Every figure below is one of `lungcad evaluate unet-merge`, which also wrote this page.

**What it does.** It finds lung nodules on CT the way of a solution of the Data Science Bowl 2017 (Pugliese, DeepLearn
2017, Bilbao): a U-Net reads slice by slice, what lies near each other in a slice is merged (*distance merging*), what
lies over each other in neighboring slices is merged (*Z merging*), and each candidate is judged by its
three-dimensional surroundings. It is the detector `--detector unet-merge`; the default is another. For research; not
a medical device.

**What it is.** Five U-Nets of {widths} features (`detection/slice_unet.py`), which repeat rows and columns on the way
up and drop whole feature maps in training. They see the lungs' slices at 1 mm, and once more at 2 mm for what is
larger than 16 mm. The merges are those of `detection/merging.py`; the talk draws them without numbers, so the numbers
are ours. The judge is the reduction network ([card](reduction.md)); scores mean the same as there, and a mark is
reported from {threshold} on.

**What it was trained on.** {pieces} slices with a nodule (the largest slice of each of 2,018 LIDC-IDRI nodules, all
slices of 93 LIDC-IDRI crops) and {empty_pieces} slices without one, set anywhere into the lungs of {slices} slices of
the scans below and of {phantoms} phantoms; {nodules} nodules of LIDC-IDRI boxes and stamps set into them without
their surroundings. Nothing was learned from the lesions of the scans; three findings of C3N-00247, doubtful since,
still taught what is no nodule. {steps} batches of {batch} pictures for each network; in the second half, what the
network had wrongly taken for a nodule was shown more often; Dice and cross-entropy; seed {seed}. Each network was
trained without the patients of one fold of `lidc-folds.csv` and the scans of that fold. No patient kept for
independent tests was used.

**Slices.** The largest slice of each nodule, read by the member that has not seen the patient: Dice of everything
found in it with one reader's outline; slices in which a part lies on the nodule; parts elsewhere.

{outlined}

**Both merges.** Each scan by the member that has not seen the patient. A lesion has a candidate when one's center
lies nearer to the lesion's center than its radius.

{merged}

**The whole road.** A nodule is found when a mark's center lies nearer to its center than its radius; other marks are
false, also those on small nodules that nobody labeled.

{scans}

Crops: a candidate's center lies in the reader's outline of {crops_seen} nodules; how many score enough stands here.

{points}

Phantoms: {phantom_count} scans with 3 to 8 nodules of 4 to 30 mm, as frequent by size and density as LIDC's, none of
them used in training, by all five networks; FROC by LUNA16's rules; `sensitivity` and `false marks per scan` at score
{threshold}, the latter of {least_mm} mm or more. A phantom shows that the code runs and what it bears; it does not
stand for patients.

{figures}

At {strata_at} false mark per scan:

{strata}

**What these numbers are not.** Eight scans are few, and only four have known lesions, large ones. Steps and network
were chosen while looking at scans of this list. Other scanners, kernels and diseases will differ.

**Data.** LIDC-IDRI (CC BY 3.0; Armato SG III et al., Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX),
CPTAC-LSCC (CC BY 3.0, doi 10.7937/k9/tcia.2018.6emub5l2), Lung-Fused-CT-Pathology (CC BY 3.0), Lung-PET-CT-Dx (CC BY
4.0), ACRIN-FLT-Breast and CPTAC-PDA (CC BY 3.0 and 4.0), all from The Cancer Imaging Archive; the lung CT of the
elastix examples (Apache-2.0). Weights: Apache-2.0, as the code.
"""
