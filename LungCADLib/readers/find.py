"""Which files a path stands for."""

import os
import stat
from pathlib import Path

from LungCADLib.errors import InputError
from LungCADLib.readers.headers import one_line, read_header
from LungCADLib.readers.volumes import kind

ARCHIVES = {b"PK\x03\x04": "ZIP", b"\x1f\x8b": "gzip", b"Rar!": "RAR", b"7z\xbc\xaf": "7-Zip"}


def files_of(path: Path) -> tuple[list[Path], str | None]:
    """The files to look at, and the series meant when the path is one of its files.

    A folder stands for everything below it, a DICOMDIR for what it lists, a multi-frame file for itself, and a single
    slice for its series in the same folder.

    Raises
    ------
    InputError
        If the path does not exist, cannot be opened, or is a file that is not DICOM.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if path.is_dir():
        return _below(path), None
    if _endless(path):
        raise InputError(f"{path} is a pipe or a device, not a file; write it to a file first.")
    if path.name.upper() == "DICOMDIR":
        return _listed(path), None
    header = read_header(path)
    if header is None:
        raise InputError(_not_an_image(path))
    return [path] if len(header.frames) > 1 else _beside(path), header.series_uid


def _below(folder: Path) -> list[Path]:
    """Every file below a folder, hidden ones left out, in a stable order."""

    def refuse(error: OSError) -> None:
        raise InputError(f"The folder {error.filename} cannot be opened: {(error.strerror or 'error').lower()}.")

    files = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        found = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        files += [file for file in found if not _endless(file)]
    return files


def _endless(path: Path) -> bool:
    """Whether reading the path could wait forever: a pipe, a socket or a device."""
    try:
        kind_of_file = stat.S_IFMT(path.stat().st_mode)
    except OSError:  # a link that leads nowhere is for whoever reads it to report
        return False
    return kind_of_file not in (stat.S_IFREG, stat.S_IFDIR)


def _beside(path: Path) -> list[Path]:
    return [file for file in sorted(path.parent.iterdir()) if file.is_file() and not file.name.startswith(".")]


def _not_an_image(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(8)
    for magic, name in ARCHIVES.items():
        if start.startswith(magic):
            return f"{path} is a {name} archive; unpack it and give the folder."
    if kind(path):
        return f"{path} is a volume file without series; analyze it by itself."
    return f"{path} is not a CT image that can be read; give DICOM, NRRD, NIfTI or MetaImage."


def _listed(dicomdir: Path) -> list[Path]:
    """The files a DICOMDIR lists, found whatever the case in which the medium was copied."""
    from pydicom import dcmread

    try:
        records = dcmread(dicomdir).DirectoryRecordSequence
        ids = [record.ReferencedFileID for record in records if "ReferencedFileID" in record]
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise InputError(f"{dicomdir} is not a readable DICOMDIR ({one_line(error)}); give its folder.") from None
    parts = [[i] if isinstance(i, str) else list(i) for i in ids]
    present: dict[str, Path] = {}
    for folder, _, names in os.walk(dicomdir.parent):
        for name in names:
            file = Path(folder, name)
            present[file.relative_to(dicomdir.parent).as_posix().upper()] = file
    files = [present[key] for p in parts if (key := "/".join(p).upper()) in present]
    if not files:
        raise InputError(f"None of the {len(parts)} files that {dicomdir} lists are there; copy the whole medium.")
    if len(files) < len(parts):
        missing = next("/".join(p) for p in parts if "/".join(p).upper() not in present)
        raise InputError(
            f"{len(parts) - len(files)} of the {len(parts)} files that {dicomdir} lists are missing "
            f"(such as {missing}); copy the whole medium or give its folder."
        )
    return files
