"""Every name of `slicer`, `qt` and `ctk`, and of every widget, that the module uses exists in Slicer 5.10 and 5.12."""

import ast
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for folder in ("LungCAD", "LungCADLib/panel", "LungCADLib/scene") for path in (ROOT / folder).rglob("*.py")
)
UI = ET.parse(ROOT / "Resources/UI/LungCAD.ui")
API = json.loads((ROOT / "Testing/host/slicer-api.json").read_text(encoding="utf-8"))

# Where Slicer's own sources have a name that the dump of its widgets cannot list: file, and line in 5.10 and in 5.12
# (commits 66f3d12281 and 9034c71a8f). A 0 says that it is not there, and the code that uses it must cope.
_UTIL = "Base/Python/slicer/util.py"
_SCRIPTED = "Base/Python/slicer/ScriptedLoadableModule.py"
_WRAPPER = "Base/Python/slicer/parameterNodeWrapper"
SOURCES: dict[str, tuple[str, int, int]] = {
    "slicer.util.tryWithErrorDisplay": (_UTIL, 3368, 3548),
    "slicer.util.getNodesByClass": (_UTIL, 1619, 1799),
    "slicer.util.startupEnvironment": (_UTIL, 98, 269),
    "slicer.util.saveScene": (_UTIL, 1148, 1328),
    "slicer.util.restart": (_UTIL, 56, 227),
    "slicer.util.pip_install": (_UTIL, 3991, 4326),
    "slicer.util.mainWindow": (_UTIL, 236, 407),
    "slicer.util.loadUI": (_UTIL, 342, 522),
    "slicer.util.getModuleWidget": (_UTIL, 1313, 1493),
    "slicer.util.confirmOkCancelDisplay": (_UTIL, 3081, 3261),
    "slicer.util.childWidgetVariables": (_UTIL, 376, 556),
    "slicer.util.NodeModify": (_UTIL, 1656, 1836),
    "slicer.util.VTKObservationMixin": (_UTIL, 2873, 3053),
    "slicer.i18n.translate": ("Base/Python/slicer/i18n.py", 9, 9),
    "slicer.i18n.tr": ("Base/Python/slicer/i18n.py", 52, 54),
    "slicer.ScriptedLoadableModule.ScriptedLoadableModule": (_SCRIPTED, 17, 17),
    "slicer.ScriptedLoadableModule.ScriptedLoadableModuleWidget": (_SCRIPTED, 88, 88),
    "slicer.ScriptedLoadableModule.ScriptedLoadableModuleLogic": (_SCRIPTED, 296, 296),
    "slicer.ScriptedLoadableModule.ScriptedLoadableModuleTest": (_SCRIPTED, 367, 367),
    "slicer.parameterNodeWrapper.parameterNodeWrapper": (f"{_WRAPPER}/wrapper.py", 362, 367),
    "slicer.parameterNodeWrapper.GuiConnector": (f"{_WRAPPER}/guiConnectors.py", 53, 53),
    "slicer.parameterNodeWrapper.WithinRange": (f"{_WRAPPER}/validators.py", 83, 83),
    "slicer.packaging.pip_ensure": ("Base/Python/slicer/packaging.py", 0, 329),
    "slicer.app.extensionsManagerModel": ("Base/QTCore/qSlicerCoreApplication.h", 361, 361),
    "slicer.app.applicationLogic": ("Base/QTCore/qSlicerCoreApplication.h", 231, 231),
}
# The application's own objects: `slicer.mrmlScene` and `slicer.modules` (Base/QTCore/qSlicerCoreApplication.cxx), and
# the modules that `slicer` contains.
OBJECTS = {"slicer.app", "slicer.mrmlScene", "slicer.modules", "slicer.modules.pytorchutils"}
MODULES = {name.rpartition(".")[0] for name in SOURCES if name.count(".") > 1} - {"slicer.app"}
# Qt's enums are not in the dump; these ran in the application or stand in Qt 5.15's and Qt 6's qnamespace.h.
ENUMS = {"qt.Qt.UserRole", "qt.Qt.DisplayRole", "qt.Qt.ToolTipRole", "qt.Qt.AlignRight", "qt.Qt.AlignVCenter"}


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` of an attribute node; None where its root is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := dotted(node.value)):
        return f"{inner}.{node.attr}"
    return None


def used_names(path: Path) -> set[str]:
    """The full names of `slicer`, `qt` and `ctk` in a file, each at its longest."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node not in inner:
            full = dotted(node)
            if full and full.split(".")[0] in ("slicer", "qt", "ctk"):
                names.add(full)
                inner.update(ast.walk(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("slicer", "qt", "ctk"):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


USED = sorted({name for path in FILES for name in used_names(path)})


def of_class(name: str, kinds=("properties", "signals", "methods")) -> set[str]:
    widget = set().union(*(API["qt.QWidget"][kind] for kind in kinds))
    return set().union(*(API[name][kind] for kind in kinds)) | widget


def exists(name: str) -> bool:
    if name in SOURCES or name in OBJECTS or name in MODULES or name in ENUMS:
        return True
    module, _, rest = name.partition(".")
    cls, _, member = rest.partition(".")
    if cls == "app":  # a QApplication with methods of its own
        return member in API["qt.QApplication"]["methods"] + API["qt.QObject"]["methods"]
    if f"{module}.{cls}" in API:
        return not member or member in API[f"{module}.{cls}"]["methods"]
    if name.startswith("slicer.mrmlScene."):
        cls, member = "vtkMRMLScene", name.removeprefix("slicer.mrmlScene.")
    if cls.startswith("vtk"):
        slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
        return hasattr(slicer, cls) and (not member or hasattr(getattr(slicer, cls), member))
    return False


@pytest.mark.parametrize("name", USED)
def test_a_name_exists_in_slicer(name):
    assert exists(name), f"{name} is neither in slicer-api.json nor in the table of Slicer's sources"


PYTHONS_OWN = {"TemporaryDirectory", "Popen", "Placement", "FreeGpuMemory", "SampleDataLogic", "NodeModify"}
"""Names in Slicer's manner that are none of its methods: Python's, LungCAD's, and two that are written in Python."""


def test_every_method_in_slicers_manner_is_one_of_its_classes():
    """`node.GetNthControlPointLabel` and the like, whose objects no static check can tell the class of."""
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    import vtk

    classes = [getattr(module, name, None) for module in (slicer, vtk) for name in dir(module)]
    known = {member for cls in classes if isinstance(cls, type) for member in dir(cls)}
    used = {
        node.attr: path.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and re.fullmatch(r"[A-Z][a-z]+[A-Z]\w*", node.attr)
    }
    assert len(used) > 80
    roles = {name.rpartition(".")[2] for name in ENUMS}
    assert {name: file for name, file in used.items() if name not in known | PYTHONS_OWN | roles} == {}


def test_the_table_of_sources_has_nothing_that_nobody_uses():
    assert not SOURCES.keys() - set(USED)


def test_a_name_that_is_only_in_5_12_is_guarded():
    for name, (_, old, _new) in SOURCES.items():
        if old == 0:
            module, _, member = name.rpartition(".")
            text = "".join(path.read_text(encoding="utf-8") for path in FILES)
            assert re.search(rf"try:\n\s+from {re.escape(module)} import {member}\n\s+except ImportError", text), name


def ui_classes() -> dict[str, str]:
    """Widget names of the `.ui` with their classes as the API lists them."""
    modules = {"Q": "qt", "c": "ctk", "q": "slicer"}
    return {w.get("name"): f"{modules[w.get('class')[0]]}.{w.get('class')}" for w in UI.iter("widget")}


def widget_uses() -> list[tuple[str, str, str | None]]:
    """Each `ui.name.member` in the panel: name, member, and the signature where a signal is connected."""
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            full = dotted(node) if isinstance(node, ast.Attribute) else None
            match = re.fullmatch(r"(?:self\.)?_?ui\.(\w+)\.(\w+)", full or "")
            if match:
                found.append((match[1], match[2], None))
            if isinstance(node, ast.Call) and (
                call := re.fullmatch(r"(?:self\.)?_?ui\.(\w+)\.connect", dotted(node.func) or "")
            ):
                found.append((call[1], "connect", node.args[0].value))
    return found


def test_the_panel_uses_widgets_of_the_ui_by_members_that_slicer_has():
    classes = ui_classes()
    uses = widget_uses()
    assert len(uses) > 40
    for name, member, signature in uses:
        assert name in classes, f"LungCAD.ui has no widget {name}"
        assert member in of_class(classes[name]), f"{classes[name]} has no {member}"
        if signature:
            assert signature.partition("(")[0] in of_class(classes[name], ("signals",)), (name, signature)


def test_the_ui_sets_properties_that_the_classes_have():
    classes = ui_classes()
    for widget in UI.iter("widget"):
        cls = classes[widget.get("name")]
        for entry in widget.findall("property"):
            if entry.get("stdset") != "0":
                assert entry.get("name") in of_class(cls, ("properties",)), f"{cls} has no {entry.get('name')}"


def test_the_ui_binds_parameters_that_there_are():
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials or a system library it needs is missing")
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from host import Host

    Host.get()
    from LungCADLib.panel.parameters import Parameters

    bound = {p.find("string").text for p in UI.iter("property") if p.get("name") == "SlicerParameterName"}
    assert bound
    assert bound <= set(Parameters.__annotations__)


def test_what_qt_6_dropped_is_not_used():
    gone = re.compile(r"\b(QTextCodec|QRegExp|setPaperSize|QDesktopWidget|setMargin)\b")
    assert not [path.name for path in FILES if gone.search(path.read_text(encoding="utf-8"))]
