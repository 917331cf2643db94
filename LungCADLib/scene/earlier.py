"""Earlier results of the same CT: newer ones take their place, except where a person has worked on them."""

import json
import re
from typing import Any

import slicer

from LungCADLib.scene.nodes import StudyNodes, remove
from LungCADLib.scene.update import remove_study, studies
from LungCADLib.scene.volumes import original_of

_KEPT = " (reviewed)"


def reviewed(nodes: StudyNodes) -> bool:
    """Whether a person has changed anything in a study."""
    return bool(json.loads(nodes.text.GetText()).get("changes"))


def give_way(nodes: StudyNodes) -> int:
    """Take the earlier results of a study's CT out of the scene; those that a person changed stay, hidden, in a folder.

    Returns
    -------
    How many stay.
    """
    kept = 0
    for other in _others(nodes):
        if reviewed(other):
            _keep(other)
            kept += 1
            continue
        remove_study(other)
        in_use = {each.volume.GetID() for each in studies(nodes.text.GetScene())}
        if original_of(other.volume) is not other.volume and other.volume.GetID() not in in_use:
            remove(other.volume)
    for node in _parts(nodes):
        free = re.sub(r"_\d+$", "", node.GetName())
        if node.GetScene().GetFirstNodeByName(free) is None:
            node.SetName(free)  # The number told it from the earlier one.
    return kept


def show_alone(nodes: StudyNodes) -> None:
    """Show a study's outlines and points, and hide those of every other study of the same CT."""
    for each, shown in ((nodes, True), *((other, False) for other in _others(nodes))):
        for node in (each.segmentation, each.centers):
            if node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(shown)


def label(nodes: StudyNodes) -> str:
    """CT, day and minute (UTC) of a study, and whether a person changed it."""
    study = json.loads(nodes.text.GetText())
    created = str(study["provenance"]["created"])[:16].replace("T", " ")
    return f"{nodes.volume.GetName()}, {created}{_KEPT if study.get('changes') else ''}"


def _others(nodes: StudyNodes) -> list[StudyNodes]:
    of = original_of(nodes.volume)
    return [
        other
        for other in studies(nodes.text.GetScene())
        if other.text is not nodes.text and original_of(other.volume) is of
    ]


def _parts(nodes: StudyNodes) -> list[Any]:
    return [nodes.segmentation, nodes.table, nodes.centers, nodes.text]


def _keep(nodes: StudyNodes) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(nodes.text.GetScene())
    first = hierarchy.GetItemByDataNode(nodes.text)
    if not nodes.text.GetName().endswith(_KEPT) and first != hierarchy.GetInvalidItemID():
        folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(first), f"LungCAD: {label(nodes)}")
        for node in _parts(nodes):
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), folder)
            node.SetName(node.GetName() + _KEPT)
    for node in (nodes.segmentation, nodes.centers):
        if node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(False)
