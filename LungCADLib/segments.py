"""The study's outlines as Slicer knows them: segments with name, color and SNOMED CT code, in few label volumes."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask, LungLabel, Masks
from LungCADLib.scan import Box
from LungCADLib.study import Nodule, Study

# Context names and SNOMED CT codes as in Slicer's SegmentationCategoryTypeModifier-DICOM-Master.json and
# AnatomicRegionAndModifier-DICOM-Master.json (DICOM PS3.16 CID 7150, 7151, 7155 and 244).
_TYPES = "Segmentation category and type - DICOM master list"
_REGIONS = "Anatomic codes - DICOM master list"
_NOTHING = "^^"
_ANATOMY = "SCT^123037004^Anatomical Structure"
_ABNORMAL = "SCT^49755003^Morphologically Altered Structure"
_LUNG = "SCT^39607008^Lung"
_AIRWAY = "SCT^89187006^Airway structure"
_NODULE = "SCT^27925004^Nodule"
_SIDES = {"right": "SCT^24028007^Right", "left": "SCT^7771000^Left", "unknown": _NOTHING}

TERMINOLOGY_TAG = "TerminologyEntry"
NODULE_SEGMENT_PREFIX = "nodule_"

Color = tuple[float, float, float]

# Lungs quiet, nodules loud and told apart by readers who do not see red and green alike (Okabe and Ito, "Color
# Universal Design", 2008: orange, sky blue, yellow, vermilion, reddish purple).
_LUNG_SEGMENTS: tuple[tuple[LungLabel, str, str, Color, str, str, str], ...] = (
    (LungLabel.RIGHT, "lung_right", "Right lung", (0.55, 0.71, 0.78), _LUNG, "right", _ANATOMY),
    (LungLabel.LEFT, "lung_left", "Left lung", (0.72, 0.78, 0.60), _LUNG, "left", _ANATOMY),
    (LungLabel.AIRWAY, "airway", "Airway", (0.71, 0.89, 1.00), _AIRWAY, "unknown", _ANATOMY),
)
LUNG_SEGMENT_IDS = tuple(row[1] for row in _LUNG_SEGMENTS)
"""Segment IDs in the order of `LungLabel`, from 1."""
NODULE_COLORS: tuple[Color, ...] = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.94, 0.89, 0.26),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)


@dataclass(frozen=True)
class Segment:
    """One segment: the voxels of `layer` whose value is `label`.

    `terminology` is Slicer's terminology entry: category, type and modifier, then region and modifier. `lesion_id` is
    the nodule's id, None for lungs and airway.
    """

    id: str
    name: str
    layer: int
    label: int
    color: Color
    terminology: str
    lesion_id: str | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """Labels of segments that do not overlap, inside a box of the scan's grid; zero outside.

    Parameters
    ----------
    box
        Slices (z, y, x) into the scan.
    labels
        uint8 (z, y, x), the size of the box.
    """

    box: Box
    labels: NDArray[np.uint8]


def nodule_color(position: int) -> Color:
    """RGB from 0 to 1 of the nodule at this position of the study's list."""
    return NODULE_COLORS[position % len(NODULE_COLORS)]


def outlines(study: Study) -> Masks:
    """The study's masks.

    Raises
    ------
    InputError
        If it carries none (it was read from its JSON alone).
    """
    if study.masks is None:
        raise InputError("This study was read without its outlines, so no segmentation can be written; analyze again.")
    return study.masks


def segments(study: Study) -> tuple[list[Segment], list[Layer]]:
    """The study's outlines as segments and the label volumes that hold them.

    Lungs and airway share the first layer; nodules, which lie inside the lungs, share the next one, and where two
    nodules overlap the later one moves to a further layer.

    Returns
    -------
    The segments, lungs first and nodules in the study's order, and the layers they point into. A nodule without an
    outline has no segment.

    Raises
    ------
    InputError
        If the study carries no masks.
    """
    masks = outlines(study)
    found = [
        Segment(id_, name, 0, int(label), color, _entry(category, type_, side))
        for label, id_, name, color, type_, side, category in _LUNG_SEGMENTS
    ]
    nodules, layers = nodule_segments(study)
    return found + [replace(n, layer=n.layer + 1) for n in nodules], [_lung_layer(masks), *layers]


def nodule_segments(study: Study) -> tuple[list[Segment], list[Layer]]:
    """The nodules' part of `segments`, with layers counted from 0."""
    masks = outlines(study)
    found = []
    groups: list[list[tuple[int, BoxMask]]] = []
    for position, nodule in enumerate(study.nodules):
        mask = masks.nodules.get(nodule.id)
        if mask is None or not mask.mask.any():
            continue
        mask = mask.trimmed()
        index = next((i for i, group in enumerate(groups) if _fits(mask, group)), len(groups))
        if index == len(groups):
            groups.append([])
        group = groups[index]
        group.append((len(group) + 1, mask))
        found.append(_nodule_segment(nodule, position, index, len(group)))
    return found, [_nodule_layer(group) for group in groups]


def _nodule_segment(nodule: Nodule, position: int, layer: int, label: int) -> Segment:
    entry = _entry(_ABNORMAL, _NODULE, "unknown", region=_LUNG, region_side=nodule.location.side)
    name = f"Nodule {nodule.id}"
    return Segment(NODULE_SEGMENT_PREFIX + nodule.id, name, layer, label, nodule_color(position), entry, nodule.id)


def _entry(category: str, type_: str, side: str, region: str = _NOTHING, region_side: str = "unknown") -> str:
    return "~".join((_TYPES, category, type_, _SIDES[side], _REGIONS, region, _SIDES[region_side]))


def _fits(mask: BoxMask, group: list[tuple[int, BoxMask]]) -> bool:
    """Whether a mask shares no voxel with those of a layer, which must also have a free uint8 label."""
    return len(group) < 255 and not any(_overlap(mask, other) for _, other in group)


def _overlap(a: BoxMask, b: BoxMask) -> bool:
    low = np.maximum(a.start, b.start)
    high = np.minimum(np.add(a.start, a.mask.shape), np.add(b.start, b.mask.shape))
    if (high <= low).any():
        return False
    inside = [m.mask[tuple(slice(p, q) for p, q in zip(low - m.start, high - m.start, strict=True))] for m in (a, b)]
    return bool((inside[0] & inside[1]).any())


def _lung_layer(masks: Masks) -> Layer:
    """The lung labels in the smallest box that holds them, at least two voxels wide.

    A file of one single voxel is Slicer's sign for an empty segmentation, and its reader crashes when segments follow.
    """
    labels = masks.lungs
    z = np.array([plane.any() for plane in labels])
    plane = np.bitwise_or.reduce(labels, axis=0) > 0
    box = _range(z), _range(plane.any(axis=1)), _range(plane.any(axis=0))
    return Layer(box, labels[box])


def _range(seen: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(seen)
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, 0)
    return slice(max(min(first, len(seen) - 2), 0), max(last + 1, first + 2))


def _nodule_layer(group: list[tuple[int, BoxMask]]) -> Layer:
    start = np.min([mask.start for _, mask in group], axis=0)
    stop = np.max([np.add(mask.start, mask.mask.shape) for _, mask in group], axis=0)
    labels = np.zeros(stop - start, np.uint8)
    for label, mask in group:
        inner = tuple(slice(a - s, a - s + n) for a, s, n in zip(mask.start, start, mask.mask.shape, strict=True))
        labels[inner][mask.mask] = label
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return Layer(box, labels)  # type: ignore[arg-type]
