"""A study in the scene while a person works on it: every change goes to the study first and then to its nodes."""

from functools import cached_property

import numpy as np

from LungCADLib.jobs import Question
from LungCADLib.jobs.request import Network
from LungCADLib.masks import BoxMask, LungLabel, Lungs
from LungCADLib.panel.pictures import nodule_pictures, picture_side_mm
from LungCADLib.panel.review import Review
from LungCADLib.scan import Box, Scan
from LungCADLib.scene import update, views, volumes
from LungCADLib.scene.nodes import StudyNodes
from LungCADLib.segments import outlines
from LungCADLib.study import Nodule, Study, Xyz

QUESTION_MM, QUESTION_DIAMETERS = 60.0, 2.0
"""So far around a nodule, and at least so many of its diameters, a network is shown the CT: more than its widest view
needs."""


class Session:
    """One study, its nodes and the review of it.

    Parameters
    ----------
    nodes
        The nodes of the study.
    study
        With its masks.
    who
        The person, as recorded with every change.
    """

    def __init__(self, nodes: StudyNodes, study: Study, who: str) -> None:
        self.nodes, self.review = nodes, Review(study, who)

    @property
    def study(self) -> Study:
        """The study as it is now."""
        return self.review.study

    @cached_property
    def scan(self) -> Scan:
        """The CT's voxels, upright as the study's masks are."""
        return volumes.scan_of(self.nodes.volume)

    @property
    def alive(self) -> bool:
        """Whether all nodes are still in the scene."""
        return update.all_there(self.nodes)

    @property
    def latest(self) -> bool:
        """Whether the scene holds no study that came later."""
        return update.study_nodes(self.nodes.text.GetScene()) == self.nodes

    def nodule(self, id_: str) -> Nodule:
        """The nodule of a lesion ID."""
        return self.review.nodule(id_)

    def show(self, id_: str) -> None:
        """Move the views to a nodule."""
        views.show_nodule(self.nodes, self.nodule(id_))

    def pictures(self, id_: str) -> dict[str, bytes]:
        """Three orthogonal pictures of a nodule as PNG files, by plane."""
        nodule = self.nodule(id_)
        near, box = self._near(nodule, picture_side_mm(nodule))
        outline = outlines(self.study).nodules.get(id_)
        return nodule_pictures(near, nodule, outline and _within(outline, box))

    def question(self, id_: str, network: Network) -> Question:
        """Where a network looked at a nodule, to be asked of a job."""
        nodule, masks = self.nodule(id_), outlines(self.study)
        near, box = self._near(nodule, max(QUESTION_MM, QUESTION_DIAMETERS * nodule.long_axis_mm))
        outline = _within(masks.nodules[id_], box)
        labels = np.ascontiguousarray(masks.lungs[box])
        region = (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT)
        region[outline.box] |= outline.mask
        return Question(network, near, Lungs(labels, region, self.study.lungs), outline, nodule.center_lps_mm)

    def accept(self, id_: str) -> None:
        """Say that this is a nodule."""
        self.review.accept(id_)
        self._write()

    def reject(self, id_: str) -> None:
        """Say that this is none."""
        self.review.reject(id_)
        self._write()

    def add(self, point_lps_mm: Xyz) -> str:
        """Outline and measure the nodule at a point; gives its lesion ID."""
        id_ = self.review.add(self.scan, point_lps_mm)
        self._write()
        return id_

    def measure_again(self, id_: str) -> None:
        """Measure a nodule in the outline its segment has now."""
        self.review.outline(self.scan, id_, update.outlines_in_scene(self.nodes, self.study, [id_])[id_])
        self._write()

    def edited(self) -> list[str]:
        """The nodules whose segment is not the outline they were measured in, nor empty."""
        measured = {id_: mask for id_, mask in outlines(self.study).nodules.items() if self._has_segment(id_)}
        drawn = update.outlines_in_scene(self.nodes, self.study, measured)
        return [id_ for id_, now in drawn.items() if now is not None and not _same(measured[id_], now)]

    def undo(self) -> str:
        """Take the last change back; gives the lesion ID it was about."""
        before = dict(outlines(self.study).nodules)
        id_ = self.review.undo()
        after = outlines(self.study).nodules.get(id_)
        if after is not None and id_ in before and not _same(before[id_], after):
            update.replace_outline(self.nodes, self.study, id_)
        self._write()
        return id_

    def _near(self, nodule: Nodule, half_mm: float) -> tuple[Scan, Box]:
        """The part of the CT around a nodule, and where it lies in the study's grid."""
        near = volumes.scan_near(self.nodes.volume, nodule.center_lps_mm, half_mm)
        first = np.rint(outlines(self.study).geometry.to_index(near.geometry.origin)).astype(int)
        return near, tuple(slice(int(a), int(a) + n) for a, n in zip(first, near.hu.shape, strict=True))  # type: ignore[return-value]

    def _has_segment(self, id_: str) -> bool:
        return self.nodes.segmentation.GetSegmentation().GetSegment(update.NODULE_SEGMENT_PREFIX + id_) is not None

    def _write(self) -> None:
        update.update_study(self.nodes, self.study)


def _same(one: BoxMask, other: BoxMask) -> bool:
    a, b = one.trimmed(), other.trimmed()
    return a.start == b.start and np.array_equal(a.mask, b.mask)


def _within(outline: BoxMask, box: Box) -> BoxMask:
    """The part of an outline that lies in a box of its grid, on the box's own grid."""
    low = [max(a, s.start) for a, s in zip(outline.start, box, strict=True)]
    high = [max(min(a.stop, s.stop), lo) for a, s, lo in zip(outline.box, box, low, strict=True)]
    part = outline.mask[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, outline.start, strict=True))]
    start = tuple(a - s.start for a, s in zip(low, box, strict=True))
    return BoxMask(start, part)  # type: ignore[arg-type]
