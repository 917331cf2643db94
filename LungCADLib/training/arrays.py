"""Arrays of an npz file, or one sentence why not."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError


def read_arrays(path: Path, *names: str) -> dict[str, NDArray]:
    """Some arrays of an npz file; nothing pickled is read.

    Raises
    ------
    InputError
        If the file or one of the arrays is not there, or the file is damaged.
    """
    try:
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
