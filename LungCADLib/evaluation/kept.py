"""Results of a long evaluation, kept piece by piece: the same command goes on where it was stopped."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from LungCADLib.evaluation.detection_road import Walked
from LungCADLib.evaluation.detection_truth import Truth

Result = TypeVar("Result")


class Kept:
    """A folder of results that belong to certain weights and data.

    Parameters
    ----------
    folder
        Made if it is not there.
    of
        What the results rest on, as SHA-256 by file; a result that rests on something else is made again.
    """

    def __init__(self, folder: Path, of: dict[str, str]) -> None:
        self.folder, self.of = folder, of
        folder.mkdir(parents=True, exist_ok=True)

    def get(
        self,
        name: str,
        make: Callable[[], Result],
        plain: Callable[[Result], Any],
        read: Callable[[Any], Result],
    ) -> Result:
        """A result by name, made unless it was kept; `plain` makes it what JSON holds, and `read` undoes that."""
        path = self.folder / f"{name}.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["of"] == self.of:
                return read(data["result"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not kept, or by another version
        result = make()
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"of": self.of, "result": plain(result)}), encoding="utf-8")
        partial.replace(path)
        return result

    def walked(self, name: str, make: Callable[[], Walked]) -> Walked:
        """A scan after the road."""
        return self.get(name, make, _plain, _walked)


def _plain(one: Walked) -> dict[str, Any]:
    columns = {f.name: getattr(one, f.name) for f in fields(Walked)}
    truth = {f.name: getattr(one.truth, f.name).tolist() for f in fields(Truth)}
    marks = {name: columns[name].tolist() for name in ("marks_mm", "scores", "sizes_mm")}
    return {**columns, "truth": truth, **marks}


def _walked(data: dict[str, Any]) -> Walked:
    nodules, excluded, marks = (
        np.array(points, float).reshape(-1, 3)
        for points in (data["truth"]["nodules_mm"], data["truth"]["excluded_mm"], data["marks_mm"])
    )
    diameters, others, scores, sizes = (
        np.array(values, float)
        for values in (
            data["truth"]["diameters_mm"],
            data["truth"]["excluded_diameters_mm"],
            data["scores"],
            data["sizes_mm"],
        )
    )
    truth = Truth(nodules, diameters, excluded, others)
    return Walked(data["name"], data["seen"], data["nodules"], truth, marks, scores, sizes)
