"""A written phantom is read back equal by an independent reader, and its DICOM headers are in order."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from LungCADLib.phantom import small_phantom, write_phantom


@pytest.fixture(scope="module")
def phantom():
    return small_phantom(0, spacing=(3.0, 2.0, 1.8), slice_thickness_mm=4.0, contrast=True, padding=True)


def assert_same_place(image, geometry):
    assert image.GetSpacing() == pytest.approx(geometry.spacing[::-1], abs=1e-4)
    assert image.GetOrigin() == pytest.approx(geometry.origin, abs=1e-3)
    assert image.GetDirection() == pytest.approx(np.eye(3).ravel(), abs=1e-6)


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii.gz", "a.mha"])
def test_volume_files_hold_the_scan(tmp_path, phantom, name):
    written = write_phantom(tmp_path / "new" / name, phantom)
    image = sitk.ReadImage(str(written[0]))
    assert (sitk.GetArrayFromImage(image) == phantom.scan.hu).all()
    assert_same_place(image, phantom.scan.geometry)
    assert [p.name for p in written] == [name, "a.truth.json"]


def test_the_truth_is_written_beside(tmp_path, phantom):
    written = write_phantom(tmp_path / "a.nrrd", phantom, labels=True)
    assert [p.name for p in written] == ["a.nrrd", "a.truth.json", "a.lungs.nrrd", "a.nodules.nrrd"]
    truth = json.loads(written[1].read_text())
    assert [n["id"] for n in truth["nodules"]] == [n.id for n in phantom.nodules]
    assert truth["nodules"][0]["volume_mm3"] == phantom.nodules[0].volume_mm3
    assert truth["shape"] == list(phantom.scan.hu.shape)
    lungs = sitk.GetArrayFromImage(sitk.ReadImage(str(written[2])))
    assert (lungs == phantom.masks.lungs).all()
    assert truth["lungs_ml"]["right"] == pytest.approx((lungs == 1).sum() * phantom.scan.geometry.voxel_mm3 / 1000)
    nodules = sitk.GetArrayFromImage(sitk.ReadImage(str(written[3])))
    assert ((nodules == 2) == phantom.masks.nodules["N2"].full(nodules.shape)).all()


def test_a_dicom_series_holds_the_scan(tmp_path, phantom):
    folder = write_phantom(tmp_path / "series", phantom)[0]
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(folder))
    assert len(names) == len(phantom.scan.hu)
    reader.SetFileNames(names)
    image = reader.Execute()
    assert (sitk.GetArrayFromImage(image) == phantom.scan.hu).all()
    assert_same_place(image, phantom.scan.geometry)
    assert (tmp_path / "series.truth.json").exists()


def test_dicom_headers_are_those_of_a_ct_series(tmp_path, phantom):
    folder = write_phantom(tmp_path / "series", phantom)[0]
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("*.dcm"))]
    assert {s.SOPClassUID.name for s in slices} == {"CT Image Storage"}
    assert {(s.PatientID, s.Modality, s.PatientPosition) for s in slices} == {("PHANTOM", "CT", "HFS")}
    for level, count in (("StudyInstanceUID", 1), ("SeriesInstanceUID", 1), ("SOPInstanceUID", len(slices))):
        uids = {s[level].value for s in slices}
        assert len(uids) == count
        assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)
    assert all(s.file_meta.MediaStorageSOPInstanceUID == s.SOPInstanceUID for s in slices)
    heights = [s.ImagePositionPatient[2] for s in sorted(slices, key=lambda s: s.InstanceNumber)]
    assert heights == sorted(heights, reverse=True)
    assert slices[0].SliceThickness == 4.0
    assert slices[0].SpacingBetweenSlices == 3.0
    assert slices[0].ContrastBolusAgent == "simulated"


def test_the_same_phantom_has_the_same_uids_and_another_has_others(tmp_path, phantom):
    def uid(name, p):
        folder = write_phantom(tmp_path / name, p)[0]
        return pydicom.dcmread(next(folder.glob("*.dcm")), stop_before_pixels=True).SeriesInstanceUID

    other = small_phantom(1, [], spacing=(6.0, 4.0, 4.0))
    assert uid("a", phantom) == uid("b", phantom) != uid("c", other)
