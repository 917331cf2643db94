"""Pieces of the scene's work: a study added step by step, segments read layer by layer, the CT near one place."""

from dataclasses import replace

import numpy as np
import pytest
from study_factory import OBLIQUE, geometry, make_scan, make_study

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

from LungCADLib.masks import BoxMask  # noqa: E402
from LungCADLib.scan import Geometry, Scan  # noqa: E402
from LungCADLib.scene import volumes  # noqa: E402
from LungCADLib.scene.host import SceneHost  # noqa: E402
from LungCADLib.scene.masks import _nonzero, read_nodules  # noqa: E402
from LungCADLib.scene.nodes import add_study, add_volume, adding_study  # noqa: E402


@pytest.fixture
def scene():
    with SceneHost() as host:
        yield host.scene


def ids(scene):
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_study_given_up_half_way_leaves_the_scene_as_it_was(scene, steps):
    scan = make_scan()
    volume = add_volume(scene, scan)
    before = ids(scene)
    adding = adding_study(scene, make_study(scan), None, volume)
    for _ in zip(range(steps), adding, strict=False):
        pass
    adding.close()
    assert ids(scene) - before <= {"vtkMRMLSubjectHierarchyNode1"}


def test_nodules_that_share_a_layer_and_those_that_overlap_are_read_apart(scene):
    scan = make_scan()
    study = make_study(scan)
    nodes = add_study(scene, study, scan)
    read = read_nodules(nodes.segmentation.GetSegmentation(), study.masks.nodules, scan.geometry)
    for id_, mask in study.masks.nodules.items():
        assert read[id_].start == mask.trimmed().start
        assert np.array_equal(read[id_].mask, mask.trimmed().mask)


def test_a_nodule_beyond_the_scans_edge_is_read_as_far_as_the_scan_goes(scene):
    scan = make_scan()
    study = make_study(scan)
    study.masks.nodules["L1"] = BoxMask((0, 0, 0), np.ones((3, 4, 5), bool))
    nodes = add_study(scene, study, scan)
    grid = replace(scan.geometry, shape=(2, *scan.geometry.shape[1:]))
    read = read_nodules(nodes.segmentation.GetSegmentation(), ["L1", "L2"], grid)
    assert read["L1"].mask.shape == (2, 4, 5)
    assert read["L2"] is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 1003])
def test_few_voxels_that_are_not_zero_are_all_found(dtype, size):
    flat = np.zeros(size, dtype)
    flat[::5] = 3
    assert np.array_equal(_nonzero(flat), np.flatnonzero(flat))


@pytest.mark.parametrize(
    "direction", [None, OBLIQUE, np.diag([1.0, -1.0, -1.0])], ids=["straight", "oblique", "turned"]
)
def test_the_ct_near_a_place_is_a_part_of_the_whole(scene, direction):
    grid = geometry(direction=direction)
    hu = np.random.default_rng(0).integers(-3000, 500, grid.shape, np.int16)
    volume = add_volume(scene, Scan(hu, grid))
    place = tuple(float(v) for v in grid.to_lps((20, 30, 40)))
    near, whole = volumes.scan_near(volume, place, 15.0), volumes.scan_of(volume)
    first = np.rint(whole.geometry.to_index(near.geometry.origin)).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(first, near.hu.shape, strict=True))
    assert 5 < near.hu.shape[0] < whole.hu.shape[0]
    assert np.array_equal(near.hu, whole.hu[box]) and near.hu.min() == -1024
    np.testing.assert_allclose(
        near.geometry.to_lps((1, 2, 3)), whole.geometry.to_lps(first + np.array((1, 2, 3))), atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16])
def test_a_volume_of_other_numbers_becomes_whole_hu(scene, dtype):
    values = np.array([[[0, 7], [1200, 32767]]] * 3).astype(dtype) + (0.4 if dtype in (np.float32, np.float64) else 0)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    node.SetAndObserveImageData(image)
    found = volumes._scan(volumes.values_of(node), Geometry(values.shape, (1.0, 1.0, 1.0)), None)
    assert found.hu.dtype == np.int16
    assert found.hu[0].tolist() == [[0, 7], [1200, 32767]]
