"""The Slicer module: connects the panel to LungCADLib, and nothing else."""

import sys
import time
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
        parent.contributors = ["LungCAD contributors"]
        parent.helpText = _(
            "Finds, outlines, measures and rates lung nodules in a chest CT. For research; not a medical device."
        )
        parent.acknowledgementText = _(
            "Built on 3D Slicer, MONAI and SimpleITK; trained and tested on LIDC-IDRI and LUNA16 (CC BY)."
        )
        from LungCADLib.resources import resource

        parent.icon = qt.QIcon(str(resource("Icons", "LungCAD.png")))
        slicer.app.connect("startupCompleted()", register_sample_data)


SAMPLE_SHA256 = "e3c02fc5442b75ebd2f48d868a6f588ce54330e9440e599266de38516a6da722"
"""Of the phantom that `LungCADLib.phantom.bundled` makes; here too, so that Slicer starts without importing that."""


def register_sample_data():
    """Offer the phantom, which comes with the extension, in Slicer's Sample Data module."""
    import SampleData

    from LungCADLib.resources import resource

    path = resource("SampleData", "LungCADPhantom.nrrd")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="LungCAD",
        sampleName="LungCADPhantom",
        uris=path.as_uri(),
        fileNames=path.name,
        nodeNames="LungCADPhantom",
        checksums=f"SHA256:{SAMPLE_SHA256}",
        loadFileType="VolumeFile",
        thumbnailFileName=str(resource("SampleData", "LungCADPhantom.png")),
    )


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

    def studies(self):
        """The results that the scene holds, the newest first."""
        from LungCADLib.scene.update import studies

        return studies(slicer.mrmlScene)[::-1]

    def reopen(self, nodes=None):
        """The session of results that the scene holds, the newest if nobody says which."""
        from LungCADLib.scene.nodes import study_of

        nodes = nodes or self.studies()[0]
        return self.open(nodes, study_of(nodes.text))


class LungCADTest(ScriptedLoadableModuleTest):
    """What ctest and "Reload and Test" run inside Slicer; the finer tests run without it, in Testing of the sources."""

    SECONDS = 600

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.panel = slicer.util.getModuleWidget("LungCAD").panel

    def runTest(self):
        for test in (
            self.test_panel_opens,
            self.test_what_is_no_ct_is_refused,
            self.test_engines_are_offered,
            self.test_whole_road,
        ):
            self.setUp()
            test()
        slicer.mrmlScene.Clear()

    def test_panel_opens(self):
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertTrue(self.panel.ui.applyButton.toolTip)

    def test_what_is_no_ct_is_refused(self):
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        self.panel.ui.input_volume.setCurrentNode(volume)
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertTrue(self.panel.ui.inputMessage.text)

    def test_engines_are_offered(self):
        from LungCADLib import malignancy

        box = self.panel.ui.malignancy
        self.panel.ui.advancedBox.checked = True
        self.assertEqual({box.itemData(i) for i in range(box.count)}, set(malignancy.ENGINES))
        self.panel.ui.advancedBox.checked = False

    def test_whole_road(self):
        """The phantom through the other process into the scene, then a verdict, with networks where PyTorch is there.

        Where even pydantic is missing nothing can be analyzed, and the button must say so.
        """
        from LungCADLib.engines import networks_can_run
        from LungCADLib.phantom import small_phantom
        from LungCADLib.scene.nodes import add_volume

        ui = self.panel.ui
        ui.input_volume.setCurrentNode(add_volume(slicer.mrmlScene, small_phantom(0).scan))
        if self.panel.setup.blocking:
            self.assertFalse(ui.applyButton.enabled)
            self.assertIn(self.panel.setup.blocking[0], ui.applyButton.toolTip)
            self.delayDisplay(f"The road was not tested: {', '.join(self.panel.setup.blocking)} is not installed")
            return
        ui.applyButton.click()
        self.wait(lambda: self.panel.run is None)
        self.assertEqual(ui.runMessage.text, "")
        self.assertGreater(ui.noduleTable.rowCount, 3)
        ui.noduleTable.selectRow(0)
        session = self.panel.results.session
        self.assertEqual(session.study.provenance.settings.detector, "network" if networks_can_run() else "blobs")
        ui.rejectButton.click()
        self.assertEqual([change.action for change in session.study.changes], ["rejected"])
        ui.undoButton.click()
        self.assertEqual(len(session.study.counted), ui.noduleTable.rowCount)

    def wait(self, condition):
        """Let the application run until something is so."""
        end = time.monotonic() + self.SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end)
            slicer.app.processEvents()
            time.sleep(0.02)
