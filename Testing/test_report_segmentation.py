"""segmentation.seg.nrrd: what Slicer's own reader finds in it is what the study holds."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from study_factory import OBLIQUE, geometry, make_scan, make_study

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask, LungLabel
from LungCADLib.report.segmentation import write_segmentation
from LungCADLib.segments import segments
from LungCADLib.study import Study

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")


@pytest.fixture(params=[None, OBLIQUE], ids=["straight", "oblique"])
def study(request) -> Study:
    return make_study(make_scan(geometry(direction=request.param)))


def full_masks(study: Study) -> dict[str, np.ndarray]:
    masks = study.masks
    named = {"Right lung": LungLabel.RIGHT, "Left lung": LungLabel.LEFT, "Airway": LungLabel.AIRWAY}
    lungs = {name: masks.lungs == label for name, label in named.items()}
    return lungs | {f"Nodule {id_}": mask.full(masks.geometry.shape) for id_, mask in masks.nodules.items()}


def load(path):
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    assert not storage.GetUserMessages().GetAllMessagesAsString()
    return scene, node


def voxels_in_ras(segment) -> np.ndarray:
    """(n, 3) RAS positions of a segment's voxels, by Slicer's own matrix."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    image = segment.GetRepresentation("Binary labelmap")
    x0, x1, y0, y1, z0, z1 = image.GetExtent()
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z1 - z0 + 1, y1 - y0 + 1, x1 - x0 + 1)
    ijk = np.argwhere(array == segment.GetLabelValue())[:, ::-1] + (x0, y0, z0)
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_ras = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    return ijk @ to_ras[:3, :3].T + to_ras[:3, 3]


def test_slicer_finds_every_segment_with_its_voxels_where_they_belong(study, tmp_path):
    write_segmentation(study, tmp_path / "s.seg.nrrd")
    _scene, node = load(tmp_path / "s.seg.nrrd")
    segmentation = node.GetSegmentation()
    expected = full_masks(study)
    found = [segmentation.GetSegment(id_) for id_ in segmentation.GetSegmentIDs()]
    assert [segment.GetName() for segment in found] == list(expected)
    for segment in found:
        lps = study.masks.geometry.to_lps(np.argwhere(expected[segment.GetName()]))
        np.testing.assert_allclose(voxels_in_ras(segment), lps * (-1, -1, 1), atol=1e-6)


def test_slicer_keeps_the_scans_voxel_indices_and_grid(study, tmp_path):
    write_segmentation(study, tmp_path / "s.seg.nrrd")
    _scene, node = load(tmp_path / "s.seg.nrrd")
    image = node.GetSegmentation().GetSegment("nodule_L1").GetRepresentation("Binary labelmap")
    mask = study.masks.nodules["L1"].trimmed()
    extent = image.GetExtent()
    assert all(low <= first for low, first in zip(extent[::2], mask.start[::-1], strict=True))
    reference = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    z, y, x = study.masks.geometry.shape
    assert reference.endswith(f";0;{x - 1};0;{y - 1};0;{z - 1};")


def test_segments_carry_their_snomed_codes_and_colors(study, tmp_path):
    from vtkmodules.vtkCommonCore import reference

    write_segmentation(study, tmp_path / "s.seg.nrrd")
    _scene, node = load(tmp_path / "s.seg.nrrd")
    entries = {}
    for id_ in node.GetSegmentation().GetSegmentIDs():
        entry = reference("")
        segment = node.GetSegmentation().GetSegment(id_)
        assert segment.GetTag(segment.GetTerminologyEntryTagName(), entry)
        entries[id_] = entry.get().split("~")
    anatomy, abnormal = "SCT^123037004^Anatomical Structure", "SCT^49755003^Morphologically Altered Structure"
    lung = "SCT^39607008^Lung"
    assert entries["lung_right"][1:4] == [anatomy, lung, "SCT^24028007^Right"]
    assert entries["lung_left"][1:4] == [anatomy, lung, "SCT^7771000^Left"]
    assert entries["airway"][1:4] == [anatomy, "SCT^89187006^Airway structure", "^^"]
    assert entries["nodule_L1"][1:4] == [abnormal, "SCT^27925004^Nodule", "^^"]
    assert entries["nodule_L1"][5:] == [lung, "SCT^24028007^Right"]
    assert entries["nodule_L2"][5:] == [lung, "SCT^7771000^Left"]
    assert node.GetSegmentation().GetSegment("nodule_L1").GetColor() == pytest.approx((0.9, 0.62, 0.0))


def test_overlapping_nodules_go_to_a_further_layer(study):
    assert (full_masks(study)["Nodule L2"] & full_masks(study)["Nodule L3"]).any()
    table, layers = segments(study)
    assert [segment.layer for segment in table] == [0, 0, 0, 1, 1, 2]
    assert [segment.label for segment in table] == [1, 2, 3, 1, 2, 1]
    assert len(layers) == 3


@given(
    st.lists(
        st.tuples(st.tuples(*[st.integers(0, 5)] * 3), arrays.arrays(bool, (3, 4, 5), fill=st.booleans())),
        max_size=6,
    )
)
def test_however_nodules_overlap_each_voxel_is_kept(placed):
    study = make_study(make_scan())
    first = study.nodules[0]
    study.nodules[:] = [replace(first, id=str(i)) for i in range(len(placed))]
    study.masks.nodules = {str(i): BoxMask(start, mask) for i, (start, mask) in enumerate(placed)}
    table, layers = segments(study)
    found = {segment.lesion_id: layers[segment.layer].labels == segment.label for segment in table}
    boxes = {segment.lesion_id: layers[segment.layer].box for segment in table}
    for id_, mask in study.masks.nodules.items():
        full = np.zeros(study.masks.geometry.shape, bool)
        if id_ in found:
            full[boxes[id_]] = found[id_]
        assert (full == mask.full(full.shape)).all()


def test_the_file_is_cropped_to_the_outlines_and_placed_by_its_origin(study, tmp_path):
    """A reader that knows NRRD but not Slicer's fields puts the box where it belongs."""
    write_segmentation(study, tmp_path / "s.seg.nrrd")
    header = (tmp_path / "s.seg.nrrd").read_bytes().split(b"\n\n", 1)[0].decode()
    assert "encoding: gzip" in header
    assert "space: left-posterior-superior" in header
    image = sitk.ReadImage(str(tmp_path / "s.seg.nrrd"))
    labels = sitk.GetArrayFromImage(image)[..., 0]
    lungs = study.masks.lungs
    assert labels.size < lungs.size
    lps = [image.TransformIndexToPhysicalPoint(tuple(int(v) for v in i[::-1])) for i in np.argwhere(labels == 3)]
    np.testing.assert_allclose(lps, study.masks.geometry.to_lps(np.argwhere(lungs == 3)), atol=1e-6)


def test_the_data_is_as_long_as_the_header_says(study, tmp_path):
    write_segmentation(study, tmp_path / "s.seg.nrrd")
    header, data = (tmp_path / "s.seg.nrrd").read_bytes().split(b"\n\n", 1)
    sizes = next(line for line in header.decode().splitlines() if line.startswith("sizes:"))
    assert len(gzip.decompress(data)) == np.prod([int(n) for n in sizes.split()[1:]])


def test_a_study_without_nodules_still_has_its_lungs(study, tmp_path):
    study.nodules.clear()
    write_segmentation(study, tmp_path / "s.seg.nrrd")
    _scene, node = load(tmp_path / "s.seg.nrrd")
    assert list(node.GetSegmentation().GetSegmentIDs()) == ["lung_right", "lung_left", "airway"]


def test_a_study_with_nothing_at_all_can_be_written(study, tmp_path):
    study.nodules.clear()
    study.masks.lungs[:] = 0
    write_segmentation(study, tmp_path / "s.seg.nrrd")
    _scene, node = load(tmp_path / "s.seg.nrrd")
    assert all(len(voxels_in_ras(node.GetSegmentation().GetNthSegment(i))) == 0 for i in range(3))


def test_a_nodule_without_an_outline_has_no_segment(study):
    study.masks.nodules["L2"] = BoxMask((0, 0, 0), np.zeros((2, 2, 2), bool))
    del study.masks.nodules["L3"]
    assert [segment.id for segment in segments(study)[0]] == ["lung_right", "lung_left", "airway", "nodule_L1"]


def test_a_study_read_from_json_alone_has_no_outlines_to_write(study, tmp_path):
    with pytest.raises(InputError, match="without its outlines"):
        write_segmentation(Study.from_json(study.to_json()), tmp_path / "s.seg.nrrd")
