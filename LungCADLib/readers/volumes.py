"""NRRD, NIfTI and MetaImage files as HU with their grid."""

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.readers.nifti import read_nifti
from LungCADLib.readers.plausible import check
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
# Axes this close to perpendicular are so but for rounding in the file.
PERPENDICULAR = 0.01
_HEADER_BYTES = 1 << 22
_CHUNK_BYTES = 1 << 20
_GZIP_FORM = 16 + zlib.MAX_WBITS
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8}


@dataclass(frozen=True)
class Volume:
    """int16 HU (k, j, i), its grid, and warnings."""

    hu: NDArray[np.int16]
    geometry: Geometry
    warnings: tuple[str, ...]


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
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy it again.")
    slope, intercept = 1.0, 0.0
    if kind(path) == "NIfTI":
        nifti = read_nifti(path)
        values, slope, intercept, warnings = nifti.stored, nifti.slope, nifti.intercept, list(nifti.warnings)
        axes, origin = nifti.affine[:3, :3], nifti.affine[:3, 3]
    else:
        warnings = _check_nrrd(path) if kind(path) == "NRRD" else check_meta_image(path)
        image = _read(path)
        values = _array(image)
        axes = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        origin = np.array(image.GetOrigin())
    geometry = _geometry(path, values.shape, axes, origin)
    try:
        hu, more = _hounsfield(values, slope, intercept)
    except InputError as error:
        raise InputError(f"{path} cannot be read as a chest CT: {error}.") from None
    return Volume(hu, geometry, (*warnings, *more))


def _geometry(path: Path, shape: tuple[int, ...], axes: NDArray[np.float64], origin: NDArray[np.float64]) -> Geometry:
    """The grid whose i, j and k index move along the columns of `axes` (LPS, mm)."""
    if min(shape) < MIN_SLICES:
        text = " x ".join(str(n) for n in shape[::-1])
        raise InputError(f"{path} has {text} voxels, and at least {MIN_SLICES} slices are needed.")
    if not np.isfinite(axes).all() or not np.isfinite(origin).all():
        raise InputError(f"{path} has a spacing or origin that is not a number; correct its header.")
    spacing = np.linalg.norm(axes, axis=0)
    if not MIN_SPACING_MM <= spacing.min() <= spacing.max() <= MAX_SPACING_MM:
        text = " x ".join(f"{s:g}" for s in spacing)
        raise InputError(f"{path} has a voxel spacing of {text} mm, which is not possible; correct its header.")
    direction = axes / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=PERPENDICULAR):
        raise InputError(f"{path} has axes that are not perpendicular (a tilted gantry?); resample it to a plain grid.")
    left, _, right = np.linalg.svd(direction)
    exact = np.allclose(direction.T @ direction, np.eye(3), atol=1e-6)
    return Geometry(
        shape=(shape[0], shape[1], shape[2]),
        spacing=(float(spacing[2]), float(spacing[1]), float(spacing[0])),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=direction if exact else left @ right,
    )


def _hounsfield(values: NDArray, slope: float, intercept: float) -> tuple[NDArray[np.int16], list[str]]:
    """int16 HU of values of any number type; the reason in an InputError where that cannot be."""
    warnings = []
    if values.dtype.kind == "u" and values.dtype.itemsize == 2 and slope == 1 and values.max() > np.iinfo(np.int16).max:
        values = values.view(values.dtype.str.replace("u", "i"))
        warnings.append("The file says its values are unsigned, but they are signed HU; they were read as signed.")
    hu = np.empty(values.shape, np.int16)
    low, high, bad = np.inf, -np.inf, 0
    for k, plane in enumerate(values):
        if slope != 1 or intercept != 0:
            plane = plane * np.float64(slope) + intercept
        if plane.dtype.kind == "f":
            bad += int(np.count_nonzero(~np.isfinite(plane)))
            if bad:
                continue
            low, high = min(low, float(plane.min())), max(high, float(plane.max()))
            plane = np.rint(plane)
        else:
            low, high = min(low, int(plane.min())), max(high, int(plane.max()))
        hu[k] = np.clip(plane, AIR_HU, np.iinfo(np.int16).max)
    if bad:
        raise InputError(f"{bad} of its voxels are not numbers (NaN or infinite); replace them, air is {AIR_HU}")
    check(hu, low, high)
    return hu, warnings


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
    except Exception as error:  # ITK raises RuntimeError for everything
        raise InputError(f"{path} is damaged, truncated or not {kind(path)}{_itk_reason(error)}.") from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _array(image: "SimpleITK.Image") -> NDArray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image)


def _itk_reason(error: Exception) -> str:
    """The part of ITK's message that says something, in parentheses; nothing where there is none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1].split(": ")[-1].rstrip(". ") if lines else ""
    if "change spacing" in text:
        return " (it has a voxel spacing of zero)"
    return "" if not text or text.startswith(("Unable to determine", "No such file")) else f" ({text})"


def _check_dimensions(path: Path, reader: "SimpleITK.ImageFileReader") -> None:
    size = reader.GetSize()
    if reader.GetNumberOfComponents() != 1:
        raise InputError(f"{path} has {reader.GetNumberOfComponents()} values per voxel (color or vectors), not HU.")
    if len(size) < 3:
        raise InputError(f"{path} is a {len(size)}D picture; give the 3D volume.")
    if len(size) > 3 and max(size[3:]) > 1:
        raise InputError(f"{path} is {len(size)}D with {size[3]} volumes; export one volume by itself.")


def _check_nrrd(path: Path) -> list[str]:
    """What a NRRD header leaves open (http://teem.sourceforge.net/nrrd/format.html)."""
    fields, header_bytes = _fields(path, ":")
    if not fields:
        raise InputError(f"{path} is damaged or not NRRD; copy it again.")
    directions = fields.get("space directions")
    if "spacings" not in fields and directions is None:
        raise InputError(f"{path} does not say its voxel spacing (no space directions); export it again.")
    if directions is not None and directions.split().count("none") > max(len(fields.get("sizes", "").split()) - 3, 0):
        raise InputError(f"{path} does not say its voxel spacing (space directions: {directions}); export it again.")
    _refuse_negative(path, fields.get("spacings", ""))
    if fields.get("encoding", "").lower() in ("gzip", "gz"):
        _check_gzip(path, fields, header_bytes)
    if "space" not in fields:
        return ["The file does not say how it lies in the patient (no space); left and right are a guess."]
    return []


def _check_gzip(path: Path, fields: dict[str, str], header_bytes: int) -> None:
    """Refuse damaged compressed data; ITK's NRRD reader does not look at the checksum."""
    data_file = fields.get("data file", fields.get("datafile"))
    holder, start = (path, header_bytes) if data_file is None else (path.parent / data_file, 0)
    if not holder.is_file() or "byte skip" in fields or "line skip" in fields:
        return
    stream = zlib.decompressobj(_GZIP_FORM)
    try:
        with holder.open("rb") as file:
            file.seek(start)
            while not stream.eof and (chunk := file.read(_CHUNK_BYTES)):
                stream.decompress(chunk)
    except zlib.error:
        raise InputError(f"{holder} is damaged (its checksum is wrong); copy it again.") from None
    if not stream.eof:
        raise InputError(f"{holder} is truncated: its compressed data ends too early; copy it again.")


def _refuse_negative(path: Path, spacing: str) -> None:
    if any(word.startswith("-") for word in spacing.split()):
        raise InputError(f"{path} has a voxel spacing of {spacing} mm, which is not possible; correct its header.")


def check_meta_image(path: Path) -> list[str]:
    """Refuse what MetaIO would report only on the terminal: a header without sizes, missing or short data."""
    fields, header_bytes = _fields(path, "=")
    if "dimsize" not in fields or "elementdatafile" not in fields:
        raise InputError(
            f"{path} is damaged, truncated or not MetaImage (no DimSize or ElementDataFile in its header)."
        )
    if "elementspacing" not in fields and "elementsize" not in fields:
        raise InputError(f"{path} does not say its voxel spacing (no ElementSpacing); export it again.")
    _refuse_negative(path, fields.get("elementspacing", ""))
    sizes = fields["dimsize"].split()
    if not all(n.isdecimal() for n in sizes) or str(len(sizes)) != fields.get("ndims"):
        raise InputError(f"{path} has impossible dimensions in its header (DimSize {fields['dimsize']}).")
    if "elementtype" not in fields:
        raise InputError(f"{path} does not say what kind of numbers it holds (ElementType); export it again.")
    data_file = fields["elementdatafile"]
    local = data_file.upper() == "LOCAL"
    holder = path if local else path.parent / data_file
    if not holder.is_file():
        # A list or a pattern of slice files: MetaIO knows these.
        if data_file.upper().startswith("LIST") or "%" in data_file:
            return []
        raise InputError(f"The data file {holder} of {path} is missing; copy both.")
    size = _META_BYTES.get(fields.get("elementtype", "").removeprefix("MET_").upper())
    if size and fields.get("compresseddata", "false").lower() != "true":
        wanted = size * math.prod(int(n) for n in sizes)
        there = holder.stat().st_size - (header_bytes if local else 0)
        if there < wanted:
            raise InputError(f"{holder} is truncated: {there} of {wanted} bytes are there; copy it again.")
    return []


def _fields(path: Path, separator: str) -> tuple[dict[str, str], int]:
    """The `name separator value` lines of a text header, names in lower case, and the header's length in bytes.

    A NRRD header ends with an empty line, a MetaImage header with ElementDataFile.
    """
    with path.open("rb") as stream:
        lines = stream.read(_HEADER_BYTES).decode("latin-1").splitlines(keepends=True)
    fields: dict[str, str] = {}
    length = 0
    for line in lines:
        length += len(line)
        name, found, value = line.partition(separator)
        if found:
            fields[name.strip().lower()] = value.lstrip("= ").strip()
        if name.strip().lower() == "elementdatafile" or (separator == ":" and not line.strip()):
            break
    return fields, length
