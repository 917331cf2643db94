"""Arrays of an npz file, or one sentence why not."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError

LARGEST_BYTES = 2 << 30
"""What the arrays asked for may unpack to; the largest set, 708 slices of 512 x 512 with masks, needs 0.6 GB."""


def read_arrays(path: Path, *names: str) -> dict[str, NDArray]:
    """Some arrays of an npz file; nothing pickled is read, and nothing is unpacked before its size is known.

    Raises
    ------
    InputError
        If the file or one of the arrays is not there, the file is damaged, or a small file stands for a huge array.
    """
    try:
        _check_sizes(path, names)
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise InputError(f"{path} has no array {missing[0]!r}; it needs {', '.join(names)}.")
            return {name: file[name] for name in names}
    except FileNotFoundError:
        raise InputError(f"{path} is not there; check the path.") from None
    except InputError:
        raise
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as an .npz file ({type(error).__name__}); get it again.") from None


def _check_sizes(path: Path, names: Sequence[str]) -> None:
    """Refuse what unpacks to too much (a zip bomb), and headers that ask for more memory than there are numbers.

    Python's zipfile gives no more bytes of a member than the archive's list says, so the list can be believed.
    """
    with zipfile.ZipFile(path) as archive:
        there = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        wanted = [there[name] for name in names if name in there]
        total = sum(info.file_size for info in wanted)
        if total > LARGEST_BYTES:
            raise InputError(
                f"{path} has {path.stat().st_size / 1e6:.1f} MB but unpacks to {total / 1e6:,.0f} MB, more than any "
                "set of nodules needs; it was not unpacked: check that it is the right file."
            )
        for info in wanted:
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }.get(version)
                if read_header is None:
                    continue
                shape, _, kind = read_header(member)
                numbers = math.prod(shape) * kind.itemsize
                if not kind.hasobject and numbers > info.file_size - member.tell():
                    raise InputError(
                        f"{path}: {info.filename} says it has shape {shape} but holds fewer numbers; get it again."
                    )
