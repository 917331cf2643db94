"""A CT and its segmentation out of a Slicer scene (`.mrb`), which is a zip with an XML file and volumes.

Slicer itself is not needed: the scene's nodes are looked up in its XML, and the two files they are stored in are
unpacked, nothing else. MRML: https://slicer.readthedocs.io/en/latest/developer_guide/mrml_overview.html.
"""

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from LungCADLib.errors import InputError
from LungCADLib.training.datasets.safe_xml import LARGEST_BYTES as LARGEST_XML
from LungCADLib.training.datasets.safe_xml import parse_xml

LARGEST_BYTES = 4 << 30
"""Of a volume in a scene, unpacked; a chest CT has 0.2 GB."""


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, Path]]:
    """The files of the first segmentation of a scene and of the CT it was drawn on, while the block runs.

    Yields
    ------
    tuple
        CT, segmentation.

    Raises
    ------
    InputError
        If it is no scene, has no segmentation or CT, or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
            files = _files(path, archive)
            out = []
            for kind, info in zip(("ct", "segmentation"), files, strict=True):
                if info.file_size > LARGEST_BYTES:
                    raise InputError(
                        f"{path}: {info.filename} unpacks to {info.file_size / 1e6:,.0f} MB; not unpacked."
                    )
                # Under a name of our own: what the archive calls it could lead anywhere.
                target = Path(folder) / f"{kind}{''.join(Path(info.filename).suffixes[-2:])}"
                with archive.open(info) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                out.append(target)
            yield out[0], out[1]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise InputError(f"{path} is damaged or no Slicer scene ({type(error).__name__}); save it again.") from None


def _files(path: Path, archive: zipfile.ZipFile) -> tuple[zipfile.ZipInfo, zipfile.ZipInfo]:
    """Where the CT and the segmentation are stored."""
    scenes = [info for info in archive.infolist() if info.filename.endswith(".mrml")]
    if not scenes or scenes[0].file_size > LARGEST_XML:
        raise InputError(f"{path} holds no .mrml file; save it in Slicer as a Medical Reality Bundle.")
    root = parse_xml(archive.read(scenes[0]), f"{path}: {scenes[0].filename}")
    nodes = {node.get("id", ""): node for node in root}
    segmentations = [node for node in root if node.tag == "Segmentation"]
    if not segmentations:
        raise InputError(f"{path} holds no segmentation; outline the nodule in Slicer and save the scene again.")
    referenced = _references(segmentations[0]).get("referenceImageGeometryRef")
    volumes = [node for node in root if node.tag == "Volume"]
    volume = nodes.get(referenced or "", volumes[0] if len(volumes) == 1 else None)
    if volume is None:
        raise InputError(f"{path} does not say on which CT its segmentation was drawn; keep one CT in the scene.")
    base = scenes[0].filename.rpartition("/")[0]
    found = []
    for node in (volume, segmentations[0]):
        storage = nodes.get(_references(node).get("storage", node.get("storageNodeRef", "")))
        name = unquote(storage.get("fileName", "")) if storage is not None else ""
        member = f"{base}/{name}" if base else name
        if not name or member not in archive.namelist():
            raise InputError(f"{path} lacks the file of {node.get('name')!r} ({name or 'it was never saved'}).")
        found.append(archive.getinfo(member))
    return found[0], found[1]


def _references(node: Element) -> dict[str, str]:
    """First node by role, as Slicer writes `role:id id;role:id;`."""
    pairs = (part.partition(":") for part in node.get("references", "").split(";"))
    return {role: ids.split()[0] for role, _, ids in pairs if ids.split()}
