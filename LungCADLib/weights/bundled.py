"""The trained networks: files of tensors in `Resources/Models`, each with its SHA-256, read only after it is checked.

A file holds one network or several of the same kind, its members, whose answers are averaged. The members of networks
trained on LIDC are numbered by the fold of patients that they have not seen (`Resources/Models/lidc-folds.csv`), so
what a patient's own member says of that patient is a fair test, and everyone else gets the mean of all.
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

_CARDS = {".md", ".svg", ".png"}
"""Suffixes of model cards and their pictures."""

State = dict[str, "Tensor"]


@dataclass(frozen=True)
class BundledFile:
    """A file below `Resources/Models`, model cards aside; `state` says whether it is the one that was released.

    Networks must stand in the list of released weights; small tables beside them ("table") need not.
    """

    name: str
    size: int
    sha256: str
    state: Literal["as released", "changed", "not released", "missing", "table"]


def bundled_files() -> list[BundledFile]:
    """What comes with LungCAD, by name."""
    folder = resource("Models")
    released = _released()
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in _CARDS):
        name, sha256 = path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()
        state: Any = "table" if path.suffix != ".safetensors" else "not released"
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
    try:
        path = resource("Models", f"{name}.safetensors")
    except FileNotFoundError:
        raise InputError(f"{name}.safetensors is not in this installation; install LungCAD again.") from None
    sha256 = _released().get(path.name)
    if sha256 is None:
        raise InputError(f"{path} is not in {LIST}, the list of released weights; install LungCAD again.")
    return read_members(path, sha256)


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

    try:
        data = path.read_bytes()
    except OSError:
        raise InputError(f"{path} cannot be read; check the path.") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} is not the file of weights that was released (SHA-256 differs); install it again.")
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
    """Write networks of one kind into one file, in half precision.

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
    partial.replace(path)


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
