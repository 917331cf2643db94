"""Make a phantom: chest, trees, nodules, then what a scanner does to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from LungCADLib.masks import BoxMask, LungLabel, Masks
from LungCADLib.phantom.anatomy import Anatomy, Build, fissure_distances, lobe_at, make_anatomy
from LungCADLib.phantom.nodules import (
    Drawing,
    NoduleSpec,
    TrueNodule,
    draw_nodule,
    main_hu,
    make_form,
    sample_nodules,
)
from LungCADLib.phantom.place import Places
from LungCADLib.phantom.trees import Trees, draw, grow_trees
from LungCADLib.progress import Progress
from LungCADLib.scan import AIR_HU, Geometry, Header, Scan

KERNELS = {"soft": (0.75, 0.28), "sharp": (0.40, 0.60)}
"""By kernel: sigma in mm of the in-plane blur, and the frequency in cycles/mm where the noise is strongest."""

DEFAULT_NODULES = 6
BOTTOM_MM = -18.0
WALL_HU, BLOOD_HU, BLOOD_CONTRAST_HU, LUMEN_HU = 10.0, 42.0, 220.0, -990.0
FISSURE_SIGMA_MM, FISSURE_HU_MM = 0.6, 220.0
"""A fissure is a sheet of 0.25 mm of tissue: its excess over the lung, integrated across, is about 220 HU mm."""


@dataclass(eq=False)
class Phantom:
    """A synthetic scan and what is true of it.

    Parameters
    ----------
    scan
        The scan; its axes run along LPS.
    masks
        True lungs (right, left, and trachea with main bronchi as airway) and true nodules by id, on the scan's grid.
    nodules
        What is true of each nodule, in the order asked for.
    seed
        What it was made from.
    """

    scan: Scan
    masks: Masks
    nodules: list[TrueNodule]
    seed: int


def make_phantom(
    seed: int = 0,
    *,
    spacing: tuple[float, float, float] = (1.5, 0.7, 0.7),
    extent_mm: tuple[float, float, float] = (300.0, 358.4, 358.4),
    nodules: list[NoduleSpec] | int | None = None,
    noise_hu: float = 20.0,
    kernel: str = "soft",
    slice_thickness_mm: float | None = None,
    contrast: bool = False,
    padding: bool = False,
    progress: Progress | None = None,
) -> Phantom:
    """A chest CT with known nodules. The same arguments give the same voxels.

    Parameters
    ----------
    seed
        The patient, the nodules' places and forms, and the noise.
    spacing
        mm between voxel centers in (z, y, x).
    extent_mm
        Size of the scanned box in (z, y, x), from a little below the lungs upward; 300 covers every patient's lungs.
    nodules
        What to put in: specifications, a number of nodules to draw by LIDC's frequencies, or None for six of them.
    noise_hu
        Standard deviation of the noise.
    kernel
        "soft" or "sharp".
    slice_thickness_mm
        Thicker than the z spacing makes overlapping slices; None is the z spacing.
    contrast
        Contrast medium in heart and vessels.
    padding
        Outside the circle of reconstruction -1024 HU, as many scanners write it.
    progress
        Follows the making; a cancelled run raises `Cancelled`.

    Raises
    ------
    ValueError
        If the kernel is unknown or a nodule finds no place.
    """
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; known: {', '.join(KERNELS)}")
    progress = progress or Progress()
    random = [np.random.default_rng([seed, part]) for part in range(4)]
    shape = tuple(max(1, round(e / s)) for e, s in zip(extent_mm, spacing, strict=True))
    origin = (-spacing[2] * (shape[2] - 1) / 2, 16 - spacing[1] * (shape[1] - 1) / 2, BOTTOM_MM)
    geometry = Geometry(shape, spacing, origin)  # type: ignore[arg-type]

    progress.update(0.0, "chest")
    build = Build.random(random[0])
    coarse = geometry.resampled((3.0 if min(spacing[1:]) > 1 else 2.0,) * 3)
    anatomy = make_anatomy(build, coarse, random[0], contrast)
    progress.update(0.25, "vessels and airways")
    trees = grow_trees(anatomy, random[1])
    if nodules is None or isinstance(nodules, int):
        nodules = sample_nodules(random[2], DEFAULT_NODULES if nodules is None else nodules)
    places = Places(anatomy, trees, geometry, random[2])
    centers = places.find_all(nodules)
    trees = places.trees

    progress.update(0.35, "nodules")
    lungs = _lung_labels(anatomy, geometry)
    drawings, truths, masks = [], [], {}
    for number, (spec, center) in enumerate(zip(nodules, centers, strict=True), 1):
        drawing, truth, mask = _nodule(f"N{number}", spec, center, anatomy, geometry, random[2])
        drawings.append(drawing)
        truths.append(truth)
        masks[truth.id] = mask

    progress.update(0.4, "vessels and airways")
    hu = _compose(anatomy, geometry, trees, drawings, lungs, contrast)
    progress.update(0.75, "scanner")
    thickness = slice_thickness_mm or spacing[0]
    _scan(hu, spacing, thickness, KERNELS[kernel], noise_hu, random[3], progress)
    if padding:
        _pad(hu, spacing)
    header = Header(
        source=f"phantom {seed}",
        patient_id="PHANTOM",
        series_description=f"LungCAD phantom {seed}",
        manufacturer="LungCAD",
        model="phantom",
        kernel=kernel,
        slice_thickness_mm=thickness,
        kvp=120.0,
        contrast="simulated" if contrast else None,
    )
    progress.update(1.0)
    return Phantom(Scan(hu, geometry, header), Masks(geometry, lungs, masks), truths, seed)


def small_phantom(seed: int = 0, nodules: list[NoduleSpec] | int | None = None, **more: object) -> Phantom:
    """A whole chest on a coarse grid (2.5 mm slices, 1.2 mm pixels): quick, for tests."""
    return make_phantom(seed, spacing=(2.5, 1.2, 1.2), nodules=nodules, **more)  # type: ignore[arg-type]


def _upsample(field: NDArray, coarse: Geometry, fine: Geometry):  # type: ignore[no-untyped-def]
    """A function that gives the field, linearly interpolated, on one slice of the fine grid."""
    start, step = coarse.to_index(fine.to_lps((0, 0, 0))), np.array(fine.spacing) / np.array(coarse.spacing)
    weights = []
    for axis in range(3):
        at = np.clip(start[axis] + step[axis] * np.arange(fine.shape[axis]), 0, coarse.shape[axis] - 1)
        low = np.minimum(at.astype(int), coarse.shape[axis] - 2)
        weights.append((low, (at - low).astype(np.float32)))
    (zl, zw), (yl, yw), (xl, xw) = weights

    def slice_at(k: int) -> NDArray[np.float32]:
        plane = field[zl[k]] * (1 - zw[k]) + field[zl[k] + 1] * zw[k]
        plane = plane[yl] * (1 - yw)[:, None] + plane[yl + 1] * yw[:, None]
        return np.asarray(plane[:, xl] * (1 - xw) + plane[:, xl + 1] * xw)

    return slice_at


def _lung_labels(anatomy: Anatomy, geometry: Geometry) -> NDArray[np.uint8]:
    """Right and left lung on the scan's grid."""
    labels = np.zeros(geometry.shape, np.uint8)
    for field, label in ((anatomy.right, LungLabel.RIGHT), (anatomy.left, LungLabel.LEFT)):
        at = _upsample(field, anatomy.grid, geometry)
        for k in range(geometry.shape[0]):
            labels[k][at(k) > 0] = label
    return labels


def _nodule(
    name: str, spec: NoduleSpec, center: NDArray, anatomy: Anatomy, geometry: Geometry, rng: np.random.Generator
) -> tuple[Drawing, TrueNodule, BoxMask]:
    """Draw a nodule, cut it at the pleura, and write down what is true of it."""
    form = make_form(spec, rng)
    drawing = draw_nodule(spec, form, center, geometry, rng)
    z, y, x = np.indices(drawing.share.shape) + np.array(drawing.start)[:, None, None, None]
    distance = anatomy.lung_distance(geometry.to_lps(np.stack([z, y, x], -1)))
    edge = float(np.mean(geometry.spacing))
    lung_share = np.clip(distance / edge + 0.5, 0, 1).astype(np.float32)
    inside = drawing.inside * lung_share
    cut = bool((anatomy.lung_distance(form.surface(500) + center) < 0).any())
    left = float(inside.sum() / drawing.inside.sum()) if cut else 1.0
    volume = left * form.volume_mm3
    core = {"part-solid": spec.solid_core, "non-solid": 0.0}.get(spec.density, 1.0)
    label, lobe = lobe_at(anatomy.build, center)
    axes = spec.axes_mm
    truth = TrueNodule(
        id=name,
        center_lps_mm=tuple(float(v) for v in center),  # type: ignore[arg-type]
        axes_mm=axes,
        diameter_mm=float((6 * volume / np.pi) ** (1 / 3)),
        max_diameter_mm=form.max_diameter_mm,
        volume_mm3=volume,
        density=spec.density,
        calcification=spec.calcification,
        attachment=spec.attachment,
        spiculated=spec.spiculated,
        lobulated=spec.lobulated,
        solid_diameter_mm=core * float(np.prod(axes) ** (1 / 3)),
        solid_volume_mm3=volume if core == 1 else core**3 * form.volume_mm3,
        hu=main_hu(spec),
        side="right" if label == LungLabel.RIGHT else "left",
        lobe=lobe,
    )
    return drawing, truth, BoxMask(drawing.start, inside > 0.5).trimmed()


def _compose(
    anatomy: Anatomy,
    geometry: Geometry,
    trees: Trees,
    drawings: list[Drawing],
    lungs: NDArray[np.uint8],
    contrast: bool,
) -> NDArray[np.int16]:
    """HU before the scanner, slice by slice; marks the large airways in `lungs`."""
    vessels, walls, lumen, large = (np.zeros(geometry.shape, np.uint8) for _ in range(4))
    draw(vessels, geometry, trees.vessels())
    build = anatomy.build
    trachea = np.vstack([build.carina, build.carina + (0, -14, 0.7 * build.height)])
    trunk = (trachea[:1], trachea[1:], np.array([8.5]), np.array([9.0]))
    for a, b, ra, rb in (trunk, *[tree.segments() for tree in trees.airways]):
        draw(walls, geometry, (a, b, 1.22 * ra + 0.45, 1.22 * rb + 0.45))
        draw(lumen, geometry, (a, b, ra, rb))
        wide = rb > 2.4
        draw(large, geometry, (a[wide], b[wide], ra[wide], rb[wide]))

    hu = np.empty(geometry.shape, np.int16)
    tissue, lung_hu, right, left = (
        _upsample(f, anatomy.grid, geometry) for f in (anatomy.tissue_hu, anatomy.lung_hu, anatomy.right, anatomy.left)
    )
    edge = np.float32(np.mean(geometry.spacing))
    blood = np.float32(BLOOD_CONTRAST_HU if contrast else BLOOD_HU)
    x, y, z = (geometry.origin[i] + geometry.spacing[2 - i] * np.arange(geometry.shape[2 - i]) for i in range(3))
    x, y = x[None, :].astype(np.float32), y[:, None].astype(np.float32)
    peak = FISSURE_HU_MM / (FISSURE_SIGMA_MM * np.sqrt(2 * np.pi))
    for k in range(geometry.shape[0]):
        depth = np.maximum(right(k), left(k))
        plane = lung_hu(k)
        oblique, minor = fissure_distances(build, x, y, np.float32(z[k]))
        minor = np.where((x < 0) & (oblique > 0), minor, 99)
        for d in (oblique, minor):
            plane += peak * np.exp(-0.5 * (np.minimum(np.abs(d), 9) / FISSURE_SIGMA_MM) ** 2)
        plane += vessels[k] / np.float32(255) * (blood - plane)
        for drawing in drawings:
            j = k - drawing.start[0]
            if 0 <= j < drawing.share.shape[0]:
                (_, h, w), (_, y0, x0) = drawing.share.shape, drawing.start
                part = plane[y0 : y0 + h, x0 : x0 + w]
                part += drawing.share[j] * (drawing.hu[j] - part)
        outside = tissue(k)
        outside += np.clip(depth / edge + 0.5, 0, 1) * (plane - outside)
        outside += walls[k] / np.float32(255) * (np.maximum(WALL_HU, outside) - outside)
        outside += lumen[k] / np.float32(255) * (LUMEN_HU - outside)
        hu[k] = np.round(outside)
    lungs[large > 127] = LungLabel.AIRWAY
    return hu


def _scan(
    hu: NDArray[np.int16],
    spacing: tuple[float, float, float],
    thickness: float,
    kernel: tuple[float, float],
    noise_hu: float,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Blur as the scanner does and add its noise, in place.

    The voxels already hold their own box average; thicker slices add the rest of a box's variance, (t² - s²) / 12.
    Noise has the power spectrum f · exp(-f² / 2p²): none at zero frequency, most near p, as filtered backprojection
    leaves it.
    """
    if thickness > spacing[0]:
        sigma = np.sqrt((thickness**2 - spacing[0] ** 2) / 12) / spacing[0]
        ndimage.gaussian_filter1d(hu, sigma, 0, output=hu, mode="nearest")
    sigma_mm, peak = kernel
    ny, nx = hu.shape[1:]
    f2 = (fft.fftfreq(ny, spacing[1])[:, None] ** 2 + fft.rfftfreq(nx, spacing[2])[None, :] ** 2).astype(np.float32)
    blur = np.exp(-2 * (np.pi * sigma_mm) ** 2 * f2)
    power = np.sqrt(f2) * np.exp(-f2 / (2 * peak**2))
    both = power.copy()
    both[:, 1 : (nx + 1) // 2] *= 2
    amplitude = np.sqrt(power * (ny * nx / both.sum())) * np.float32(noise_hu)
    for k in range(hu.shape[0]):
        white = fft.rfft2(rng.standard_normal((ny, nx), dtype=np.float32))
        sliced = fft.irfft2(fft.rfft2(hu[k].astype(np.float32)) * blur + white * amplitude, (ny, nx))
        hu[k] = np.clip(np.round(sliced), AIR_HU, 3071)
        if k % 16 == 0:
            progress.update(0.75 + 0.25 * k / hu.shape[0])


def _pad(hu: NDArray[np.int16], spacing: tuple[float, float, float]) -> None:
    """Air beyond the largest circle that fits."""
    ny, nx = hu.shape[1:]
    y, x = (np.arange(ny) - (ny - 1) / 2) * spacing[1], (np.arange(nx) - (nx - 1) / 2) * spacing[2]
    radius = min(ny * spacing[1], nx * spacing[2]) / 2
    hu[:, y[:, None] ** 2 + x[None, :] ** 2 > radius**2] = AIR_HU
