"""Where a network looked, laid over the CT in the headless host. The network itself is asked in test_jobs_question."""

from typing import get_args

import numpy as np
import pytest
from panel_fixtures import ScriptedJob, need_host, node_names, until
from study_factory import make_scan, make_study

host = need_host()

import slicer  # noqa: E402

from LungCADLib.explain import Explanation, HeatMap  # noqa: E402
from LungCADLib.jobs import Failed, Finished, Progressed  # noqa: E402
from LungCADLib.jobs.question import _write_explanation  # noqa: E402
from LungCADLib.jobs.request import Network  # noqa: E402
from LungCADLib.panel import run as run_module  # noqa: E402
from LungCADLib.scene.nodes import add_study, add_volume  # noqa: E402
from LungCADLib.segments import outlines  # noqa: E402


@pytest.fixture
def asked(reviewed, monkeypatch, tmp_path):
    """Questions that were asked; each is answered by a map that is hot in one voxel of the nodule's outline."""
    questions, jobs = [], []

    def start_job(question, settings):
        folder = tmp_path / f"answer {len(questions)}"
        folder.mkdir()
        values = np.zeros((1, 4, 5), np.float32)
        values[0, 1, 2], values[0, 3, 3] = 8.0, 0.5
        start = tuple(int(v) for v in np.array(question.outline.start) + np.array(question.outline.mask.shape) // 2)
        cam = HeatMap("grad-cam", "evidence for suspicion", start, values)
        _write_explanation(Explanation("appearance", 1.0, cam, cam, 0.71, 0.12), question.scan.geometry, folder)
        questions.append(question)
        jobs.append(ScriptedJob([Progressed("explain", 0.5, "", None)], [Finished(folder)]))
        return jobs[-1]

    monkeypatch.setattr(run_module, "start_job", start_job)
    return questions, jobs


def composites():
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def overlays():
    names = {composite.GetForegroundVolumeID() for composite in composites()}
    return [slicer.mrmlScene.GetNodeByID(id_) for id_ in names if id_]


def choose(ui, kind):
    ui.explainBox.setCurrentIndex(ui.explainBox.findData(kind))


def test_nothing_is_asked_before_a_kind_is_chosen(ui, reviewed, asked):
    assert not ui.explainBox.visible
    ui.noduleTable.selectRow(0)
    assert ui.explainBox.visible and ui.explainBox.enabled
    assert ui.explainBox.currentText == "nothing"
    assert asked[0] == []


def test_every_network_that_can_be_asked_is_offered(ui, reviewed):
    offered = [ui.explainBox.itemData(index) for index in range(ui.explainBox.count)]
    assert offered[0] == "nothing" and set(offered[1:]) == set(get_args(Network))


def test_without_monai_the_box_says_what_it_needs(ui, reviewed, monkeypatch):
    monkeypatch.setattr("LungCADLib.panel.explanation.find_spec", lambda name: None)
    ui.noduleTable.selectRow(0)
    assert not ui.explainBox.enabled
    assert ui.explainBox.toolTip == "Needs PyTorch and MONAI: see Setup."
    monkeypatch.undo()
    ui.noduleTable.selectRow(1)
    assert ui.explainBox.enabled and "network saw evidence" in ui.explainBox.toolTip


def test_the_map_lies_over_the_ct_where_the_network_looked_with_a_legend_and_what_it_means(ui, reviewed, asked):
    questions, jobs = asked
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    assert "some seconds" in ui.explainText.text
    until(overlays)
    (node,) = overlays()
    (question,) = questions
    assert question.network == "appearance"
    assert all(composite.GetForegroundOpacity() == 0.5 for composite in composites())
    assert all(composite.GetBackgroundVolumeID() == reviewed.volume.GetID() for composite in composites())
    voxels = slicer.util.arrayFromVolume(node)
    assert voxels.max() == 1 and voxels.shape == (1, 4, 5)
    display = node.GetDisplayNode()
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(0.2)
    # The hottest voxel is where the question's grid has it, in RAS, and the views have moved there.
    start = np.array(question.outline.start) + np.array(question.outline.mask.shape) // 2
    ras = question.scan.geometry.to_lps(start + np.array((0, 1, 2))) * (-1, -1, 1)
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    np.testing.assert_allclose((slicer.util.arrayFromVTKMatrix(matrix) @ (2, 1, 0, 1))[:3], ras, atol=1e-3)
    red = slicer.util.arrayFromVTKMatrix(slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").GetSliceToRAS())
    assert red[2, 3] == pytest.approx(ras[2], abs=0.01)
    legends = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    assert [legend.GetTitleText() for legend in legends] == ["L1: why suspicious"]
    assert not ui.explainBar.pixmap.isNull()
    assert all(
        word in ui.explainText.text for word in ("appearance network saw evidence for suspicion", "0.71", "0.12")
    )
    until(lambda: jobs[0].closed)


def test_the_question_holds_the_nodule_and_what_is_around_it(ui, reviewed, asked, widget):
    ui.noduleTable.selectRow(1)
    choose(ui, "reduction")
    (question,) = asked[0]
    study = widget.panel.results.session.study
    nodule, mask = study.nodules[1], outlines(study).nodules["L2"]
    assert question.center_lps_mm == nodule.center_lps_mm
    assert question.outline.mask.sum() == mask.mask.sum()
    at = question.scan.geometry.to_lps(np.array(question.outline.start))
    np.testing.assert_allclose(at, outlines(study).geometry.to_lps(np.array(mask.start)), atol=1e-6)
    assert question.lungs.region[question.outline.box][question.outline.mask].all()
    assert question.lungs.labels.shape == question.scan.hu.shape
    choose(ui, "nothing")


def test_it_goes_with_nothing_chosen_with_another_nodule_and_with_the_scene(ui, reviewed, asked):
    before = node_names()
    ui.noduleTable.selectRow(0)
    for leave in (lambda: choose(ui, "nothing"), lambda: ui.noduleTable.selectRow(1)):
        ui.noduleTable.selectRow(0)
        choose(ui, "appearance")
        until(overlays)
        leave()
        assert overlays() == []
        assert node_names() == before, "neither the map nor its legend or colors stay"
        assert ui.explainBox.currentText == "nothing" and not ui.explainText.visible and not ui.explainBar.visible
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    until(overlays)
    host.clear()
    assert not ui.explainBox.visible


def test_what_the_views_had_in_their_foreground_comes_back(ui, reviewed, asked):
    other = add_volume(slicer.mrmlScene, make_scan())
    for composite in composites():
        composite.SetForegroundVolumeID(other.GetID())
        composite.SetForegroundOpacity(0.25)
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    until(lambda: overlays() != [other])
    choose(ui, "nothing")
    assert overlays() == [other]
    assert {composite.GetForegroundOpacity() for composite in composites()} == {0.25}


def test_an_answer_is_asked_for_once_until_the_outline_changes(ui, reviewed, asked, widget):
    questions, _ = asked
    for _ in range(2):
        ui.noduleTable.selectRow(0)
        choose(ui, "appearance")
        until(overlays)
        ui.acceptButton.click()
        assert overlays(), "a verdict does not take it away"
        ui.noduleTable.selectRow(1)
    assert len(questions) == 1
    ui.noduleTable.selectRow(0)
    session = widget.panel.results.session
    session.measure_again("L1")
    ui.noduleTable.selectRow(1)
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    assert len(questions) == 2


def test_a_choice_that_is_left_before_the_answer_ends_its_job(ui, reviewed, asked):
    _, jobs = asked
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    jobs[0].said = []
    ui.noduleTable.selectRow(1)
    until(lambda: jobs[0].closed)
    assert overlays() == [] and not ui.explainText.visible


def test_a_failure_is_one_sentence_below_the_box(ui, reviewed, asked):
    _, jobs = asked
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    jobs[0].said = [[Failed("input", "The detector sees nothing round within 6 mm.")]]
    until(lambda: jobs[0].closed)
    assert ui.explainText.text == "The detector sees nothing round within 6 mm."
    assert overlays() == []


def test_a_map_of_a_ct_under_a_transform_follows_it(widget, ui, asked):
    scan = make_scan()
    volume = add_volume(slicer.mrmlScene, scan)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    add_study(slicer.mrmlScene, make_study(scan), None, volume)
    widget.panel.show_session(widget.logic.reopen())
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    until(overlays)
    assert overlays()[0].GetParentTransformNode() is transform


def test_a_scene_saved_under_a_map_opens_without_it(widget, ui, reviewed, asked, tmp_path):
    ui.noduleTable.selectRow(0)
    choose(ui, "appearance")
    until(overlays)
    widget.panel.output._ask = lambda *_: str(tmp_path / "saved.mrb")
    ui.saveSceneButton.click()
    host.open(tmp_path / "saved.mrb")
    assert ui.noduleTable.rowCount == 3
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
    assert len(names) == 1 and not slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    assert overlays() == []
