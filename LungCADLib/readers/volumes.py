"""NRRD, NIfTI and MetaImage files as arrays with their grid."""

import gzip
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.readers.headers import one_line
from LungCADLib.readers.plausible import check_range
from LungCADLib.readers.stack import MAX_SPACING_MM, MIN_SLICES, MIN_SPACING_MM
from LungCADLib.scan import AIR_HU, Geometry

if TYPE_CHECKING:
    import SimpleITK

SUFFIXES = {
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
}


@dataclass
class Volume:
    """HU (k, j, i), its grid, and warnings."""

    hu: NDArray[np.int16]
    geometry: Geometry
    warnings: list[str] = field(default_factory=list)


def kind(path: Path) -> str | None:
    """`NRRD`, `NIfTI`, `MetaImage`, or None, by the file's name."""
    name = path.name.lower()
    return next((value for suffix, value in SUFFIXES.items() if name.endswith(suffix)), None)


def read_volume(path: Path) -> Volume:
    """A volume file.

    Raises
    ------
    InputError
        If it is empty, truncated, not 3D, of color, of a shape or spacing that cannot be, holds NaN, or is not HU.
    """
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy it again.")
    warnings = []
    if kind(path) == "NIfTI":
        warnings += _nifti_warnings(path)
    elif kind(path) == "NRRD":
        warnings += _nrrd_warnings(path)
    image = _read(path)
    geometry = Geometry(
        shape=image.GetSize()[::-1],
        spacing=image.GetSpacing()[::-1],
        origin=image.GetOrigin(),
        direction=np.array(image.GetDirection()).reshape(3, 3),
    )
    _check_grid(path, geometry)
    try:
        hu, more = _hounsfield(image)
    except InputError as error:
        raise InputError(f"{path} cannot be read as a chest CT: {error}.") from None
    return Volume(hu, geometry, warnings + more)


def _read(path: Path) -> "SimpleITK.Image":
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    # ITK prints warnings to the terminal that the person can do nothing about; errors still come as exceptions.
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader.ReadImageInformation()
        _check_dimensions(path, reader)
        image = reader.Execute()
        return image if image.GetDimension() == 3 else image[(slice(None),) * 3 + (0,) * (image.GetDimension() - 3)]
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{path} does not fit into memory; crop it to the chest.") from None
    except Exception as error:  # ITK raises RuntimeError for everything
        raise InputError(f"{path} is damaged, truncated or not {kind(path)} ({_itk_reason(error)}).") from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _itk_reason(error: Exception) -> str:
    """The last line of ITK's message, which is the one that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else one_line(error)
    return text.split("): ")[-1].rstrip(". ")


def _check_dimensions(path: Path, reader: "SimpleITK.ImageFileReader") -> None:
    size = reader.GetSize()
    if reader.GetNumberOfComponents() != 1:
        raise InputError(f"{path} has {reader.GetNumberOfComponents()} values per voxel (color or vectors), not HU.")
    if len(size) < 3:
        raise InputError(f"{path} is a {len(size)}D picture; give the 3D volume.")
    if len(size) > 3 and max(size[3:]) > 1:
        raise InputError(f"{path} is {len(size)}D with {size[3]} volumes; export one volume by itself.")
    if min(size[:3]) < MIN_SLICES:
        shape = " x ".join(str(n) for n in size[:3])
        raise InputError(f"{path} has {shape} voxels, and at least {MIN_SLICES} slices are needed.")


def _check_grid(path: Path, geometry: Geometry) -> None:
    spacing = geometry.spacing
    if not np.isfinite(spacing).all() or not np.isfinite(geometry.origin).all():
        raise InputError(f"{path} has a spacing or origin that is not a number; correct its header.")
    if not MIN_SPACING_MM <= min(spacing) <= max(spacing) <= MAX_SPACING_MM:
        text = " x ".join(f"{s:g}" for s in spacing)
        raise InputError(
            f"{path} has a voxel spacing of {text} mm (z, y, x), which is not possible; correct its header."
        )
    direction = np.asarray(geometry.direction)
    if not np.allclose(direction.T @ direction, np.eye(3), atol=0.01):
        raise InputError(
            f"{path} has axes that are not perpendicular (a tilted gantry?); resample it onto a cubic grid."
        )


def _hounsfield(image: "SimpleITK.Image") -> tuple[NDArray[np.int16], list[str]]:
    """int16 HU of an image of any number type; the reason in an InputError where that cannot be."""
    import SimpleITK as sitk

    values = sitk.GetArrayViewFromImage(image)
    warnings = []
    if values.dtype == np.uint16 and values.max() > np.iinfo(np.int16).max:
        values = values.view(np.int16)
        warnings.append("The file says its values are unsigned, but they are signed HU; they were read as signed.")
    low, high = _extremes(values)
    out = np.empty(values.shape, np.int16)
    air = tissue = 0.0
    for k, plane in enumerate(values):
        rounded = np.rint(plane) if plane.dtype.kind == "f" else plane
        out[k] = np.clip(rounded, AIR_HU, np.iinfo(np.int16).max)
    from LungCADLib.readers.plausible import AIR_BELOW_HU, TISSUE_ABOVE_HU

    sample = out[:, ::2, ::2]
    air, tissue = float(np.mean(sample < AIR_BELOW_HU)), float(np.mean(sample > TISSUE_ABOVE_HU))
    check_range(low, high, air, tissue)
    return out, warnings


def _extremes(values: NDArray) -> tuple[float, float]:
    if values.dtype.kind == "f":
        bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in values)
        if bad:
            raise InputError(f"{bad} of its voxels are not numbers (NaN or infinite); replace them, air is {AIR_HU}")
    return float(values.min()), float(values.max())


def _nifti_warnings(path: Path) -> list[str]:
    """What the NIfTI-1 header (or NIfTI-2) leaves open: sform_code and qform_code both 0 mean no orientation."""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            start = stream.read(540)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} is damaged or truncated ({one_line(error)}); copy it again.") from None
    if len(start) < 348:
        raise InputError(f"{path} is truncated: a NIfTI header is 348 bytes long; copy it again.")
    for order in "<>":
        if struct.unpack_from(order + "i", start)[0] == 348:
            pixdim = struct.unpack_from(order + "8f", start, 76)[1:4]
            qform, sform = struct.unpack_from(order + "2h", start, 252)
            break
        if struct.unpack_from(order + "i", start)[0] == 540 and len(start) == 540:
            pixdim = struct.unpack_from(order + "8d", start, 104)[1:4]
            qform, sform = struct.unpack_from(order + "2i", start, 344)
            break
    else:
        raise InputError(f"{path} is not NIfTI: its header does not begin with its own length; check the file.")
    if not np.isfinite(pixdim).all() or min(abs(p) for p in pixdim) == 0:
        raise InputError(f"{path} has a voxel spacing of zero in its header (pixdim); correct its header.")
    if qform <= 0 and sform <= 0:
        return ["The file does not say how it lies in the patient (no sform, no qform); left and right are a guess."]
    return []


def _nrrd_warnings(path: Path) -> list[str]:
    with path.open("rb") as stream:
        header = stream.read(65536).split(b"\n\n")[0].replace(b"\r", b"").decode("latin-1").lower()
    names = {line.split(":")[0].strip() for line in header.split("\n") if ":" in line}
    if names and not names & {"space", "space directions"}:
        return ["The file does not say how it lies in the patient (no space); left and right are a guess."]
    return []
