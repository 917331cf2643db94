"""XML without what makes XML dangerous: no document type, hence no entities that grow or reach for other files."""

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from LungCADLib.errors import InputError

LARGEST_BYTES = 64 << 20
"""The largest of LIDC's files has 2 MB, a Slicer scene less."""


class _DocumentType(Exception):
    """A document type was declared."""


def read_xml(path: Path) -> Element:
    """The root of an XML file, its names without namespaces.

    Raises
    ------
    InputError
        If it cannot be read, is not XML, or declares a document type: entities are declared there.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(
                f"{path} has {size / 1e6:.0f} MB, far more than such a file; check that it is the right one."
            )
        return parse_xml(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None


def parse_xml(data: bytes, where: str) -> Element:
    """The root of XML bytes; `where` names them in messages. See `read_xml`."""
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")

    def refuse(*declared: object) -> None:
        raise _DocumentType

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(_local(tag), attributes)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda tag: builder.end(_local(tag))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
        root: Element = builder.close()
    except _DocumentType:
        raise InputError(
            f"{where} declares a document type (DTD), which such a file never needs and which can do harm; it was not "
            "read: get it from its publisher."
        ) from None
    except (expat.ExpatError, AssertionError, ValueError) as error:
        raise InputError(f"{where} is damaged or not XML ({error}); get it again.") from None
    return root


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
