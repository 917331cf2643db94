"""A study in the scene while a person works on it: every change goes to the study first and then to its nodes."""

from functools import cached_property

import numpy as np

from LungCADLib.masks import BoxMask
from LungCADLib.panel.pictures import nodule_pictures
from LungCADLib.panel.review import Review
from LungCADLib.scan import Scan
from LungCADLib.scene import update, views, volumes
from LungCADLib.scene.nodes import StudyNodes
from LungCADLib.segments import outlines
from LungCADLib.study import Nodule, Study, Xyz


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
        return nodule_pictures(self.scan, self.nodule(id_), outlines(self.study).nodules.get(id_))

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
        self.review.outline(self.scan, id_, update.outline_in_scene(self.nodes, self.study, id_))
        self._write()

    def edited(self) -> list[str]:
        """The nodules whose segment is not the outline they were measured in, nor empty."""
        found = []
        for id_, measured in outlines(self.study).nodules.items():
            now = update.outline_in_scene(self.nodes, self.study, id_) if self._has_segment(id_) else None
            if now is not None and not _same(measured, now):
                found.append(id_)
        return found

    def undo(self) -> str:
        """Take the last change back; gives the lesion ID it was about."""
        before = dict(outlines(self.study).nodules)
        id_ = self.review.undo()
        after = outlines(self.study).nodules.get(id_)
        if after is not None and id_ in before and not _same(before[id_], after):
            update.replace_outline(self.nodes, self.study, id_)
        self._write()
        return id_

    def _has_segment(self, id_: str) -> bool:
        return self.nodes.segmentation.GetSegmentation().GetSegment(update.NODULE_SEGMENT_PREFIX + id_) is not None

    def _write(self) -> None:
        update.update_study(self.nodes, self.study)


def _same(one: BoxMask, other: BoxMask) -> bool:
    a, b = one.trimmed(), other.trimmed()
    return a.start == b.start and np.array_equal(a.mask, b.mask)
