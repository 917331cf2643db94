"""The panel's Setup in the headless host. Only what Slicer itself provides to install things is a stand-in here."""

import sys
from importlib.metadata import PackageNotFoundError
from types import ModuleType, SimpleNamespace

import pytest
from panel_fixtures import need_host
from study_factory import make_scan

host = need_host()

import slicer  # noqa: E402
from host.pythonqt import ERRORS  # noqa: E402

import LungCAD as module  # noqa: E402
from LungCADLib.panel import requirements  # noqa: E402
from LungCADLib.scene.nodes import add_volume  # noqa: E402


class Machine:
    """A Slicer in which some packages are missing, and what it was told to install."""

    def __init__(self, monkeypatch, missing, slicer_5_12=True, extension=True):
        self.missing, self.asked, self.installed, self.answer = set(missing), [], [], True
        self.restarted, self.server = 0, True
        installed_version = requirements.version

        def version(name):
            if name in self.missing:
                raise PackageNotFoundError(name)
            return installed_version(name)

        monkeypatch.setattr(requirements, "version", version)
        monkeypatch.setattr(slicer.util, "restart", self._restart, raising=False)
        monkeypatch.setattr(slicer.util, "pip_install", lambda lines: self._install("pip_install", lines))
        packaging = ModuleType("slicer.packaging")
        packaging.pip_ensure = self._pip_ensure
        monkeypatch.setitem(sys.modules, "slicer.packaging", packaging if slicer_5_12 else None)
        monkeypatch.setattr(slicer, "packaging", packaging, raising=False)
        torch = ModuleType("PyTorchUtils")
        torch.PyTorchUtilsLogic = lambda: SimpleNamespace(installTorch=self._install_torch)
        monkeypatch.setitem(sys.modules, "PyTorchUtils", torch)
        if extension:
            monkeypatch.setattr(slicer.modules, "pytorchutils", SimpleNamespace(), raising=False)
        model = SimpleNamespace(installExtensionFromServer=self._install_extension)
        monkeypatch.setattr(slicer.app, "extensionsManagerModel", lambda: model, raising=False)

    def open(self):
        """The module's panel, which asks this machine's person."""
        widget = module.LungCADWidget()
        widget.panel.setup._confirm = self._ask
        return widget

    def _ask(self, question):
        self.asked.append(question)
        return self.answer

    def _restart(self):
        self.restarted += 1

    def _install(self, how, lines):
        self.installed.append((how, lines))
        self.missing -= set(map(requirements.name_of, lines))

    def _pip_ensure(self, lines, *, prompt_install, prompt_restart, requester):
        assert (prompt_install, prompt_restart, requester) == (False, False, "LungCAD"), "LungCAD has asked already"
        self._install("pip_ensure", lines)

    def _install_torch(self, *, askConfirmation, torchVersionRequirement):  # noqa: N803
        assert not askConfirmation
        self._install("PyTorchUtils", [f"torch{torchVersionRequirement}"])
        return object()

    def _install_extension(self, name, restart):
        assert not restart
        self.installed.append(("extension", name))
        return self.server


@pytest.fixture
def machine(monkeypatch):
    """Makes the machine and closes its panel."""
    host.clear()
    ERRORS.clear()
    opened = []

    def make(missing, **options):
        made = Machine(monkeypatch, missing, **options)
        widget = made.open()
        opened.append(widget)
        return made, widget.panel

    yield make
    for widget in opened:
        widget.cleanup()
        widget.parent.deleteLater()
    host.clear()
    assert not ERRORS


ALL = {"torch", "monai", "pydantic", "safetensors"}
LINES = {requirements.name_of(line): line for line in requirements.required()}


def test_where_nothing_is_missing_setup_is_not_shown(machine):
    _, panel = machine(set())
    assert not panel.ui.setupSection.visible


def test_what_is_missing_is_named_and_nothing_is_installed_unasked(machine):
    asked, panel = machine(ALL)
    assert panel.ui.setupSection.visible
    assert all(name in panel.ui.setupText.text for name in ALL)
    assert asked.installed == asked.asked == []


def test_nothing_can_be_analyzed_without_pydantic_and_the_button_says_so(machine):
    asked, panel = machine({"pydantic"})
    panel.ui.input_volume.setCurrentNode(add_volume(slicer.mrmlScene, make_scan()))
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Install pydantic first: see Setup."
    panel.ui.installButton.click()
    assert asked.installed == [("pip_ensure", [LINES["pydantic"]])]
    assert panel.ui.applyButton.enabled


def test_without_networks_a_scan_can_be_analyzed_and_setup_says_how_well(machine):
    _, panel = machine({"torch", "monai"})
    panel.ui.input_volume.setCurrentNode(add_volume(slicer.mrmlScene, make_scan()))
    assert panel.ui.applyButton.enabled
    assert "Without torch, monai: nodules are found" in panel.ui.setupText.text


def test_torch_comes_first_from_the_extension_that_knows_the_gpu_then_the_rest_by_pip(machine):
    asked, panel = machine(ALL)
    panel.ui.installButton.click()
    assert asked.installed == [
        ("PyTorchUtils", [LINES["torch"]]),
        ("pip_ensure", [LINES["pydantic"], LINES["safetensors"], LINES["monai"]]),
    ]
    (question,) = asked.asked
    assert "3 GB" in question and all(line in question for line in map(LINES.get, ALL))
    assert asked.missing == set()


def test_slicer_5_10_installs_by_its_own_pip(machine):
    asked, panel = machine({"pydantic"}, slicer_5_12=False)
    panel.ui.installButton.click()
    assert asked.installed == [("pip_install", [LINES["pydantic"]])]


def test_a_no_installs_nothing(machine):
    asked, panel = machine(ALL)
    asked.answer = False
    panel.ui.installButton.click()
    assert asked.installed == []
    assert panel.ui.setupSection.visible and panel.ui.installButton.visible


def test_packages_nobody_has_loaded_need_no_restart(machine, monkeypatch):
    for name in ALL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    asked, panel = machine({"torch", "safetensors"})
    panel.ui.installButton.click()
    assert len(asked.installed) == 2
    assert not panel.ui.setupSection.visible


def test_an_older_version_in_use_needs_a_restart(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", ModuleType("pydantic"))
    asked, panel = machine({"pydantic"})
    panel.ui.installButton.click()
    assert panel.ui.setupSection.visible and not panel.ui.installButton.visible
    assert panel.ui.restartButton.visible and "Restart" in panel.ui.setupText.text
    panel.ui.restartButton.click()
    assert asked.restarted == 1


def test_the_pytorch_extension_is_offered_and_what_needs_it_waits_for_the_restart(machine):
    asked, panel = machine(ALL, extension=False)
    panel.ui.installButton.click()
    first, second = asked.asked
    assert "extension" in first and "GPU" in first
    assert "torch" not in second and "monai" not in second
    assert asked.installed == [
        ("extension", "PyTorch"),
        ("pip_ensure", [LINES["pydantic"], LINES["safetensors"]]),
    ]
    assert panel.ui.restartButton.visible
    assert "torch, monai" in panel.ui.setupText.text, "the rest comes after the restart"


def test_who_does_not_want_pytorch_still_gets_what_works_without(machine, monkeypatch):
    for name in ALL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    asked, panel = machine(ALL, extension=False)
    panel.setup._confirm = lambda question: "extension" not in question
    panel.ui.installButton.click()
    assert asked.installed == [("pip_ensure", [LINES["pydantic"], LINES["safetensors"]])]
    assert not panel.ui.restartButton.visible


def test_an_extension_that_cannot_be_fetched_is_one_error_that_says_what_to_do(machine):
    asked, panel = machine({"torch"}, extension=False)
    asked.server = False
    panel.ui.installButton.click()
    assert ["Extensions Manager" in str(error) for error in ERRORS] == [True]
    ERRORS.clear()
    assert panel.ui.installButton.visible and not panel.ui.restartButton.visible


def test_what_pip_says_when_it_fails_is_shown_and_the_panel_stays_usable(machine, monkeypatch):
    _, panel = machine({"pydantic"})

    def fail(*_, **__):
        raise RuntimeError("no network")

    monkeypatch.setattr(slicer.packaging, "pip_ensure", fail)
    panel.ui.installButton.click()
    assert [str(error) for error in ERRORS] == ["no network"]
    ERRORS.clear()
    assert panel.ui.installButton.visible and "pydantic" in panel.ui.setupText.text
