"""Study <-> MRML nodes. The only package that imports `slicer` and `vtk`, and only when one of these is called."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from LungCADLib.scan import Scan
from LungCADLib.study import Study

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLScene

    from LungCADLib.scene.nodes import StudyNodes


class SceneUnavailable(ImportError):
    """Slicer's classes cannot be imported. The message says in one sentence how to get them."""

    def __init__(self) -> None:
        super().__init__('No scene.mrb was written because slicer-core is missing: pip install "lungcadlib[scene]".')


def add_study(
    scene: "vtkMRMLScene", study: Study, scan: Scan, volume: "vtkMRMLScalarVolumeNode | None" = None
) -> "StudyNodes":
    """Add a study to a scene as nodes; see `LungCADLib.scene.nodes.add_study`."""
    _require_slicer()
    from LungCADLib.scene import nodes

    return nodes.add_study(scene, study, scan, volume)


def read_study(scene: "vtkMRMLScene") -> Study:
    """The study a scene holds; see `LungCADLib.scene.nodes.read_study`."""
    _require_slicer()
    from LungCADLib.scene import nodes

    return nodes.read_study(scene)


def write_scene(study: Study, scan: Scan, path: Path) -> None:
    """Write a scene bundle that Slicer opens, with the CT, in a scene made for this alone.

    Parameters
    ----------
    study
        What was found, with its masks.
    scan
        The scan it was found in.
    path
        The `.mrb` file; the folder inside the bundle takes its name.

    Raises
    ------
    SceneUnavailable
        If Slicer's classes cannot be imported.
    OSError
        If the file cannot be written.
    InputError
        If the study carries no masks.
    """
    with _interrupts_wait():
        _require_slicer()
        from LungCADLib.scene import bundle

        bundle.write_scene(study, scan, path)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold signals back until the block ends: an exception inside Slicer's imports and calls crashes it all."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not None]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda n, frame: came.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _require_slicer() -> None:
    # Python started beside the application finds a `slicer` without these.
    try:
        from slicer import vtkMRMLScene, vtkMRMLSubjectHierarchyNode, vtkSlicerMarkupsLogic  # noqa: F401
    except ImportError:
        raise SceneUnavailable from None
