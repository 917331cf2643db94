"""A volume node as a CT: whether it can be one, its voxels, its grid, and what the scene knows of its patient."""

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from LungCADLib.errors import InputError
from LungCADLib.readers.orient import upright
from LungCADLib.readers.plausible import AIR_BELOW_HU, TISSUE_ABOVE_HU, check_range
from LungCADLib.scan import AIR_HU, Geometry, Header, Scan
from LungCADLib.scene.grids import LPS_TO_RAS
from LungCADLib.study import Xyz

_DICOM = slicer.vtkMRMLSubjectHierarchyConstants
_MIN_SLICES = 3
_HARDENED_FROM = "LungCAD.HardenedFrom"
"""Role by which a hardened copy refers to its original."""
# Looking at every voxel would hold the window; every fourth slice and fourth row is enough to tell what it is.
_SAMPLE = (slice(None, None, 4), slice(None, None, 4), slice(None, None, 2))


def check_volume(volume: Any) -> None:
    """Refuse a volume node that cannot be a chest CT in HU. Looks at a sample of the voxels and is quick.

    Raises
    ------
    InputError
        One sentence: why, and what to do.
    """
    name = f'"{volume.GetName()}"'
    image = volume.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise InputError(f"{name} holds no voxels; load the CT again.")
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(f"{name} has {image.GetNumberOfScalarComponents()} values per voxel (color), not HU.")
    if min(image.GetDimensions()) < _MIN_SLICES:
        size = " x ".join(str(n) for n in image.GetDimensions())
        raise InputError(f"{name} has {size} voxels, which is no volume; choose the whole CT series.")
    modality = header_of(volume).modality
    if modality != "CT":
        raise InputError(f"{name} is {modality}, not CT; choose a chest CT.")
    geometry_of(volume)
    sample = values_of(volume)[_SAMPLE]
    low, high = float(sample.min()), float(sample.max())
    if not np.isfinite([low, high]).all():
        raise InputError(f"{name} has voxels that are not numbers (NaN or infinite); replace them, air is {AIR_HU}.")
    try:
        air = (sample < AIR_BELOW_HU) & (sample > AIR_HU)
        check_range(low, high, float(air.mean()), float((sample > TISSUE_ABOVE_HU).mean()))
    except InputError as reason:
        raise InputError(f"{name} cannot be read as a chest CT: {reason}.") from None


def values_of(volume: Any) -> NDArray:
    """The voxels (k, j, i) of a volume node, not copied."""
    image = volume.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def geometry_of(volume: Any) -> Geometry:
    """The grid of `values_of`, without the node's parent transform.

    Raises
    ------
    InputError
        If its axes are not perpendicular.
    """
    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    to_lps = LPS_TO_RAS @ np.reshape([matrix.GetElement(i, j) for i in range(4) for j in range(4)], (4, 4))
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
    direction = to_lps[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-3):
        raise InputError(
            f'"{volume.GetName()}" has axes that are not perpendicular; resample it with "Resample Scalar/Vector/DWI '
            'Volume" first.'
        )
    return Geometry(
        shape=tuple(volume.GetImageData().GetDimensions()[::-1]),
        spacing=(float(spacing[2]), float(spacing[1]), float(spacing[0])),
        origin=(float(to_lps[0, 3]), float(to_lps[1, 3]), float(to_lps[2, 3])),
        direction=direction,
    )


def header_of(volume: Any) -> Header:
    """What the subject hierarchy knows of a volume: patient, study and series, as Slicer's DICOM module left them."""
    scene = volume.GetScene()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(volume)
    if item == hierarchy.GetInvalidItemID():
        return Header(source=volume.GetName(), series_description=volume.GetName())
    study = hierarchy.GetItemAncestorAtLevel(item, _DICOM.GetDICOMLevelStudy())
    patient = hierarchy.GetItemAncestorAtLevel(item, _DICOM.GetDICOMLevelPatient())

    def said(of: int, attribute: str) -> str | None:
        return hierarchy.GetItemAttribute(of, attribute) or None if of != hierarchy.GetInvalidItemID() else None

    def uid(of: int) -> str | None:
        known = hierarchy.GetItemUID(of, _DICOM.GetDICOMUIDName()) if of != hierarchy.GetInvalidItemID() else ""
        return known or None

    date = said(study, _DICOM.GetDICOMStudyDateAttributeName())
    return Header(
        source=volume.GetName(),
        modality=said(item, _DICOM.GetDICOMSeriesModalityAttributeName()) or "CT",
        patient_id=said(patient, _DICOM.GetDICOMPatientIDAttributeName()),
        patient_age_years=_age(said(patient, _DICOM.GetDICOMPatientBirthDateAttributeName()), date),
        patient_sex={"F": "female", "M": "male"}.get(said(patient, _DICOM.GetDICOMPatientSexAttributeName()) or ""),
        study_uid=uid(study),
        series_uid=uid(item),
        study_date=date,
        series_description=volume.GetName(),
    )


def _age(born: str | None, scanned: str | None) -> int | None:
    """Whole years between two dates as DICOM writes them (YYYYMMDD, or with dashes)."""
    digits = ["".join(filter(str.isdigit, day or "")) for day in (born, scanned)]
    if any(len(day) != len("YYYYMMDD") for day in digits):
        return None
    first, second = (int(day) for day in digits)
    years = (second - first) // 10000
    return years if 0 <= years <= 120 else None


def scan_of(volume: Any) -> Scan:
    """A volume node as a scan, upright as the readers turn it; voxels are shared with the node where they can be."""
    return _scan(values_of(volume), geometry_of(volume), header_of(volume))


def scan_near(volume: Any, center_lps_mm: Xyz, half_mm: float) -> Scan:
    """The part of `scan_of` within a distance of a position, without touching the other voxels."""
    grid = geometry_of(volume)
    box = grid.box_around(center_lps_mm, half_mm)
    return _scan(values_of(volume)[box], grid.crop(box), header_of(volume))


def _scan(values: NDArray, grid: Geometry, header: Header) -> Scan:
    array, geometry = upright(values, grid)
    if array.dtype != np.int16:
        array = np.clip(np.rint(array.astype(np.float32)), AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
    elif array.min() < AIR_HU:
        array = np.maximum(array, np.int16(AIR_HU))
    return Scan(array, geometry, header)


def hardened(volume: Any) -> Any:
    """The volume itself, or under a transform a copy of it with the transform applied."""
    transform = volume.GetParentTransformNode()
    if transform is None:
        return volume
    scene = volume.GetScene()
    copy = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{volume.GetName()} hardened")
    copy.SetNodeReferenceID(_HARDENED_FROM, volume.GetID())
    copy.CopyOrientation(volume)
    image = volume.GetImageData()
    if not transform.IsTransformToWorldLinear():
        # Hardening resamples the voxels, which must then not be those of the original.
        image = image.NewInstance()
        image.DeepCopy(volume.GetImageData())
    copy.SetAndObserveImageData(image)
    copy.CreateDefaultDisplayNodes()
    copy.SetAndObserveTransformNodeID(transform.GetID())
    copy.HardenTransform()
    return copy


def original_of(volume: Any) -> Any:
    """The volume that a hardened copy was made from; any other volume itself."""
    return volume.GetNodeReference(_HARDENED_FROM) or volume
