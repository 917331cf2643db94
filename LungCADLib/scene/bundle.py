"""scene.mrb: a study, its CT and a thumbnail in the one file Slicer opens."""

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkObject
from vtkmodules.vtkCommonDataModel import vtkImageData

from LungCADLib.pictures import Overview, overviews
from LungCADLib.scan import Scan
from LungCADLib.scene.host import SceneHost
from LungCADLib.scene.nodes import add_study
from LungCADLib.segments import nodule_color, outlines
from LungCADLib.study import Study


def write_scene(study: Study, scan: Scan, path: Path) -> None:
    """Write a study as a scene bundle; see `LungCADLib.scene.write_scene`."""
    front, _ = overviews(scan, outlines(study).lungs)
    with SceneHost() as host:
        add_study(host.scene, study, scan)
        messages = slicer.vtkMRMLMessageCollection()
        # VTK would print what the exception says.
        shown = vtkObject.GetGlobalWarningDisplay()
        vtkObject.SetGlobalWarningDisplay(0)
        try:
            written = host.scene.WriteToMRB(str(path), _image(_thumbnail(front, study)), messages)
        finally:
            vtkObject.SetGlobalWarningDisplay(shown)
        if not written:
            raise OSError(f"{path.name} could not be written (is the disk full?)")


def _thumbnail(front: Overview, study: Study) -> np.ndarray:
    """uint8 (rows, columns, 3): the lungs from the front with a ring in its color around each nodule."""
    picture = np.repeat(front.gray[:, :, None], 3, axis=2)
    rows, columns = np.ogrid[tuple(slice(0, n) for n in front.gray.shape)]
    for position, nodule in reversed(list(enumerate(study.nodules))):
        row, column = front.place(nodule.center_lps_mm)
        radius = max(7.0, 0.5 * nodule.long_axis_mm / front.mm + 3)
        ring = np.abs(np.hypot(rows - row, columns - column) - radius) < 1.2
        picture[ring] = [round(255 * v) for v in nodule_color(position)]
    return picture


def _image(picture: np.ndarray) -> Any:
    """A picture as VTK's image, whose first row is the lowest."""
    image = vtkImageData()
    image.SetDimensions(picture.shape[1], picture.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(picture[::-1]).reshape(-1, 3), deep=True))
    return image
