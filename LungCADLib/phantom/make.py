"""Make a phantom: chest, trees, nodules, then what a scanner does to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask, LungLabel, Masks
from LungCADLib.phantom.anatomy import Anatomy, lobe_at, make_anatomy
from LungCADLib.phantom.build import Build
from LungCADLib.phantom.compose import compose, lung_labels
from LungCADLib.phantom.nodules import Drawing, NoduleSpec, TrueNodule, draw_nodule, main_hu, make_form
from LungCADLib.phantom.place import Places
from LungCADLib.phantom.sample import DEMO_NODULES, sample_nodules
from LungCADLib.phantom.scanner import KERNELS, outside_circle, scan_slices
from LungCADLib.phantom.trees import grow_trees
from LungCADLib.progress import Progress
from LungCADLib.scan import AIR_HU, Geometry, Header, Scan

BOTTOM_MM, MIDDLE_Y_MM = -18.0, 18.0
"""LPS z of the lowest slice and y of the middle row."""


@dataclass(eq=False)
class Phantom:
    """A synthetic scan and what is true of it.

    Parameters
    ----------
    scan
        The scan; its axes run along LPS.
    masks
        True lungs (right, left, and trachea with bronchi of 5 mm and more as airway) and true nodules by id, on the
        scan's grid.
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
        What to put in: specifications, a number of nodules to draw by LIDC's frequencies, or None for one of each kind.
    noise_hu
        Standard deviation of the noise.
    kernel
        "soft" or "sharp".
    slice_thickness_mm
        Thicker than the z spacing makes overlapping slices; None is the z spacing.
    contrast
        Contrast medium in heart and vessels.
    padding
        Outside the circle of reconstruction -1024 HU and no lung, as many scanners write it.
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
    for_body, for_trees, for_nodules, for_noise = (np.random.default_rng([seed, part]) for part in range(4))
    geometry = _grid(spacing, extent_mm)

    progress.update(0.0, "chest")
    build = Build.random(for_body)
    coarse = geometry.resampled((3.0 if min(spacing[1:]) > 1 else 2.0,) * 3)
    anatomy = make_anatomy(build, coarse, for_body, contrast)
    progress.update(0.2, "vessels and airways")
    trees = grow_trees(anatomy, for_trees)

    progress.update(0.3, "nodules")
    specs = DEMO_NODULES if nodules is None else nodules
    specs = sample_nodules(for_nodules, specs) if isinstance(specs, int) else specs
    places = Places(anatomy, trees, geometry, for_nodules)
    centers = places.find_all(specs)
    made = [
        _nodule(f"N{number}", spec, center, anatomy, geometry, for_nodules)
        for number, (spec, center) in enumerate(zip(specs, centers, strict=True), 1)
    ]

    progress.update(0.35, "voxels")
    lungs = lung_labels(anatomy, geometry)
    hu = compose(anatomy, geometry, places.trees, [drawing for drawing, _, _ in made], lungs, contrast)
    progress.update(0.7, "scanner")
    thickness = slice_thickness_mm or spacing[0]
    scan_slices(hu, spacing, thickness, kernel, noise_hu, for_noise, progress)
    if padding:
        outside = outside_circle(hu.shape[1:], spacing[1:])
        hu[:, outside], lungs[:, outside] = AIR_HU, LungLabel.BACKGROUND
    progress.update(1.0)
    header = _header(seed, kernel, thickness, contrast)
    masks = Masks(geometry, lungs, {truth.id: mask for _, truth, mask in made})
    return Phantom(Scan(hu, geometry, header), masks, [truth for _, truth, _ in made], seed)


def _header(seed: int, kernel: str, thickness_mm: float, contrast: bool) -> Header:
    return Header(
        source=f"phantom {seed}",
        patient_id="PHANTOM",
        series_description=f"LungCAD phantom {seed}",
        manufacturer="LungCAD",
        model="phantom",
        kernel=kernel,
        slice_thickness_mm=thickness_mm,
        kvp=120.0,
        contrast="simulated" if contrast else None,
    )


def small_phantom(seed: int = 0, nodules: list[NoduleSpec] | int | None = None, **options: object) -> Phantom:
    """A whole chest on a coarse grid (2.5 mm slices, 1.2 mm pixels, 120 x 240 x 300): quick, for tests.

    `options` are those of `make_phantom`.
    """
    chosen: dict = {"spacing": (2.5, 1.2, 1.2), "extent_mm": (300.0, 288.0, 360.0), **options}
    return make_phantom(seed, nodules=nodules, **chosen)


def _grid(spacing: tuple[float, float, float], extent_mm: tuple[float, float, float]) -> Geometry:
    """The scan's grid: the body in the middle of each slice."""
    nz, ny, nx = (max(1, round(e / s)) for e, s in zip(extent_mm, spacing, strict=True))
    origin = (-spacing[2] * (nx - 1) / 2, MIDDLE_Y_MM - spacing[1] * (ny - 1) / 2, BOTTOM_MM)
    return Geometry((nz, ny, nx), spacing, origin)


def _nodule(
    name: str, spec: NoduleSpec, center: NDArray, anatomy: Anatomy, geometry: Geometry, rng: np.random.Generator
) -> tuple[Drawing, TrueNodule, BoxMask]:
    """Draw a nodule, cut its truth at the pleura, and write down what is true of it."""
    form = make_form(spec, rng)
    drawing = draw_nodule(spec, form, center, geometry, rng)
    index = np.moveaxis(np.indices(drawing.share.shape), 0, -1) + np.array(drawing.start)
    depth = anatomy.lung_distance(geometry.to_lps(index)) / float(np.mean(geometry.spacing))
    inside = drawing.inside * np.clip(depth + 0.5, 0, 1)
    cut = bool((anatomy.lung_distance(form.surface() + center) < 0).any())
    volume = form.volume_mm3 * (float(inside.sum() / drawing.inside.sum()) if cut else 1.0)
    core = {"part-solid": spec.solid_core, "non-solid": 0.0}.get(spec.density, 1.0)
    side, lobe = lobe_at(anatomy.build, center)
    truth = TrueNodule(
        id=name,
        center_lps_mm=tuple(float(v) for v in center),  # type: ignore[arg-type]
        axes_mm=spec.axes_mm,
        diameter_mm=float((6 * volume / np.pi) ** (1 / 3)),
        max_diameter_mm=form.max_diameter_mm,
        volume_mm3=volume,
        density=spec.density,
        calcification=spec.calcification,
        attachment=spec.attachment,
        spiculated=spec.spiculated,
        lobulated=spec.lobulated,
        solid_diameter_mm=core * float(np.prod(spec.axes_mm) ** (1 / 3)),
        solid_volume_mm3=volume if core == 1 else core**3 * form.volume_mm3,
        hu=main_hu(spec),
        side="right" if side == LungLabel.RIGHT else "left",
        lobe=lobe,
    )
    return drawing, truth, BoxMask(drawing.start, inside > 0.5).trimmed()
