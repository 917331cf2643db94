"""What the evaluation of detection says in tables, on the screen and on the reduction network's model card."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.reduction import LOOKED_AT_AGAIN, SIDES
from LungCADLib.evaluation.detection_figures import Figure, figures, strata
from LungCADLib.evaluation.detection_road import Walked
from LungCADLib.settings import Settings

SCAN_COLUMNS = ("scan", "patient", "nodule or false marks", "", "score")
STRATA_AT = 1.0
"""False marks per scan at which sensitivity is shown by size, density and place."""

THRESHOLD_COLUMNS = ("score", "lesions of the scans", "nodules of the crops", "false marks per scan")
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def scan_rows(walked: Sequence[Walked], threshold: float) -> list[tuple[str, ...]]:
    """Each scan by name: its nodules, the score and rank at which each was found, and the false marks."""
    least_mm = Settings().min_diameter_mm
    rows: list[tuple[str, ...]] = []
    for one in walked:
        scored = one.scored
        for best, nodule in zip(scored.nodules, one.nodules, strict=True):
            kind = " ".join(str(nodule[key]) for key in ("density", "attachment") if key in nodule)
            said = "found" if best >= threshold else "missed"
            result = f"{best:.2f}, after {int((scored.false > best).sum())} false" if np.isfinite(best) else "no mark"
            rows.append((one.name, one.seen, f"{nodule['diameter_mm']:.1f} mm {kind}".strip(), said, result))
        false, excluded = one.false(threshold, least_mm), one.excluded(threshold, least_mm)
        rows.append((one.name, one.seen, f"{len(false)} false marks of {least_mm:g} mm or more", "", _said(one, false)))
        if len(excluded):
            said = f"{len(excluded)} marks on doubtful findings, counted neither way"
            rows.append((one.name, one.seen, said, "", _said(one, excluded)))
    return rows


def _said(one: Walked, marks: NDArray[np.intp]) -> str:
    return ", ".join(f"{one.scores[i]:.2f} ({one.sizes_mm[i]:.0f} mm)" for i in marks)


def rows_of(found: Mapping[str, Figure]) -> list[tuple[str, ...]]:
    """Each figure as a row: name, value with interval, n."""
    return [
        (name.replace("_", " "), f"{f['value']:.3f} ({f['low']:.3f} to {f['high']:.3f})", f"{f['n']:g}")
        for name, f in found.items()
    ]


def threshold_rows(scans: Sequence[Walked], crops: NDArray[np.float64], threshold: float) -> list[tuple[str, ...]]:
    """What each score would find and wrongly mark; `crops` (n,) are the best scores in the crops' nodules."""
    points: list[tuple[str, ...]] = []
    for score in sorted({*THRESHOLDS, threshold}):
        false = np.mean([len(one.false(score, Settings().min_diameter_mm)) for one in scans])
        lesions = np.concatenate([one.scored.nodules for one in scans])
        found = f"{int((lesions >= score).sum())} of {len(lesions)}"
        points.append((f"{score:g}", found, f"{np.mean(crops >= score):.0%} of {len(crops)}", f"{false:.1f}"))
    return points


def card(
    description: Mapping[str, Any],
    scans: Sequence[Walked],
    crops: NDArray[np.float64],
    phantoms: Sequence[Walked],
    threshold: float,
) -> str:
    """The card in Markdown, from what the file of weights says of itself and what became of each scan."""
    least_mm, training = Settings().min_diameter_mm, description["training"]
    return _CARD.format(
        **{key: training[key] for key in ("candidates", "nodules", "seed")},
        steps=" and then ".join(map(str, [*training.get("steps_before", []), training["steps"]])),
        sides=len(SIDES),
        again=LOOKED_AT_AGAIN,
        threshold=f"{threshold:g}",
        least_mm=f"{least_mm:g}",
        scans=table(SCAN_COLUMNS, scan_rows(scans, threshold)),
        points=table(THRESHOLD_COLUMNS, threshold_rows(scans, crops, threshold)),
        phantoms=len(phantoms),
        figures=table(("", "value", "n"), rows_of(figures(phantoms, threshold, least_mm))),
        strata=table(("nodules", "found", "n"), rows_of(strata(phantoms, STRATA_AT))),
        strata_at=f"{STRATA_AT:g}",
    )


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *rows))


_CARD = """# Reduction network 1

Every figure below is one of `lungcad evaluate detection`, which also wrote this page.

**What it does.** It tells lung nodules from everything else that is round on CT, among the places that
`detection/blobs.py` finds. Its score goes from 0 to 1; a mark is reported from {threshold} on (`--threshold` changes
it). The score is no chance that a mark is a nodule in your scan: nodules are rarer there than in the training. For
research; not a medical device.

**What it is.** Five networks whose log odds are averaged (`detection/reduction_network.py`): each sees a candidate in
24 x 24 x 24 voxels of 1 mm and of 2 mm (`detection/views.py`; coarser for masses), and the numbers of
`detection/features.py`. Two towers of convolutions, one for each view, are read together with the numbers. The best
{again} candidates are looked at from {sides} sides, mirrored and turned, and the log odds averaged.

**What it was trained on.** {candidates} views of candidates, among them {nodules} nodules: those of 93 LIDC-IDRI crops
and of the scans listed below; 702 nodules of LIDC-IDRI boxes and 47 stamps set into the lungs of those scans and crops;
phantoms. What is no nodule are the other candidates of scans, crops and phantoms, drawn the more often the more they
look like one, first to the blob score, then to the network itself. Each network was trained without the patients of
one fold of `lidc-folds.csv` and the scans of that fold (`detection-scans.json`), neither as nodule nor as the lung
around it; {steps} batches of 48 views, seed {seed}. No patient kept for independent tests was used.

**How it was tested.** The whole road runs on the scan; the patient's own network, which never saw the patient, speaks
alone, so what all five say of another patient should be steadier. A nodule is found when a mark's center lies nearer
to its center than its radius; other marks are false, also those on small nodules that nobody labeled. Doubtful
findings count neither way: in lidc-idri-0003 what one reader of four marked; in cptac-lscc-c3n-00247 two places that
no radiologist has labeled and that we took for solid nodules of 6 and 5 mm when we looked at the marks. Whoever calls
those false adds 2 to that scan.

{scans}

Crops: the nodule of one reader's outline is found when the center of a candidate lies in it.

{points}

Phantoms: {phantoms} scans with 3 to 8 nodules of 4 to 30 mm, as frequent by size and density as LIDC's, none of them
used in training, by all five networks; FROC by LUNA16's rules; `sensitivity` and `false marks per scan` at score
{threshold}, the latter of {least_mm} mm or more. A phantom shows that the code runs and what it bears; it does not
stand for patients.

{figures}

At {strata_at} false mark per scan:

{strata}

**What these numbers are not.** Eight scans are few, and only four have known lesions, large ones. The operating point
was chosen while looking at these same scans, each tested by the network that had not seen it; the blob score, which
chooses what the networks look at, had seen them. Other scanners, kernels and diseases will differ.

**Data.** LIDC-IDRI (CC BY 3.0; Armato SG III et al., Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX),
CPTAC-LSCC (CC BY 3.0, doi 10.7937/k9/tcia.2018.6emub5l2), Lung-Fused-CT-Pathology (CC BY 3.0), Lung-PET-CT-Dx (CC
BY 4.0), ACRIN-FLT-Breast and CPTAC-PDA (CC BY 3.0 and 4.0), all from The Cancer Imaging Archive; the lung CT of the
elastix examples (Apache-2.0). Weights: Apache-2.0, as the code.
"""
