"""A heat map over the CT in the slice views: a volume node of its own in their foreground, with a legend of colors."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData

from LungCADLib.explain import HeatMap
from LungCADLib.scan import Geometry
from LungCADLib.scene.grids import set_geometry, to_ras
from LungCADLib.scene.nodes import StudyNodes, remove

COLORS = "vtkMRMLColorTableNodeIron"
"""From red to yellow: the brighter the more, also for readers who do not tell red from green."""

SHOWN_FROM = 0.2
"""Less than this part of the map's greatest value is not shown, so that the CT stays to be seen."""

OPACITY = 0.5


@dataclass
class Overlay:
    """A map that is shown; `remove` takes it away and gives the views back what they had in their foreground."""

    node: Any
    before: list[tuple[Any, str | None, float]] = field(default_factory=list)

    def remove(self) -> None:
        """Take the map out of the views and out of the scene."""
        for composite, foreground, opacity in self.before:
            scene = composite.GetScene()
            if scene is not None and composite.GetForegroundVolumeID() in (self.node.GetID(), None):
                composite.SetForegroundVolumeID(foreground if foreground and scene.GetNodeByID(foreground) else None)
                composite.SetForegroundOpacity(opacity)
        self.before = []
        remove(self.node)


def show_overlay(nodes: StudyNodes, heat: HeatMap, grid: Geometry, title: str) -> Overlay:
    """Lay a map over a study's CT in every slice view, and move them to where it is greatest.

    Parameters
    ----------
    nodes
        The study the map belongs to.
    heat
        The map, 0 or more, in a box of `grid`.
    grid
        LPS, as the CT's before its transform.
    title
        The node's name, which the legend of colors shows too.
    """
    scene, top = nodes.volume.GetScene(), max(float(heat.values.max()), 1e-12)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", title)
    node.SetSaveWithScene(False)
    image = vtkImageData()
    image.SetDimensions(heat.values.shape[::-1])
    values = np.ascontiguousarray(heat.values / top, np.float32)
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    set_geometry(node, grid.crop(heat.box))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(COLORS)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.AutoThresholdOff()
    display.SetThreshold(SHOWN_FROM, 1.0)
    display.ApplyThresholdOn()
    node.SetAndObserveImageData(image)
    node.SetAndObserveTransformNodeID(nodes.volume.GetTransformNodeID())
    overlay = Overlay(node)
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        overlay.before.append(
            (composite, composite.GetForegroundVolumeID(), composite.GetForegroundOpacity())
        )  # fmt: skip
        composite.SetForegroundVolumeID(node.GetID())
        composite.SetForegroundOpacity(OPACITY)
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(display)
    if legend is not None:
        legend.SetTitleText(title)
        legend.SetNumberOfLabels(3)
        legend.SetSaveWithScene(False)
    _jump(node, grid.to_lps(heat.hottest))
    return overlay


def colors(scene: Any, count: int) -> NDArray[np.uint8]:
    """uint8 (count, 3): the colors of a map from the least that is shown to the most."""
    node = scene.GetNodeByID(COLORS)
    table = node.GetLookupTable()
    last = table.GetNumberOfTableValues() - 1
    rgb = [table.GetTableValue(round(part * last))[:3] for part in np.linspace(SHOWN_FROM, 1, count)]
    return np.round(255 * np.array(rgb)).astype(np.uint8)


def _jump(node: Any, lps: NDArray[np.float64]) -> None:
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld(to_ras((float(lps[0]), float(lps[1]), float(lps[2]))), world)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode", node.GetScene()):
        view.JumpSliceByOffsetting(*world)
