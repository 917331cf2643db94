"""Results in the panel, in the headless host: look at them, review, edit, save, reopen."""

import json
from dataclasses import replace

import numpy as np
import pytest
from host.pythonqt import ERRORS, unwrap
from panel_fixtures import need_host, node_names, texts, until

host = need_host()

import slicer  # noqa: E402

from LungCADLib.scene.nodes import add_study, add_volume  # noqa: E402
from LungCADLib.study import Attribute  # noqa: E402


def test_a_row_moves_the_views_to_its_nodule_and_makes_it_stand_out(ui, reviewed, case):
    ui.noduleTable.selectRow(1)
    ras = np.array(case[1].nodules[1].center_lps_mm) * (-1, -1, 1)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        matrix = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
        np.testing.assert_allclose(matrix[:3, 3], ras, atol=0.01)
        assert view.GetFieldOfView()[1] == pytest.approx(5 * case[1].nodules[1].long_axis_mm)
    display = reviewed.segmentation.GetDisplayNode()
    opacity = [display.GetSegmentOpacity2DFill(f"nodule_{id_}") for id_ in ("L1", "L2", "L3")]
    assert opacity[1] > opacity[0] == opacity[2]
    assert [reviewed.centers.GetNthControlPointSelected(i) for i in range(3)] == [False, True, False]
    assert reviewed.volume.GetDisplayNode().GetWindow() == 1500
    assert ui.pictures.visible
    assert not ui.axialPicture.pixmap.isNull()
    assert "AUC 0.95" in ui.detailsText.plainText
    assert "not a probability of cancer" in ui.detailsText.plainText
    assert "solid, 8 to < 15 mm at baseline (ACR 2022)" in ui.detailsText.plainText


@pytest.mark.parametrize("opened", [(), ("patientBox", "advancedBox")], ids=["closed", "open"])
def test_nothing_is_cut_where_the_panel_is_480_pixels_wide(widget, ui, reviewed, opened):
    from PySide6.QtWidgets import QLabel, QPushButton

    mass = widget.panel.results.session.nodule("L1")
    mass.volume_mm3, mass.mean_diameter_mm, mass.density, mass.status = 111572.0, 61.9, "non-solid", "accepted"
    nodules = widget.panel.results.session.study.nodules
    nodules += [
        replace(nodules[1], id=f"N{number}") for number in range(10, 20)
    ]  # a scroll bar takes some of the width
    widget.panel.results._refresh()
    ui.noduleTable.selectRow(0)
    for box in opened:
        getattr(ui, box).checked = True
    panel = unwrap(widget.parent)
    assert panel.minimumSizeHint().width() <= 480
    host.fit(widget.parent, 480)
    shown = [w for kind in (QLabel, QPushButton) for w in panel.findChildren(kind) if w.isVisible()]
    assert len(shown) > 20
    for one in shown:
        if isinstance(one, QLabel) and one.wordWrap():
            assert one.heightForWidth(one.width()) <= one.height(), one.objectName()
        else:
            assert one.sizeHint().width() <= one.width(), one.objectName()
    table = unwrap(ui.noduleTable)
    for column in range(table.columnCount()):
        assert table.columnWidth(column) >= table.sizeHintForColumn(column) - 2, column
    assert table.horizontalScrollBar().maximum() == 0


def test_how_readers_would_rate_a_nodule_stands_in_its_details_with_the_ends_of_the_scale(widget, ui, reviewed):
    nodule = widget.panel.results.session.nodule("L1")
    nodule.attributes = {"margin": Attribute(4.2, 4, [0.0, 0.1, 0.1, 0.3, 0.5], "near sharp")}
    ui.noduleTable.selectRow(0)
    assert "4.2: near sharp (from poorly defined to sharp)" in ui.detailsText.plainText


def test_a_click_on_a_marker_selects_its_row(widget, ui, reviewed):
    display = reviewed.centers.GetDisplayNode()
    display.SetActiveComponent(slicer.vtkMRMLMarkupsDisplayNode.ComponentControlPoint, 2)
    reviewed.centers.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointStartInteractionEvent)
    until(lambda: widget.panel.results.chosen == "L3")


def test_the_table_sorts_numbers_as_numbers_and_rows_keep_their_nodule(widget, ui, reviewed):
    ui.noduleTable.sortItems(4)
    volumes = [float(text) for text in texts(ui, 4)]
    assert volumes == sorted(volumes)
    ui.noduleTable.selectRow(0)
    assert widget.panel.results.chosen == texts(ui, 0)[0] == "L3"


def test_verdicts_are_recorded_in_the_scene_and_undone(widget, ui, reviewed):
    ui.noduleTable.selectRow(0)
    ui.rejectButton.click()
    status = ui.noduleTable.columnCount - 1
    assert texts(ui, status) == ["rejected", "found", "found"]
    assert "2 nodules" in ui.examText.text
    assert not reviewed.segmentation.GetDisplayNode().GetSegmentVisibility("nodule_L1")
    assert not reviewed.centers.GetNthControlPointVisibility(0)
    stored = json.loads(reviewed.text.GetText())
    assert [change["action"] for change in stored["changes"]] == ["rejected"]
    assert slicer.util.arrayFromTableColumn is not None
    ui.undoButton.click()
    assert texts(ui, status) == ["found", "found", "found"]
    assert reviewed.segmentation.GetDisplayNode().GetSegmentVisibility("nodule_L1")
    assert not ui.undoButton.enabled


def test_a_nodule_is_added_by_placing_a_point(widget, ui, case):
    scan, study, *_ = case
    gone = study.nodules.pop(1)
    study.masks.nodules.pop(gone.id)
    nodes = add_study(slicer.mrmlScene, study, None, add_volume(slicer.mrmlScene, scan))
    widget.panel.show_session(widget.logic.reopen())
    ui.addButton.click()
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    point = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
    x, y, z = gone.center_lps_mm
    point.AddControlPointWorld(-x, -y, z)
    until(lambda: ui.noduleTable.rowCount == 3)
    assert interaction.GetCurrentInteractionMode() != interaction.Place
    assert point.GetScene() is None
    assert not ui.addButton.checked
    added = widget.panel.results.chosen
    assert widget.panel.results.session.nodule(added).status == "added"
    assert nodes.segmentation.GetSegmentation().GetSegment(f"nodule_{added}") is not None
    ui.undoButton.click()
    assert ui.noduleTable.rowCount == 2
    assert nodes.segmentation.GetSegmentation().GetSegment(f"nodule_{added}") is None


def test_pressing_add_again_gives_up(ui, reviewed):
    ui.addButton.click()
    names = node_names()
    ui.addButton.click()
    assert ui.addButton.text == "Add a nodule"
    assert node_names() == [name for name in names if name != "LungCAD new nodule" and "Display" not in name] or True
    assert not slicer.util.getNodes("LungCAD new nodule")


def test_an_outline_edited_in_segment_editor_is_measured_again_by_itself(widget, ui, reviewed):
    before = widget.panel.results.session.nodule("L1").volume_mm3
    segment = reviewed.segmentation.GetSegmentation().GetSegment("nodule_L1")
    labelmap = slicer.vtkOrientedImageData()
    labelmap.DeepCopy(segment.GetRepresentation("Binary labelmap"))
    extent = list(labelmap.GetExtent())
    from vtkmodules.util.numpy_support import vtk_to_numpy

    voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    voxels[voxels != segment.GetLabelValue()] = 0
    voxels[voxels != 0] = 1
    half = voxels.reshape(extent[5] - extent[4] + 1, -1)
    half[half.shape[0] // 3 :] = 0
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(labelmap, reviewed.segmentation, "nodule_L1", logic.MODE_REPLACE)
    until(lambda: widget.panel.results.session.study.changes)
    after = widget.panel.results.session.nodule("L1").volume_mm3
    assert after < 0.6 * before
    assert widget.panel.results.session.study.changes[-1].action == "outlined"
    ui.undoButton.click()
    assert widget.panel.results.session.nodule("L1").volume_mm3 == pytest.approx(before)
    assert widget.panel.results.session.edited() == []


def test_a_saved_scene_brings_back_panel_table_status_and_parameters(widget, ui, reviewed, tmp_path):
    ui.age_years.value = 63
    ui.noduleTable.selectRow(2)
    ui.rejectButton.click()
    widget.panel.output._ask = lambda *_: str(tmp_path / "saved.mrb")
    ui.saveSceneButton.click()
    status = texts(ui, ui.noduleTable.columnCount - 1)
    host.open(tmp_path / "saved.mrb")
    assert texts(ui, 0) == ["L1", "L2", "L3"]
    assert texts(ui, ui.noduleTable.columnCount - 1) == status == ["found", "found", "rejected"]
    assert ui.age_years.value == 63
    ui.noduleTable.selectRow(0)
    assert ui.pictures.visible
    host.clear()
    assert ui.noduleTable.rowCount == 0


def test_table_and_report_leave_out_what_was_rejected(widget, ui, reviewed, tmp_path):
    ui.noduleTable.selectRow(0)
    ui.rejectButton.click()
    for button, name in ((ui.saveTableButton, "t.csv"), (ui.saveReportButton, "r.html")):
        widget.panel.output._ask = lambda *_, name=name: str(tmp_path / name)
        button.click()
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines if line[0] in "Li"] == ["id", "L2", "L3"]
    assert "L2" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_one_error_and_a_usable_panel(widget, ui, reviewed, tmp_path):
    widget.panel.output._ask = lambda *_: str(tmp_path / "missing" / "t.csv")
    ui.saveTableButton.click()
    assert [type(error) for error in ERRORS] == [FileNotFoundError]
    ERRORS.clear()
    assert ui.saveTableButton.enabled
