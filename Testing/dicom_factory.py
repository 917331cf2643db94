"""Small DICOM series made on the spot: a chest-like body whose voxels tell where they are, in any shape needed."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1, 0, 0, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1)
CORONAL = (1, 0, 0, 0, 0, -1)
PREFIX = "1.2.826.0.1.3680043.10.9999."


def uid(name: object) -> str:
    """The same UID for the same name, so that files can belong together without being made together."""
    return generate_uid(prefix=PREFIX, entropy_srcs=[str(name)])


def body(lps: NDArray[np.float64]) -> NDArray[np.int16]:
    """HU at LPS positions (..., 3): an elliptic trunk around the z axis with two lungs and a gradient in the tissue.

    The gradient (0 to 60 HU headward, leftward and backward) tells every axis and direction apart.
    """
    x, y, z = lps[..., 0], lps[..., 1], lps[..., 2]
    hu = np.full(x.shape, -1000.0)
    trunk = (x / 70) ** 2 + (y / 50) ** 2 < 1
    hu[trunk] = (30 + 0.2 * x + 0.15 * y + 0.3 * z)[trunk]
    for side in (-1, 1):
        hu[((x - side * 32) / 24) ** 2 + (y / 34) ** 2 < 1] = -850 + 20 * side
    return np.rint(hu).astype(np.int16)


def grid(
    position: Iterable[float], orientation: tuple[float, ...], spacing: tuple[float, float], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """LPS positions (rows, columns, 3) of a slice's pixels (PS3.3 C.7.6.2.1.1)."""
    along_row, down_column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (
        np.array(list(position), float)
        + columns[..., None] * spacing[1] * along_row
        + rows[..., None] * spacing[0] * down_column
    )


def ct_slice(
    position: Iterable[float] = (-79, -59, 0),
    orientation: tuple[float, ...] = AXIAL,
    spacing: tuple[float, float] = (4.0, 4.0),
    shape: tuple[int, int] = (30, 40),
    *,
    series: str = "one",
    patient: str = "P1",
    number: int = 1,
    hu: NDArray | None = None,
    intercept: int = -1024,
    **tags: Any,
) -> Dataset:
    """One CT slice of `body` at LPS positions; `tags` overrides any attribute (None deletes it)."""
    position = [float(v) for v in position]
    values = body(grid(position, orientation, spacing, shape)) if hu is None else hu
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = uid((series, number, position, orientation))
    dataset.StudyInstanceUID = uid((patient, "study"))
    dataset.SeriesInstanceUID = uid(series)
    dataset.FrameOfReferenceUID = uid((patient, "frame"))
    dataset.PatientID, dataset.PatientName = patient, patient
    dataset.PatientAge, dataset.PatientSex = "065Y", "M"
    dataset.Modality, dataset.BodyPartExamined = "CT", "CHEST"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesDescription, dataset.ConvolutionKernel = series, "B30f"
    dataset.InstanceNumber, dataset.AcquisitionNumber = number, 1
    dataset.SliceThickness = 5.0
    dataset.ImagePositionPatient = [round(v, 6) for v in position]
    dataset.ImageOrientationPatient = [round(float(v), 8) for v in orientation]
    dataset.PixelSpacing = list(spacing)
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, intercept
    dataset.PixelData = (values.astype(np.int32) - intercept).astype(np.int16).tobytes()
    for name, value in tags.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def axial(count: int = 16, step: float = 5.0, start: float = 0.0, **options: Any) -> list[Dataset]:
    """An ordinary axial series, from the feet up."""
    return [ct_slice((-79, -59, start + step * k), number=k + 1, **options) for k in range(count)]


def at(places: Iterable[float], **options: Any) -> list[Dataset]:
    """An axial series with slices at given z."""
    return [ct_slice((-79, -59, z), number=k + 1, **options) for k, z in enumerate(places)]


def stacked(
    orientation: tuple[float, ...],
    count: int,
    step: float = 4.0,
    travel: Iterable[float] | None = None,
    shape: tuple[int, int] = (40, 40),
    center: tuple[float, float, float] = (0, 0, 40),
    **options: Any,
) -> list[Dataset]:
    """A series in any orientation around `center`; `travel` is the unit step between slices, by default the normal.

    A tilted gantry is an orientation whose normal is not `travel`.
    """
    x, y = np.array(orientation[:3], float), np.array(orientation[3:], float)
    along = np.cross(x, y) if travel is None else np.array(list(travel), float)
    corner = np.array(center) - 4.0 * ((shape[1] - 1) * x + (shape[0] - 1) * y) / 2 - along * step * (count - 1) / 2
    return [
        ct_slice(corner + along * step * k, orientation, shape=shape, number=k + 1, **options) for k in range(count)
    ]


def save(folder: Path, datasets: Iterable[Dataset], name: Callable[[int], str] = "IM{:03d}.dcm".format) -> Path:
    """Write the data sets into a folder (made if need be), named by their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, dataset in enumerate(datasets):
        dataset.save_as(folder / name(i), enforce_file_format=True)
    return folder


def enhanced(slices: list[Dataset]) -> Dataset:
    """The slices as one enhanced multi-frame CT (PS3.3 A.38): orientation shared, positions per frame."""
    first = slices[0]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    for tag in (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "PatientID",
        "PatientAge",
        "PatientSex",
    ):
        setattr(dataset, tag, first[tag].value)
    for tag in ("Modality", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"):
        setattr(dataset, tag, first[tag].value)
    dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedCTImageStorage, uid((first.SOPInstanceUID, "enhanced"))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.PixelRepresentation, dataset.Rows, dataset.Columns = 1, first.Rows, first.Columns
    dataset.NumberOfFrames = len(slices)
    shared = Dataset()
    shared.PlaneOrientationSequence = _one(ImageOrientationPatient=first.ImageOrientationPatient)
    shared.PixelMeasuresSequence = _one(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    shared.CTReconstructionSequence = _one(ConvolutionKernel="B30f")
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for each in slices:
        frame = Dataset()
        frame.PlanePositionSequence = _one(ImagePositionPatient=each.ImagePositionPatient)
        frame.PixelValueTransformationSequence = _one(
            RescaleSlope=each.RescaleSlope, RescaleIntercept=each.RescaleIntercept, RescaleType="HU"
        )
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.PixelData = b"".join(each.PixelData for each in slices)
    return dataset


def _one(**values: Any) -> Sequence:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return Sequence([item])
