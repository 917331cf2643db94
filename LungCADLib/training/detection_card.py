"""The model card of detection, written from what the training printed."""

from typing import Any

from LungCADLib.nodules.accept import NAMES as NODULE_TERMS

_CARD = """# Detection: blob score and nodule score 1

Every number below is one that `lungcad train detection` prints; it also wrote this page.

**What it says.** Two numbers from 0 to 1. The blob score ranks the places that `detection/blobs.py` finds; the best
{outlined_per_scan} of a scan are outlined. The nodule score, which the study reports, looks at the outline too:
what it hangs on, its size and form. Both are odds within the training data, not the chance that a mark is a nodule
in your scan. For research; not a medical device.

**What it is.** The blob score is the mean log-odds of a logistic regression and of boosted trees over the features
named in `detection/features.py`. The nodule score is a logistic regression over the {terms} numbers of
`nodules/accept.py`. All coefficients stand in `blob-score.json` and `nodule-score.json`.

**What it was fitted on.** {blobs} blobs of {patients} patients, {nodules} of them nodules: those of 93 LIDC-IDRI
crops, the known lesions of the scans listed below, and {of_them_inserted} large LIDC nodules, some enlarged, set
into the lungs of those scans. What is not a nodule are the other blobs of the same crops and scans. {outlined}
outlined candidates taught the nodule score. No patient kept for independent tests is among them.

**How it was tested.** Each patient is left out of both fits, with everything set into that patient's lungs; the
lesions of a scan are scored by fits that never saw the scan. A false mark is one of 4 mm or more away from every
known lesion.

| scan | result |
| --- | --- |
{scan_rows}

| nodule score | lesions found, crops and scans | false marks per scan |
| --- | --- | --- |
{point_rows}

A nodule is reported from {operating_point} on (`--threshold` changes it). AUC of outlined candidates:
{auc_before} by the blob score, {auc_after} by the nodule score.

**What these numbers are not.** {scans} scans are few, and their lesions are large: the table says little about
sensitivity for small nodules in whole scans. In the crops many lesions are small or faint, and the crop cuts off
what surrounds them. The form of the scores and the operating point were chosen while looking at these same left-out
figures. Scans of other scanners, kernels and diseases will differ; consolidation and scars are not in the training
data.

**Data.** LIDC-IDRI (CC BY 3.0; Armato SG III et al., Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX),
CPTAC-LSCC (CC BY 3.0, doi 10.7937/k9/tcia.2018.6emub5l2), Lung-Fused-CT-Pathology (CC BY 3.0), Lung-PET-CT-Dx (CC
BY 4.0), ACRIN-FLT-Breast and CPTAC-PDA (CC BY 3.0 and 4.0), all from The Cancer Imaging Archive; the lung CT of the
elastix examples (Apache-2.0). Weights: Apache-2.0, as the code.
"""


def detection_card(training: dict[str, Any], tested: dict[str, Any], operating_point: float, most_outlined: int) -> str:
    """The card as Markdown."""
    rows = [line.split(", left out: ") for line in tested["scans_left_out"]]
    points = tested["operating_points"]
    return _CARD.format(
        **training,
        outlined_per_scan=most_outlined,
        terms=len(NODULE_TERMS),
        scans=len(rows),
        operating_point=operating_point,
        scan_rows="\n".join(f"| {scan} | {result} |" for scan, result in rows),
        point_rows="\n".join(
            f"| {score} | {_percent(point['lesions found'])} | {point['false marks per scan']:.1f} |"
            for score, point in points.items()
        ),
        auc_before=_auc(tested["auc"]["before outlining"]),
        auc_after=_auc(tested["auc"]["after"]),
    )


def _percent(share: dict[str, float]) -> str:
    return f"{share['value']:.0%} ({share['low']:.0%} to {share['high']:.0%}) of {share['n']}"


def _auc(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
