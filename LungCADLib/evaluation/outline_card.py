"""The outline network's model card, from the figures that its evaluation printed."""

from collections.abc import Mapping
from typing import Any

from LungCADLib.evaluation.outline_figures import Result, columns, strata_rows, whole_columns, whole_rows

TITLES = {
    "vois": "Boxes: 3D, native resolution, outlines on which half of the readers agree",
    "crops": "Crops: 3D, 1 mm, outlines of one reader",
    "slices": "Slices: 2D, native pixels, outlines of one reader",
}


def card(description: Mapping[str, Any], found: Mapping[str, Result]) -> str:
    """The card in Markdown, from what the file of weights says of itself and the figures by set."""
    parts = []
    for name, title in TITLES.items():
        if name in found:
            result = found[name]
            beside = "dice_classical" in result.figures
            parts += [f"### {title}", _markdown(whole_columns(beside), whole_rows(result.figures))]
            parts += [_markdown(columns(beside), strata_rows(result.figures, result.groups))]
    notes = dict.fromkeys(note for result in found.values() for note in result.notes)
    return _CARD.format(
        **{key: description[key] for key in ("members", "seed", "pixels")},
        steps=" and then ".join(map(str, [*description.get("steps_before", []), description["steps"]])),
        widths=", ".join(map(str, description["widths"])),
        **description["trained_on"],
        figures="\n\n".join(parts),
        notes="\n".join(f"- {note}" for note in notes),
    )


def _markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *rows))


_CARD = """# Outline network 1

Every figure below is one that `lungcad evaluate outline` prints; it also wrote this page.

**What it does.** It outlines a lung nodule on CT, in 3D, from a point in the nodule and a guess of its size. Volume,
diameters and density of a nodule are measured on this outline. For research; not a medical device.

**What it is.** {members} U-Nets of {widths} features whose logits are averaged (`nodules/unet.py`): convolutions
within slices, and across slices where there are several. They see a field of {pixels} x {pixels} pixels around the
point, as fine as the nodule is small (`nodules/field.py`); one of them first looks for the size. Slices are taken as
they were scanned unless they are very close. The outline is held within a few millimeters of the classical one, which
stands where the networks see nothing.

**What it was trained on.** LIDC-IDRI: {box} boxes whose outline half of the readers agree on, {crop} crops and {slice}
largest slices with the outline of one reader. Each network was trained without the patients of one fold of
`lidc-folds.csv`, for {steps} batches, seed {seed}, with Dice and cross-entropy, and a boundary term (Kervadec et al.,
Med Image Anal 2021;67:101851) that makes a leak cost the more the farther it goes. Nodules were turned, mirrored,
stretched, moved, cut off, and seen with other noise, sharpness, contrast and level of HU. No patient kept for
independent tests (`lidc-patients.csv`) was used.

**How it was tested.**

{figures}

{notes}

**What to beware of.**
- The truth is what radiologists drew, and they differ: on the crops the outline is one reader's, and LIDC's readers
  agree with each other at a Dice of 0.76 to 0.78.
- Boxes end close above and below the nodule; how an outline behaves there is seen only on the crops and on whole scans.
  On some crops it follows a vessel, a rib or the mediastinum beyond the nodule: look at the first and last slices.
- The figures do not reach what was aimed at (Dice 0.87 on boxes, 0.77 on crops, 0.88 on slices). Tried on patients the
  first network had not seen: other thresholds than one half, sixteen sides instead of four, fields a quarter larger or
  smaller, outlines that the classical one does not hold. None of it brought more than two thousandths on boxes and
  slices, or seven on the 14 crops of these patients. The network does as well on patients it has learned from, so it
  has learned too little: 500 more batches at a lower rate (`--further`) brought four thousandths on boxes and cost more
  than that on crops; the mean of the weights before and after brought two to four thousandths on all three. It was not
  carried through for all five.
- Nodules of LIDC are 3 to 30 mm; of larger masses only few were seen. Look at the outline of a mass before using it.
- Ground glass without a border, nodules that hang on a large vessel, on the hilum or broadly on the pleura, and masses
  with atelectasis beside them are where readers differ most, and the networks too.

**Make it again.** `lungcad train outline --out DIR`, then `lungcad evaluate outline --card DIR`, where DIR is LungCAD's
`Resources/Models`.

**Data.** Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The weights are under the license of
LungCAD.
"""
