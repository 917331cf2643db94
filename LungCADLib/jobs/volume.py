"""A CT in memory, on its way to another process: as an uncompressed NRRD file.

Shared memory was measured beside it (`python -m LungCADLib.jobs.benchmark`, 150 MiB, two cores busy with other work):
the file was given in 0.24 to 0.27 s and taken in 1.0 to 1.7 s, shared memory given in 0.70 to 0.84 s (its pages are
new) and taken in 0.37 to 0.58 s. The sums are alike and small beside the analysis, so the file wins for the rest: it
can be written a slice at a time, it passes the same checks as every other input, a worker that is killed leaves nothing
behind that outlives the job's folder, containers do not limit it to 64 MB, and no Python before 3.13 removes it too
early.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.scan import Geometry, Header

_TYPES = {
    "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32", "i8": "int64",
    "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip
"""NRRD's names of number types (https://teem.sourceforge.net/nrrd/format.html#type) by NumPy's."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT in memory.

    Parameters
    ----------
    values
        HU (z, y, x) of any number type. It is read while the job starts, so it must not change until then.
    geometry
        Its grid (LPS, mm), in any orientation: the study's own grid may be another one, turned upright.
    header
        What is known of the scan; `source` names it in messages and results.
    """

    values: NDArray
    geometry: Geometry
    header: Header = field(default_factory=Header)

    @property
    def file_name(self) -> str:
        """A file name that tells a person which volume it was."""
        name = re.sub(r"[^A-Za-z0-9 _-]+", "_", Path(self.header.source).name).strip(" _")[:60]
        return f"{name or 'volume'}.nrrd"

    def write(self, path: Path) -> Iterator[None]:
        """Write the volume as uncompressed NRRD, a slice per step, so that the caller can do other things between.

        Raises
        ------
        OSError
            If it cannot be written.
        InputError
            If its values are not numbers of a type that files hold.
        """
        if self.values.dtype.newbyteorder("<").str[1:] not in _TYPES:
            raise InputError(f"{self.file_name} has values of type {self.values.dtype}, not HU; convert it to int16.")
        little = self.values.dtype.newbyteorder("<")
        with path.open("wb", buffering=0) as file:
            file.write(self._nrrd_header(little))
            for plane in self.values:
                file.write(np.ascontiguousarray(plane, little).data.cast("B"))
                yield

    def _nrrd_header(self, little: np.dtype) -> bytes:
        steps = np.asarray(self.geometry.direction) * np.array(self.geometry.spacing[::-1])
        lines = [
            "NRRD0004",
            f"type: {_TYPES[little.str[1:]]}",
            "dimension: 3",
            "space: left-posterior-superior",
            "sizes: " + " ".join(str(n) for n in self.values.shape[::-1]),
            "space directions: " + " ".join(_vector(steps[:, axis]) for axis in range(3)),
            "kinds: domain domain domain",
            "endian: little",
            "encoding: raw",
            "space origin: " + _vector(np.array(self.geometry.origin)),
        ]
        return "\n".join([*lines, "", ""]).encode()


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(v)) for v in values) + ")"
