"""Nodules in a segmentation or label map that somebody drew, on the grid of the CT they were drawn on."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Geometry, Scan
from LungCADLib.training.datasets.layout import AnnotatedNodule

if TYPE_CHECKING:
    import SimpleITK

# SNOMED CT codes of nodule, mass, neoplasm and lesion in Slicer's terminology of segments (DICOM PS3.16 CID 7159).
_CODES = ("SCT^27925004", "SCT^4147007", "SCT^108369006", "SCT^52988006")
_WORDS = re.compile(r"nodul|tumou?r|lesion|\bmass\b|neoplas|\bgtv", re.IGNORECASE)
_SEGMENT = re.compile(r"Segment(\d+)_LabelValue")


def read_nodules(path: Path, scan: Scan) -> tuple[AnnotatedNodule, ...]:
    """The nodules of a segmentation (`.seg.nrrd`) or label map, moved onto the scan's grid.

    In a segmentation nodules are the segments whose terminology or name says so, or the only segment there is; in a
    label map every value but 0 is one.

    Raises
    ------
    InputError
        If the file cannot be read, holds no nodule, or its nodules lie outside the scan.
    """
    found = []
    for name, mask, grid in _masks(path):
        if mask.any():
            onto = grid.resample(mask.astype(np.uint8), scan.geometry, nearest=True) > 0
            if not onto.any():
                raise InputError(f"{path}: nodule {name!r} lies outside the CT; is it of another CT?")
            found.append(_nodule(name, scan, onto))
    if not found:
        raise InputError(f"{path} outlines no nodule (empty mask); outline one, or take the file away.")
    return tuple(found)


def _nodule(name: str, scan: Scan, mask: NDArray[np.bool_]) -> AnnotatedNodule:
    outline = BoxMask((0, 0, 0), mask).trimmed()
    x, y, z = (float(v) for v in scan.geometry.to_lps(np.argwhere(outline.mask).mean(axis=0) + outline.start))
    diameter = float(np.cbrt(6 / np.pi * outline.mask.sum() * scan.geometry.voxel_mm3))
    return AnnotatedNodule(name, (x, y, z), diameter, outline)


def _masks(path: Path) -> Iterator[tuple[str, NDArray[np.bool_], Geometry]]:
    """Name, voxels and grid of everything that counts as a nodule."""
    image = _image(path)
    values = _array(image)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    layers = values[..., None] if values.ndim == 3 else values
    grid = Geometry(layers.shape[:3], image.GetSpacing()[::-1], image.GetOrigin(), direction)
    said = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    segments = [str(match[1]) for key in said if (match := _SEGMENT.fullmatch(key))]
    if not segments:
        if layers.shape[3] > 1:
            raise InputError(f"{path} has several values per voxel; give a label map or a .seg.nrrd.")
        for value in np.unique(layers):
            if value:
                yield str(int(value)), layers[..., 0] == value, grid
        return
    chosen = [number for number in segments if _is_nodule(said, number)]
    if not chosen and len(segments) == 1:
        chosen = segments
    for number in sorted(chosen, key=int):
        layer, label = (int(said.get(f"Segment{number}_{key}", "0")) for key in ("Layer", "LabelValue"))
        if layer >= layers.shape[3]:
            raise InputError(f"{path} names layer {layer} but has {layers.shape[3]}; save the segmentation again.")
        yield str(said.get(f"Segment{number}_Name", number)), layers[..., layer] == label, grid


def _is_nodule(said: Mapping[str, str], number: str) -> bool:
    tags = said.get(f"Segment{number}_Tags", "")
    names = f"{said.get(f'Segment{number}_ID', '')} {said.get(f'Segment{number}_Name', '')}".replace("_", " ")
    return any(code in tags for code in _CODES) or _WORDS.search(names) is not None


def _image(path: Path) -> "SimpleITK.Image":
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        raise InputError(f"{path} is damaged or no image that can be read; export the segmentation again.") from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
    if image.GetDimension() != 3:
        raise InputError(f"{path} is {image.GetDimension()}D; a nodule's outline must be a 3D volume.")
    return image


def _array(image: "SimpleITK.Image") -> NDArray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image)
