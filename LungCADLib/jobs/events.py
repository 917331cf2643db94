"""What a worker says, one JSON object per line, and what a client hears."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

FailureKind = Literal["input", "memory", "output", "device", "missing", "cancelled", "internal"]
"""Why a run ended without a result: the input cannot be used; no memory was left; the results could not be written; the
GPU failed; a package is missing; somebody stopped it; or an error that is LungCAD's own."""

FoundWhat = Literal["lungs", "nodules"]


@dataclass(frozen=True)
class Started:
    """The worker is there. `process` is its id, which a launcher before it does not share."""

    process: int
    lungcad: str
    python: str


@dataclass(frozen=True)
class Progressed:
    """How far the run is: `fraction` of the whole, 0 to 1, never smaller than before.

    `seconds_left` is an estimate, None while there is too little to estimate from.
    """

    stage: str
    fraction: float
    message: str
    seconds_left: float | None


@dataclass(frozen=True)
class Found:
    """A part of the result is known, and `read_found` reads it from `folder`: first the lungs, then the nodules."""

    what: FoundWhat
    folder: Path


@dataclass(frozen=True)
class Finished:
    """The run is done and its files are in `folder`: what `lungcad analyze` writes."""

    folder: Path


@dataclass(frozen=True)
class Failed:
    """The run ended without a result. `message` is one sentence for a person; the details are in the job's log."""

    kind: FailureKind
    message: str


Event = Started | Progressed | Found | Finished | Failed
_KINDS: dict[str, type[Event]] = {
    "started": Started,
    "progress": Progressed,
    "found": Found,
    "finished": Finished,
    "failed": Failed,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_line(event: Event) -> bytes:
    """One event as a line of JSON, UTF-8, with its line break."""
    fields = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(event).items()}
    return json.dumps({"event": _NAMES[type(event)], **fields}, ensure_ascii=True).encode() + b"\n"


def from_line(line: bytes) -> Event | None:
    """The event of a line; None where the line is none (something else wrote to the worker's standard output)."""
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = _KINDS[fields.pop("event")]
        if "folder" in fields:
            fields["folder"] = Path(fields["folder"])
        return kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
