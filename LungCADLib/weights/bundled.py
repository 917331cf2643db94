"""What was trained: files in `Resources/Models`, each with its SHA-256, read only after it is checked.

Networks are files of tensors, smaller models are JSON tables of numbers. A file of tensors holds one network or
several of the same kind, its members, whose answers are averaged. The members of networks trained on LIDC are numbered
by the fold of patients that they have not seen (`Resources/Models/lidc-folds.csv`), so what a patient's own member says
of that patient is a fair test, and everyone else gets the mean of all.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from LungCADLib.errors import InputError
from LungCADLib.resources import resource

if TYPE_CHECKING:
    from torch import Tensor

LIST = "weights.json"
"""In `Resources/Models`: file name to SHA-256 of what comes with LungCAD."""

_LISTS = {LIST, "detection-scans.json"}
"""Files that are no models: the list itself, and what networks were made of (and every CSV file)."""

_CARDS = {".md", ".svg", ".png"}
"""Suffixes of model cards and their pictures."""

State = dict[str, "Tensor"]


@dataclass(frozen=True)
class BundledFile:
    """A file below `Resources/Models`, model cards aside; `state` says whether it is the one that was released.

    Models must stand in the list of released weights; what tells which data they were made of ("list") need not.
    """

    name: str
    size: int
    sha256: str
    state: Literal["as released", "changed", "not released", "missing", "list"]


def bundled_files() -> list[BundledFile]:
    """What comes with LungCAD, by name."""
    folder = resource("Models")
    released = _released()
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in _CARDS):
        name, sha256 = path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()
        state: Any = "list" if name in _LISTS or path.suffix == ".csv" else "not released"
        if name in released:
            state = "as released" if released[name] == sha256 else "changed"
        found.append(BundledFile(name, path.stat().st_size, sha256, state))
    there = {file.name for file in found}
    found += [BundledFile(name, 0, sha256, "missing") for name, sha256 in released.items() if name not in there]
    return sorted(found, key=lambda file: file.name)


@cache
def bundled_members(name: str) -> tuple[tuple[State, ...], dict[str, Any]]:
    """The members of a network that comes with LungCAD, and what its file says of itself.

    Raises
    ------
    InputError
        If the file is missing or not the one that was released.
    """
    return read_members(*_listed(f"{name}.safetensors"))


@cache
def bundled_table(name: str) -> dict[str, Any]:
    """A model that comes with LungCAD as a JSON table of numbers, `NAME.json`; not to be changed by who gets it.

    Raises
    ------
    InputError
        If the file is missing or not the one that was released.
    """
    path, sha256 = _listed(f"{name}.json")
    data = _read(path, sha256)
    try:
        table: dict[str, Any] = json.loads(data)
    except ValueError:
        raise InputError(f"{path} is not JSON; install LungCAD again.") from None
    return table


def _listed(name: str) -> tuple[Path, str]:
    """A bundled file, and the SHA-256 it must have."""
    try:
        path = resource("Models", name)
    except FileNotFoundError:
        raise InputError(f"{name} is not in this installation; install LungCAD again.") from None
    sha256 = _released().get(path.name)
    if sha256 is None:
        raise InputError(f"{path} is not in {LIST}, the list of released weights; install LungCAD again.")
    return path, sha256


def _read(path: Path, sha256: str | None) -> bytes:
    """A file's bytes, once they are known to be the right ones."""
    try:
        data = path.read_bytes()
    except OSError:
        raise InputError(f"{path} cannot be read; check the path.") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} is not the file of weights that was released (SHA-256 differs); install it again.")
    return data


def _released() -> dict[str, str]:
    """SHA-256 by name of the files that were released."""
    try:
        path = resource("Models", LIST)
    except FileNotFoundError:
        return {}
    try:
        released: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path}, the list of released weights, is damaged; install LungCAD again.") from None
    return released


def read_members(path: Path, sha256: str | None = None) -> tuple[tuple[State, ...], dict[str, Any]]:
    """The members in a file of weights as float32 tensors on the CPU, and its description.

    Parameters
    ----------
    path
        A `.safetensors` file as `write_members` writes it.
    sha256
        What the file's SHA-256 must be; None accepts any, for a person's own training.

    Raises
    ------
    InputError
        If the file is missing, changed or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = _read(path, sha256)
    try:
        tensors = load(data)
        description = _description(data)
        members: list[State] = [{} for _ in range(description["members"])]
        for key, tensor in tensors.items():
            member, _, parameter = key.partition(".")
            members[int(member)][parameter] = tensor.float() if tensor.is_floating_point() else tensor
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError):
        raise InputError(f"{path} is not a file of LungCAD's weights, or is damaged; get it again.") from None
    return tuple(members), description


def _description(data: bytes) -> dict[str, Any]:
    """What `write_members` wrote of a file into its header (https://github.com/huggingface/safetensors#format).

    Read from the bytes that were checked; the library would open the file once more.
    """
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description: dict[str, Any] = json.loads(header["__metadata__"]["lungcad"])
    return description


def write_members(path: Path, members: Sequence[Mapping[str, "Tensor"]], description: Mapping[str, Any]) -> None:
    """Write networks of one kind into one file, in half precision; it enters a list of released weights beside it.

    Parameters
    ----------
    path
        The `.safetensors` file; replaced as a whole.
    members
        State dicts, member k of the patients of fold k.
    description
        What JSON can hold: the architecture's parameters, the training data, the seed.
    """
    import torch
    from safetensors.torch import save

    tensors = {
        f"{k}.{name}": (tensor.half() if tensor.dtype == torch.float32 else tensor).cpu().contiguous()
        for k, member in enumerate(members)
        for name, tensor in member.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    # Not save_file, whose files nobody but their owner may read.
    partial.write_bytes(
        save(tensors, {"lungcad": json.dumps({**description, "members": len(members)}, sort_keys=True)})
    )
    _put_in_place(partial, path)


def write_table(path: Path, data: Mapping[str, Any], indent: int | None = None) -> None:
    """Write a model that is a table of numbers; it enters a list of released weights beside it.

    Parameters
    ----------
    path
        The `.json` file; replaced as a whole.
    data
        What JSON can hold.
    indent
        As `json.dumps` takes it; None writes one line.
    """
    separators = (",", ":") if indent is None else None
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=indent, separators=separators) + "\n", encoding="utf-8")
    _put_in_place(partial, path)


def _put_in_place(partial: Path, path: Path) -> None:
    partial.replace(path)
    if path.with_name(LIST).exists():
        release(path)


def release(path: Path) -> str:
    """Enter a file into the list of weights beside it, so that it is accepted from now on, and give its SHA-256.

    Entries of other files stay. The list is replaced as a whole, so a reader never sees half of it.
    """
    listing = path.parent / LIST
    known = json.loads(listing.read_text(encoding="utf-8")) if listing.exists() else {}
    known[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    partial = listing.with_name(f"{LIST}.{os.getpid()}.partial")
    partial.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(listing)
    return str(known[path.name])
