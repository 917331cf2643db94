"""A study with its outlines in a folder, from one process to another: quick to write and to read, for nobody else."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask, Masks
from LungCADLib.scan import Geometry
from LungCADLib.study import Study

_STUDY, _OUTLINES = "study.json", "outlines.npz"


def write_found(study: Study, folder: Path) -> None:
    """Write a study and its outlines into a folder that is not there yet; it appears whole."""
    assert study.masks is not None
    partial = folder.with_name(f".{folder.name}")
    partial.mkdir(parents=True)
    study.save(partial / _STUDY)
    masks = study.masks
    # The lungs fill about a third of a scan; what is around them need not travel.
    box = tuple(_range(np.flatnonzero(masks.lungs.any(axis=tuple({0, 1, 2} - {axis})))) for axis in range(3))
    arrays = {"lungs_start": np.array([s.start for s in box]), "lungs": masks.lungs[box]}
    for name, mask in masks.nodules.items():
        arrays |= {f"start {name}": np.array(mask.start), f"mask {name}": mask.mask}
    np.savez(partial / _OUTLINES, **arrays)  # type: ignore[arg-type]
    partial.rename(folder)


def read_found(folder: Path) -> Study:
    """The study in a folder that `Found` names, with its masks.

    The masks lie on the study's own grid (`study.scan`), which is the volume's turned upright.
    """
    study = Study.load(folder / _STUDY)
    info = study.scan
    geometry = Geometry(info.shape, info.spacing_mm, info.origin_lps_mm, np.reshape(info.direction, (3, 3)))
    study.masks = Masks(geometry, np.zeros(info.shape, np.uint8))
    with np.load(folder / _OUTLINES) as arrays:
        lungs = BoxMask(_start(arrays["lungs_start"]), arrays["lungs"])
        study.masks.lungs[lungs.box] = lungs.mask
        for nodule in study.nodules:
            if f"mask {nodule.id}" in arrays:
                start, mask = arrays[f"start {nodule.id}"], arrays[f"mask {nodule.id}"]
                study.masks.nodules[nodule.id] = BoxMask(_start(start), mask)
    return study


def prepare() -> None:
    """Load what reading a study needs (some tenths of a second, once), so that it does not stall a later moment."""
    with suppress(InputError):
        Study.from_json("{}")


def _start(array: np.ndarray) -> tuple[int, int, int]:
    return int(array[0]), int(array[1]), int(array[2])


def _range(where: np.ndarray) -> slice:
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)
