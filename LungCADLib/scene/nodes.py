"""A study as MRML nodes, and back."""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import VTK_ENCODING_UTF_8, vtkDoubleArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkTable

from LungCADLib.columns import COLUMNS, Column, as_text, rows
from LungCADLib.errors import InputError
from LungCADLib.pictures import LUNG_WINDOW
from LungCADLib.scan import Geometry, Scan
from LungCADLib.scene.grids import LABELMAP, ijk_to_ras, set_geometry, study_geometry, to_ras, vtk_matrix
from LungCADLib.scene.hierarchy import place_under_study
from LungCADLib.scene.masks import read_masks
from LungCADLib.segments import (
    TERMINOLOGY_TAG,
    Layer,
    Segment,
    outlines,
    segments,
)
from LungCADLib.study import Nodule, Study

STUDY_ATTRIBUTE = "LungCAD.Study"
"""On the text node that holds the study's JSON; its value is the schema version."""

NODULE_FILL, LUNG_FILL = 0.25, 0.0


@dataclass(frozen=True)
class StudyNodes:
    """The nodes of one study. `text` holds its JSON and refers to the others by the names of these fields."""

    volume: Any
    segmentation: Any
    table: Any
    centers: Any
    text: Any


def add_study(scene: Any, study: Study, scan: Scan | None, volume: Any = None, *, place: bool = True) -> StudyNodes:
    """Add a study to a scene as nodes.

    Parameters
    ----------
    scene
        A `vtkMRMLScene`: Slicer's own, or one of `SceneHost`.
    study
        What was found, with its masks.
    scan
        The scan it was found in; needed only where there is no volume.
    volume
        The `vtkMRMLScalarVolumeNode` the scan came from; None adds one. If it is under a transform, the scan's
        positions are those before it, and outlines and points follow the same transform.
    place
        Whether to put the nodes under the volume's study in the subject hierarchy, or leave that for later.

    Returns
    -------
    The nodes, under the volume's study in the subject hierarchy: the volume, one segmentation (lungs, airway and
    nodules, referring to the volume's geometry), one table with a row per nodule, one list of points at the
    centers, and the study itself as text.

    Raises
    ------
    InputError
        If the study carries no masks; nothing is added then.
    """
    steps = adding_study(scene, study, scan, volume, place=place)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            nodes: StudyNodes = end.value
            return nodes


def adding_study(
    scene: Any, study: Study, scan: Scan | None, volume: Any = None, *, place: bool = True
) -> Generator[None, None, StudyNodes]:
    """`add_study` a piece at a time, for a caller with other things to do between.

    Given up half-way (the generator closed), it takes what it had added out again.
    """
    table_of_segments, layers = segments(study)
    yield
    images = []
    for layer in layers:
        images.append(_oriented_image(layer, outlines(study).geometry))
        yield
    made: list[Any] = []
    try:
        if volume is None:
            assert scan is not None
            volume = add_volume(scene, scan)
            made.append(volume)
            yield
        for make in (
            lambda: _add_segmentation(scene, volume, table_of_segments, images),
            lambda: _add_table(scene, study.nodules),
            lambda: _add_centers(scene, study.nodules),
            lambda: _add_text(scene, study),
        ):
            made.append(make())
            yield
    except BaseException:
        for node in made:
            remove(node)
        raise
    segmentation, table, centers, text = made[-4:]
    nodes = StudyNodes(volume, segmentation, table, centers, text)
    for node in (segmentation, centers):
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    for role in ("volume", "segmentation", "table", "centers"):
        text.SetNodeReferenceID(role, getattr(nodes, role).GetID())
    if place:
        place_under_study(scene, volume, [segmentation, table, centers, text], study.scan.header)
    return nodes


def remove(node: Any) -> None:
    """Take a node out of its scene, if it is in one, with the nodes that only say how to show and store it."""
    scene = node.GetScene()
    if scene is None:
        return
    more = []
    if node.IsA("vtkMRMLDisplayableNode"):
        more += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        more += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for each in more:
        if each is not None and each.GetScene() is not None:
            scene.RemoveNode(each)


def read_study(scene: Any) -> Study:
    """The study a scene holds (the one added last), with the masks its segmentation has now.

    Raises
    ------
    InputError
        If the scene holds no study, or its segmentation was moved onto another grid.
    """
    texts = study_texts(scene)
    if not texts:
        raise InputError("This scene holds no LungCAD study; analyze the scan first.")
    return study_of(texts[-1])


def study_of(text: Any) -> Study:
    """The study a text node holds, with the masks its segmentation has now."""
    study = Study.from_json(text.GetText())
    segmentation = text.GetNodeReference("segmentation")
    if segmentation is not None:
        study.masks = read_masks(segmentation.GetSegmentation(), study_geometry(study.scan))
    return study


def study_texts(scene: Any) -> list[Any]:
    """The text nodes of the studies a scene holds, the one added last at the end."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLTextNode")
    texts = [scene.GetNthNodeByClass(index, "vtkMRMLTextNode") for index in range(count)]
    return [text for text in texts if text.GetAttribute(STUDY_ATTRIBUTE)]


def add_volume(scene: Any, scan: Scan) -> Any:
    """Add a CT as a volume node, shown in the lung window."""
    # Node names become file names inside a bundle, and an "&" there makes Slicer write a scene it cannot read.
    name = re.sub(r"[^A-Za-z0-9 ._-]+", "_", scan.header.series_description or "").strip(" ._")
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name or "CT")
    image = vtkImageData()
    image.SetDimensions(scan.hu.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(scan.hu.ravel(), deep=True))
    set_geometry(volume, scan.geometry)
    # The window is set before the voxels arrive, or the display node searches them all for one of its own.
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(LUNG_WINDOW[1], LUNG_WINDOW[0])
    volume.SetAndObserveImageData(image)
    return volume


def _add_segmentation(scene: Any, volume: Any, table: list[Segment], images: list[Any]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} LungCAD")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    # Without this a bundle stores every layer over the whole CT, which takes five times as long.
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetCropToMinimumExtent(True)
    node.GetSegmentation().SetSourceRepresentationName(LABELMAP)
    _fill_segmentation(node, table, images)
    return node


def fill_segmentation(node: Any, table: list[Segment], layers: list[Layer], geometry: Geometry) -> None:
    """Add segments to a segmentation node."""
    _fill_segmentation(node, table, [_oriented_image(layer, geometry) for layer in layers])


def _fill_segmentation(node: Any, table: list[Segment], images: list[Any]) -> None:
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    for entry in table:
        segment = slicer.vtkSegment()
        segment.SetName(entry.name)
        segment.SetColor(entry.color)
        segment.SetLabelValue(entry.label)
        segment.SetTag(TERMINOLOGY_TAG, entry.terminology)
        segment.AddRepresentation(LABELMAP, images[entry.layer])
        segmentation.AddSegment(segment, entry.id)
        display.SetSegmentOpacity2DFill(entry.id, LUNG_FILL if entry.lesion_id is None else NODULE_FILL)


def _oriented_image(layer: Layer, geometry: Geometry) -> Any:
    """A layer as Slicer's labelmap: the scan's grid, its extent the layer's box."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent([bound for s in layer.box[::-1] for bound in (s.start, s.stop - 1)])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(layer.labels).ravel(), deep=True))
    image.SetImageToWorldMatrix(vtk_matrix(ijk_to_ras(geometry)))
    return image


def _add_table(scene: Any, nodules: list[Nodule]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "LungCAD nodules")
    fill_table(node, nodules)
    node.SetUseColumnTitleAsColumnHeader(True)
    for column in COLUMNS:
        if column.unit:
            node.SetColumnUnitLabel(column.name, column.unit)
        node.SetColumnDescription(column.name, column.description)
    return node


def fill_table(node: Any, nodules: list[Nodule]) -> None:
    """Give a table node one row per nodule, in place of what it had."""
    table = vtkTable()
    cells = rows(nodules)
    for index, column in enumerate(COLUMNS):
        table.AddColumn(_table_column(column, [row[index] for row in cells]))
    node.SetAndObserveTable(table)


def _table_column(column: Column, cells: list[Any]) -> Any:
    """Numbers as doubles with NaN where there is none, everything else as text."""
    array: Any = vtkDoubleArray() if column.kind is float else vtkStringArray()
    array.SetName(column.name)
    for cell in cells:
        if column.kind is float:
            array.InsertNextValue(np.nan if cell is None else cell)
        else:
            # Slicer writes tables as plain tab-separated text and does not escape quotes.
            array.InsertNextValue(" ".join(as_text(cell).split()).replace('"', "'"))
    return array


def _add_centers(scene: Any, nodules: list[Nodule]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "LungCAD centers")
    node.CreateDefaultDisplayNodes()
    fill_centers(node, nodules)
    return node


def fill_centers(node: Any, nodules: list[Nodule]) -> None:
    """Give a list of points one per nodule, in place of what it had; what a person rejected is not shown."""
    node.RemoveAllControlPoints()
    for nodule in nodules:
        index = node.AddControlPoint(to_ras(nodule.center_lps_mm), nodule.id)
        node.SetNthControlPointDescription(index, nodule.location.description)
        node.SetNthControlPointLocked(index, True)
        node.SetNthControlPointVisibility(index, nodule.status != "rejected")


def _add_text(scene: Any, study: Study) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", "LungCAD study")
    node.SetEncoding(VTK_ENCODING_UTF_8)
    node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)
    node.SetText(study.to_json())
    node.SetAttribute(STUDY_ATTRIBUTE, study.schema_version)
    return node
