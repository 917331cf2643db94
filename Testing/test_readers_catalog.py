"""What is in a folder, what can be read, and which series is the best one."""

import warnings
from pathlib import Path

import pytest
from dicom_factory import CORONAL, axial, enhanced, save, stacked
from pydicom.fileset import FileSet
from pydicom.uid import SecondaryCaptureImageStorage

from LungCADLib.errors import Cancelled, InputError
from LungCADLib.progress import Progress, Step
from LungCADLib.readers import list_series, read_scan
from LungCADLib.readers.catalog import sharp
from LungCADLib.readers.headers import years


def test_a_list_says_what_each_series_is(tmp_path: Path) -> None:
    save(tmp_path / "a" / "deep", axial(12, series="thin", step=2.5, SliceThickness=2.5))
    save(tmp_path / "b", [*axial(3, series="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])])
    (tmp_path / "readme.txt").write_text("hello")
    thin, scout = list_series(tmp_path)
    assert (thin.description, thin.modality, thin.patient_id) == ("thin", "CT", "P1")
    assert thin.orientation == "axial"
    assert thin.slices == 12
    assert thin.shape == (12, 30, 40)
    assert thin.spacing == pytest.approx((2.5, 4, 4))
    assert (thin.slice_thickness_mm, thin.kernel) == (2.5, "B30f")
    assert len(thin.files) == 12
    assert (thin.usable, thin.reason, thin.rank) == (True, "", 0)
    assert (scout.usable, scout.reason, scout.rank) == (False, "it is a localizer (scout)", None)


def test_one_folder_with_several_series_keeps_them_apart(tmp_path: Path) -> None:
    mixed = [s for pair in zip(axial(12, series="a"), axial(12, series="b"), strict=True) for s in pair]
    assert [info.slices for info in list_series(save(tmp_path, mixed))] == [12, 12]


def best(tmp_path: Path, **series: list) -> str:
    for name, slices in series.items():
        save(tmp_path / name, slices)
    scan = read_scan(tmp_path)
    others = [name for name in series if name != scan.header.series_description]
    [warning] = [w for w in scan.warnings if "--series" in w]
    assert f"{len(series)} CT series were found" in warning
    assert all(info.series_uid in warning for info in list_series(tmp_path) if info.description in others)
    return scan.header.series_description or ""


def test_more_coverage_is_preferred(tmp_path: Path) -> None:
    assert best(tmp_path, short=axial(20, series="short"), long=axial(40, series="long")) == "long"


def test_thinner_slices_are_preferred(tmp_path: Path) -> None:
    thick = axial(20, series="thick")
    thin = axial(39, step=2.5, series="thin", SliceThickness=2.5)
    assert best(tmp_path, thick=thick, thin=thin) == "thin"


def test_a_softer_kernel_is_preferred(tmp_path: Path) -> None:
    soft = axial(20, series="soft", ConvolutionKernel="B31f")
    hard = axial(20, series="hard", ConvolutionKernel="B70f")
    assert best(tmp_path, hard=hard, soft=soft) == "soft"


def test_a_thin_short_slab_does_not_beat_the_whole_chest(tmp_path: Path) -> None:
    slab = axial(40, step=1.0, series="slab", SliceThickness=1.0)
    chest = axial(60, series="chest")
    assert best(tmp_path, slab=slab, chest=chest) == "chest"


def test_axial_is_preferred_to_a_longer_coronal_reformat(tmp_path: Path) -> None:
    coronal = stacked(CORONAL, 30, series="coronal")
    assert best(tmp_path, coronal=coronal, flat=axial(10, series="flat")) == "flat"


def test_the_chest_is_preferred_to_the_head(tmp_path: Path) -> None:
    head = axial(40, series="head", BodyPartExamined="HEAD")
    assert best(tmp_path, head=head, chest=axial(10, series="chest")) == "chest"


def test_an_original_is_preferred_to_a_derived_series(tmp_path: Path) -> None:
    derived = axial(40, series="mip", ImageType=["DERIVED", "SECONDARY", "MIP"])
    assert best(tmp_path, derived=derived, plain=axial(20, series="plain")) == "plain"


def test_one_slice_stands_for_its_series_in_the_folder(tmp_path: Path) -> None:
    save(tmp_path, axial(12, series="a"))
    save(tmp_path, axial(14, series="b"), name="X{:03d}".format)
    scan = read_scan(tmp_path / "X003")
    assert scan.header.series_description == "b"
    assert scan.hu.shape[0] == 14


def test_a_dicomdir_stands_for_the_files_it_lists(tmp_path: Path) -> None:
    medium = FileSet()
    for dataset in axial(12):
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.SeriesNumber = "20200101", "120000", "1", 1
        medium.add(dataset)
    medium.write(tmp_path / "cd")
    save(tmp_path / "cd" / "not-listed", axial(20, series="other"))
    scan = read_scan(tmp_path / "cd" / "DICOMDIR")
    assert scan.hu.shape[0] == 12
    assert scan.warnings == ()
    assert len(list_series(tmp_path / "cd" / "DICOMDIR")) == 1
    next(p for p in sorted((tmp_path / "cd").rglob("*")) if p.is_file() and p.name != "DICOMDIR").unlink()
    with pytest.raises(InputError, match=r"1 of the 12 files that .*DICOMDIR lists are missing"):
        read_scan(tmp_path / "cd" / "DICOMDIR")


def test_a_dicomdir_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(b"nonsense" * 100)
    with pytest.raises(InputError, match="not a readable DICOMDIR"):
        read_scan(tmp_path / "DICOMDIR")


def test_files_without_extension_and_without_preamble_are_found(tmp_path: Path) -> None:
    save(tmp_path, axial(12), name="{}".format)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[132:])
    assert read_scan(tmp_path).hu.shape[0] == 12


def test_one_enhanced_file_is_a_series(tmp_path: Path) -> None:
    slices = axial(12)
    for k, dataset in enumerate(slices):
        dataset.RescaleIntercept = -1024
        dataset.PixelSpacing = [4.0, 4.0]
        assert dataset.InstanceNumber == k + 1
    file = save(tmp_path, [enhanced(slices[::-1])]) / "IM000.dcm"
    [info] = list_series(tmp_path)
    assert (info.slices, info.orientation, info.kernel) == (12, "axial", "B30f")
    save(tmp_path / "plain", axial(12))
    for path in (file, tmp_path / "IM000.dcm"):
        scan = read_scan(path)
        plain = read_scan(tmp_path / "plain")
        assert (scan.hu == plain.hu).all()
        assert scan.geometry.to_lps((3, 4, 5)) == pytest.approx(plain.geometry.to_lps((3, 4, 5)))
        assert scan.files == (str(file),)


def test_the_header_travels_with_the_scan(tmp_path: Path) -> None:
    slices = axial(12, Manufacturer="ACME", ManufacturerModelName="X1", KVP=120, ContrastBolusAgent="yes")
    header = read_scan(save(tmp_path, slices)).header
    assert header.source == str(tmp_path)
    assert (header.modality, header.patient_id, header.patient_age_years, header.patient_sex) == (
        "CT",
        "P1",
        65,
        "male",
    )
    assert (header.manufacturer, header.model, header.kernel) == ("ACME", "X1", "B30f")
    assert (header.kvp, header.contrast, header.slice_thickness_mm) == (120, "yes", 5)
    assert header.series_uid == slices[0].SeriesInstanceUID
    assert header.study_uid == slices[0].StudyInstanceUID
    assert header.frame_of_reference_uid == slices[0].FrameOfReferenceUID


@pytest.mark.parametrize(("sex", "word"), [("M", "male"), ("F", "female"), ("O", None), ("", None)])
def test_sex(tmp_path: Path, sex: str, word: str | None) -> None:
    assert read_scan(save(tmp_path, axial(8, PatientSex=sex))).header.patient_sex == word


@pytest.mark.parametrize(
    ("text", "age"),
    [("065Y", 65), ("780M", 65), ("065", 65), ("100W", 1), ("000Y", None), ("", None), (None, None), ("old", None)],
)
def test_age(text: str | None, age: int | None) -> None:
    assert years(text) == age


def test_age_from_birth_and_study_dates(tmp_path: Path) -> None:
    slices = axial(8, PatientAge="", PatientBirthDate="19500630", StudyDate="20200629")
    assert read_scan(save(tmp_path, slices)).header.patient_age_years == 69


@pytest.mark.parametrize("kernel", ["B70f", "B50f", "Br59d", "Bl57", "LUNG", "BONEPLUS", "EDGE", "L", "YB", "FC51"])
def test_sharp_kernels(kernel: str) -> None:
    assert sharp(kernel)


@pytest.mark.parametrize("kernel", ["B30f", "Br40", "STANDARD", "SOFT", "C", "FC08", "CHEST", ""])
def test_soft_kernels(kernel: str) -> None:
    assert not sharp(kernel)


def test_progress_grows_to_one_and_can_stop_the_reading(tmp_path: Path) -> None:
    save(tmp_path, axial(12))
    steps: list[Step] = []
    progress = Progress(report=steps.append, shares={"read": 1})
    with progress.stage("read"):
        read_scan(tmp_path, progress=progress)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(set(fractions)) > 12
    with pytest.raises(Cancelled):
        read_scan(tmp_path, progress=Progress(cancelled=lambda: True))


def test_files_that_bend_the_standard_print_no_remarks(tmp_path: Path) -> None:
    save(tmp_path, axial(12))
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"065Y", b"65Y "))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_scan(tmp_path).header.patient_age_years == 65


def test_screenshots_and_reports_inside_a_ct_series_are_left_out(tmp_path: Path) -> None:
    shots = axial(2, SOPClassUID=SecondaryCaptureImageStorage)
    for k, shot in enumerate(shots):
        shot.SOPInstanceUID = f"1.2.9.{k}"
    scan = read_scan(save(tmp_path, [*shots, *axial(12)]))
    assert scan.hu.shape[0] == 12
    assert any("2 file(s) of the series were left out: it is a secondary capture" in w for w in scan.warnings)


def test_numbers_that_are_none_where_they_do_not_matter(tmp_path: Path) -> None:
    save(tmp_path, axial(12, KVP="120 "))
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"120 ", b"high"))
    assert read_scan(tmp_path).header.kvp is None


def test_a_bare_data_set_without_file_meta_is_read(tmp_path: Path) -> None:
    slices = axial(12)
    expected = read_scan(save(tmp_path / "plain", slices)).hu
    (tmp_path / "bare").mkdir()
    for k, dataset in enumerate(slices):
        del dataset.file_meta
        dataset.save_as(tmp_path / "bare" / str(k), implicit_vr=k % 2 == 0, little_endian=True)
    assert (read_scan(tmp_path / "bare").hu == expected).all()
