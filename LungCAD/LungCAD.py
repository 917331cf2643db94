"""The Slicer module: connects the panel to LungCADLib, and nothing else."""

import sys
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# In a source checkout the library lies beside this module's folder; built and installed, beside this file.
if not (Path(__file__).parent / "LungCADLib").exists():
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


class LungCAD(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("LungCAD")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["LungCAD developers"]
        parent.helpText = _(
            "Finds, outlines, measures and rates lung nodules in a chest CT. For research; not a medical device."
        )
        parent.acknowledgementText = _(
            "Built on 3D Slicer, MONAI and SimpleITK; trained and tested on LIDC-IDRI and LUNA16 (CC BY)."
        )
        from LungCADLib.resources import resource

        parent.icon = qt.QIcon(str(resource("Icons", "LungCAD.png")))


class LungCADWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel, and the scene's events for it."""

    def __init__(self, parent=None):
        VTKObservationMixin.__init__(self)
        self.logic = self.panel = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from LungCADLib.panel.panel import Panel
        from LungCADLib.resources import resource

        self.logic = LungCADLogic()
        self.widget = slicer.util.loadUI(str(resource("UI", "LungCAD.ui")))
        self.layout.addWidget(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.panel = Panel(self.widget, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.bind()
        self.panel.reopen_quietly()

    def bind(self):
        """Follow the parameters of the scene that is there now."""
        self.parameters = self.logic.getParameterNode()
        self.panel.bind(self.parameters)
        self.addObserver(self.parameters.parameterNode, "ModifiedEvent", self.onParametersModified)

    def enter(self):
        if self.panel is not None:
            self.panel.refresh()

    def cleanup(self):
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def onReload(self):
        """Forget the library too, so that Reload takes what was edited."""
        for name in [name for name in sys.modules if name.split(".")[0] == "LungCADLib"]:
            del sys.modules[name]
        super().onReload()

    def onParametersModified(self, caller=None, event=None):
        self.panel.refresh()

    def onSceneStartClose(self, caller=None, event=None):
        self.removeObservers(self.onParametersModified)
        self.panel.scene_closing()

    def onSceneEndClose(self, caller=None, event=None):
        self.bind()

    def onSceneEndImport(self, caller=None, event=None):
        self.removeObservers(self.onParametersModified)
        self.bind()
        self.panel.reopen_quietly()


class LungCADLogic(ScriptedLoadableModuleLogic):
    """What the panel can do, without the panel."""

    def getParameterNode(self):
        from LungCADLib.panel.parameters import Parameters

        return Parameters(super().getParameterNode())

    def start(self, parameters):
        """Start an analysis of the parameters' volume; call `tick` of what this returns until it ends."""
        from LungCADLib.panel.parameters import settings_of
        from LungCADLib.panel.run import Run

        return Run(parameters.input_volume, settings_of(parameters))

    def open(self, nodes, study):
        """A session of a person on a study that is in the scene."""
        from LungCADLib.panel.session import Session

        return Session(nodes, study, slicer.app.applicationLogic().GetUserInformation().GetName() or "reader")

    def has_results(self):
        """Whether the scene holds results."""
        from LungCADLib.scene.update import study_nodes

        return study_nodes(slicer.mrmlScene) is not None

    def reopen(self):
        """The session of the results that the scene holds."""
        from LungCADLib.scene import read_study
        from LungCADLib.scene.update import study_nodes

        return self.open(study_nodes(slicer.mrmlScene), read_study(slicer.mrmlScene))


class LungCADTest(ScriptedLoadableModuleTest):
    """Run by Slicer: `Slicer --testing`, and Reload and Test. The tests are in Testing/Python of the sources."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_panel_opens()
        self.test_results_in_the_scene_are_shown()

    def test_panel_opens(self):
        widget = slicer.util.getModuleWidget("LungCAD")
        self.assertFalse(widget.panel.ui.applyButton.enabled)

    def test_results_in_the_scene_are_shown(self):
        """Added below, with the phantom."""
