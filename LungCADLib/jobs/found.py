"""A study with its outlines in a folder, from one process to another: quick to write and to read, for nobody else."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask, Masks
from LungCADLib.scan import Geometry
from LungCADLib.study import Study

_STUDY, _LUNGS, _OUTLINES = "study.json", "lungs.npy", "outlines.npz"

_SLICES = 16
"""So many slices of the lungs are read at a time, which takes some milliseconds."""


def write_found(study: Study, folder: Path) -> None:
    """Write a study and its outlines into a folder that is not there yet; it appears whole."""
    assert study.masks is not None
    partial = folder.with_name(f".{folder.name}")
    partial.mkdir(parents=True)
    study.save(partial / _STUDY)
    masks = study.masks
    # The lungs fill about a third of a scan; what is around them need not travel.
    box = tuple(_range(np.flatnonzero(masks.lungs.any(axis=tuple({0, 1, 2} - {axis})))) for axis in range(3))
    np.save(partial / _LUNGS, masks.lungs[box])
    arrays = {"lungs_start": np.array([s.start for s in box])}
    for name, mask in masks.nodules.items():
        arrays |= {f"start {name}": np.array(mask.start), f"mask {name}": mask.mask}
    np.savez(partial / _OUTLINES, **arrays)  # type: ignore[arg-type]
    partial.rename(folder)


def read_found(folder: Path) -> Study:
    """The study in a folder that `Found` names, with its masks.

    The masks lie on the study's own grid (`study.scan`), which is the volume's turned upright.
    """
    *_, study = reading_found(folder)
    assert study is not None
    return study


def reading_found(folder: Path) -> Iterator[Study | None]:
    """`read_found` a piece at a time, for a caller with other things to do between: None, None, ..., the study."""
    study = Study.load(folder / _STUDY)
    info = study.scan
    geometry = Geometry(info.shape, info.spacing_mm, info.origin_lps_mm, np.reshape(info.direction, (3, 3)))
    study.masks = Masks(geometry, np.zeros(info.shape, np.uint8))
    yield None
    with np.load(folder / _OUTLINES) as arrays:
        z, y, x = _start(arrays["lungs_start"])
        lungs = np.load(folder / _LUNGS, mmap_mode="r")
        for first in range(0, len(lungs), _SLICES):
            part = lungs[first : first + _SLICES]
            low = z + first
            study.masks.lungs[low : low + len(part), y : y + part.shape[1], x : x + part.shape[2]] = part
            yield None
        for nodule in study.nodules:
            if f"mask {nodule.id}" in arrays:
                start, mask = arrays[f"start {nodule.id}"], arrays[f"mask {nodule.id}"]
                study.masks.nodules[nodule.id] = BoxMask(_start(start), mask)
    yield study


def prepare() -> None:
    """Load what reading a study needs (some tenths of a second, once), so that it does not stall a later moment."""
    with suppress(InputError):
        Study.from_json("{}")


def _start(array: np.ndarray) -> tuple[int, int, int]:
    return int(array[0]), int(array[1]), int(array[2])


def _range(where: np.ndarray) -> slice:
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)
