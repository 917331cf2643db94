"""Segments as masks: read from the label volumes they share, each of which is looked through once."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask, LungLabel, Masks
from LungCADLib.scan import Geometry
from LungCADLib.scene.grids import LABELMAP, ijk_to_ras
from LungCADLib.segments import LUNG_SEGMENT_IDS, NODULE_SEGMENT_PREFIX


def read_masks(segmentation: Any, geometry: Geometry) -> Masks:
    """Lungs and nodules of a segmentation, as far as they lie in a scan's grid.

    Raises
    ------
    InputError
        If a segment has no labelmap, or lies on another grid.
    """
    masks = Masks(geometry, np.zeros(geometry.shape, np.uint8))
    there = set(segmentation.GetSegmentIDs())
    for label, id_ in enumerate(LUNG_SEGMENT_IDS, 1):
        if id_ in there:
            layer = _Layer(segmentation.GetSegment(id_), geometry)
            inside = layer.labels == segmentation.GetSegment(id_).GetLabelValue()
            layer.paste(inside, masks.lungs, LungLabel(label))
    ids = [id_.removeprefix(NODULE_SEGMENT_PREFIX) for id_ in there if id_.startswith(NODULE_SEGMENT_PREFIX)]
    masks.nodules.update(
        {id_: mask for id_, mask in read_nodules(segmentation, ids, geometry).items() if mask is not None}
    )
    return masks


def read_nodules(segmentation: Any, ids: Iterable[str], geometry: Geometry) -> dict[str, BoxMask | None]:
    """The outlines of nodules by lesion ID; None where nothing of one lies in the scan.

    Raises
    ------
    InputError
        As `read_masks`.
    """
    layers: dict[str, _Layer] = {}
    found: dict[str, BoxMask | None] = {}
    for id_ in ids:
        segment = segmentation.GetSegment(NODULE_SEGMENT_PREFIX + id_)
        image = segment.GetRepresentation(LABELMAP)
        key = image.GetAddressAsString("vtkObject") if image is not None else id_
        if key not in layers:
            layers[key] = _Layer(segment, geometry)
        found[id_] = layers[key].mask(segment.GetLabelValue())
    return found


class _Layer:
    """A label volume that segments share: `labels` (z, y, x) from voxel `start` of the scan's grid on."""

    def __init__(self, segment: Any, geometry: Geometry) -> None:
        image = segment.GetRepresentation(LABELMAP)
        if image is None:
            raise InputError(f'Segment "{segment.GetName()}" has no binary labelmap; create that representation first.')
        self._shape = geometry.shape
        self.start, self.labels = np.zeros(3, int), np.zeros((0, 0, 0), np.uint8)
        self._found: tuple[NDArray[np.intp], NDArray] | None = None
        if image.IsEmpty():
            return
        matrix = vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        found = np.reshape([matrix.GetElement(i, j) for i in range(4) for j in range(4)], (4, 4))
        if not np.allclose(found, ijk_to_ras(geometry), atol=1e-3):
            raise InputError(
                f'Segment "{segment.GetName()}" is no longer on the CT\'s grid; resample the segmentation to the CT '
                "first."
            )
        bounds = image.GetExtent()
        shape = [bounds[2 * axis + 1] - bounds[2 * axis] + 1 for axis in (2, 1, 0)]
        self.start = np.array([bounds[4], bounds[2], bounds[0]])
        self.labels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)

    def paste(self, inside: NDArray[np.bool_], target: NDArray, value: int) -> None:
        """Write a value into an array of the scan where a mask of this layer's shape is true."""
        low = np.maximum(self.start, 0)
        high = np.minimum(self.start + inside.shape, target.shape)
        if (high > low).all():
            own = tuple(slice(int(a), int(b)) for a, b in zip(low - self.start, high - self.start, strict=True))
            target[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))][inside[own]] = value

    def mask(self, label: int) -> BoxMask | None:
        """The voxels of a label inside the scan, in the smallest box; None where there are none."""
        if self._found is None:
            at = _nonzero(self.labels.ravel())
            index = np.stack(np.unravel_index(at, self.labels.shape), axis=1) + self.start
            inside = ((index >= 0) & (index < self._shape)).all(axis=1)
            self._found = index[inside], self.labels.ravel()[at][inside]
        index, labels = self._found
        own = index[labels == label]
        if not len(own):
            return None
        low, high = own.min(axis=0), own.max(axis=0) + 1
        mask = np.zeros(high - low, bool)
        mask[tuple((own - low).T)] = True
        return BoxMask((int(low[0]), int(low[1]), int(low[2])), mask)


def _nonzero(flat: NDArray) -> NDArray[np.intp]:
    """Where an array that is nearly all zero is not: eight bytes at a time, which is much quicker than one by one."""
    if flat.size == 0:
        return np.zeros(0, np.intp)
    each = 8 // flat.dtype.itemsize
    whole = flat.size // each * each
    words = np.flatnonzero(flat[:whole].view(np.uint64))
    at = np.concatenate([(words[:, None] * each + np.arange(each)).ravel(), np.arange(whole, flat.size)])
    return at[flat[at] != 0]
