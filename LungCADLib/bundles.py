"""MONAI bundles: folders with a trained network. Their JSON and tensors are read; nothing of theirs is run.

What a bundle is: https://docs.monai.io/en/stable/mb_specification.html.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.progress import Progress
from LungCADLib.weights import read_state

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle's folder and what its `metadata.json` and `inference.json` say."""

    folder: Path
    metadata: dict[str, Any]
    inference: dict[str, Any]

    @staticmethod
    def read(folder: Path, task: str) -> "Bundle":
        """The bundle in a folder.

        Parameters
        ----------
        folder
            With `configs/metadata.json`, `configs/inference.json` and `models/`.
        task
            What `metadata.json` must name as its task.

        Raises
        ------
        InputError
            If the folder is not a bundle for that task.
        """
        metadata, inference = (_json(folder / "configs" / f"{name}.json") for name in ("metadata", "inference"))
        if str(metadata.get("task", "")).strip().lower() != task.lower():
            raise InputError(
                f"{folder} is a bundle for {metadata.get('task')!r}, not for {task!r}; give another folder."
            )
        return Bundle(folder, metadata, inference)

    @property
    def version(self) -> str:
        return str(self.metadata.get("version", "unknown"))

    def setting(self, *keys: str, default: Any = None) -> Any:
        """What stands in `inference.json` under keys within keys; the default where nothing or an expression does."""
        found: Any = self.inference
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                return default
            found = found[key]
        return default if isinstance(found, str) and found.startswith(("$", "@")) else found

    def transform(self, target: str) -> dict[str, Any]:
        """The first preprocessing transform of a class name, or an empty dict."""
        steps = self.setting("preprocessing", "transforms", default=[])
        return next((step for step in steps if isinstance(step, dict) and step.get("_target_") == target), {})

    def load(self, network: "nn.Module", file: str = "models/model.pt") -> None:
        """Load a network's weights and set it to evaluation.

        Raises
        ------
        InputError
            If the file is missing, damaged, or of another network.
        """
        path = self.folder / file
        if not path.is_file():
            raise InputError(f"{path} is missing; download the bundle's weights into its folder.")
        state = {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in read_state(path).items()
        }
        try:
            network.load_state_dict(state, assign=True)
        except RuntimeError:
            raise InputError(f"{path} holds the weights of another network; use the bundle as published.") from None
        network.eval()


def to_ras(array: NDArray) -> NDArray:
    """An array (z, y, x) of a scan's axes as (x, y, z) toward right, front and head, as MONAI's bundles take it."""
    return np.ascontiguousarray(array.transpose(2, 1, 0)[::-1, ::-1])


def from_ras(array: NDArray) -> NDArray:
    """The way back."""
    return np.ascontiguousarray(array[::-1, ::-1].transpose(2, 1, 0))


def window_count(size: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """How many places MONAI's sliding window takes."""
    steps = (max(int(w * (1 - overlap)), 1) for w in window)
    return int(np.prod([-(-max(n - w, 0) // step) + 1 for n, w, step in zip(size, window, steps, strict=True)]))


@contextmanager
def windows(
    network: "nn.Module", size: Sequence[int], window: Sequence[int], overlap: float, progress: Progress
) -> Iterator[None]:
    """Tells progress after each window of a sliding network, from 0.05 to 0.9; that is also where a run can stop."""
    count, done = window_count(size, window, overlap), 0

    def after(*_: object) -> None:
        nonlocal done
        done += 1
        progress.update(0.05 + 0.85 * min(done / count, 1.0))

    hook = network.register_forward_hook(after)
    try:
        yield
    finally:
        hook.remove()


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(
            f"{path.parents[1]} is not a MONAI bundle ({path.name} is missing); check the folder."
        ) from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path} is not readable JSON; download the bundle again.")
    return found
