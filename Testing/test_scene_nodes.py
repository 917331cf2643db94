"""A study as MRML nodes: into a scene, into a bundle, and out again with the same numbers."""

import builtins
import math
import subprocess
import sys
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
from study_factory import OBLIQUE, geometry, make_scan, make_study
from test_report_segmentation import full_masks, voxels_in_ras

from LungCADLib.columns import COLUMNS, rows
from LungCADLib.errors import InputError
from LungCADLib.scene import SceneUnavailable, add_study, read_study, write_scene
from LungCADLib.study import Study

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

from LungCADLib.scene.host import SceneHost  # noqa: E402


@pytest.fixture(scope="module", params=[None, OBLIQUE], ids=["straight", "oblique"])
def case(request, tmp_path_factory):
    """A scan, its study, and a scene that read the bundle written of them."""
    scan = make_scan(geometry(direction=request.param))
    study = make_study(scan)
    path = tmp_path_factory.mktemp("bundle") / "scene.mrb"
    write_scene(study, scan, path)
    with SceneHost() as host:
        messages = slicer.vtkMRMLMessageCollection()
        assert host.scene.ReadFromMRB(str(path), False, messages), messages.GetAllMessagesAsString()
        yield scan, study, host.scene, path


def only(scene, kind: str):
    assert scene.GetNumberOfNodesByClass(kind) == 1
    return scene.GetNthNodeByClass(0, kind)


def test_the_ct_comes_back_voxel_by_voxel_in_its_place(case):
    scan, _, scene, _ = case
    volume = only(scene, "vtkMRMLScalarVolumeNode")
    assert (slicer.util.arrayFromVolume(volume) == scan.hu).all()
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    for index in [(0, 0, 0), (39, 0, 5), (3, 17, 60)]:
        ras = matrix.MultiplyPoint((*index[::-1], 1.0))[:3]
        assert ras == pytest.approx(scan.geometry.to_lps(index) * (-1, -1, 1), abs=1e-4)


def test_the_ct_opens_in_the_lung_window(case):
    display = only(case[2], "vtkMRMLScalarVolumeNode").GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (1500, -600)


def test_one_segmentation_holds_every_outline_where_it_belongs(case):
    scan, study, scene, _ = case
    segmentation = only(scene, "vtkMRMLSegmentationNode").GetSegmentation()
    expected = full_masks(study)
    names = [segmentation.GetSegment(id_).GetName() for id_ in segmentation.GetSegmentIDs()]
    assert names == list(expected)
    for id_ in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(id_)
        lps = scan.geometry.to_lps(np.argwhere(expected[segment.GetName()]))
        np.testing.assert_allclose(voxels_in_ras(segment), lps * (-1, -1, 1), atol=1e-4)


def test_segments_keep_their_codes(case):
    from vtkmodules.vtkCommonCore import reference

    segmentation = only(case[2], "vtkMRMLSegmentationNode").GetSegmentation()
    entry = reference("")
    segmentation.GetSegment("nodule_L2").GetTag("TerminologyEntry", entry)
    assert "~SCT^27925004^Nodule~" in entry.get()
    assert entry.get().endswith("~SCT^39607008^Lung~SCT^7771000^Left")


def test_the_segmentation_refers_to_the_cts_geometry(case):
    scan, _, scene, _ = case
    node = only(scene, "vtkMRMLSegmentationNode")
    volume = only(scene, "vtkMRMLScalarVolumeNode")
    assert node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()) == volume.GetID()
    z, y, x = scan.hu.shape
    parameter = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    assert parameter.endswith(f"0;{x - 1};0;{y - 1};0;{z - 1};")


def test_the_table_has_the_same_cells_with_units_and_descriptions(case):
    _, study, scene, _ = case
    node = only(scene, "vtkMRMLTableNode")
    table = node.GetTable()
    assert table.GetNumberOfRows() == len(study.nodules)
    assert [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())] == [column.name for column in COLUMNS]
    for row, cells in enumerate(rows(study.nodules)):
        for column, cell in zip(COLUMNS, cells, strict=True):
            found = table.GetValueByName(row, column.name)
            if column.kind is float:
                expected = math.nan if cell is None else cell
                assert found.ToDouble() == pytest.approx(expected, rel=1e-5, nan_ok=True), column.name
            else:
                expected = {True: "yes", False: "no", None: ""}.get(cell, cell)
                assert found.ToString() == expected.replace('"', "'"), column.name
    assert node.GetColumnUnitLabel("volume_mm3") == "mm3"
    for column in COLUMNS:
        assert node.GetColumnUnitLabel(column.name) == column.unit
        assert node.GetColumnDescription(column.name) == column.description


def test_points_mark_the_centers_in_ras_by_lesion_id(case):
    _, study, scene, _ = case
    points = only(scene, "vtkMRMLMarkupsFiducialNode")
    assert points.GetNumberOfControlPoints() == len(study.nodules)
    for index, nodule in enumerate(study.nodules):
        x, y, z = nodule.center_lps_mm
        assert points.GetNthControlPointPositionWorld(index) == pytest.approx((-x, -y, z), abs=1e-3)
        assert points.GetNthControlPointLabel(index) == nodule.id
        assert points.GetNthControlPointDescription(index) == nodule.location.description


def test_the_study_comes_back_equal_with_its_masks(case):
    _, study, scene, _ = case
    back = read_study(scene)
    assert back == study
    assert (back.masks.lungs == study.masks.lungs).all()
    shape = study.masks.geometry.shape
    assert back.masks.nodules.keys() == study.masks.nodules.keys()
    for id_, mask in study.masks.nodules.items():
        assert (back.masks.nodules[id_].full(shape) == mask.full(shape)).all()


def test_everything_lies_under_the_cts_study_of_its_patient(case):
    scan, _, scene, _ = case
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study_item = hierarchy.GetItemByUID("DICOM", scan.header.study_uid)
    for kind in ("ScalarVolume", "Segmentation", "Table", "MarkupsFiducial", "Text"):
        item = hierarchy.GetItemByDataNode(only(scene, f"vtkMRML{kind}Node"))
        assert hierarchy.GetItemParent(item) == study_item, kind
    assert hierarchy.GetItemLevel(study_item) == "Study"
    patient = hierarchy.GetItemParent(study_item)
    assert hierarchy.GetItemLevel(patient) == "Patient"
    assert hierarchy.GetItemAttribute(patient, "DICOM.PatientID") == "P-7"


def test_the_text_refers_to_the_other_nodes(case):
    text = only(case[2], "vtkMRMLTextNode")
    kinds = {"volume": "ScalarVolume", "segmentation": "Segmentation", "table": "Table", "centers": "MarkupsFiducial"}
    for role, kind in kinds.items():
        assert text.GetNodeReference(role).GetClassName() == f"vtkMRML{kind}Node"


def test_the_bundle_is_sound_whatever_the_series_is_called(case):
    """An ampersand in a file name would make the scene unreadable."""
    scan, _, _, path = case
    assert "&" in scan.header.series_description
    with zipfile.ZipFile(path) as bundle:
        assert bundle.testzip() is None
        ElementTree.fromstring(bundle.read("scene/scene.mrml"))
        assert any(name.endswith(".png") for name in bundle.namelist())


def test_a_volume_already_in_the_scene_is_used_and_its_study_kept(case):
    scan, study, _, _ = case
    with SceneHost() as host:
        first = add_study(host.scene, study, scan)
        second = add_study(host.scene, study, scan, first.volume)
        assert second.volume is first.volume
        assert host.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)
        parents = {
            hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
            for nodes in (first, second)
            for node in (nodes.volume, nodes.segmentation, nodes.table, nodes.centers, nodes.text)
        }
        assert len(parents) == 1


def test_outlines_and_points_follow_the_volumes_transform(case):
    scan, study, _, _ = case
    with SceneHost() as host:
        volume = add_study(host.scene, study, scan).volume
        transform = host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        volume.SetAndObserveTransformNodeID(transform.GetID())
        nodes = add_study(host.scene, study, scan, volume)
        assert nodes.segmentation.GetParentTransformNode() is transform
        assert nodes.centers.GetParentTransformNode() is transform


def test_a_second_scan_of_the_same_study_joins_it(case):
    scan, study, _, _ = case
    with SceneHost() as host:
        add_study(host.scene, study, scan)
        add_study(host.scene, study, scan)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)
        assert hierarchy.GetNumberOfItemChildren(hierarchy.GetSceneItemID()) == 1
        assert hierarchy.GetNumberOfItemChildren(hierarchy.GetItemByUID("DICOM", "1.2.3.4")) == 10


def test_an_outline_edited_in_slicer_is_read_as_it_is_now(case):
    scan, study, _, _ = case
    with SceneHost() as host:
        nodes = add_study(host.scene, study, scan)
        nodes.segmentation.GetSegmentation().RemoveSegment("nodule_L3")
        assert read_study(host.scene).masks.nodules.keys() == {"L1", "L2"}


def test_an_outline_erased_in_slicer_is_gone(case):
    scan, study, _, _ = case
    with SceneHost() as host:
        segmentation = add_study(host.scene, study, scan).segmentation.GetSegmentation()
        segmentation.GetSegment("nodule_L3").AddRepresentation("Binary labelmap", slicer.vtkOrientedImageData())
        assert read_study(host.scene).masks.nodules.keys() == {"L1", "L2"}


def test_a_segmentation_kept_as_surfaces_alone_is_refused_in_one_sentence(case):
    scan, study, _, _ = case
    with SceneHost() as host:
        segmentation = add_study(host.scene, study, scan).segmentation.GetSegmentation()
        segmentation.GetSegment("nodule_L3").RemoveRepresentation("Binary labelmap")
        with pytest.raises(InputError, match='"Nodule L3" has no binary labelmap'):
            read_study(host.scene)


def test_a_scene_without_a_study_is_refused():
    with SceneHost() as host, pytest.raises(InputError, match="holds no LungCAD study"):
        read_study(host.scene)


def test_a_study_without_masks_adds_nothing(case):
    scan, study, _, _ = case
    with SceneHost() as host:
        before = host.scene.GetNumberOfNodes()
        with pytest.raises(InputError):
            add_study(host.scene, Study.from_json(study.to_json()), scan)
        assert host.scene.GetNumberOfNodes() == before


def test_a_bundle_that_cannot_be_written_says_so(case, tmp_path):
    scan, study, _, _ = case
    with pytest.raises(OSError, match="could not be written"):
        write_scene(study, scan, tmp_path / "missing" / "scene.mrb")


def test_without_slicer_core_one_sentence_says_how_to_get_it(case, tmp_path, monkeypatch):
    scan, study, _, _ = case
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "slicer":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SceneUnavailable, match=r'pip install "lungcadlib\[scene\]"'):
        write_scene(study, scan, tmp_path / "scene.mrb")
    assert not list(tmp_path.iterdir())


def test_importing_the_package_does_not_import_slicer():
    code = "import sys, LungCADLib.scene; assert not {'slicer', 'vtkmodules'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
