"""What a run is asked to do, as JSON both ways."""

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from LungCADLib.errors import InputError
from LungCADLib.scan import Header
from LungCADLib.settings import Settings


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
        from pydantic import TypeAdapter, ValidationError

        try:
            request = TypeAdapter(Request).validate_json(text)
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
