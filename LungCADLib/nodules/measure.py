"""Everything a nodule's outline and the HU in it say."""

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask, Lungs
from LungCADLib.nodules.density import read_density, smoothed
from LungCADLib.nodules.location import locate
from LungCADLib.nodules.margin import describe_margin
from LungCADLib.nodules.patch import Patch
from LungCADLib.nodules.shape import ShapeMeasures, measure_shape
from LungCADLib.nodules.volume import partial_volume_mm3
from LungCADLib.scan import Scan
from LungCADLib.study import Attenuation, Density, Nodule, Shape, SolidPart, Xyz

LEAST_INNER_VOXELS = 12
"""Attenuation is read one pixel inside the outline where at least so many voxels are left."""

SOLID_PART_HU = -300.0
"""Scholten et al., Eur Radiol 2015;25:488: 90% sensitivity and 88% specificity for a solid component."""

LEAST_SOLID_WIDTH_MM = 2.0
"""Thinner soft tissue in ground glass is taken for a vessel."""

THICK_SLICES_PER_DIAMETER = 1 / 3
"""Slices thicker than this share of the mean diameter leave fewer than three of them to a nodule."""

WALL_SHARE = 0.25
"""More of the outline's surface than this against what is not lung: the cut to the wall decides the size."""


def measure_nodule(scan: Scan, lungs: Lungs, outline: BoxMask, *, id: str, score: float) -> Nodule:
    """Size, density, margin and place of a nodule, on the scan's own grid.

    Parameters
    ----------
    scan
        The CT.
    lungs
        The lungs on the same grid.
    outline
        The nodule, at least one voxel.
    id, score
        Passed on.

    Returns
    -------
    Nodule
        All but the opinions, risks and guidelines. Volume counts the filled part of border voxels; mass is
        volume x (mean HU + 1000) / 1000 in mg (de Hoop et al., Radiology 2010;255:199).

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    outline = outline.trimmed()
    form = measure_shape(outline.mask, scan.spacing)
    patch = Patch.around(scan, lungs, outline)
    reading = read_density(patch, form.solidity, form.mean_diameter_mm)
    volume = partial_volume_mm3(patch)
    values = patch.hu[_inner(patch)]
    margin = describe_margin(patch, form)
    center = np.argwhere(outline.mask).mean(axis=0) + np.array(outline.start)
    return Nodule(
        id=id,
        score=float(score),
        center_lps_mm=_xyz(scan.geometry.to_lps(center)),
        long_axis_mm=form.long_axis_mm,
        short_axis_mm=form.short_axis_mm,
        mean_diameter_mm=form.mean_diameter_mm,
        max_diameter_3d_mm=form.max_diameter_3d_mm,
        volume_mm3=volume,
        mass_mg=max(0.0, volume * (float(values.mean()) + 1000) / 1000),
        axes_lps_mm=[_xyz(p) for p in scan.geometry.to_lps(form.axes_index + np.array(outline.start))],
        density=reading.density,
        calcification=reading.calcification,
        attenuation_hu=_attenuation(values),
        solid=_solid_part(patch, reading.density, form, volume),
        shape=Shape(
            surface_mm2=form.surface_mm2,
            sphericity=form.sphericity,
            solidity=form.solidity,
            elongation=form.elongation,
            z_extent_mm=form.z_extent_mm,
            area_mm2=form.area_mm2,
            circularity=form.circularity,
        ),
        margin=margin,
        location=locate(lungs, scan.geometry, outline, form, reading.density, margin),
        warnings=_warnings(scan, lungs, outline, form),
    )


def _xyz(point: NDArray[np.float64]) -> Xyz:
    x, y, z = (float(v) for v in point)
    return x, y, z


def _inner(patch: Patch) -> NDArray[np.bool_]:
    """The nodule (z, y, x) without the pixels at its border in each slice, if enough are left."""
    from scipy import ndimage

    inner: NDArray[np.bool_] = ndimage.binary_erosion(patch.mask, ndimage.generate_binary_structure(2, 1)[None])
    return inner if np.count_nonzero(inner) >= LEAST_INNER_VOXELS else patch.mask


def _attenuation(values: NDArray[np.float32]) -> Attenuation:
    p05, median, p95 = (float(v) for v in np.percentile(values, [5, 50, 95]))
    return Attenuation(
        mean=float(values.mean()),
        sd=float(values.std()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        p05=p05,
        median=median,
        p95=p95,
    )


def _solid_part(patch: Patch, density: Density, form: ShapeMeasures, volume: float) -> SolidPart:
    """The solid component: all of a solid nodule, none of a non-solid one, the largest dense part of a part-solid."""
    from scipy import ndimage

    none = SolidPart(0.0, 0.0, 0.0, 0.0, 0.0)
    if density == "non-solid":
        return none
    if density != "part-solid":
        return SolidPart(form.long_axis_mm, form.short_axis_mm, form.mean_diameter_mm, volume, 1.0)
    dense = patch.mask & (smoothed(patch) > SOLID_PART_HU)
    width = [1, *(max(2, round(LEAST_SOLID_WIDTH_MM / s)) for s in patch.spacing[1:])]
    cores, count = ndimage.label(ndimage.binary_opening(dense, np.ones(width)))
    if not count:
        return none
    core = cores == 1 + int(np.bincount(cores.ravel())[1:].argmax())
    part = measure_shape(core, patch.spacing)
    share = float(np.count_nonzero(core) / np.count_nonzero(patch.mask))
    return SolidPart(part.long_axis_mm, part.short_axis_mm, part.mean_diameter_mm, share * volume, share)


def _warnings(scan: Scan, lungs: Lungs, outline: BoxMask, form: ShapeMeasures) -> list[str]:
    from scipy import ndimage

    said = []
    dz = scan.spacing[0]
    if dz > THICK_SLICES_PER_DIAMETER * form.mean_diameter_mm:
        said.append(
            f"Slices every {dz:.1f} mm are thick for a nodule of {form.mean_diameter_mm:.1f} mm; "
            "its volume and density are uncertain."
        )
    if any(a == 0 or a + m == n for a, m, n in zip(outline.start, outline.mask.shape, scan.hu.shape, strict=True)):
        said.append("The nodule touches the edge of the scan; it may be larger.")
    padded = outline.trimmed(1)
    shell = ndimage.binary_dilation(padded.mask) & ~padded.mask
    at = np.argwhere(shell) + np.array(padded.start)
    at = at[((at >= 0) & (at < np.array(scan.hu.shape))).all(axis=1)]
    outside = lungs.labels[tuple(at.T)] == 0 if lungs.labels.any() else ~lungs.region[tuple(at.T)]
    if len(at) and float(outside.mean()) > WALL_SHARE:
        said.append("Much of the outline lies against the wall; where it was cut there decides its size.")
    return said
