"""The annotations of one LIDC-IDRI series as its readers' XML file has them.

Four reading sessions, each a radiologist's: nodules of 3 mm and more with characteristics and contours, smaller ones
with a point, and what looks like a nodule but is none. A contour runs over the pixels just outside what it encloses;
where `inclusion` is FALSE it cuts a hole (LIDC's reading instructions). Names and meaning as in the schema
`LidcReadMessage.xsd` and at https://www.cancerimagingarchive.net/collection/lidc-idri.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.training.datasets.safe_xml import read_xml
from LungCADLib.training.lidc_database import RATINGS

ROOT = "LidcReadMessage"


@dataclass(frozen=True, eq=False)
class Outline:
    """One contour: int (n, 2) pixels (x, y) = (column, row), from 0, of the image with this SOP Instance UID."""

    sop_uid: str
    z_mm: float
    inclusion: bool
    xy: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mark:
    """What one reader says of one nodule; under 3 mm `ratings` is empty and the contour is a point."""

    reader: int
    name: str
    ratings: dict[str, int]
    outlines: tuple[Outline, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """All of a file: `small` counts nodules under 3 mm and `others` what is no nodule, over all readers."""

    path: Path
    series_uid: str
    readers: int
    marks: tuple[Mark, ...]
    small: int
    others: int


def is_reading(path: Path) -> bool:
    """Whether a file begins like one of LIDC's CT readings; never an error."""
    try:
        with path.open("rb") as file:
            return f"<{ROOT}".encode() in file.read(2048)
    except OSError:
        return False


def read_reading(path: Path) -> Reading:
    """A reading.

    Raises
    ------
    InputError
        If it is damaged, another kind of XML, or unsafe.
    """
    root = read_xml(path)
    if root.tag != ROOT:
        raise InputError(f"{path} is XML, but of {root.tag!r}; LIDC's readings of CTs are of {ROOT!r}.")
    # Some files spell the last letters as capitals, others do not.
    series = root.findtext("ResponseHeader/SeriesInstanceUid") or root.findtext("ResponseHeader/SeriesInstanceUID")
    if not series:
        raise InputError(f"{path} does not say of which series it is (SeriesInstanceUid); get it again.")
    sessions = root.findall("readingSession")
    marks = [
        _mark(path, reader, node)
        for reader, session in enumerate(sessions)
        for node in session.findall("unblindedReadNodule")
    ]
    return Reading(
        path,
        series.strip(),
        len(sessions),
        tuple(mark for mark in marks if mark.ratings),
        sum(not mark.ratings for mark in marks),
        sum(len(session.findall("nonNodule")) for session in sessions),
    )


def _mark(path: Path, reader: int, node: Element) -> Mark:
    name = (node.findtext("noduleID") or "?").strip()
    outlines = tuple(_outline(path, name, roi) for roi in node.findall("roi"))
    if not outlines:
        raise InputError(f"{path}: nodule {name!r} of reader {reader + 1} has no contour; get the file again.")
    said = node.find("characteristics")
    ratings = {} if said is None else {r: _whole(path, name, said, r) for r in RATINGS if said.find(r) is not None}
    # Some readings give a small nodule its subtlety and nothing else; one point is no outline whatever is said of it.
    if len(ratings) < len(RATINGS) or all(len(outline.xy) == 1 for outline in outlines):
        ratings = {}
    return Mark(reader, name, ratings, outlines)


def _outline(path: Path, name: str, roi: Element) -> Outline:
    xy = [[_whole(path, name, edge, axis) for axis in ("xCoord", "yCoord")] for edge in roi.findall("edgeMap")]
    sop, z = roi.findtext("imageSOP_UID"), roi.findtext("imageZposition")
    if not xy or not sop or not z:
        raise InputError(f"{path}: a contour of nodule {name!r} has no pixels or no image; get the file again.")
    try:
        z_mm = float(z)
    except ValueError:
        raise InputError(f"{path}: a contour of nodule {name!r} lies at z {z!r}, which is no number.") from None
    inclusion = (roi.findtext("inclusion") or "TRUE").strip().upper() == "TRUE"
    return Outline(sop.strip(), z_mm, inclusion, np.array(xy, np.int64))


def _whole(path: Path, name: str, parent: Element, child: str) -> int:
    text = (parent.findtext(child) or "").strip()
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{path}: nodule {name!r} has {child} {text!r}, which is no whole number.") from None
