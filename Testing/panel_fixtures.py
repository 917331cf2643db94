"""Fixtures of the panel's tests: the module in the headless host, a scan, what a job finds in it, and its review."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from study_factory import make_scan, make_study

from LungCADLib.jobs import Failed, Finished, Found
from LungCADLib.jobs.found import write_found
from LungCADLib.study import Study

HERE = Path(__file__).resolve().parent


def need_host():
    """The host, with the module's folder on Python's path; skips the file where the host cannot run.

    .ci/run sets LUNGCAD_REQUIRE_HOST, so that there nothing is skipped.
    """
    if "LUNGCAD_REQUIRE_HOST" not in os.environ:
        pytest.importorskip("slicer", reason="slicer-core is not installed")
        pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials or a system library it needs is missing")
    from host import Host

    module = str(HERE.parent / "LungCAD")
    if module not in sys.path:
        sys.path.insert(0, module)
    return Host.get()


@pytest.fixture
def widget():
    """The module's panel in an empty scene; what a slot raised fails the test."""
    host = need_host()
    from host.pythonqt import ERRORS

    import LungCAD

    host.clear()
    ERRORS.clear()
    made = LungCAD.LungCADWidget()
    made.parent.resize(480, 1000)
    host.process(2)
    yield made
    made.cleanup()
    made.parent.deleteLater()
    host.clear()
    assert not ERRORS


@pytest.fixture
def ui(widget):
    return widget.panel.ui


class ScriptedJob:
    """A job that says what it was told to, one list of events per poll, and then waits to be cancelled."""

    def __init__(self, *said):
        self.said, self.running, self.log, self.closed = list(said), True, "a line of log\n", False

    def poll(self):
        events = self.said.pop(0) if self.said else []
        if any(isinstance(event, Finished | Failed) for event in events):
            self.running = False
        return events

    def cancel(self):
        self.said = [[Failed("cancelled", "Stopped.")]]

    def close(self):
        self.closed = True


@pytest.fixture
def case(tmp_path):
    """A scan, and the folders of what a job finds in it: lungs, then nodules."""
    scan = make_scan()
    study = make_study(scan)
    lungs = Study.from_json(study.to_json())
    lungs.nodules, lungs.masks = [], replace(study.masks, nodules={})
    write_found(lungs, tmp_path / "1")
    write_found(study, tmp_path / "2")
    return scan, study, Found("lungs", tmp_path / "1"), Found("nodules", tmp_path / "2"), Finished(tmp_path)


@pytest.fixture
def start(widget, monkeypatch):
    """Choose a scan's volume and press Apply with a job that says these events."""

    import slicer

    from LungCADLib.panel import run
    from LungCADLib.scene.nodes import add_volume

    def go(scan, *said):
        job = ScriptedJob(*said)
        monkeypatch.setattr(run, "start_job", lambda volume, settings: job)
        volume = add_volume(slicer.mrmlScene, scan)
        widget.panel.ui.input_volume.setCurrentNode(volume)
        widget.panel.ui.applyButton.click()
        return job, volume

    return go


def until(condition, seconds=30):
    """Let the application run until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        need_host().process()
        time.sleep(0.01)


def ended(widget):
    return lambda: widget.panel.run is None


def node_names():
    import slicer

    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLNode"))


def texts(ui, column):
    return [ui.noduleTable.item(row, column).text() for row in range(ui.noduleTable.rowCount)]


@pytest.fixture
def reviewed(widget, case):
    """The panel with a study that is in the scene."""
    import slicer

    from LungCADLib.scene.nodes import add_study, add_volume

    scan, study, *_ = case
    volume = add_volume(slicer.mrmlScene, scan)
    nodes = add_study(slicer.mrmlScene, study, None, volume)
    widget.panel.show_session(widget.logic.reopen())
    return nodes
