"""Your own cases: Slicer scenes and CTs with outlines, checked and read."""

import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from dataset_factory import write_pair
from dicom_factory import axial, save
from slice_factory import write_rows
from test_datasets import LAUGHS, check, problems

from LungCADLib.errors import InputError
from LungCADLib.training.datasets import data_set


def test_a_label_map_is_a_nodule_on_the_scans_grid(tmp_path):
    write_pair(tmp_path, "A")
    write_rows(tmp_path / "labels.csv", [{"case": "A", "label": "benign", "patient": "P7"}])
    (case,) = data_set("own").cases(tmp_path)
    (nodule,) = case.nodules
    assert nodule.outline.mask.sum() == 27
    assert nodule.outline.start == (5, 10, 10)
    assert (nodule.label, case.patient) == ("benign", "P7")


def test_an_outline_on_another_grid_is_moved_onto_the_scans(tmp_path):
    write_pair(tmp_path, "A")
    image = sitk.ReadImage(str(tmp_path / "A-label.nrrd"))
    sitk.WriteImage(image[9:15, 9:15, 4:10], str(tmp_path / "A-label.nrrd"))
    (case,) = data_set("own").cases(tmp_path)
    assert case.nodules[0].outline.start == (5, 10, 10)


def test_a_ct_may_be_a_folder_of_dicom(tmp_path):
    write_pair(tmp_path, "A")
    (tmp_path / "A.nrrd").unlink()
    save(tmp_path / "A", axial(16, patient="P3"))
    (case,) = data_set("own").cases(tmp_path)
    assert (case.patient, case.nodules[0].outline.start) == ("P3", (5, 10, 10))


@pytest.mark.parametrize("break_it", ["no outline", "no CT", "empty", "elsewhere", "damaged"])
def test_a_missing_or_wrong_mask_is_said_of_its_case(tmp_path, break_it):
    write_pair(tmp_path, "A")
    write_pair(tmp_path, "B")
    label = tmp_path / "B-label.nrrd"
    image = sitk.ReadImage(str(label))
    if break_it == "no outline":
        label.unlink()
    elif break_it == "no CT":
        (tmp_path / "B.nrrd").unlink()
    elif break_it == "empty":
        sitk.WriteImage(image * 0, str(label))
    elif break_it == "elsewhere":
        image.SetOrigin((9999.0, 0.0, 0.0))
        sitk.WriteImage(image, str(label))
    else:
        label.write_bytes(label.read_bytes()[:300])
    report = check("own", tmp_path)
    state, said = problems(report)["B"]
    expected = {
        "no outline": ("missing", "missing mask"),
        "no CT": ("missing", "has no CT beside it"),
        "empty": ("missing", "empty mask"),
        "elsewhere": ("broken", "lies outside the CT"),
        "damaged": ("broken", "damaged"),
    }[break_it]
    assert state == expected[0]
    assert expected[1] in said
    assert report.count("complete") == 1


def test_a_case_twice_in_the_table_is_refused(tmp_path):
    write_pair(tmp_path, "A")
    write_rows(tmp_path / "labels.csv", [{"case": "A", "label": "benign"}, {"case": "A", "label": "malignant"}])
    with pytest.raises(InputError, match="names 'A' 2 times"):
        check("own", tmp_path)


def test_a_segmentations_nodules_are_found_by_name_and_layer(tmp_path):
    write_pair(tmp_path, "A", ending=".seg.nrrd")
    ct = sitk.ReadImage(str(tmp_path / "A.nrrd"))
    lung = np.ones(sitk.GetArrayFromImage(ct).shape, np.uint8)
    two = np.zeros_like(lung)
    two[3:5, 3:5, 3:5] = 2
    image = sitk.GetImageFromArray(np.stack([lung, two], axis=-1), isVector=True)
    image.CopyInformation(ct)
    for key, value in {
        "Segment0_ID": "lung_left", "Segment0_Name": "Left lung", "Segment0_LabelValue": "1", "Segment0_Layer": "0",
        "Segment1_ID": "Segment_2", "Segment1_Name": "tumor", "Segment1_LabelValue": "2", "Segment1_Layer": "1",
    }.items():  # fmt: skip
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "A.seg.nrrd"))
    (case,) = data_set("own").cases(tmp_path)
    assert [(n.name, int(n.outline.mask.sum())) for n in case.nodules] == [("tumor", 8)]


def write_scene(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


SCENE = """<MRML>
<Volume id="v" name="CT" references="storage:vs;"></Volume>
<Segmentation id="s" name="S" references="display:d;referenceImageGeometryRef:v;storage:ss;"></Segmentation>
<VolumeArchetypeStorage id="vs" fileName="Data/C%20T.nrrd"></VolumeArchetypeStorage>
<SegmentationStorage id="ss" fileName="Data/S.seg.nrrd"></SegmentationStorage></MRML>"""


def test_a_slicer_scene_is_a_case(tmp_path):
    pair = write_pair(tmp_path / "pair", "A")
    files = {
        "A/Data/C T.nrrd": (pair / "A.nrrd").read_bytes(),
        "A/Data/S.seg.nrrd": (pair / "A-label.nrrd").read_bytes(),
    }
    (tmp_path / "scenes").mkdir()
    write_scene(tmp_path / "scenes" / "A.mrb", {"A/A.mrml": SCENE, **files})
    write_scene(tmp_path / "scenes" / "B.mrb", {"B/B.mrml": SCENE})
    write_scene(tmp_path / "scenes" / "C.mrb", {"C/C.mrml": LAUGHS + SCENE})
    (tmp_path / "scenes" / "D.mrb").write_bytes(b"no zip")
    report = check("own", tmp_path / "scenes")
    said = problems(report)
    assert report.count("complete") == 1
    assert "lacks the file of 'CT'" in said["B"][1]
    assert "document type" in said["C"][1]
    assert "no Slicer scene" in said["D"][1]
    case = next(iter(data_set("own").cases(tmp_path / "scenes")))
    assert case.nodules[0].outline.mask.sum() == 27


def test_lungcads_own_scenes_are_read_without_slicer(tmp_path):
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from study_factory import make_scan, make_study

    from LungCADLib.scene import write_scene as write

    scan = make_scan()
    study = make_study(scan)
    write(study, scan, tmp_path / "scene.mrb")
    case = next(iter(data_set("own").cases(tmp_path)))
    assert len(case.nodules) == len(study.nodules)
