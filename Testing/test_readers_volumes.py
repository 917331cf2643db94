"""NRRD, NIfTI and MetaImage files: the same voxels at the same places, or one sentence."""

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factory import body

from LungCADLib.errors import InputError
from LungCADLib.readers import read_scan

NAMES = ["ct.nrrd", "ct.nhdr", "ct.nii", "ct.nii.gz", "ct.mha", "ct.mhd"]
SPACING, ORIGIN = (4.0, 4.0, 5.0), (-79.0, -59.0, 20.0)


def image(direction: np.ndarray | None = None, size: tuple[int, int, int] = (40, 30, 12)) -> sitk.Image:
    """The body sampled on a grid with any direction, through the same center."""
    direction = np.eye(3) if direction is None else direction
    middle = (np.array(size) - 1) / 2
    center = np.array(ORIGIN) + middle * SPACING
    origin = center - direction @ (middle * SPACING)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1)
    lps = (index * SPACING) @ direction.T + origin
    picture = sitk.GetImageFromArray(body(lps).transpose(2, 1, 0))
    picture.SetSpacing(SPACING)
    picture.SetOrigin(origin.tolist())
    picture.SetDirection(direction.ravel().tolist())
    return picture


def write(path: Path, picture: sitk.Image | None = None, compress: bool = False) -> Path:
    sitk.WriteImage(image() if picture is None else picture, str(path), useCompression=compress)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_scan(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert path.stem.split(".")[0] in message
    return message


def patched(path: Path, *changes: tuple[int, str, tuple]) -> Path:
    """A NIfTI-1 file with header fields overwritten: (offset, struct format, values)."""
    data = bytearray(write(path).read_bytes())
    for offset, form, values in changes:
        struct.pack_into("<" + form, data, offset, *values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", ["upright", "sagittal", "flipped", "oblique"])
def test_voxels_lie_where_itk_says(tmp_path: Path, name: str, turn: str) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    directions = {
        "upright": np.eye(3),
        "sagittal": np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]]),
        "flipped": np.diag([-1.0, -1, 1]),
        "oblique": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }
    scan = read_scan(write(tmp_path / name, image(directions[turn])))
    theirs = sitk.ReadImage(str(tmp_path / name))
    assert np.diag(scan.geometry.direction).min() > 0.9
    for z, y, x in [(0, 0, 0), (3, 7, 5), tuple(n - 1 for n in scan.hu.shape)]:
        lps = scan.geometry.to_lps((z, y, x))
        index = theirs.TransformPhysicalPointToIndex(lps.tolist())
        assert theirs.TransformIndexToPhysicalPoint(index) == pytest.approx(lps, abs=1e-3)
        assert theirs[index] == scan.hu[z, y, x]
    ours = scan.geometry.to_lps(np.moveaxis(np.indices(scan.hu.shape), 0, -1))
    assert np.mean(body(ours) != scan.hu) < 1e-3


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.mha", "ct.nii.gz"])
@pytest.mark.parametrize("kind", [sitk.sitkInt16, sitk.sitkInt32, sitk.sitkFloat32, sitk.sitkFloat64])
def test_number_types(tmp_path: Path, name: str, kind: int) -> None:
    scan = read_scan(write(tmp_path / name, sitk.Cast(image(), kind), compress=True))
    assert scan.hu.dtype == np.int16
    assert np.array_equal(scan.hu, sitk.GetArrayFromImage(image()))
    assert scan.warnings == ()


def test_fractions_are_rounded_and_padding_becomes_air(tmp_path: Path) -> None:
    picture = sitk.Cast(image(), sitk.sitkFloat32) + 0.4
    picture[0, 0, 0], picture[1, 0, 0] = -3024.0, 1e6
    scan = read_scan(write(tmp_path / "ct.nrrd", picture))
    assert scan.hu[0, 0, :2].tolist() == [-1024, 32767]
    assert np.array_equal(scan.hu[1:], sitk.GetArrayFromImage(image())[1:])


def test_signed_values_in_an_unsigned_file(tmp_path: Path) -> None:
    values = sitk.GetArrayFromImage(image())
    picture = sitk.GetImageFromArray(values.view(np.uint16))
    picture.CopyInformation(image())
    scan = read_scan(write(tmp_path / "ct.nrrd", picture))
    assert np.array_equal(scan.hu, values)
    assert any("signed" in warning for warning in scan.warnings)


@pytest.mark.parametrize("stored", [np.int16, np.uint16])
def test_nifti_slope_and_intercept(tmp_path: Path, stored: type) -> None:
    path = patched(tmp_path / "ct.nii", (112, "2f", (0.5, -1000.0)), (70, "h", (4 if stored is np.int16 else 512,)))
    data = bytearray(path.read_bytes())
    hu = sitk.GetArrayFromImage(image()).astype(int)
    data[352:] = ((hu + 1000) * 2).astype(stored).tobytes()
    path.write_bytes(data)
    assert np.array_equal(read_scan(path).hu, hu)


def test_big_endian_nifti(tmp_path: Path) -> None:
    data = write(tmp_path / "ct.nii").read_bytes()
    fields = [(0, "i"), *[(o, "h") for o in range(40, 56, 2)], (70, "h"), (72, "h"), (252, "h"), (254, "h")]
    fields += [(o, "f") for o in [*range(76, 108, 4), 108, 112, 116, *range(256, 328, 4)]]
    swapped = bytearray(data)
    for offset, form in fields:
        struct.pack_into(">" + form, swapped, offset, *struct.unpack_from("<" + form, data, offset))
    swapped[352:] = np.frombuffer(data[352:], "<i2").astype(">i2").tobytes()
    (tmp_path / "big.nii").write_bytes(swapped)
    ours, theirs = read_scan(tmp_path / "big.nii"), read_scan(tmp_path / "ct.nii")
    assert np.array_equal(ours.hu, theirs.hu)
    assert ours.geometry.to_lps((1, 2, 3)) == pytest.approx(theirs.geometry.to_lps((1, 2, 3)))


def test_nifti_without_orientation_is_read_with_a_warning(tmp_path: Path) -> None:
    scan = read_scan(patched(tmp_path / "ct.nii", (252, "2h", (0, 0))))
    assert any("no sform, no qform" in warning for warning in scan.warnings)
    assert scan.spacing == (5, 4, 4)


def test_nifti_whose_two_orientations_disagree_uses_the_sform(tmp_path: Path) -> None:
    sform = (-4.0, 0, 0, 100, 0, -4, 0, 59, 0, 0, 5, 20)
    scan = read_scan(patched(tmp_path / "ct.nii", (252, "2h", (1, 1)), (280, "12f", sform)))
    assert scan.geometry.origin == pytest.approx((-100, -59, 20))
    assert any("disagree" in warning for warning in scan.warnings)


def test_nifti_with_the_qform_alone(tmp_path: Path) -> None:
    scan = read_scan(patched(tmp_path / "ct.nii", (252, "2h", (1, 0)), (280, "12f", (0.0,) * 12)))
    assert scan.geometry.origin == pytest.approx(ORIGIN)
    assert scan.warnings == ()


def test_nifti_in_meters(tmp_path: Path) -> None:
    sform = tuple(v / 1000 for v in (-4.0, 0, 0, 79, 0, -4, 0, 59, 0, 0, 5, 20))
    scan = read_scan(patched(tmp_path / "ct.nii", (252, "2h", (0, 1)), (280, "12f", sform), (123, "B", (1,))))
    assert scan.spacing == pytest.approx((5, 4, 4))
    assert scan.geometry.origin == pytest.approx(ORIGIN)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((80, "f", (0.0,)), "voxel spacing of zero"),
        ((80, "f", (float("nan"),)), "voxel spacing of zero"),
        ((280, "12f", (-4, 0, 0, 79, 0, -4, 2, 59, 0, 0, 5, 20)), "not perpendicular"),
        ((280, "12f", (-0.004, 0, 0, 79, 0, -0.004, 0, 59, 0, 0, 0.005, 20)), "is not possible"),
        ((70, "h", (128,)), "color (RGB) values"),
        ((40, "h", (-3,)), "impossible dimensions"),
        ((48, "h", (2,)), None),
    ],
)
def test_nifti_headers_that_cannot_be(tmp_path: Path, change: tuple, why: str | None) -> None:
    path = patched(tmp_path / "ct.nii", (252, "2h", (0, 1)), change)
    if why is None:
        assert read_scan(path).hu.shape[0] == 12  # a fourth size beyond the dimensions said does not count
    else:
        assert why in refusal(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
def test_truncated_files(tmp_path: Path, name: str, compress: bool, keep: float) -> None:
    write(tmp_path / name, compress=compress)
    largest = max(tmp_path.iterdir(), key=lambda p: p.stat().st_size)
    data = largest.read_bytes()
    largest.write_bytes(data[: int(keep * len(data))])
    assert "." in refusal(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_noise_with_a_volumes_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(5000))
    refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["ct.nhdr", "ct.mhd"])
def test_a_header_without_its_data_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    for file in tmp_path.glob("ct.*raw*"):
        file.unlink()
    refusal(tmp_path / name)


def test_gzip_with_a_damaged_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "ct.nii.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refusal(path)


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.nii", "ct.mha"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_numbers(tmp_path: Path, name: str, value: float) -> None:
    picture = sitk.Cast(image(), sitk.sitkFloat32)
    picture[5, 5, 5] = value
    assert "1 of its voxels are not numbers" in refusal(write(tmp_path / name, picture))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p: (sitk.Cast(p, sitk.sitkFloat32) + 1000) / 1100, "normalized picture"),
        (lambda p: sitk.Cast(p / 1000.0, sitk.sitkFloat32), "normalized picture"),
        (lambda p: sitk.Cast(sitk.RescaleIntensity(p, 0, 255), sitk.sitkUInt8), "8-bit picture or a label map"),
        (lambda p: sitk.Cast(p + 1024, sitk.sitkUInt16), "not HU (air is -1000)"),
        (lambda p: sitk.Clamp(p, sitk.sitkInt16, -300, 3000), "no voxel is as dark as air"),
        (lambda p: sitk.Compose(p, p, p), "3 values per voxel"),
        (lambda p: p[:, :, 3], "2D picture"),
        (lambda p: p[:, :, :7], "at least 8 slices"),
    ],
)
@pytest.mark.parametrize("name", ["ct.nrrd", "ct.nii.gz", "ct.mha"])
def test_volumes_that_are_no_chest_ct(tmp_path: Path, name: str, change: object, why: str) -> None:
    message = refusal(write(tmp_path / name, change(image())))  # type: ignore[operator]
    assert why in message or (name == "ct.nii.gz" and "3 volumes" in message)


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.nii.gz", "ct.mha"])
def test_four_dimensions(tmp_path: Path, name: str) -> None:
    assert "4D with 2 volumes" in refusal(write(tmp_path / name, sitk.JoinSeries([image(), image()])))


def test_a_fourth_dimension_of_one_does_not_count(tmp_path: Path) -> None:
    assert read_scan(write(tmp_path / "ct.nii.gz", sitk.JoinSeries([image()]))).hu.shape == (12, 30, 40)


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.mha"])
def test_a_spacing_of_zero(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    data = path.read_bytes()
    for before, after in [(b"(4,0,0)", b"(0,0,0)"), (b"ElementSpacing = 4 4", b"ElementSpacing = 0 4")]:
        data = data.replace(before, after)
    path.write_bytes(data)
    assert "voxel spacing of zero" in refusal(path)


def test_a_nrrd_that_does_not_say_where_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "ct.nrrd")
    header, _, data = path.read_bytes().partition(b"\n\n")
    lines = [line for line in header.split(b"\n") if not line.startswith(b"space")]
    path.write_bytes(b"\n".join([*lines, b"spacings: 4 4 5"]) + b"\n\n" + data)
    scan = read_scan(path)
    assert scan.spacing == (5, 4, 4)
    assert any("left and right are a guess" in warning for warning in scan.warnings)
    path.write_bytes(b"\n".join(lines) + b"\n\n" + data)
    assert "does not say its voxel spacing" in refusal(path)


def test_reading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        path = write(tmp_path / name)
        read_scan(path)
        path.write_bytes(path.read_bytes()[:-1] if path.stat().st_size > 2000 else b"ObjectType = Image\n")
        refusal(path)
    assert capfd.readouterr() == ("", "")
