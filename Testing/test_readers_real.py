"""Real scans, checked against an independent reading with SimpleITK."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LungCADLib.errors import InputError
from LungCADLib.readers import list_series, read_scan
from LungCADLib.readers.headers import read_header
from LungCADLib.readers.pixels import decode
from LungCADLib.scan import Scan

SERIES = [
    "cptac-lscc-c3n-00247/dicom",
    "lidc-idri-0003/dicom",
    "lungfcp-01-0001/dicom",
    "lung-pet-ct-dx-a0001/dicom_l",
    "acrin-flt-breast-001-slab/dicom",
    "acrin-flt-breast-013-slab/dicom",
    "cptac-pda-c3l-00189-slab/dicom",
    "cip-copdgene-small/ct-64Dicom",
]
HEAD = "awkward-dicom/ge-head-gantry-tilt-variable-gap"


def itk_series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def assert_same_places(scan: Scan, image: sitk.Image) -> None:
    """The same grid to 1e-3 mm at its corners and inside, and the same values."""
    shape = scan.hu.shape
    assert image.GetSize() == shape[::-1]
    corners = [(z, y, x) for z in (0, shape[0] - 1) for y in (0, shape[1] - 1) for x in (0, shape[2] - 1)]
    for z, y, x in [*corners, (3, 17, 29)]:
        theirs = image.TransformIndexToPhysicalPoint((x, y, z))
        assert scan.geometry.to_lps((z, y, x)) == pytest.approx(theirs, abs=1e-3)
    theirs = sitk.GetArrayViewFromImage(image)[::5]
    assert np.array_equal(scan.hu[::5], np.clip(theirs, -1024, 32767))


@pytest.mark.parametrize("name", SERIES)
def test_a_dicom_series_matches_itk(real_data: Path, name: str) -> None:
    scan = read_scan(real_data / name)
    assert_same_places(scan, itk_series(real_data / name))
    assert len(scan.files) == scan.hu.shape[0]
    assert not any("lung-like" in warning for warning in scan.warnings)


@pytest.mark.parametrize("name", ["cip-copdgene-small/ct-64.nrrd", "elastix-lung/3DCT_lung.mha"])
def test_a_volume_file_matches_itk(real_data: Path, name: str) -> None:
    assert_same_places(read_scan(real_data / name), sitk.ReadImage(str(real_data / name)))


def test_what_the_headers_say(real_data: Path) -> None:
    header = read_scan(real_data / "acrin-flt-breast-001-slab/dicom").header
    assert (header.patient_age_years, header.patient_sex) == (46, "female")
    assert (header.kernel, header.slice_thickness_mm) == ("SOFT", 5.0)


def test_the_tilted_head_is_sheared_and_evened(real_data: Path) -> None:
    scan = read_scan(real_data / HEAD)
    assert any("tilted by 18.5 degrees" in warning for warning in scan.warnings)
    assert any("unevenly spaced (1.08 to 7.00 mm apart)" in warning for warning in scan.warnings)
    assert any("No lung-like air" in warning for warning in scan.warnings)
    direction = np.asarray(scan.geometry.direction)
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-6)
    # Each original slice, found at its own positions in the sheared volume.
    for name in scan.files[1::6]:
        header = read_header(Path(name))
        assert header is not None
        [frame] = header.frames
        [hu] = decode([frame])
        rows, columns = np.mgrid[40:460:7, 40:460:7]
        x, y = np.array(frame.orientation).reshape(2, 3)
        lps = (
            np.array(frame.position)
            + frame.spacing[1] * columns[..., None] * x
            + frame.spacing[0] * rows[..., None] * y
        )
        index = np.rint(scan.geometry.to_index(lps)).astype(int)
        near = scan.hu[index[..., 0], index[..., 1], index[..., 2]]
        assert np.corrcoef(near.ravel(), hu[rows, columns].ravel())[0, 1] > 0.95


def test_two_slices_are_too_few(real_data: Path) -> None:
    with pytest.raises(InputError, match="it has 2 slices, and at least 8 are needed"):
        read_scan(real_data / "cip-copdgene-small/two_slices_dicom")


def test_a_perfusion_map_is_not_hu(real_data: Path) -> None:
    with pytest.raises(InputError, match=r"eCT_Supplemental\.dcm.*perfusion map"):
        read_scan(real_data / "awkward-dicom/eCT_Supplemental.dcm")


@pytest.mark.parametrize(
    "name", ["C3N-02523_Explicit-VR-Big-Endian.dcm", "Lung_Dx-A0170_Explicit-VR-Little-Endian.dcm"]
)
def test_a_single_slice_is_refused(real_data: Path, name: str) -> None:
    with pytest.raises(InputError, match="it has 1 slice, and at least 8 are needed"):
        read_scan(real_data / "awkward-dicom" / name)


def test_the_big_endian_slice_decodes_as_itk_decodes_it(real_data: Path) -> None:
    file = real_data / "awkward-dicom/C3N-02523_Explicit-VR-Big-Endian.dcm"
    header = read_header(file)
    assert header is not None
    [hu] = decode(list(header.frames))
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0]
    assert np.array_equal(hu, np.clip(theirs, -1024, 32767))


def test_a_label_map_is_refused(real_data: Path) -> None:
    with pytest.raises(InputError, match="label map"):
        read_scan(real_data / "lidc-idri-0003/nodule_consensus_2of4.nii.gz")


def test_the_whole_collection_is_listed_and_asks_for_a_patient(real_data: Path) -> None:
    infos = {info.patient_id: info for info in list_series(real_data / "awkward-dicom")}
    assert infos["QMNx85rKkkg"].usable
    assert sum(not info.usable for info in infos.values()) == 3
    with pytest.raises(InputError, match="--series"):
        read_scan(real_data)


def test_one_file_lost_and_one_cut_short(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "cptac-pda-c3l-00189-slab/dicom"
    copy = tmp_path / "ct"
    shutil.copytree(source, copy, copy_function=shutil.copy)
    files = [Path(f) for f in read_scan(copy).files]
    files[8].unlink()
    whole, mended = read_scan(source), read_scan(copy)
    assert mended.hu.shape == whole.hu.shape
    assert any("1 slice missing" in warning for warning in mended.warnings)
    assert np.array_equal(np.delete(mended.hu, 8, 0), np.delete(whole.hu, 8, 0))
    files[3].write_bytes(files[3].read_bytes()[:200_000])
    with pytest.raises(InputError, match=rf"{files[3].name} is truncated"):
        read_scan(copy)
