"""Stored values become HU whatever their compression, byte order, sign or padding."""

from pathlib import Path

import numpy as np
import pytest
from dicom_factory import axial, ct_slice, save
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from LungCADLib.errors import InputError
from LungCADLib.readers import read_scan
from LungCADLib.readers.pixels import hounsfield


def slices_12_bit(count: int = 10) -> list[Dataset]:
    """The usual CT: 12 bits unsigned, intercept -1024."""
    return axial(count, shape=(32, 40), BitsStored=12, HighBit=11, PixelRepresentation=0)


def compressed_by_gdcm(source: Path, target: Path) -> None:
    gdcm = pytest.importorskip("gdcm", reason="only GDCM writes JPEG Lossless")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(target))
    assert writer.Write()


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return save(tmp_path / "plain", slices_12_bit())


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_compression_changes_nothing(tmp_path: Path, syntax: str, signed: bool) -> None:
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls", reason="pyjpegls writes JPEG-LS")
    slices = axial(10, shape=(32, 40), intercept=0) if signed else slices_12_bit()
    expected = read_scan(save(tmp_path / "plain", slices)).hu
    for dataset in slices:
        dataset.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(read_scan(save(tmp_path / "small", slices)).hu, expected)


def test_jpeg_lossless(tmp_path: Path, plain: Path) -> None:
    (tmp_path / "small").mkdir()
    for file in sorted(plain.iterdir()):
        compressed_by_gdcm(file, tmp_path / "small" / file.name)
    assert dcmread(tmp_path / "small" / "IM000.dcm").file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert np.array_equal(read_scan(tmp_path / "small").hu, read_scan(plain).hu)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_byte_orders_and_headers(tmp_path: Path, plain: Path, syntax: str) -> None:
    slices = slices_12_bit()
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
            dataset["PixelData"].VR = "OW"
    folder = tmp_path / "other"
    folder.mkdir()
    for k, dataset in enumerate(slices):
        little = syntax != ExplicitVRBigEndian
        dataset.save_as(folder / f"{k}.dcm", little_endian=little, implicit_vr=syntax == ImplicitVRLittleEndian)
    assert np.array_equal(read_scan(folder).hu, read_scan(plain).hu)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("keep", [0.5, 0.8])
def test_a_truncated_compressed_slice_is_refused_by_name(tmp_path: Path, syntax: str, keep: float) -> None:
    slices = slices_12_bit()
    rng = np.random.default_rng(3)
    for dataset in slices:
        values = np.frombuffer(dataset.PixelData, np.int16) + rng.integers(0, 40, 1280).astype(np.int16)
        dataset.PixelData = values.tobytes()
        dataset.compress(syntax, generate_instance_uid=False)
    save(tmp_path, slices)
    file = tmp_path / "IM004.dcm"
    data = file.read_bytes()
    start = data.index(b"\xe0\x7f\x10\x00")
    file.write_bytes(data[: start + int(keep * (len(data) - start))])
    with pytest.raises(InputError, match=r"IM004\.dcm"):
        read_scan(tmp_path)


def test_slope_and_intercept_are_taken_from_each_slice(tmp_path: Path) -> None:
    slices = axial(10)
    expected = read_scan(save(tmp_path / "a", axial(10))).hu
    stored = np.frombuffer(slices[3].PixelData, np.int16)
    slices[3].PixelData = (stored * 2).tobytes()
    slices[3].RescaleSlope = 0.5
    slices[6].PixelData = (stored_of(slices[6]) - 1000).tobytes()
    slices[6].RescaleIntercept = -24
    assert np.array_equal(read_scan(save(tmp_path / "b", slices)).hu, expected)


def stored_of(dataset: Dataset) -> np.ndarray:
    return np.frombuffer(dataset.PixelData, np.int16)


def one(values: list[int], dtype: type, slope: float = 1, intercept: float = -1024, **tags: int) -> list[int]:
    """HU of a one-row picture."""
    dataset = Dataset()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return hounsfield(np.array([values], dtype), slope, intercept, dataset)[0].tolist()


@pytest.mark.parametrize("padding", [-2048, -3024, -2000, -1025])
def test_values_below_air_become_air(padding: int) -> None:
    assert one([padding, -1024, -1000, 40], np.int16, intercept=0) == [-1024, -1024, -1000, 40]


def test_padding_written_as_an_unsigned_number() -> None:
    assert one([-2000, 24, 1064], np.int16, PixelPaddingValue=63536) == [-1024, -1000, 40]
    assert one([63536, 24, 1064], np.uint16, PixelPaddingValue=-2000) == [-1024, -1000, 40]
    assert one([63536, 24, 1064], np.uint16) == [-1024, -1000, 40]


def test_padding_brighter_than_anything() -> None:
    assert one([32767, 24, 1064], np.int16, PixelPaddingValue=32767) == [-1024, -1000, 40]


def test_a_range_of_padding() -> None:
    values = [5, 7, 10, 1024, 1064]
    tags = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 9}
    assert one(values, np.uint16, intercept=-900, **tags) == [-1024, -1024, -890, 124, 164]


def test_padding_that_could_be_tissue_counts_only_at_the_border() -> None:
    picture = np.full((7, 7), 1000, np.int16)
    picture[0] = picture[:, 0] = 0
    picture[3, 3] = 0
    dataset = Dataset()
    dataset.PixelPaddingValue = 0
    hu = hounsfield(picture, 1, 0, dataset)
    assert hu[0, 4] == hu[4, 0] == -1024
    assert hu[3, 3] == 0


def test_bright_metal_does_not_wrap() -> None:
    assert one([32767, 0], np.int16, intercept=1000) == [32767, 1000]
    assert one([32767, 0], np.uint16, slope=2, intercept=0) == [32767, 0]


def test_unused_high_bits_do_not_count(tmp_path: Path, plain: Path) -> None:
    slices = slices_12_bit()
    for dataset in slices:
        dataset.PixelData = (stored_of(dataset) | np.int16(0x7000)).tobytes()
    assert np.array_equal(read_scan(save(tmp_path / "overlay", slices)).hu, read_scan(plain).hu)


def test_lossy_compression_leaves_a_warning(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path, axial(10, LossyImageCompression="01")))
    assert any("compressed with loss" in warning for warning in scan.warnings)


def test_a_picture_of_another_size_than_its_header_says(tmp_path: Path) -> None:
    slices = axial(10)
    slices[5] = ct_slice((-79, -59, 25), number=6, shape=(30, 40))
    slices[5].PixelData = slices[5].PixelData[:-200]
    with pytest.raises(InputError, match=r"IM005\.dcm"):
        read_scan(save(tmp_path, slices))
