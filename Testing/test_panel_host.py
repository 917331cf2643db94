"""The panel from the real `.ui` in the headless host: choose, apply, watch, cancel, and whatever goes wrong."""

import os
import signal
import sys
import unittest
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from panel_fixtures import HERE, ScriptedJob, ended, need_host, node_names, texts, until
from study_factory import make_scan

host = need_host()

import qt  # noqa: E402
import slicer  # noqa: E402

import LungCAD as module  # noqa: E402
from LungCADLib.jobs import Failed, Job, Progressed  # noqa: E402
from LungCADLib.panel import run as run_module  # noqa: E402
from LungCADLib.panel.parameters import settings_of  # noqa: E402
from LungCADLib.scene.nodes import add_volume  # noqa: E402
from LungCADLib.settings import Settings  # noqa: E402


def test_nothing_can_be_applied_before_a_volume_is_chosen_and_the_button_says_so(ui):
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == "Choose a CT volume first."
    assert not ui.cancelButton.enabled
    assert not ui.saveSceneButton.enabled


def test_every_input_and_button_has_a_tooltip(widget):
    kinds = (qt.QPushButton, qt.QComboBox, qt.QSpinBox, qt.QDoubleSpinBox, slicer.qMRMLNodeComboBox, qt.QTableWidget)
    inputs = [w for kind in kinds for w in widget.widget.findChildren(kind) if w.name and not w.name.startswith("qt_")]
    assert len(inputs) > 30
    assert [w.name for w in inputs if not w.toolTip] == []


def test_a_volume_that_is_no_ct_is_refused_with_the_reason(widget, ui):
    labels = replace(make_scan(), hu=np.zeros((40, 64, 72), np.int16))
    labels.hu[10:20] = 3
    ui.input_volume.setCurrentNode(add_volume(slicer.mrmlScene, labels))
    assert not ui.applyButton.enabled
    assert ui.inputMessage.visible
    assert "from 0 to 3" in ui.inputMessage.text
    ui.input_volume.setCurrentNode(add_volume(slicer.mrmlScene, make_scan()))
    assert ui.applyButton.enabled
    assert not ui.inputMessage.visible


def test_another_modality_is_refused_by_its_name(ui):
    volume = add_volume(slicer.mrmlScene, make_scan())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    ui.input_volume.setCurrentNode(volume)
    assert "is MR, not CT" in ui.inputMessage.text


def test_patient_factors_reach_the_settings_and_unknown_stays_unknown(widget, ui):
    from LungCADLib.panel.parameters import settings_of

    assert settings_of(widget.parameters).patient == type(settings_of(widget.parameters).patient)()
    ui.age_years.value = 63
    ui.sex.currentIndex = ui.sex.findData("female")
    ui.emphysema.currentIndex = ui.emphysema.findData("no")
    ui.years_since_quit.value = 0
    ui.min_diameter_mm.value = 5.5
    settings = settings_of(widget.parameters)
    assert settings.patient.age_years == 63
    assert (settings.patient.sex, settings.patient.emphysema) == ("female", False)
    assert settings.patient.years_since_quit == 0
    assert settings.patient.ever_smoker is None
    assert settings.min_diameter_mm == 5.5


def test_advanced_offers_the_registered_engines_each_with_one_sentence_and_the_free_memory(widget, ui):
    from LungCADLib import detection, lungs, malignancy, nodules

    ui.advancedBox.checked = True
    registries = {"lung_engine": lungs, "detector": detection, "outliner": nodules, "malignancy": malignancy}
    for parameter, stage in registries.items():
        box = getattr(ui, parameter)
        offered = [box.itemData(index) for index in range(box.count)]
        usual = getattr(Settings(), parameter)
        assert offered == (["auto"] if usual == "auto" else []) + list(stage.ENGINES)
        assert box.currentData == usual
        tips = {name: str(box.itemData(index, qt.Qt.ToolTipRole)) for index, name in enumerate(offered)}
        assert {name: tip for name, tip in tips.items() if len(tip) < 20 or "\n" in tip or tip[-1] != "."} == {}
        for name in offered:
            box.setCurrentIndex(box.findData(name))
            assert getattr(settings_of(widget.parameters), parameter) == name
    assert "GB free" in ui.device.itemText(ui.device.findData("cpu"))


def test_dicom_output_says_what_to_do_meanwhile(ui, reviewed):
    assert not ui.saveDicomButton.enabled
    assert ui.saveReportButton.enabled
    assert "Not in this version" in ui.saveDicomButton.toolTip and "Slicer's own export" in ui.saveDicomButton.toolTip


def test_results_appear_as_they_come_lungs_first(widget, ui, case, start):
    scan, study, lungs, nodules, finished = case
    step = Progressed("candidates", 0.4, "", 12.3)
    job, volume = start(scan, [Progressed("read", 0.02, "", None)], [lungs], [], [step], [], [nodules])
    assert ui.cancelButton.enabled
    assert not ui.applyButton.enabled
    assert ui.progressBar.visible
    until(lambda: "about 12 s left" in ui.progressText.text)
    assert ui.progressText.text == "Looking for nodules: 40%, about 12 s left"
    assert ui.progressBar.value == 400
    segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0].GetSegmentation()
    assert list(segmentation.GetSegmentIDs()) == ["lung_right", "lung_left", "airway"]
    assert "Lungs found" in ui.examText.text
    until(lambda: segmentation.GetNumberOfSegments() == 6)
    job.said = [[finished]]
    until(ended(widget))
    assert texts(ui, 0) == ["L1", "L2", "L3"]
    assert "Lung-RADS 4A" in ui.examText.text
    assert job.closed
    assert ui.applyButton.enabled
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    nodes = widget.panel.results.session.nodes
    parents = {
        hierarchy.GetItemParent(hierarchy.GetItemByDataNode(n)) for n in (volume, nodes.segmentation, nodes.text)
    }
    assert len(parents) == 1
    assert widget.panel.results.session.study == study


def test_cancel_leaves_the_scene_as_it_was_and_apply_works_again(widget, ui, case, start):
    scan, _, lungs, nodules, finished = case
    other = add_volume(slicer.mrmlScene, scan)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    for composite in composites:
        composite.SetBackgroundVolumeID(other.GetID())
    job, volume = start(scan, [lungs])
    volume.GetDisplayNode().SetWindowLevel(400, 40)
    until(lambda: composites[0].GetBackgroundVolumeID() == volume.GetID())
    ui.cancelButton.click()
    until(ended(widget))
    assert {composite.GetBackgroundVolumeID() for composite in composites} == {other.GetID()}
    assert volume.GetDisplayNode().GetWindow() == 400
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert not slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert not ui.runMessage.visible
    assert ui.applyButton.enabled
    names = node_names()
    job.said, job.running = [[lungs], [nodules], [finished]], True
    ui.applyButton.click()
    until(ended(widget))
    assert texts(ui, 0) == ["L1", "L2", "L3"]
    assert set(names) < set(node_names())


def test_a_second_apply_while_one_runs_does_nothing(widget, ui, case, start):
    start(case[0], [])
    first = widget.panel.run
    ui.applyButton.click()
    widget.panel._apply()
    assert widget.panel.run is first
    ui.cancelButton.click()
    until(ended(widget))


@pytest.mark.parametrize(
    "failure",
    [
        Failed("memory", "This machine has not enough free memory for this scan."),
        Failed("output", "The disk is full; make room and try again."),
        Failed("device", "The GPU failed; choose the CPU as device."),
    ],
    ids=lambda failure: failure.kind,
)
def test_a_failure_is_one_message_with_the_log_at_hand_and_a_clean_scene(widget, ui, case, start, failure):
    job, _ = start(case[0], [case[2]], [], [failure])
    ui.logBox.checked = True
    until(ended(widget))
    assert ui.runMessage.visible
    assert ui.runMessage.text == failure.message
    assert "a line of log" in ui.logText.plainText
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert ui.applyButton.enabled
    assert job.closed


def test_a_failure_after_the_nodules_came_keeps_them(widget, ui, case, start):
    start(case[0], [case[2]], [], [case[3]], [], [], [Failed("output", "The disk is full; make room and try again.")])
    until(ended(widget))
    assert texts(ui, 0) == ["L1", "L2", "L3"]
    assert "disk is full" in ui.runMessage.text


def test_deleting_the_ct_stops_the_run_and_says_why(widget, ui, case, start):
    _, volume = start(case[0], [case[2]])
    until(lambda: slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
    slicer.mrmlScene.RemoveNode(volume)
    until(ended(widget))
    assert "removed from the scene" in ui.runMessage.text
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_closing_the_scene_during_a_run_ends_it_and_leaves_a_usable_panel(widget, ui, case, start):
    start(case[0], [case[2]])
    until(lambda: slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
    host.clear()
    until(ended(widget))
    assert ui.noduleTable.rowCount == 0
    ui.input_volume.setCurrentNode(add_volume(slicer.mrmlScene, case[0]))
    assert ui.applyButton.enabled


def test_a_volume_under_a_transform_is_hardened_into_a_copy(widget, ui, case, monkeypatch):
    scan, _, lungs, nodules, finished = case
    given = []
    job = ScriptedJob([lungs], [], [nodules], [], [finished])
    monkeypatch.setattr(run_module, "start_job", lambda volume, settings: given.append(volume) or job)
    volume = add_volume(slicer.mrmlScene, scan)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = slicer.util.vtkMatrixFromArray(np.array([[1, 0, 0, 10], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    transform.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    ui.input_volume.setCurrentNode(volume)
    ui.applyButton.click()
    until(ended(widget))
    assert given[0].geometry.origin == pytest.approx(np.array(scan.geometry.origin) - (10, 0, 0))
    assert volume.GetParentTransformNode() is transform
    copy = widget.panel.results.session.nodes.volume
    assert copy is not volume
    assert copy.GetParentTransformNode() is None


def test_killing_the_worker_is_one_message_and_apply_works_again(widget, ui, chest):
    ui.input_volume.setCurrentNode(add_volume(slicer.mrmlScene, chest.scan))
    ui.applyButton.click()
    job = widget.panel.run._job
    assert isinstance(job, Job)
    until(lambda: job._worker_id is not None, 60)
    os.kill(job._worker_id, signal.SIGKILL)
    until(ended(widget))
    assert "stopped by the system" in ui.runMessage.text
    assert ui.applyButton.enabled
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_the_scene_tests_that_slicer_runs_pass_here_too(widget, monkeypatch):
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: widget)
    monkeypatch.syspath_prepend(HERE / "Python")
    import LungCADSceneTest

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(LungCADSceneTest).run(result)
    assert result.testsRun == 3
    assert [text for _, text in result.errors + result.failures + result.skipped] == []


def test_the_phantom_is_offered_as_sample_data_with_its_sum(widget, monkeypatch):
    from LungCADLib.phantom.bundled import SHA256

    offered = {}
    logic = SimpleNamespace(registerCustomSampleDataSource=lambda **source: offered.update(source))
    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=logic))
    parent = SimpleNamespace(path=str(HERE.parent / "LungCAD" / "LungCAD.py"))
    module.LungCAD(parent)
    slicer.app.startup()
    assert parent.title == "LungCAD"
    assert offered["checksums"] == f"SHA256:{SHA256}"
    assert offered["uris"].endswith("LungCADPhantom.nrrd")
