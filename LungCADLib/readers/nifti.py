"""NIfTI-1 and NIfTI-2 files, read by hand.

ITK's reader fills what a truncated file lacks with whatever is in memory and turns NaN into 0; here both are refused.
Layout: NIfTI-1 (nifti1.h, Cox et al. 2004) and NIfTI-2 (nifti2.h, 2011), https://nifti.nimh.nih.gov.
"""

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError

# datatype code -> NumPy type
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
COLOR_TYPES = {32: "complex", 128: "color (RGB)", 1792: "complex", 2304: "color (RGBA)"}
# xyzt_units & 7 -> mm
UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
# header length -> struct formats and offsets: dim, datatype, pixdim, vox_offset, slope and intercept, units, codes,
# quaternion with offset, sform
LAYOUTS = {
    348: {
        "dim": ("8h", 40),
        "datatype": ("h", 70),
        "pixdim": ("8f", 76),
        "offset": ("f", 108),
        "scale": ("2f", 112),
        "units": ("B", 123),
        "codes": ("2h", 252),
        "quaternion": ("6f", 256),
        "sform": ("12f", 280),
    },
    540: {
        "dim": ("8q", 16),
        "datatype": ("h", 12),
        "pixdim": ("8d", 104),
        "offset": ("q", 168),
        "scale": ("2d", 176),
        "units": ("i", 500),
        "codes": ("2i", 344),
        "quaternion": ("6d", 352),
        "sform": ("12d", 400),
    },
}


@dataclass(frozen=True)
class Nifti:
    """Stored values (k, j, i), how they become HU, and the affine from (i, j, k) to LPS mm.

    `warnings` says what the header leaves open.
    """

    stored: NDArray
    slope: float
    intercept: float
    affine: NDArray[np.float64]
    warnings: tuple[str, ...]


def read_nifti(path: Path) -> Nifti:
    """A 3D NIfTI file, compressed or not.

    Raises
    ------
    InputError
        If it is truncated, not NIfTI, not 3D, or not of real numbers.
    """
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            data = stream.read()
    except EOFError:
        raise InputError(f"{path} is truncated: its compressed data ends too early; copy it again.") from None
    except gzip.BadGzipFile:
        raise InputError(f"{path} is damaged or is not gzip-compressed as its name says; copy it again.") from None
    except PermissionError:
        raise
    except Exception:  # zlib.error and OSError of a damaged stream
        raise InputError(f"{path} is damaged; copy it again.") from None
    order, layout = _layout(path, data)

    def value(name: str) -> tuple[float, ...]:
        form, at = layout[name]
        return struct.unpack_from(order + form, data, at)

    shape = _shape(path, [int(n) for n in value("dim")])
    stored = _values(path, data, order, int(value("datatype")[0]), value("offset")[0], shape)
    slope, intercept = value("scale")
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        slope, intercept = 1.0, 0.0
    unit = UNIT_MM.get(int(value("units")[0]) & 7, 1.0)
    pixdim = np.array(value("pixdim"))
    if not np.isfinite(pixdim[1:4]).all() or (pixdim[1:4] == 0).any():
        raise InputError(f"{path} has a voxel spacing of zero in its header (pixdim); correct its header.")
    qform, sform = value("codes")
    affine, warnings = _affine(qform > 0, sform > 0, pixdim, value("quaternion"), value("sform"))
    affine[:3] *= unit
    return Nifti(stored, slope, intercept, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, tuple(warnings))


def _layout(path: Path, data: bytes) -> tuple[str, dict[str, tuple[str, int]]]:
    for length, layout in LAYOUTS.items():
        for order in "<>":
            if len(data) >= 4 and struct.unpack_from(order + "i", data)[0] == length:
                if len(data) < length:
                    raise InputError(f"{path} is truncated inside its header; copy it again.")
                return order, layout
    raise InputError(f"{path} is not NIfTI: it does not begin with a NIfTI header; check the file.")


def _shape(path: Path, dim: list[int]) -> tuple[int, int, int]:
    """(k, j, i); dimensions of one beyond the third do not count."""
    count = dim[0]
    if not 1 <= count <= 7 or min(dim[1 : count + 1]) < 1:
        raise InputError(f"{path} has impossible dimensions in its header; check the file.")
    sizes = dim[1 : count + 1]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > 3:
        volumes = int(np.prod(sizes[3:]))
        raise InputError(f"{path} is {len(sizes)}D with {volumes} volumes; export one volume by itself.")
    if len(sizes) < 3:
        raise InputError(f"{path} is a {len(sizes)}D picture; give the 3D volume.")
    return sizes[2], sizes[1], sizes[0]


def _values(path: Path, data: bytes, order: str, code: int, offset: float, shape: tuple[int, int, int]) -> NDArray:
    if code not in TYPES:
        raise InputError(f"{path} has {COLOR_TYPES.get(code, 'unusual')} values, not HU; export the CT as numbers.")
    if not (np.isfinite(offset) and offset >= 0):
        raise InputError(f"{path} says that its data begin at byte {offset:g}, which is not possible; check the file.")
    offset = int(offset)
    dtype = np.dtype(order + TYPES[code])
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(data) - offset < wanted:
        raise InputError(
            f"{path} is truncated: {max(len(data) - offset, 0)} of {wanted} bytes are there; copy it again."
        )
    return np.frombuffer(data, dtype, count=wanted // dtype.itemsize, offset=offset).reshape(shape)


def _affine(
    qform: bool, sform: bool, pixdim: NDArray[np.float64], quaternion: tuple[float, ...], rows: tuple[float, ...]
) -> tuple[NDArray[np.float64], list[str]]:
    """(i, j, k) to RAS: the sform where it is given and not degenerate, else the qform, else the spacing alone."""
    s = np.vstack([np.reshape(rows, (3, 4)), [0, 0, 0, 1]])
    sform = sform and bool(np.isfinite(s).all()) and abs(np.linalg.det(s[:3, :3])) > 1e-9
    q = _from_quaternion(pixdim, quaternion)
    qform = qform and bool(np.isfinite(q).all())
    if sform:
        differs = qform and not np.allclose(s, q, atol=0.05 * np.abs(pixdim[1:4]).min())
        return s, ["The file's sform and qform disagree about where it lies; the sform was used."] if differs else []
    if qform:
        return q, []
    plain = np.diag([-abs(pixdim[1]), -abs(pixdim[2]), abs(pixdim[3]), 1.0])
    return plain, ["The file does not say how it lies in the patient (no sform, no qform); left and right are a guess."]


def _from_quaternion(pixdim: NDArray[np.float64], quaternion: tuple[float, ...]) -> NDArray[np.float64]:
    """Method 2 of nifti1.h: a unit quaternion (a follows from b, c, d), the spacing, and qfac = pixdim[0] for k."""
    b, c, d, *origin = quaternion
    a = np.sqrt(max(1 - (b * b + c * c + d * d), 0))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.abs(pixdim[1:4]) * [1, 1, -1 if pixdim[0] < 0 else 1]
    affine[:3, 3] = origin
    return affine
