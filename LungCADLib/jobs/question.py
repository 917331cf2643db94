"""Where a network looked at one nodule: asked of a worker, which alone imports PyTorch, and answered in its folder."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LungCADLib.explain import Explanation, HeatMap
from LungCADLib.jobs.request import ExplainRequest, Network
from LungCADLib.masks import BoxMask, Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import Xyz

_VOXELS, _MAPS, _NUMBERS = "question.npz", "maps.npz", "explanation.json"


@dataclass(frozen=True, eq=False)
class Question:
    """What a network is asked about.

    Parameters
    ----------
    network
        "appearance", "cnn-2d": why the nodule looks suspicious; "reduction": why its place was taken for a nodule.
    scan
        The part of the CT around the nodule.
    lungs
        The lungs on the same grid.
    outline
        The nodule on the same grid.
    center_lps_mm
        Its center.
    """

    network: Network
    scan: Scan
    lungs: Lungs
    outline: BoxMask
    center_lps_mm: Xyz

    file_name = _VOXELS

    def write(self, path: Path) -> Iterator[None]:
        """Write the voxels: some MB, in one step.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        np.savez(
            path,
            hu=self.scan.hu,
            labels=self.lungs.labels,
            region=self.lungs.region,
            mask=self.outline.mask,
            start=self.outline.start,
            **_as_arrays(self.scan.geometry),  # type: ignore[arg-type]
        )
        yield

    def request(self, voxels: Path, out: Path) -> ExplainRequest:
        """What the worker is told, with the file `write` made."""
        return ExplainRequest(voxels, out, self.network, self.center_lps_mm, self.scan.header, self.lungs.info)


def read_question(request: ExplainRequest) -> Question:
    """The question of a request."""
    with np.load(request.question) as arrays:
        scan = Scan(arrays["hu"], _geometry(arrays, arrays["hu"].shape), request.header)
        lungs = Lungs(arrays["labels"], arrays["region"], request.lungs)
        outline = BoxMask(tuple(arrays["start"].tolist()), arrays["mask"])
    return Question(request.network, scan, lungs, outline, request.center_lps_mm)


def answer(request: ExplainRequest, progress: Progress) -> None:
    """Ask the network, and write its explanation into the request's folder, which appears whole.

    Raises
    ------
    InputError
        If MONAI or weights are missing, or the network sees nothing at this place.
    OutputError
        If the folder cannot be written.
    """
    from LungCADLib.jobs.output import publishing

    with progress.stage("explain"):
        question = read_question(request)
        asked = question.network, question.scan, question.lungs, question.outline, question.center_lps_mm
        found = explained(*asked)[0]
    with publishing(request.out) as partial:
        _write_explanation(found, question.scan.geometry, partial)


def explained(network: Network, scan: Scan, lungs: Lungs, outline: BoxMask, center_lps_mm: Xyz) -> list[Explanation]:
    """Where a network looked at a nodule; where it has several views, the nearest one first.

    Raises
    ------
    InputError
        If MONAI or weights are missing, or the network sees nothing at this place.
    """
    from LungCADLib.nodules.shape import measure_shape

    long_axis_mm = measure_shape(outline.mask, scan.spacing).long_axis_mm
    if network == "reduction":
        from LungCADLib.detection.reduction_explain import NEAR_MM, explain_candidate

        return explain_candidate(scan, lungs, center_lps_mm, near_mm=max(NEAR_MM, long_axis_mm / 2))
    if network == "cnn-2d":
        from LungCADLib.malignancy.cnn_2d_explain import explain_cnn_2d

        return [explain_cnn_2d(scan, outline, long_axis_mm)]
    from LungCADLib.malignancy.appearance_explain import explain_appearance

    return [explain_appearance(scan, outline)]


def read_explanation(folder: Path) -> tuple[Explanation, Geometry]:
    """What `answer` wrote, and the grid that its maps lie on: that of the question's scan."""
    numbers: dict[str, Any] = json.loads((folder / _NUMBERS).read_text(encoding="utf-8"))
    with np.load(folder / _MAPS) as arrays:
        cam, hidden = (
            HeatMap(start=tuple(arrays[f"{name} start"].tolist()), values=arrays[name], **numbers.pop(name))
            for name in ("grad_cam", "occlusion")
        )
        grid = _geometry(arrays, tuple(arrays["shape"].tolist()))
    return Explanation(**numbers, grad_cam=cam, occlusion=hidden), grid


def _write_explanation(found: Explanation, grid: Geometry, folder: Path) -> None:
    numbers: dict[str, Any] = {name: getattr(found, name) for name in ("network", "log_odds", "agreement", "chance")}
    arrays: dict[str, Any] = {"shape": np.array(grid.shape), **_as_arrays(grid)}
    for name in ("grad_cam", "occlusion"):
        each: HeatMap = getattr(found, name)
        numbers[name] = {"name": each.name, "meaning": each.meaning}
        arrays |= {name: each.values, f"{name} start": np.array(each.start)}
    np.savez(folder / _MAPS, **arrays)
    (folder / _NUMBERS).write_text(json.dumps(numbers), encoding="utf-8")


def _as_arrays(grid: Geometry) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(grid, name), float) for name in ("spacing", "origin", "direction")}


def _geometry(arrays: Any, shape: tuple[int, ...]) -> Geometry:
    spacing, origin = (tuple(arrays[name].tolist()) for name in ("spacing", "origin"))
    return Geometry(shape, spacing, origin, arrays["direction"])  # type: ignore[arg-type]
