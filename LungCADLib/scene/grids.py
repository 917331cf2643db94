"""From the library's grids and positions (LPS) to the scene's (RAS), here and nowhere else."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from LungCADLib.scan import Geometry
from LungCADLib.study import ScanInfo

LABELMAP = "Binary labelmap"
"""Slicer's name of the representation of a segment as voxels."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def study_geometry(info: ScanInfo) -> Geometry:
    """The grid of a study's scan."""
    return Geometry(info.shape, info.spacing_mm, info.origin_lps_mm, np.reshape(info.direction, (3, 3)))


def ijk_to_ras(geometry: Geometry) -> NDArray[np.float64]:
    """4 x 4: from voxel index (x, y, z) to RAS in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(geometry.direction) * np.array(geometry.spacing[::-1])
    matrix[:3, 3] = geometry.origin
    return LPS_TO_RAS @ matrix


def set_geometry(volume: Any, geometry: Geometry) -> None:
    """Give a volume node a grid."""
    volume.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras(geometry)))


def to_ras(lps: tuple[float, float, float]) -> tuple[float, float, float]:
    """A position in RAS, mm."""
    return -lps[0], -lps[1], lps[2]


def vtk_matrix(array: NDArray[np.float64]) -> vtkMatrix4x4:
    """A 4 x 4 array as VTK's matrix."""
    matrix = vtkMatrix4x4()
    matrix.DeepCopy(array.ravel().tolist())
    return matrix
