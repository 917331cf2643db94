"""Write a phantom: as a volume file or a DICOM series, with the truth beside it."""

import hashlib
import json
import uuid
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib import __version__
from LungCADLib.phantom.make import Phantom
from LungCADLib.scan import Geometry

VOLUME_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
DATE = "20200101"


def write_phantom(path: Path, phantom: Phantom, *, labels: bool = False) -> list[Path]:
    """Write a phantom and its truth.

    Parameters
    ----------
    path
        A volume file (.nrrd, .nii.gz, .nii, .mha), or anything else: a folder for a DICOM series.
    phantom
        What to write.
    labels
        Also write `<name>.lungs.nrrd` and `<name>.nodules.nrrd` (voxel value = number of the nodule).

    Returns
    -------
    list of Path
        What was written: first the scan, then `<name>.truth.json` beside it, then the labels.
    """
    path = Path(path)
    suffix = next((s for s in VOLUME_SUFFIXES if path.name.lower().endswith(s)), None)
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix is None:
        _write_dicom(path, phantom)
        stem = path.name
    else:
        _write_volume(path, phantom.scan.geometry, phantom.scan.hu)
        stem = path.name[: -len(suffix)]
    written = [path, path.parent / f"{stem}.truth.json"]
    written[1].write_text(json.dumps(truth(phantom), indent=2) + "\n", encoding="utf-8")
    if labels:
        nodules = np.zeros(phantom.scan.hu.shape, np.uint8)
        for number, mask in enumerate(phantom.masks.nodules.values(), 1):
            nodules[mask.box][mask.mask] = number
        for name, array in (("lungs", phantom.masks.lungs), ("nodules", nodules)):
            written.append(path.parent / f"{stem}.{name}.nrrd")
            _write_volume(written[-1], phantom.scan.geometry, array)
    return written


def truth(phantom: Phantom) -> dict[str, object]:
    """What is true of a phantom, as JSON takes it."""
    geometry = phantom.scan.geometry
    counts = np.bincount(phantom.masks.lungs.ravel(), minlength=4) * geometry.voxel_mm3 / 1000
    return {
        "made_by": f"LungCAD {__version__} phantom",
        "seed": phantom.seed,
        "shape": list(geometry.shape),
        "spacing_mm": list(geometry.spacing),
        "lungs_ml": {"right": float(counts[1]), "left": float(counts[2]), "airway": float(counts[3])},
        "nodules": [asdict(nodule) for nodule in phantom.nodules],
    }


def _write_volume(path: Path, geometry: Geometry, array: NDArray) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(geometry.image(array), str(path), useCompression=True)


def _uid(*parts: object) -> str:
    """A UID under 2.25 that is always the same for the same parts (a UUID as one integer, PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def _write_dicom(folder: Path, phantom: Phantom) -> None:
    """One CT Image Storage file per slice, numbered from the head down as scanners do."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    scan, geometry = phantom.scan, phantom.scan.geometry
    key = (phantom.seed, hashlib.sha256(scan.hu.tobytes()).hexdigest())
    study, series, frame = (_uid(*key, name) for name in ("study", "series", "frame"))
    count = geometry.shape[0]
    for k in range(count):
        number = count - k
        position = geometry.to_lps((k, 0, 0))
        data = Dataset()
        data.SOPClassUID, data.SOPInstanceUID = CT_IMAGE_STORAGE, _uid(*key, k)
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientID, data.PatientName, data.PatientBirthDate, data.PatientSex = "PHANTOM", "Phantom^LungCAD", "", ""
        data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "", ""
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = DATE
        data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "120000"
        data.Modality, data.BodyPartExamined, data.PatientPosition = "CT", "CHEST", "HFS"
        data.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        data.StudyDescription, data.SeriesDescription = "LungCAD phantom", scan.header.series_description
        data.Manufacturer, data.ManufacturerModelName = "LungCAD", "phantom"
        data.ConvolutionKernel, data.KVP = scan.header.kernel, scan.header.kvp
        if scan.header.contrast:
            data.ContrastBolusAgent = scan.header.contrast
        data.SeriesNumber, data.AcquisitionNumber, data.InstanceNumber = 1, 1, number
        data.PositionReferenceIndicator = ""
        data.ImagePositionPatient = [round(float(v), 4) for v in position]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.SliceLocation = round(float(position[2]), 4)
        data.SliceThickness = scan.header.slice_thickness_mm
        if abs(geometry.spacing[0] - (scan.header.slice_thickness_mm or 0)) > 1e-6:
            data.SpacingBetweenSlices = geometry.spacing[0]
        data.PixelSpacing = [geometry.spacing[1], geometry.spacing[2]]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows, data.Columns = geometry.shape[1:]
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -1024, 1, "HU"
        data.WindowCenter, data.WindowWidth = [-600, 40], [1500, 400]
        data.PixelData = (scan.hu[k].astype(np.int32) + 1024).astype("<u2").tobytes()
        data.file_meta = FileMetaDataset()
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
