"""Inside Slicer: a study of the phantom's true nodules into the scene and the panel, and back. Needs no network."""

import unittest
from importlib.util import find_spec

import numpy as np
import slicer


def phantom_study():
    """A phantom's scan, and a study that measured its true nodules; without pydantic it cannot become JSON."""
    from LungCADLib import __version__, guidelines
    from LungCADLib.malignancy import rater
    from LungCADLib.masks import LungLabel, Lungs
    from LungCADLib.nodules import measure_nodule
    from LungCADLib.phantom import small_phantom
    from LungCADLib.settings import Settings
    from LungCADLib.study import LungsInfo, LungVerdict, Provenance, ScanInfo, Study

    phantom, settings = small_phantom(0), Settings(detector="blobs", outliner="classical")
    scan, masks = phantom.scan, phantom.masks
    grid = scan.geometry
    volumes = [float((masks.lungs == label).sum() * grid.voxel_mm3 / 1000) for label in LungLabel if label]
    info = LungsInfo("truth", LungVerdict("ok"), volumes[0] + volumes[1], *volumes)
    lungs = Lungs(masks.lungs, (masks.lungs == LungLabel.RIGHT) | (masks.lungs == LungLabel.LEFT), info)
    nodules = []
    for id_, mask in masks.nodules.items():
        nodule = measure_nodule(scan, lungs, mask, id=id_, score=1.0)
        nodule.suspicion = rater(settings.malignancy)(nodule, scan, mask)
        nodule.opinions = [nodule.suspicion]
        nodules.append(nodule)
    direction = tuple(np.ravel(grid.direction).tolist())
    study = Study(
        scan=ScanInfo(scan.header, grid.shape, grid.spacing, grid.origin, direction),
        lungs=info,
        nodules=nodules,
        exam=guidelines.assess(nodules, settings.patient, lungs_evaluable=True),
        warnings=[],
        timing_s={},
        provenance=Provenance(__version__, "2026-01-01T00:00:00+00:00", {}, {}, settings, "cpu"),
    )
    study.masks = masks
    return scan, study


class LungCADSceneTest(unittest.TestCase):
    """Nodes without any package that Slicer does not bring; the study itself and its review where pydantic is there."""

    @classmethod
    def setUpClass(cls):
        cls.scan, cls.study = phantom_study()

    def setUp(self):
        slicer.mrmlScene.Clear()

    def tearDown(self):
        slicer.mrmlScene.Clear()

    def needs_pydantic(self):
        if find_spec("pydantic") is None:
            self.skipTest("pydantic is not installed in this Slicer: Setup of the module LungCAD installs it")

    def test_table_points_and_segments(self):
        from LungCADLib.columns import COLUMNS
        from LungCADLib.scene.nodes import add_volume, fill_centers, fill_segmentation, fill_table
        from LungCADLib.segments import segments

        scene = slicer.mrmlScene
        volume = add_volume(scene, self.scan)
        self.assertEqual(slicer.util.arrayFromVolume(volume).shape, self.scan.hu.shape)
        table = scene.AddNewNodeByClass("vtkMRMLTableNode")
        fill_table(table, self.study.nodules)
        self.assertEqual(table.GetNumberOfRows(), len(self.study.nodules))
        self.assertEqual(table.GetNumberOfColumns(), len(COLUMNS))
        points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        points.CreateDefaultDisplayNodes()
        fill_centers(points, self.study.nodules)
        self.assertEqual(points.GetNthControlPointLabel(0), self.study.nodules[0].id)
        segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentation.CreateDefaultDisplayNodes()
        fill_segmentation(segmentation, *segments(self.study), self.scan.geometry)
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 3 + len(self.study.nodules))

    def test_a_study_comes_back_from_the_scene(self):
        self.needs_pydantic()
        from LungCADLib.scene.nodes import add_study, read_study

        add_study(slicer.mrmlScene, self.study, self.scan)
        read = read_study(slicer.mrmlScene)
        self.assertEqual(read, self.study)
        self.assertTrue(np.array_equal(read.masks.lungs, self.study.masks.lungs))
        for id_, mask in self.study.masks.nodules.items():
            self.assertEqual(read.masks.nodules[id_].mask.sum(), mask.mask.sum())

    def test_the_panel_shows_it_and_takes_a_verdict(self):
        self.needs_pydantic()
        from LungCADLib.scene.nodes import add_study

        add_study(slicer.mrmlScene, self.study, self.scan)
        panel = slicer.util.getModuleWidget("LungCAD").panel
        panel.reopen_quietly()
        ui, before = panel.ui, panel.results.session.study.exam.lung_rads.category
        self.assertEqual(ui.noduleTable.rowCount, len(self.study.nodules))
        for _ in self.study.nodules:
            ui.noduleTable.selectRow(0)
            self.assertTrue(ui.detailsText.plainText)
            panel.results.choose(next(n.id for n in panel.results.session.study.nodules if n.status == "found"))
            ui.rejectButton.click()
        self.assertEqual(panel.results.session.study.exam.lung_rads.category, "1")
        for _ in self.study.nodules:
            ui.undoButton.click()
        self.assertEqual(panel.results.session.study.exam.lung_rads.category, before)
        self.assertEqual(len(panel.results.session.study.counted), len(self.study.nodules))


if __name__ == "__main__":
    unittest.main()
