"""`slicer` as the application shows it: scene, logics, `slicer.app`, scripted modules; and `qt` and `ctk` beside it."""

# ruff: noqa: N802, N815  Qt's and Slicer's own names.

import os
import sys
import types
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from host import pythonqt, widgets
from host.pythonqt import STAND_INS, Module, define, define_qt, unwrap, wrap
from LungCADLib.scene.host import SceneHost

MODULE = Path(__file__).resolve().parents[2] / "LungCAD" / "LungCAD.py"


class UiLoader:
    """`qt.QUiLoader`, which alone knows the custom widgets and connects what the `.ui` connects."""

    def load(self, file: Any) -> Any:
        tree = ET.parse(file.path)
        connections = tree.find("connections")
        wanted = [] if connections is None else [[part.text for part in c][:4] for c in connections]
        if connections is not None:
            tree.getroot().remove(connections)
        loader = QtUiTools.QUiLoader()
        for custom in (*widgets.CTK, *widgets.SLICER):
            loader.registerCustomWidget(custom)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(tree.getroot()))
        top = loader.load(buffer)
        if top is None:
            raise RuntimeError(f"{file.path}: {loader.errorString()}")
        objects = {w.objectName(): wrap(w) for w in (top, *top.findChildren(QtCore.QObject))}
        for sender, signal, receiver, slot in wanted:
            objects[sender].connect(signal, getattr(objects[receiver], slot.split("(")[0]))
        return wrap(top)


class _File:
    """`qt.QFile` as `slicer.util.loadUI` uses it."""

    ReadOnly = 1

    def __init__(self, path: Any) -> None:
        self.path = str(path)

    def exists(self) -> bool:
        return Path(self.path).exists()

    def open(self, mode: int) -> bool:
        return self.exists()


class _Application:
    """`slicer.app`; dialogs answer by themselves, as with Slicer's --testing."""

    applicationName = "Slicer"
    majorVersion, minorVersion = 5, 12

    def __init__(self, qt_application: Any, logic: Any) -> None:
        self._qt, self._logic = qt_application, logic

    def testingEnabled(self) -> bool:
        return True

    def processEvents(self) -> None:
        self._qt.processEvents()

    def topLevelWidgets(self) -> list[Any]:
        return wrap(self._qt.topLevelWidgets())

    def setOverrideCursor(self, cursor: Any) -> None:
        self._qt.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        self._qt.restoreOverrideCursor()

    def applicationLogic(self) -> Any:
        return self._logic

    def moduleManager(self) -> Any:
        return types.SimpleNamespace(connect=lambda *_: True, disconnect=lambda *_: True)

    def coreIOManager(self) -> Any:
        def save(kind: str, properties: dict[str, Any], messages: Any) -> bool:
            import vtk

            image = vtk.vtkImageData()
            image.SetDimensions(8, 8, 1)
            image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
            return kind == "SceneFile" and slicer.mrmlScene.WriteToMRB(properties["fileName"], image, messages)

        return types.SimpleNamespace(saveNodes=save)

    def connect(self, signature: str, slot: Any) -> bool:
        if signature != "startupCompleted()":
            raise ValueError(f"slicer.app has no signal {signature} in this host")
        self.startup = slot
        return True


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        self.parent = parent or STAND_INS["slicer"]["qMRMLWidget"]()
        if parent is None:
            self.parent.setLayout(STAND_INS["qt"]["QVBoxLayout"]())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()

    def setup(self) -> None:
        """The developer's section is not shown here."""

    def onReload(self) -> None:
        pass


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    messageDelay = 0

    def delayDisplay(self, message: str, msec: int = 0, **_: Any) -> None:
        slicer.app.processEvents()

    def runTest(self) -> None:
        pass


class Host:
    """The application, once per process: `scene` is `slicer.mrmlScene`, emptied by `clear` between tests."""

    _only: "Host | None" = None

    @classmethod
    def get(cls) -> "Host":
        cls._only = cls._only or cls()
        return cls._only

    def __init__(self) -> None:
        self.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        self.application.setStyle("Fusion")
        self.application.setApplicationName("LungCAD host")
        define_qt()
        for qt_class in widgets.CTK:
            define("ctk", qt_class.__name__, qt_class)
        for qt_class in widgets.SLICER:
            setattr(slicer, qt_class.__name__, define("slicer", qt_class.__name__, qt_class))
        self._scene = SceneHost()
        self.scene = self._scene.scene
        # As the Colors module does at its start.
        self.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        self._modules()
        self._views()

    def clear(self) -> None:
        """Close the scene, as the application's File menu does; the views stay."""
        self.scene.Clear(False)
        self.process(3)

    def process(self, times: int = 1) -> None:
        for _ in range(times):
            self.application.processEvents()

    def open(self, path: Path) -> None:
        """Open a scene bundle in place of what is there."""
        self.scene.Clear(False)
        messages = slicer.vtkMRMLMessageCollection()
        if not self.scene.ReadFromMRB(str(path), False, messages):
            raise OSError(messages.GetAllMessagesAsString())
        self.process(3)

    def palette(self, dark: bool) -> None:
        """Slicer's light or dark style."""
        self.application.styleHints().setColorScheme(
            QtCore.Qt.ColorScheme.Dark if dark else QtCore.Qt.ColorScheme.Light
        )
        palette = self.application.style().standardPalette() if not dark else _dark()
        self.application.setPalette(palette)
        self.process()

    def fit(self, widget: Any, width: int) -> None:
        """Make a widget as wide as said and as high as it then wants to be."""
        self.process(3)
        qt_widget = unwrap(widget)
        layout = qt_widget.layout()
        height = layout.heightForWidth(width) if layout.hasHeightForWidth() else layout.sizeHint().height()
        qt_widget.resize(width, max(height, layout.minimumSize().height()))
        self.process(3)

    def screenshot(self, widget: Any, path: Path) -> None:
        self.process(3)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not unwrap(widget).grab().save(str(path)):
            raise OSError(path)

    def _modules(self) -> None:
        qt, ctk = Module("qt"), Module("ctk")
        vars(qt).update(STAND_INS["qt"], Qt=QtCore.Qt, QFile=_File, QUiLoader=UiLoader)
        vars(ctk).update(STAND_INS["ctk"])
        i18n, scripted, wrapper = (
            types.ModuleType(f"slicer.{name}") for name in ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper")
        )
        i18n.tr, i18n.translate = (lambda text: text), (lambda context, text: text)
        scripted.__all__ = []
        for cls in (
            ScriptedLoadableModule,
            ScriptedLoadableModuleWidget,
            ScriptedLoadableModuleLogic,
            ScriptedLoadableModuleTest,
        ):
            setattr(scripted, cls.__name__, cls)
            scripted.__all__.append(cls.__name__)
        sys.modules.update(
            {
                "qt": qt,
                "ctk": ctk,
                "slicer.i18n": i18n,
                "slicer.ScriptedLoadableModule": scripted,
                "slicer.parameterNodeWrapper": wrapper,
            }
        )
        slicer.i18n, slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper = i18n, scripted, wrapper
        from host import parameter_node

        for name in ("parameterNodeWrapper", "WithinRange", "GuiConnector"):
            setattr(wrapper, name, getattr(parameter_node, name))
        slicer.mrmlScene = self.scene
        logics = {type(logic).__name__: logic for logic in self._scene._logics}
        slicer.app = _Application(self.application, logics["vtkSlicerApplicationLogic"])
        slicer.modules = types.SimpleNamespace(
            markups=types.SimpleNamespace(logic=lambda: logics["vtkSlicerMarkupsLogic"]),
            lungcad=types.SimpleNamespace(path=str(MODULE)),
        )

    def _views(self) -> None:
        for name in ("Red", "Yellow", "Green"):
            for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
                node = self.scene.CreateNodeByClass(kind)
                node.UnRegister(None)
                node.SetSingletonTag(name)
                node.SetName(name)
                node.SetLayoutName(name)
                added = self.scene.AddNode(node)
                if kind == "vtkMRMLSliceNode":
                    added.SetOrientation({"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}[name])
                    added.SetDimensions(600, 400, 1)


def _dark() -> Any:
    palette = QtGui.QPalette()
    role = QtGui.QPalette.ColorRole
    colors = {
        role.Window: "#353535",
        role.WindowText: "#f0f0f0",
        role.Base: "#232323",
        role.AlternateBase: "#2d2d2d",
        role.Text: "#f0f0f0",
        role.Button: "#353535",
        role.ButtonText: "#f0f0f0",
        role.Highlight: "#2a82da",
        role.HighlightedText: "#ffffff",
        role.ToolTipBase: "#232323",
        role.ToolTipText: "#f0f0f0",
        role.Link: "#6fb3ff",
        role.PlaceholderText: "#9a9a9a",
    }
    for which, color in colors.items():
        palette.setColor(which, QtGui.QColor(color))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, which, QtGui.QColor("#808080"))
    return palette


assert pythonqt
