"""Results appear whole or not at all: written under a temporary name, then moved to where they belong."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from LungCADLib.errors import OutputError

# What LungCAD may write into a folder of results, in the order in which a person looks at it.
RESULTS = {
    "report.html": "report",
    "nodules.csv": "table",
    "scene.mrb": "Slicer scene",
    "segmentation.seg.nrrd": "segmentation",
    "study.json": "everything, as JSON",
}


def check_folder(folder: Path, force: bool) -> None:
    """Make sure, before any work is done, that results may go to this folder.

    A folder with nothing but LungCAD's own results is replaced. In any other folder that is not empty, `force` lets
    LungCAD add its files and replace those it wrote itself; nothing else in it is ever touched.

    Raises
    ------
    OutputError
        If the place is taken or cannot be written.
    """
    if folder.is_symlink() and not folder.exists():
        raise OutputError(f"{folder} is a link that leads nowhere; remove it or choose another --out.")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder; choose another --out.")
    _check_writable(folder)
    if not folder.is_dir():
        return
    inside = {path.name for path in folder.iterdir()}
    taken = sorted(inside & RESULTS.keys())
    others = sorted(inside - RESULTS.keys())
    if taken and not _is_a_study(folder / "study.json"):
        raise OutputError(f"{folder / taken[0]} is there and is not LungCAD's; choose another --out.")
    if others and not force:
        raise OutputError(
            f"{folder} holds other files, such as {others[0]}; choose another --out, or --force to add LungCAD's files."
        )


@contextmanager
def publishing(folder: Path, replaces: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder whose content moves to `folder` when the block ends well, and is removed when it does not.

    Parameters
    ----------
    folder
        Where the content goes; made if it is not there.
    replaces
        Names of older files in `folder` that go away when the new ones come.

    Raises
    ------
    OutputError
        If something cannot be written, or would replace a file that is not in `replaces`.
    """
    folder = folder.resolve()
    made = [parent for parent in folder.parents if not parent.exists()]
    # Moving must not cross to another file system, nor need a parent that is not ours to write.
    beside = not folder.is_dir() or (os.access(folder.parent, os.W_OK) and not folder.is_mount())
    partial = (folder.parent if beside else folder) / _partial_name(folder, os.getpid())
    try:
        partial.mkdir(parents=True)
        yield partial
        with _uninterrupted():
            _move(partial, folder, replaces)
    except BaseException as error:
        with _uninterrupted():
            shutil.rmtree(partial, ignore_errors=True)
            with suppress(OSError):
                for parent in made:
                    parent.rmdir()
        if isinstance(error, OSError):
            raise OutputError(f"The results cannot be written to {folder}: {error.strerror or error}.") from error
        raise


def leftovers(folder: Path, process: int) -> list[Path]:
    """Where a process that was killed while it wrote to `folder` may have left its temporary folder."""
    folder = folder.resolve()
    return [place / _partial_name(folder, process) for place in (folder.parent, folder)]


def _partial_name(folder: Path, process: int) -> str:
    return f".{folder.name}.partial-{process}"


def _check_writable(folder: Path) -> None:
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise OutputError(f"{nearest} is a file, not a folder; choose another --out.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{nearest} cannot be written; choose another --out.")


def _is_a_study(path: Path) -> bool:
    try:
        study = json.loads(path.read_bytes())
        return "schema_version" in study and "lungcad" in study["provenance"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _move(partial: Path, folder: Path, replaces: Collection[str]) -> None:
    """Put everything in `partial` into `folder`, and take the older files away."""
    if not folder.exists():
        partial.rename(folder)
        return
    fresh = {path.name for path in partial.iterdir()}
    for name in sorted(fresh - set(replaces)):
        if (folder / name).exists():
            raise OutputError(f"{folder / name} is already there; remove it or choose another place.")
    for name in fresh:
        (partial / name).replace(folder / name)
    for name in set(replaces) - fresh:
        (folder / name).unlink(missing_ok=True)
    partial.rmdir()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold signals off for the few milliseconds in which files change names."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), signal.SIG_IGN) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
