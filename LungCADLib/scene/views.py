"""The reader's views on one nodule: slices at its center, lung window, its outline louder than the others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer

from LungCADLib.pictures import LUNG_WINDOW
from LungCADLib.scene.grids import LPS_TO_RAS, to_ras
from LungCADLib.scene.nodes import LUNG_FILL, NODULE_FILL, StudyNodes
from LungCADLib.segments import LUNG_SEGMENT_IDS, NODULE_SEGMENT_PREFIX
from LungCADLib.study import Nodule, Xyz

# A nodule fills about a fifth of the view, and a small one still has its surroundings.
_VIEW_DIAMETERS, _VIEW_MIN_MM, _VIEW_MAX_MM = 5.0, 60.0, 250.0
_CHOSEN_FILL = 0.5
_OTHERS_3D, _LUNGS_3D = 0.5, 0.1


def show_volume(volume: Any) -> Callable[[], None]:
    """Show a CT in all slice views, in the lung window; call what this returns to have it as it was."""
    scene = volume.GetScene()
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)
    backgrounds = [composite.GetBackgroundVolumeID() for composite in composites]
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    automatic, window, level = display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel()
    for composite in composites:
        composite.SetBackgroundVolumeID(volume.GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevel(LUNG_WINDOW[1], LUNG_WINDOW[0])

    def back() -> None:
        for composite, background in zip(composites, backgrounds, strict=True):
            if composite.GetScene() is not None and composite.GetBackgroundVolumeID() == volume.GetID():
                composite.SetBackgroundVolumeID(background)
        display.SetWindowLevel(window, level)
        display.SetAutoWindowLevel(automatic)

    return back


def show_nodule(nodes: StudyNodes, nodule: Nodule) -> None:
    """Move the slice views to a nodule at a fitting zoom, and make its segment and its point stand out."""
    ras = list(to_ras(nodule.center_lps_mm))
    for point in range(nodes.centers.GetNumberOfControlPoints()):
        if _label(nodes, point) == nodule.id:
            # The point follows the CT's transform, if it has one; the study does not know of it.
            nodes.centers.GetNthControlPointPositionWorld(point, ras)
    show_volume(nodes.volume)
    side = min(max(_VIEW_DIAMETERS * nodule.long_axis_mm, _VIEW_MIN_MM), _VIEW_MAX_MM)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode", nodes.volume.GetScene()):
        with slicer.util.NodeModify(view):
            view.JumpSliceByCentering(*ras)
            width, height, _ = view.GetDimensions()
            shorter = max(min(width, height), 1)
            depth = view.GetFieldOfView()[2]
            view.SetFieldOfView(side * width / shorter, side * height / shorter, depth)
    highlight(nodes, nodule.id)


def highlight(nodes: StudyNodes, chosen: str) -> None:
    """Make one nodule's segment and point stand out."""
    display = nodes.segmentation.GetDisplayNode()
    with slicer.util.NodeModify(display):
        for id_ in nodes.segmentation.GetSegmentation().GetSegmentIDs():
            if id_ in LUNG_SEGMENT_IDS:
                fill, solid = LUNG_FILL, _LUNGS_3D
            else:
                is_chosen = id_ == NODULE_SEGMENT_PREFIX + chosen
                fill, solid = (_CHOSEN_FILL, 1.0) if is_chosen else (NODULE_FILL, _OTHERS_3D)
            display.SetSegmentOpacity2DFill(id_, fill)
            display.SetSegmentOpacity3D(id_, solid)
    with slicer.util.NodeModify(nodes.centers):
        for i in range(nodes.centers.GetNumberOfControlPoints()):
            nodes.centers.SetNthControlPointSelected(i, _label(nodes, i) == chosen)


def on_marker(nodes: StudyNodes, clicked: Callable[[str], None]) -> int:
    """Call `clicked` with the lesion ID whenever a person presses one of the points; gives the observer's tag."""

    def pressed(*_: Any) -> None:
        index = nodes.centers.GetDisplayNode().GetActiveComponentIndex()
        if 0 <= index < nodes.centers.GetNumberOfControlPoints():
            clicked(_label(nodes, index))

    return int(nodes.centers.AddObserver(slicer.vtkMRMLMarkupsNode.PointStartInteractionEvent, pressed))


def _label(nodes: StudyNodes, index: int) -> str:
    return str(nodes.centers.GetNthControlPointLabel(index))


@dataclass
class Placement:
    """A person is asked to place one point in a view; `point` is None until it is there."""

    node: Any
    point: Xyz | None = None

    def end(self) -> None:
        """Leave the placing mode and take the point out of the scene. Not from inside the point's own event."""
        scene = self.node.GetScene()
        if scene is not None:
            _mode(scene).SwitchToViewTransformMode()
            scene.RemoveNode(self.node)


def ask_for_point(scene: Any, placed: Callable[[], None]) -> Placement:
    """Let the person place a point; `placed` is called when it is there, or when the person gave up."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "LungCAD new nodule")
    node.CreateDefaultDisplayNodes()
    node.SetSaveWithScene(False)
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetReferenceActivePlaceNodeID(node.GetID())
    placement = Placement(node)

    def defined(*_: Any) -> None:
        ras = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(0, ras)
        x, y, z = (float(v) for v in LPS_TO_RAS[:3, :3] @ ras)
        placement.point = (x, y, z)
        placed()

    node.AddObserver(slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, defined)
    _mode(scene).SwitchToSinglePlaceMode()
    return placement


def _mode(scene: Any) -> Any:
    return scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
