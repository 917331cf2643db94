"""What one DICOM file says, pixels aside: which series it belongs to, and where its frames lie in the patient."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from LungCADLib.errors import InputError
from LungCADLib.scan import Header

CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

# Only these are parsed: with thousands of files that is the difference between seconds and a minute.
TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "PatientAge",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "Modality",
    "ImageType",
    "SeriesDescription",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "ConvolutionKernel",
    "KVP",
    "ContrastBolusAgent",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "LossyImageCompression",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]

_YEARS_PER = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_SEX = {"M": "male", "F": "female"}


@dataclass(frozen=True)
class Frame:
    """One slice: where it lies and how its stored values become HU.

    Parameters
    ----------
    file, index
        The file, and the frame's number inside it (0 for an ordinary slice).
    position
        LPS (x, y, z) in mm of the center of the first pixel; None where the file does not say.
    orientation
        Direction cosines along a row, then down a column; None where the file does not say.
    spacing
        mm between rows, between columns (PixelSpacing's order); None where the file does not say.
    time
        What tells repeated volumes apart: acquisition number and temporal position.
    """

    file: Path
    index: int
    rows: int
    columns: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float
    intercept: float
    rescale_type: str
    image_type: tuple[str, ...]
    instance: int
    time: tuple[int, int]

    @property
    def localizer(self) -> bool:
        return "LOCALIZER" in self.image_type


@dataclass(frozen=True)
class FileHeader:
    """One DICOM file: what the whole series shares (`header`), what decides whether it can be read, and its frames."""

    file: Path
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    body_part: str
    samples: int
    lossy: bool
    header: Header
    frames: tuple[Frame, ...]


def read_header(path: Path) -> FileHeader | None:
    """The header of a DICOM file, or None where the file is not a DICOM object with a series (a DICOMDIR, a note, ...).

    Raises
    ------
    InputError
        If the file claims to be DICOM but cannot be read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
            if not start:
                raise InputError(f"{path} is empty (0 bytes); copy it again or remove it.")
            if start[128:] != b"DICM" and not _bare_dataset(start):
                if path.suffix.lower() in (".dcm", ".dicom", ".ima"):
                    raise InputError(f"{path} is named like a DICOM file but is not one; copy it again or remove it.")
                return None
            stream.seek(0)
            dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
        return _parse(path, dataset)
    except InputError:
        raise
    except (PermissionError, FileNotFoundError) as error:
        raise InputError(f"{path} cannot be opened: {(error.strerror or 'it is gone').lower()}.") from None
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same to the person
        raise InputError(f"{path} is damaged or truncated ({one_line(error)}); copy it again or remove it.") from None


def one_line(error: Exception) -> str:
    """The first line of an exception's message that says something, without its final period.

    pydicom's decoders begin with a heading that ends in a colon, and name each decoder's reason below it.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if not line.endswith(":")), lines[0]).rstrip(". ")


def years(age: str | None) -> int | None:
    """Whole years of a DICOM age string such as `065Y` or `780M`; None where it is absent, malformed or zero."""
    match = re.fullmatch(r"\s*(\d{1,3})([YMWD]?)\s*", age or "")
    if match is None:
        return None
    return int(int(match[1]) * _YEARS_PER[match[2] or "Y"] + 1e-9) or None


def _bare_dataset(start: bytes) -> bool:
    """Whether this looks like a data set without preamble: group 0002 or 0008, a small element, a plausible size."""
    if len(start) < 12 or start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3] != 0:
        return False
    return start[4:6].isalpha() or int.from_bytes(start[4:8], "little") < 1024


def _parse(path: Path, dataset: Dataset) -> FileHeader | None:
    if dataset.get("SOPClassUID") == MediaStorageDirectoryStorage or "DirectoryRecordSequence" in dataset:
        return None
    meta = getattr(dataset, "file_meta", Dataset())
    if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return None
    series_uid = _text(dataset, "SeriesInstanceUID")
    if not series_uid:
        if len(meta) == 0:
            return None
        raise InputError(f"{path} is damaged or truncated (it names no series); copy it again or remove it.")
    return FileHeader(
        file=path,
        sop_class=_text(dataset, "SOPClassUID"),
        sop_uid=_text(dataset, "SOPInstanceUID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=series_uid,
        patient_id=_text(dataset, "PatientID"),
        body_part=_text(dataset, "BodyPartExamined").upper(),
        samples=_count(dataset, "SamplesPerPixel") or 1,
        lossy=_text(dataset, "LossyImageCompression") == "01",
        header=_header(dataset),
        frames=_frames(path, dataset),
    )


def _text(dataset: Dataset, name: str) -> str:
    value = dataset.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    parts = value if hasattr(value, "__iter__") else [value]
    return "\\".join(str(part).strip() for part in parts)


def _number(dataset: Dataset, name: str) -> float | None:
    """A number, or None where it is absent or is not one (pydicom says so when the value is first used)."""
    try:
        value = dataset.get(name)
    except (ValueError, TypeError, OverflowError):
        return None
    return float(value) if isinstance(value, int | float) else None


def _count(dataset: Dataset, name: str) -> int:
    return int(_number(dataset, name) or 0)


def _numbers(dataset: Dataset, name: str, count: int) -> tuple[Any, ...] | None:
    value = dataset.get(name)
    if value is None or isinstance(value, str | float | int) or len(value) != count:
        return None
    return tuple(float(v) for v in value)


def _header(dataset: Dataset) -> Header:
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    reconstruction = _first(shared[0], "CTReconstructionSequence")
    age = years(_text(dataset, "PatientAge"))
    birth, day = _text(dataset, "PatientBirthDate"), _text(dataset, "StudyDate")
    if age is None and re.fullmatch(r"\d{8}", birth) and re.fullmatch(r"\d{8}", day):
        whole = (int(day) - int(birth)) // 10_000
        age = whole if 0 < whole < 120 else None
    return Header(
        modality=_text(dataset, "Modality"),
        patient_id=_text(dataset, "PatientID") or None,
        patient_age_years=age,
        patient_sex=_SEX.get(_text(dataset, "PatientSex").upper()),
        study_uid=_text(dataset, "StudyInstanceUID") or None,
        series_uid=_text(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=_text(dataset, "FrameOfReferenceUID") or None,
        study_date=day or None,
        series_description=_text(dataset, "SeriesDescription") or None,
        manufacturer=_text(dataset, "Manufacturer") or None,
        model=_text(dataset, "ManufacturerModelName") or None,
        kernel=_text(dataset, "ConvolutionKernel") or _text(reconstruction, "ConvolutionKernel") or None,
        slice_thickness_mm=_number(dataset, "SliceThickness"),
        kvp=_number(dataset, "KVP"),
        contrast=_text(dataset, "ContrastBolusAgent") or None,
    )


def _first(dataset: Dataset, sequence: str) -> Dataset:
    items = dataset.get(sequence)
    return items[0] if items else Dataset()


def _frames(path: Path, dataset: Dataset) -> tuple[Frame, ...]:
    """One frame for an ordinary slice; for an enhanced object one per item of its per-frame functional groups."""
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if per_frame is None:
        count = _count(dataset, "NumberOfFrames") or 1
        return tuple(_frame(path, i, dataset, [dataset]) for i in range(count))
    return tuple(_frame(path, i, dataset, [item, shared, dataset]) for i, item in enumerate(per_frame))


def _frame(path: Path, index: int, dataset: Dataset, places: list[Dataset]) -> Frame:
    """A frame from the first place that has each group: the frame's own item, what the frames share, the top level."""

    def group(sequence: str, name: str) -> Dataset:
        for place in places:
            found = place if place is dataset else _first(place, sequence)
            if name in found:
                return found
        return Dataset()

    values = group("PixelValueTransformationSequence", "RescaleSlope")
    measures = group("PixelMeasuresSequence", "PixelSpacing")
    content = group("FrameContentSequence", "FrameAcquisitionNumber")
    kind = _first(places[0], "CTImageFrameTypeSequence") or _first(places[1 % len(places)], "CTImageFrameTypeSequence")
    slope = _number(values, "RescaleSlope")
    acquisition = _count(content, "FrameAcquisitionNumber") or _count(dataset, "AcquisitionNumber")
    temporal = _count(content, "TemporalPositionIndex") or _count(dataset, "TemporalPositionIdentifier")
    return Frame(
        file=path,
        index=index,
        rows=_count(dataset, "Rows"),
        columns=_count(dataset, "Columns"),
        position=_numbers(group("PlanePositionSequence", "ImagePositionPatient"), "ImagePositionPatient", 3),
        orientation=_numbers(
            group("PlaneOrientationSequence", "ImageOrientationPatient"), "ImageOrientationPatient", 6
        ),
        spacing=_numbers(measures, "PixelSpacing", 2),
        thickness=_number(measures, "SliceThickness") or _number(dataset, "SliceThickness"),
        slope=1.0 if slope is None else slope,
        intercept=_number(values, "RescaleIntercept") or 0.0,
        rescale_type=_text(values, "RescaleType").upper(),
        image_type=tuple((_text(kind, "FrameType") or _text(dataset, "ImageType")).upper().split("\\")),
        instance=_count(dataset, "InstanceNumber") + index,
        time=(acquisition, temporal),
    )
