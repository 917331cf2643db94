"""A second analysis of the same CT in the headless host: newer results take the place of older, reviews are kept."""

import re

import numpy as np
import pytest
from panel_fixtures import ended, need_host, node_names, texts, until

host = need_host()

import slicer  # noqa: E402

from LungCADLib.scene.nodes import add_study, add_volume  # noqa: E402
from LungCADLib.scene.update import studies  # noqa: E402
from LungCADLib.study import Study  # noqa: E402


@pytest.fixture
def again(widget, ui, case, start):
    """Analyze the CT of the last run once more, or a new one, to the end."""
    scan, _, lungs, nodules, finished = case

    def go():
        job, volume = start(scan, [lungs], [nodules], [finished]) if not widget.panel.results.session else (None, None)
        if job is None:
            widget.panel.ui.applyButton.click()
            widget.panel.run._job.said = [[lungs], [nodules], [finished]]
            widget.panel.run._job.running = True
        until(ended(widget))
        return volume

    return go


def kinds():
    """What is in the scene, without the numbers that tell nodes of one name apart."""
    return [re.sub(r"_\d+$", "", name) for name in node_names()]


def visible(nodes):
    displays = (node.GetDisplayNode() for node in (nodes.segmentation, nodes.centers))
    return tuple(bool(display.GetVisibility()) for display in displays)


def test_results_that_nobody_reviewed_are_replaced(widget, ui, again):
    again()
    first, names = widget.panel.results.session.nodes, kinds()
    again()
    assert len(studies(slicer.mrmlScene)) == 1
    assert widget.panel.results.session.nodes.text is not first.text
    assert kinds() == names, "nothing of the first results stays, not even how they were shown"
    assert widget.panel.results.session.nodes.text.GetName() == "LungCAD study"
    assert not ui.runMessage.visible and not ui.studyBox.visible


def test_a_review_is_kept_hidden_in_a_folder_of_its_own_and_can_be_opened_again(widget, ui, again):
    again()
    ui.noduleTable.selectRow(1)
    ui.rejectButton.click()
    first = widget.panel.results.session.nodes
    again()
    second = widget.panel.results.session.nodes
    assert "earlier review of this CT is kept" in ui.runMessage.text
    assert texts(ui, ui.noduleTable.columnCount - 1) == ["found", "found", "found"]
    assert (visible(first), visible(second)) == ((False, False), (True, True))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parts = (first.segmentation, first.table, first.centers, first.text)
    (folder,) = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in parts}
    assert hierarchy.GetItemName(folder).endswith("(reviewed)")
    assert hierarchy.GetItemParent(folder) == hierarchy.GetItemParent(hierarchy.GetItemByDataNode(second.text))
    assert ui.studyBox.visible and ui.studyBox.count == 2
    assert ui.studyBox.currentIndex == 0 and ui.studyBox.itemText(1).endswith("(reviewed)")
    ui.studyBox.setCurrentIndex(1)
    ui.studyBox.activated.emit(1)
    assert widget.panel.results.session.nodes == first
    assert texts(ui, ui.noduleTable.columnCount - 1) == ["found", "rejected", "found"]
    assert (visible(first), visible(second)) == ((True, True), (False, False))


def test_the_kept_review_stays_when_the_ct_is_analyzed_a_third_time(widget, ui, again):
    again()
    ui.noduleTable.selectRow(0)
    ui.acceptButton.click()
    first = widget.panel.results.session.nodes
    again()
    again()
    kept, newest = studies(slicer.mrmlScene)
    assert kept == first and newest == widget.panel.results.session.nodes
    assert kept.text.GetName().count("(reviewed)") == 1


def test_results_of_another_ct_stay_as_they_are(widget, ui, again, case):
    other = add_study(slicer.mrmlScene, case[1], None, add_volume(slicer.mrmlScene, case[0]))
    again()
    assert other in studies(slicer.mrmlScene)
    assert visible(other) == (True, True)


def test_a_run_that_is_stopped_or_fails_leaves_the_earlier_results(widget, ui, again, case):
    again()
    first = widget.panel.results.session
    ui.applyButton.click()
    job = widget.panel.run._job
    job.said, job.running = [[case[2]], [], []], True
    until(lambda: len(studies(slicer.mrmlScene)) == 2)
    ui.cancelButton.click()
    until(ended(widget))
    assert [nodes.text for nodes in studies(slicer.mrmlScene)] == [first.nodes.text]
    assert widget.panel.results.session is first
    assert texts(ui, 0) == ["L1", "L2", "L3"]


def test_a_hardened_copy_goes_with_its_results(widget, ui, again):
    volume = again()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag((1.0, 1.0, 1.0, 1.0))))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    for _ in range(2):
        again()
        names = [n.GetName().removesuffix("_1") for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
        assert names == [volume.GetName(), f"{volume.GetName()} hardened"]
        assert len(studies(slicer.mrmlScene)) == 1


def test_both_come_back_from_a_saved_scene_the_newest_shown(widget, ui, again, tmp_path):
    again()
    ui.noduleTable.selectRow(1)
    ui.rejectButton.click()
    again()
    widget.panel.output._ask = lambda *_: str(tmp_path / "saved.mrb")
    ui.saveSceneButton.click()
    host.open(tmp_path / "saved.mrb")
    assert ui.studyBox.visible and ui.studyBox.count == 2
    assert texts(ui, ui.noduleTable.columnCount - 1) == ["found", "found", "found"]
    kept = Study.from_json(studies(slicer.mrmlScene)[0].text.GetText())
    assert [change.action for change in kept.changes] == ["rejected"]
    assert [visible(nodes) for nodes in studies(slicer.mrmlScene)] == [(False, False), (True, True)]
