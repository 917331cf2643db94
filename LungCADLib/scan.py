"""A chest CT in memory: HU values, where they are in the patient, and what the header says."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import SimpleITK

AIR_HU = -1024

Box = tuple[slice, slice, slice]
"""A box of voxels as slices in (z, y, x)."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A regular grid of voxels in the patient.

    Parameters
    ----------
    shape
        Voxels in (z, y, x).
    spacing
        mm between voxel centers in (z, y, x).
    origin
        LPS position (x, y, z) in mm of the center of voxel (0, 0, 0).
    direction
        3 x 3; columns are the LPS unit vectors along which the x, y and z index grow (ITK's convention).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    @cached_property
    def _index_to_lps(self) -> NDArray[np.float64]:
        return np.asarray(self.direction) * np.array(self.spacing[::-1])

    @property
    def voxel_mm3(self) -> float:
        return float(np.prod(self.spacing))

    def to_lps(self, index: ArrayLike) -> NDArray[np.float64]:
        """LPS positions (..., 3) as (x, y, z) in mm of voxel indices (..., 3) given as (z, y, x), fractions allowed."""
        xyz = np.asarray(index, float)[..., ::-1]
        return xyz @ self._index_to_lps.T + np.array(self.origin)

    def to_index(self, lps: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices (..., 3) as (z, y, x) of LPS positions (..., 3) given as (x, y, z) in mm."""
        xyz = (np.asarray(lps, float) - np.array(self.origin)) @ np.linalg.inv(self._index_to_lps).T
        return xyz[..., ::-1]

    def crop(self, box: Box) -> "Geometry":
        """The grid of a sub-box (slices with start and stop inside the grid, step 1)."""
        start = tuple(s.start or 0 for s in box)
        stop = tuple(n if s.stop is None else s.stop for s, n in zip(box, self.shape, strict=True))
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        return replace(self, shape=shape, origin=tuple(float(v) for v in self.to_lps(start)))  # type: ignore[arg-type]

    def resampled(self, spacing: tuple[float, float, float]) -> "Geometry":
        """The grid with another spacing over the same extent, voxel edges aligned at the first corner."""
        old, new = np.array(self.spacing), np.array(spacing, float)
        shape = tuple(int(n) for n in np.maximum(1, np.round(np.array(self.shape) * old / new)))
        first_center = (new / old - 1) / 2
        return replace(
            self,
            shape=shape,  # type: ignore[arg-type]
            spacing=tuple(float(v) for v in new),  # type: ignore[arg-type]
            origin=tuple(float(v) for v in self.to_lps(first_center)),  # type: ignore[arg-type]
        )

    def box_around(self, lps: ArrayLike, half_mm: float | ArrayLike) -> Box:
        """The box of voxels within `half_mm` (scalar, or (z, y, x)) of an LPS position, clipped to the grid."""
        center = self.to_index(lps)
        half = np.broadcast_to(np.asarray(half_mm, float), 3) / np.array(self.spacing)
        start = np.clip(np.floor(center - half), 0, np.array(self.shape) - 1).astype(int)
        stop = np.clip(np.ceil(center + half) + 1, start + 1, self.shape).astype(int)
        return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))  # type: ignore[return-value]

    def image(self, array: NDArray) -> "SimpleITK.Image":
        """A SimpleITK image of an array (z, y, x) on this grid."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing[::-1])
        image.SetOrigin(self.origin)
        image.SetDirection(np.asarray(self.direction).ravel().tolist())
        return image

    def resample(self, array: NDArray, onto: "Geometry", *, nearest: bool = False, outside: float = 0) -> NDArray:
        """Values of an array on this grid, taken at the voxels of another grid (linear, or nearest neighbor).

        Parameters
        ----------
        array
            (z, y, x) on this grid.
        onto
            The grid wanted.
        nearest
            For labels.
        outside
            The value beyond this grid's edges.
        """
        import SimpleITK as sitk

        resampler = sitk.ResampleImageFilter()
        resampler.SetSize(onto.shape[::-1])
        resampler.SetOutputSpacing(onto.spacing[::-1])
        resampler.SetOutputOrigin(onto.origin)
        resampler.SetOutputDirection(np.asarray(onto.direction).ravel().tolist())
        resampler.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
        resampler.SetDefaultPixelValue(float(outside))
        return sitk.GetArrayFromImage(resampler.Execute(self.image(array)))


@dataclass(frozen=True)
class Header:
    """What the file says about the scan; None where it says nothing."""

    source: str = ""
    modality: str = "CT"
    patient_id: str | None = None
    patient_age_years: int | None = None
    patient_sex: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    frame_of_reference_uid: str | None = None
    study_date: str | None = None
    series_description: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    kernel: str | None = None
    slice_thickness_mm: float | None = None
    kvp: float | None = None
    contrast: str | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT volume.

    Parameters
    ----------
    hu
        int16 (z, y, x); z grows toward the head, y toward the back, x toward the patient's left, as nearly as the
        acquisition allows. Air padding is -1024.
    geometry
        The grid of `hu`.
    header
        What the file says.
    files
        The files the slices came from, in z order (empty for a volume file's single file).
    warnings
        Sentences about the data that must travel with every result.
    """

    hu: NDArray[np.int16]
    geometry: Geometry
    header: Header = field(default_factory=Header)
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm between voxel centers in (z, y, x)."""
        return self.geometry.spacing

    def crop(self, box: Box) -> "Scan":
        """The sub-box as a scan of its own (a view, not a copy)."""
        return replace(self, hu=self.hu[box], geometry=self.geometry.crop(box))

    def resampled(self, spacing_mm: float | tuple[float, float, float]) -> "Scan":
        """The scan on a grid of that spacing (for all axes, or (z, y, x)), linear, smoothed where it gets coarser."""
        from scipy import ndimage

        z, y, x = (float(mm) for mm in np.broadcast_to(spacing_mm, 3))
        geometry = self.geometry.resampled((z, y, x))
        sigma = [0.5 * np.sqrt(max((new / old) ** 2 - 1, 0)) for new, old in zip((z, y, x), self.spacing, strict=True)]
        hu = self.hu
        for axis, s in enumerate(sigma):
            if s > 0.2:
                hu = ndimage.gaussian_filter1d(hu, s, axis, output=np.int16, mode="nearest", truncate=3)
        return replace(self, hu=self.geometry.resample(hu, geometry, outside=AIR_HU), geometry=geometry)
