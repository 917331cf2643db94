"""What came or changed after a study was added to the scene: brought into its nodes, or taken out again."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask
from LungCADLib.scene.grids import study_geometry
from LungCADLib.scene.masks import read_nodules
from LungCADLib.scene.nodes import (
    StudyNodes,
    fill_centers,
    fill_segmentation,
    fill_table,
    remove,
    study_texts,
)
from LungCADLib.segments import NODULE_SEGMENT_PREFIX, nodule_segments, outlines
from LungCADLib.study import Study

_ROLES = ("volume", "segmentation", "table", "centers")


def studies(scene: Any) -> list[StudyNodes]:
    """The nodes of every study a scene holds whole, the one added last at the end."""
    found = [
        ({role: text.GetNodeReference(role) for role in _ROLES}, text) for text in study_texts(scene)
    ]  # fmt: skip
    return [StudyNodes(text=text, **nodes) for nodes, text in found if None not in nodes.values()]


def study_nodes(scene: Any) -> StudyNodes | None:
    """The nodes of the study added last; None where a scene holds none that is whole."""
    return next(reversed(studies(scene)), None)


def all_there(nodes: StudyNodes) -> bool:
    """Whether every node of a study is still in a scene."""
    return all(getattr(nodes, role).GetScene() is not None for role in (*_ROLES, "text"))


def update_study(nodes: StudyNodes, study: Study) -> None:
    """Bring a study into its nodes as it is now: segments of new nodules, table, points and text.

    Outlines that are already there stay as they are; what a person rejected is hidden.
    """
    segmentation, display = nodes.segmentation.GetSegmentation(), nodes.segmentation.GetDisplayNode()
    known = {id_.removeprefix(NODULE_SEGMENT_PREFIX) for id_ in segmentation.GetSegmentIDs()}
    wanted = {nodule.id for nodule in study.nodules}
    for id_ in segmentation.GetSegmentIDs():
        if id_.startswith(NODULE_SEGMENT_PREFIX) and id_.removeprefix(NODULE_SEGMENT_PREFIX) not in wanted:
            segmentation.RemoveSegment(id_)
    _add_segments(nodes, study, wanted - known)
    for nodule in study.nodules:
        display.SetSegmentVisibility(NODULE_SEGMENT_PREFIX + nodule.id, nodule.status != "rejected")
    fill_table(nodes.table, study.nodules)
    fill_centers(nodes.centers, study.nodules)
    nodes.text.SetText(study.to_json())


def replace_outline(nodes: StudyNodes, study: Study, nodule: str) -> None:
    """Give one nodule's segment the outline it has in the study."""
    nodes.segmentation.GetSegmentation().RemoveSegment(NODULE_SEGMENT_PREFIX + nodule)
    _add_segments(nodes, study, {nodule})


def outlines_in_scene(nodes: StudyNodes, study: Study, ids: Iterable[str]) -> dict[str, BoxMask | None]:
    """The outlines of some nodules as their segments have them now; None where one was erased.

    Raises
    ------
    InputError
        If a segment is gone, or is not on the CT's grid.
    """
    segmentation, ids = nodes.segmentation.GetSegmentation(), list(ids)
    for id_ in ids:
        if segmentation.GetSegment(NODULE_SEGMENT_PREFIX + id_) is None:
            raise InputError(f"The segment of {id_} was deleted; undo that in Segment Editor, or reject the nodule.")
    return read_nodules(segmentation, ids, study_geometry(study.scan))


def remove_study(nodes: StudyNodes) -> None:
    """Take a study's nodes out of their scene again; the volume stays."""
    for node in (nodes.text, nodes.centers, nodes.table, nodes.segmentation):
        remove(node)


def _add_segments(nodes: StudyNodes, study: Study, which: set[str]) -> None:
    if not which:
        return
    masks = outlines(study)
    part = replace(study, nodules=study.nodules)
    part.masks = replace(masks, nodules={id_: mask for id_, mask in masks.nodules.items() if id_ in which})
    fill_segmentation(nodes.segmentation, *nodule_segments(part), masks.geometry)
