"""Files from elsewhere: their digests, unpacking them without trusting them, and tensors without code."""

import hashlib
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from LungCADLib.errors import InputError

if TYPE_CHECKING:
    from LungCADLib.weights.bundled import State

LARGEST_BYTES = 1 << 30
"""A bundle that unpacks to more than this is refused; MONAI's, with all their weights, need 170 MB."""

MOST_FILES = 1000

NEVER_USED = {".ts"}
"""TorchScript is a program, not a list of tensors, and is left in the archive."""


def digest_of(path: Path, algorithm: str) -> str:
    """The digest of a file, in hexadecimal digits.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            # MD5 is what some publish; the note lets it work where a system's policy forbids it for signatures.
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path and its permissions.") from None


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a new folder; a single folder at its top is left out.

    Raises
    ------
    InputError
        If it is damaged, too large, or holds anything that would land outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [info for info in packed.infolist() if not info.is_dir()]
            _check_size(archive, len(members), sum(info.file_size for info in members))
            paths = [_safe(archive, info) for info in members]
            tops = {path.parts[0] for path in paths}
            depth = 1 if len(tops) == 1 and all(len(path.parts) > 1 for path in paths) else 0
            for info, path in zip(members, paths, strict=True):
                if path.suffix.lower() in NEVER_USED:
                    continue
                target = folder.joinpath(*path.parts[depth:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(info) as source, target.open("xb") as copy:
                    shutil.copyfileobj(source, copy)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, FileExistsError):
        raise InputError(f"{archive} is not a zip file that can be unpacked; get it again.") from None


def copy_tree(source: Path, folder: Path) -> None:
    """Copy a bundle's regular files into a new folder, links left out.

    Raises
    ------
    InputError
        If there is too much of it.
    """
    files = [path for path in source.rglob("*") if path.is_file() and not path.is_symlink()]
    files = [path for path in files if path.suffix.lower() not in NEVER_USED]
    _check_size(source, len(files), sum(path.stat().st_size for path in files))
    for path in files:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def read_state(path: Path) -> "State":
    """The tensors by name in a file that `torch.save` wrote, on the CPU; nothing in the file is run.

    A checkpoint that keeps them under "model" or "state_dict" is opened there.

    Raises
    ------
    InputError
        If the file cannot be read, is damaged, or holds anything but tensors.
    """
    import pickle

    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = next((loaded[key] for key in ("model", "state_dict") if key in loaded), loaded)
        tensors = {str(name): tensor for name, tensor in state.items()}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path and its permissions.") from None
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} holds more than tensors, so it could run code, or is damaged; it was not loaded: use the file "
            "its publisher offers."
        ) from None
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError):
        raise InputError(f"{path} is not a file of weights, or is damaged; get it again.") from None
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise InputError(f"{path} does not hold a network's weights by name; use the file its publisher offers.")
    return tensors


def _safe(archive: Path, info: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a member, if it stays inside the folder it is unpacked into."""
    path = PurePosixPath(info.filename)
    outside = path.is_absolute() or ".." in path.parts or any(c in info.filename for c in "\\:\0") or not path.parts
    if outside or stat.S_ISLNK(info.external_attr >> 16):
        raise InputError(f"{archive} holds {info.filename!r}, which leads out of its folder; do not use this file.")
    return path


def _check_size(source: Path, files: int, size: int) -> None:
    if files > MOST_FILES or size > LARGEST_BYTES:
        raise InputError(
            f"{source} unpacks to {files} files of {size / 1e6:.0f} MB in all, more than a network has; "
            "check that it is the right one."
        )
