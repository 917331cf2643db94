"""What a worker is asked to do, as JSON both ways: to analyze a scan, or to say where a network looked."""

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from LungCADLib.errors import InputError
from LungCADLib.scan import Header
from LungCADLib.settings import Settings
from LungCADLib.study import LungsInfo, Xyz

Network = Literal["appearance", "reduction", "cnn-2d"]
"""Networks that can be asked where they looked."""

Asked = TypeVar("Asked")


@dataclass(frozen=True)
class Request:
    """One run.

    Parameters
    ----------
    input
        DICOM folder, DICOMDIR or file; NRRD, NIfTI or MetaImage file.
    out
        Folder for the results.
    series
        Series Instance UID to read; None takes the best chest CT of the folder.
    header
        What the caller knows of the scan and the file cannot say; a field of it that is None leaves the file's word.
    settings
        How the scan is analyzed.
    scene
        Whether to write `scene.mrb` too.
    """

    input: Path
    out: Path
    series: str | None = None
    header: Header | None = None
    settings: Settings = field(default_factory=Settings)
    scene: bool = True

    def to_json(self) -> str:
        """The request as JSON text."""
        return json.dumps({**asdict(self), "input": str(self.input), "out": str(self.out)}, indent=1)

    @staticmethod
    def from_json(text: str | bytes) -> "Request":
        """The request of a JSON text.

        Raises
        ------
        InputError
            If the text is no request, or names a field there is not.
        """
        return _parsed(Request, text)


@dataclass(frozen=True)
class ExplainRequest:
    """One question to a network, see `jobs.question.Question`.

    Parameters
    ----------
    question
        The file with the voxels around the nodule.
    out
        Folder for the explanation.
    network, center_lps_mm
        Which network, and the nodule's center.
    header, lungs
        Of the whole scan.
    """

    question: Path
    out: Path
    network: Network
    center_lps_mm: Xyz
    header: Header
    lungs: LungsInfo

    def to_json(self) -> str:
        """The request as JSON text."""
        return json.dumps({**asdict(self), "question": str(self.question), "out": str(self.out)}, indent=1)


def read_request(text: str | bytes) -> Request | ExplainRequest:
    """The request of a JSON text: one with a `question` asks for an explanation, any other for an analysis.

    Raises
    ------
    InputError
        If the text is no request, or names a field there is not.
    """
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    explain = isinstance(given, dict) and "question" in given
    return _parsed(ExplainRequest, text) if explain else Request.from_json(text)


def _parsed(kind: type[Asked], text: str | bytes) -> Asked:
    from pydantic import TypeAdapter, ValidationError

    try:
        request = TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        raise InputError(f"This is not a request to LungCAD: {where}: {first['msg']}; correct it.") from None
    unknown = _unknown(json.loads(text), request)
    if unknown:
        raise InputError(f"A request to LungCAD has no field {unknown}; correct it.")
    return request


def _unknown(given: dict[str, Any], known: Any) -> str | None:
    """The first name given that a dataclass, or one inside it, does not have."""
    names = {f.name for f in fields(known)}
    for name, value in given.items():
        if name not in names:
            return name
        inner = getattr(known, name)
        if is_dataclass(inner) and isinstance(value, dict) and (found := _unknown(value, inner)):
            return f"{name}.{found}"
    return None
