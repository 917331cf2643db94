"""Every input that cannot be a chest CT gets one sentence that names the file and says why."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import AXIAL, at, axial, ct_slice, save, stacked
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage, SecondaryCaptureImageStorage

from LungCADLib.errors import InputError
from LungCADLib.readers import list_series, read_scan


def refusal(path: Path, **options: str) -> str:
    """The one sentence with which a path is refused."""
    with pytest.raises(InputError) as caught:
        read_scan(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(path) in message
    return message


def changed(slices: list[Dataset], **tags: object) -> list[Dataset]:
    for dataset in slices:
        for name, value in tags.items():
            setattr(dataset, name, value)
    return slices


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"Modality": "MR"}, "it is MR, not CT"),
        ({"Modality": "PT", "SOPClassUID": PositronEmissionTomographyImageStorage}, "it is PT, not CT"),
        ({"Modality": "RTSTRUCT"}, "it is RTSTRUCT, not CT"),
        ({"Modality": "SEG"}, "it is SEG, not CT"),
        ({"Modality": "SR"}, "it is SR, not CT"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "secondary capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "color picture (RGB)"),
        ({"PixelSpacing": [0, 0]}, "pixel spacing is missing or zero"),
        ({"PixelSpacing": [0.0007, 0.0007]}, "is not possible"),
        ({"RescaleSlope": 0}, "rescale slope of 0"),
        ({"RescaleType": "MGML"}, "its values are MGML, not HU"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not two perpendicular unit vectors"),
        ({"RescaleIntercept": 0}, "they are not HU"),
    ],
)
def test_a_series_that_is_no_ct_volume(tmp_path: Path, tags: dict, why: str) -> None:
    assert why in refusal(save(tmp_path, changed(axial(12), **tags)))


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows"])
def test_a_slice_that_does_not_say_where_it_is(tmp_path: Path, missing: str) -> None:
    slices = axial(12)
    del slices[4][missing]
    message = refusal(save(tmp_path, slices))
    assert "IM004.dcm" in message
    assert "missing" in message


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (lambda hu: np.clip(hu, -300, 100), "almost no voxel is as dark as air"),
        (lambda hu: np.minimum(hu, -500), "almost no voxel is as bright as tissue"),
        (lambda hu: hu * 0 - 1000, "every voxel is -1000"),
        (lambda hu: (hu + 1000) // 5, "8-bit picture"),
    ],
)
def test_values_that_are_not_a_chest_in_hu(tmp_path: Path, values: object, why: str) -> None:
    slices = [ct_slice((-79, -59, 5 * k), number=k, hu=values(_hu(k))) for k in range(12)]  # type: ignore[operator]
    assert why in refusal(save(tmp_path, slices))


def _hu(k: int) -> np.ndarray:
    return np.frombuffer(ct_slice((-79, -59, 5 * k)).PixelData, np.int16).reshape(30, 40).astype(int) - 1024


def test_fewer_than_eight_slices(tmp_path: Path) -> None:
    assert "it has 7 slices, and at least 8 are needed" in refusal(save(tmp_path, axial(7)))


def test_eight_slices_at_one_place(tmp_path: Path) -> None:
    slices = [ct_slice((-79, -59, 0), number=k) for k in range(9)]
    assert "at different positions" in refusal(save(tmp_path, slices))


def test_one_slice_alone_in_its_folder(tmp_path: Path) -> None:
    file = save(tmp_path, axial(1)) / "IM000.dcm"
    assert "it has 1 slice" in refusal(file)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    with pytest.raises(InputError, match="does not exist"):
        list_series(tmp_path / "nowhere")


def test_a_path_the_system_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened: file name too long"):
        read_scan(tmp_path / ("x" * 300))


def test_a_list_of_a_volume_file(tmp_path: Path) -> None:
    (tmp_path / "ct.nrrd").write_text("NRRD0004")
    with pytest.raises(InputError, match="volume file without series"):
        list_series(tmp_path / "ct.nrrd")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "is empty" in refusal(tmp_path)


def test_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert "none is DICOM" in refusal(tmp_path)


def test_a_folder_of_volume_files_names_one(tmp_path: Path) -> None:
    (tmp_path / "ct.nrrd").write_text("NRRD0004")
    assert str(tmp_path / "ct.nrrd") in refusal(tmp_path)


def test_a_zip_archive(tmp_path: Path) -> None:
    file = tmp_path / "scan.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    assert "ZIP archive; unpack it" in refusal(file)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
    assert "not a CT image" in refusal(file)


@pytest.mark.parametrize("name", ["scan.dcm", "scan.nrrd", "scan.nii.gz", "scan.mha", "IM0001"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may open everything")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    save(tmp_path / "closed", axial(12))
    (tmp_path / "closed").chmod(0)
    try:
        assert "permission denied" in refusal(tmp_path / "closed")
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert "cannot be opened: permission denied" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["IM{:03d}.dcm", "IM{:03d}", "1.2.840.{}"])
@pytest.mark.parametrize("keep", [0, 200, 600, -1, -400])
def test_one_truncated_slice_of_a_series_is_named(tmp_path: Path, name: str, keep: int) -> None:
    save(tmp_path, axial(12), name=name.format)
    file = tmp_path / name.format(5)
    file.write_bytes(file.read_bytes()[:keep])
    assert str(file) in refusal(tmp_path)


def test_a_file_of_noise_named_like_a_slice(tmp_path: Path) -> None:
    save(tmp_path, axial(12))
    (tmp_path / "IM005.dcm").write_bytes(np.random.default_rng(1).bytes(2000))
    assert "IM005.dcm is named like a DICOM file but is not one" in refusal(tmp_path)


def test_noise_inside_a_header(tmp_path: Path) -> None:
    save(tmp_path, axial(12))
    file = tmp_path / "IM005.dcm"
    data = file.read_bytes()
    file.write_bytes(data[:340] + np.random.default_rng(2).bytes(300) + data[640:])
    with pytest.raises(InputError, match="IM005"):
        read_scan(tmp_path)


def test_a_damaged_file_of_another_folder_does_not_matter(tmp_path: Path) -> None:
    save(tmp_path / "good", axial(12))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "IM000.dcm").touch()
    assert read_scan(tmp_path).hu.shape[0] == 12


def test_different_patients_are_listed_and_one_must_be_named(tmp_path: Path) -> None:
    save(tmp_path / "a", axial(12))
    save(tmp_path / "b", axial(12, series="two", patient="P2"))
    message = refusal(tmp_path)
    assert "2 patients" in message
    assert "--series" in message
    uids = [info.series_uid for info in list_series(tmp_path)]
    assert all(uid in message for uid in uids)
    for uid in uids:
        assert read_scan(tmp_path, series=uid).header.series_uid == uid


def test_an_unknown_series_lists_those_that_are_there(tmp_path: Path) -> None:
    save(tmp_path, axial(12))
    assert list_series(tmp_path)[0].series_uid in refusal(tmp_path, series="1.2.3")


def test_a_series_asked_for_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    save(tmp_path / "a", axial(12))
    save(tmp_path / "b", changed(axial(12, series="mr"), Modality="MR"))
    [mr] = [info for info in list_series(tmp_path) if info.modality == "MR"]
    assert "it is MR, not CT" in refusal(tmp_path, series=mr.series_uid)


def test_several_series_and_none_readable_says_why_for_each(tmp_path: Path) -> None:
    save(tmp_path / "a", changed(axial(12, series="mr"), Modality="MR"))
    save(tmp_path / "b", axial(3, series="few"))
    message = refusal(tmp_path)
    assert "mr: it is MR" in message
    assert "few: it has 3 slices" in message


def test_a_head_is_read_with_a_question(tmp_path: Path) -> None:
    """A body without lungs has air around it, so it can be HU; the warning says what is missing."""
    slices = at(5.0 * np.arange(12))
    for k, dataset in enumerate(slices):
        hu = _hu(k)
        hu[(hu < -800) & (hu > -950)] = 40
        dataset.PixelData = (hu + 1024).astype(np.int16).tobytes()
    assert any("No lung-like air" in warning for warning in read_scan(save(tmp_path, slices)).warnings)
    assert read_scan(save(tmp_path / "chest", stacked(AXIAL, 12))).warnings == ()
