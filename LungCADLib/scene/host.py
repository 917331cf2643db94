"""A scene outside the application: what Slicer sets up at its start, as far as these nodes need it."""

import tempfile
from dataclasses import dataclass, field
from typing import Any

import slicer


@dataclass
class SceneHost:
    """A scene and the logics that serve it; use it in a `with` statement, or close it, to remove its files."""

    scene: "slicer.vtkMRMLScene" = field(default_factory=slicer.vtkMRMLScene)

    def __post_init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lungcad-scene-")
        application = slicer.vtkSlicerApplicationLogic()
        application.SetMRMLScene(self.scene)
        # Bundles are packed and unpacked in the cache's folder, which only remote loading sets up.
        remote, manager = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkDataIOManagerLogic()
        remote.SetMRMLScene(self.scene)
        remote.GetCacheManager().SetRemoteCacheDirectory(self._folder.name)
        remote.AddDataIOToScene()
        manager.SetMRMLApplicationLogic(application)
        manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
        # Display nodes refer to color nodes, which Slicer never saves but always has.
        colors = application.GetColorLogic()
        colors.SetMRMLScene(self.scene)
        colors.AddDefaultColorNodes()
        markups = slicer.vtkSlicerMarkupsLogic()
        markups.SetMRMLApplicationLogic(application)
        markups.SetMRMLScene(self.scene)
        # The logics say which node classes exist, so they live as long as the scene.
        self._logics: list[Any] = [application, remote, manager, markups]

    def close(self) -> None:
        """Empty the scene and remove its temporary files."""
        self.scene.Clear(True)
        self._folder.cleanup()

    def __enter__(self) -> "SceneHost":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
