"""Networks that others publish, kept in a folder of the person's own and checked whenever they are used.

Each has a folder with its files and a receipt, which says where they came from and their SHA-256. A file enters only
with the hash that its publisher gives; from then on its SHA-256 must stay what it was.
"""

import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from LungCADLib.errors import InputError, OutputError
from LungCADLib.weights.archive import copy_tree, digest_of, unpack
from LungCADLib.weights.catalog import Entry, Hash, entry

RECEIPT = "lungcad.json"

_WEIGHTS = {".pt", ".pth", ".ts", ".safetensors", ".ckpt", ".bin", ".pkl"}

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


def cache_folder() -> Path:
    r"""The folder of downloaded weights: `$LUNGCAD_WEIGHTS`, or where this system keeps what can be had again.

    `~/.cache/LungCAD/weights` (or below `$XDG_CACHE_HOME`), `~/Library/Caches/LungCAD/weights` on macOS,
    `%LOCALAPPDATA%\LungCAD\weights` on Windows. It need not exist.
    """
    chosen = os.environ.get("LUNGCAD_WEIGHTS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        # "All paths must be absolute; a relative one is to be ignored": XDG Base Directory Specification 0.8.
        said = Path(os.environ.get("XDG_CACHE_HOME") or ".")
        base = said if said.is_absolute() else Path.home() / ".cache"
    return base / "LungCAD" / "weights"


def is_installed(name: str) -> bool:
    """Whether a network of the catalog lies in the cache, unchecked."""
    return (cache_folder() / entry(name).name).is_dir()


def bundle_folder(name: str) -> Path:
    """The folder of a network of the catalog, after checking the SHA-256 of every file in it.

    A person may put a folder of their own in its place with the environment variable `LUNGCAD_BUNDLE_` + the name in
    capitals; there is no hash to hold that against.

    Returns
    -------
    Path
        For a MONAI bundle with `configs/` and `models/model.pt` in it.

    Raises
    ------
    InputError
        If it is not installed, or a file is missing, was changed, or was added.
    """
    wanted = entry(name)
    variable = f"LUNGCAD_BUNDLE_{name.upper()}"
    own = os.environ.get(variable)
    if own:
        if not Path(own).is_dir():
            raise InputError(f"{own} is not a folder; correct the environment variable {variable} or remove it.")
        return Path(own)
    folder = cache_folder() / wanted.name
    if not folder.is_dir():
        raise InputError(f"{name} is not on this computer; get it with `lungcad models download {name}`.")
    _check(wanted, folder)
    return folder


def import_files(name: str, source: Path) -> Path:
    """Put a network that the person brought by hand into the cache, checked as a download is.

    Parameters
    ----------
    name
        Of the catalog.
    source
        The file as its publisher offers it, a folder with that file in it, or an unpacked MONAI bundle.

    Returns
    -------
    Path
        Its folder in the cache.

    Raises
    ------
    InputError
        If the files are not there or are not the published ones.
    OutputError
        If the cache cannot be written.
    """
    wanted = entry(name)
    file = source if source.is_file() else source / wanted.file
    if file.is_file():
        check_digest(file, wanted.digest, wanted)
        with staging(wanted) as place:
            return install(wanted, file, place)
    for folder in (source, source / name):
        if wanted.parts and all((folder / part).is_file() for part in wanted.parts):
            for part, digest in wanted.parts.items():
                check_digest(folder / part, digest, wanted)
            with staging(wanted) as place:
                copy_tree(folder, place / "new")
                return _publish(wanted, place, wanted.parts)
    unpacked = f" or, unpacked, {' and '.join(wanted.parts)}" if wanted.parts else ""
    raise InputError(f"{source} does not hold {wanted.file}{unpacked}; it is published at {wanted.url}.")


def delete(name: str) -> None:
    """Remove a network of the catalog from the cache, with what a killed download of it left.

    Raises
    ------
    InputError
        If it is not there.
    OutputError
        If it cannot be removed.
    """
    wanted = entry(name)
    home = cache_folder()
    found = [path for path in (home / wanted.name, *home.glob(f".{wanted.name}-*")) if path.is_dir()]
    if not found:
        raise InputError(f"{name} is not on this computer; nothing to delete.")
    for folder in found:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(f"{folder} cannot be deleted ({error.strerror}); delete it by hand.") from None


def check_digest(path: Path, digest: Hash, wanted: Entry) -> None:
    """Hold a file against the hash its publisher gives.

    Raises
    ------
    InputError
        If it is another file.
    """
    algorithm, published = digest
    if digest_of(path, algorithm) != published:
        raise InputError(
            f"{path} is not what {wanted.page} publishes as {wanted.name} "
            f"({algorithm.upper()} differs); it was not installed: get it again from {wanted.url}."
        )


@contextmanager
def staging(wanted: Entry) -> Iterator[Path]:
    """An empty folder in the cache to prepare a network in; gone at the end, whatever happens.

    Raises
    ------
    OutputError
        If the cache cannot be written or is full.
    """
    home = cache_folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{wanted.name}-", dir=home))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise no_room(wanted) from None
        if error.errno in _NOT_ALLOWED or isinstance(error, FileExistsError | NotADirectoryError):
            raise OutputError(
                f"The cache folder {home} cannot be written ({error.strerror}); name another one in the environment "
                "variable LUNGCAD_WEIGHTS."
            ) from None
        raise


def no_room(wanted: Entry) -> OutputError:
    """What is wrong where the disk is full."""
    return OutputError(
        f"There is not enough room in {cache_folder()} for {wanted.name}; free some, or name a folder on another disk "
        "in the environment variable LUNGCAD_WEIGHTS."
    )


def install(wanted: Entry, file: Path, place: Path) -> Path:
    """Unpack, or move, a checked file into a staging folder, and put that where the network belongs."""
    new = place / "new"
    if wanted.parts:
        unpack(file, new)
        missing = [part for part in wanted.parts if not (new / part).is_file()]
        if missing:
            raise InputError(f"{file} does not hold {missing[0]}; get it again from {wanted.url}.")
    else:
        new.mkdir()
        shutil.copyfile(file, new / wanted.file)
    return _publish(wanted, place, {wanted.file: wanted.digest})


def _publish(wanted: Entry, place: Path, checked: Mapping[str, Hash]) -> Path:
    """Write the receipt and replace the network's folder as a whole."""
    new, final = place / "new", cache_folder() / wanted.name
    receipt = {
        "name": wanted.name,
        "installed": datetime.now(UTC).isoformat(timespec="seconds"),
        "license": str(wanted.license),
        "checked": {name: {algorithm: value} for name, (algorithm, value) in checked.items()},
        "sha256": {file.relative_to(new).as_posix(): digest_of(file, "sha256") for file in _files(new)},
    }
    (new / RECEIPT).write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    if final.exists():
        final.replace(place / "old")
    new.replace(final)
    return final


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _check(wanted: Entry, folder: Path) -> None:
    again = f"run `lungcad models download {wanted.name}` again"
    known = _receipt(folder, again)
    for name, sha256 in known.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing; {again}.")
        if digest_of(path, "sha256") != sha256:
            raise InputError(f"{path} was changed since it was installed (SHA-256 differs); {again}.")
    for path in _files(folder):
        if path.suffix.lower() in _WEIGHTS and path.relative_to(folder).as_posix() not in known:
            raise InputError(f"{path} does not belong to {wanted.name}; delete it, or {again}.")


def _receipt(folder: Path, again: str) -> dict[str, str]:
    """SHA-256 by file name, as noted at installation."""
    try:
        receipt: Any = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in receipt["sha256"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{folder / RECEIPT} is missing or damaged; {again}.") from None
