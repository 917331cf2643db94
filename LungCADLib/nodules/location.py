"""Where a nodule lies: side, lobe by geometry, distance to the pleura."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask, LungLabel, Lungs
from LungCADLib.nodules.shape import ShapeMeasures
from LungCADLib.scan import Geometry
from LungCADLib.study import Density, Lobe, Location, Margin, Side

MAJOR_FISSURE = ((0.15, 0.10), (1.0, 0.75))
"""Two points (depth, height) of the plane taken for the major fissure, as shares of the lung's extent from front to
back and from base to apex. The fissure starts behind at the fourth or fifth thoracic vertebra, a quarter of the lung
below the apex, and reaches the diaphragm near the front (Gray's Anatomy, lungs: fissures and lobes)."""

MINOR_FISSURE_HEIGHT = 0.45
"""The right lung's minor fissure runs level at the fourth costal cartilage, a little below the lung's middle."""

WHOLE_LUNG_MM = 240.0
"""Height taken for a lung that the scan cuts, if what is seen is less."""

CUT_SHARE = 0.25
"""A lung whose first or last slice is larger than this share of its largest slice goes on beyond the scan."""

SURE_MM = 30.0
MOST_CONFIDENCE = 0.9
CUT_CONFIDENCE = 0.75
"""Confidence grows from one half on a boundary to the second number this far away; the third multiplies it where
the lung is cut. Fissures vary by 2 to 3 cm between people."""

CONTACT_MM = 1.0
"""Lung masks are good to about this much."""

PERIFISSURAL_LONG_MM = 10.0
PERIFISSURAL_FISSURE_MM = 20.0
PERIFISSURAL_WALL_MM = 5.0
PERIFISSURAL_SOLIDITY = 0.9
"""Typical perifissural nodules: solid, smooth, oval, lentiform or triangular, less than 10 mm (de Hoop et al.,
Radiology 2012;265:611); here near the modelled fissure and away from the wall."""

SEARCH_MM = (15.0, 45.0, 150.0)


@dataclass(frozen=True)
class LungFrame:
    """The extent of one lung in mm along the scan's axes: `base` to `apex` (z) and `front` to `back` (y)."""

    base: float
    apex: float
    front: float
    back: float
    cut: bool

    def place(self, z_mm: float, y_mm: float) -> tuple[float, float]:
        """Depth (0 front to 1 back) and height (0 base to 1 apex)."""
        return (y_mm - self.front) / (self.back - self.front), (z_mm - self.base) / (self.apex - self.base)


_frames: WeakKeyDictionary[Lungs, dict[Side, LungFrame]] = WeakKeyDictionary()


def lung_frames(lungs: Lungs, geometry: Geometry) -> dict[Side, LungFrame]:
    """The frames of the lungs that are there, by side; computed once for each `Lungs`."""
    if lungs not in _frames:
        sides: tuple[tuple[Side, LungLabel], ...] = (("right", LungLabel.RIGHT), ("left", LungLabel.LEFT))
        found = {side: _frame(lungs.labels, label, geometry) for side, label in sides}
        _frames[lungs] = {side: frame for side, frame in found.items() if frame is not None}
    return _frames[lungs]


def _frame(labels: NDArray[np.uint8], label: LungLabel, geometry: Geometry) -> LungFrame | None:
    dz, dy, _ = geometry.spacing
    coarse = labels[:, ::2, ::2] == label
    area = coarse.sum(axis=(1, 2))
    slices = np.flatnonzero(area > 0.02 * max(area.max(), 1))
    if not len(slices):
        return None
    rows = np.flatnonzero(coarse.any(axis=(0, 2))) * 2
    base, apex = float(slices[0]) * dz, float(slices[-1]) * dz
    cut_below = slices[0] == 0 and area[0] > CUT_SHARE * area.max()
    cut_above = slices[-1] == len(area) - 1 and area[-1] > CUT_SHARE * area.max()
    missing = max(0.0, WHOLE_LUNG_MM - (apex - base))
    base -= missing * (cut_below / 2 if cut_above else cut_below)
    apex += missing * (cut_above / 2 if cut_below else cut_above)
    front, back = float(rows[0] * dy), float(rows[-1] * dy)
    return LungFrame(base, max(apex, base + dz), front, max(back, front + dy), bool(cut_below or cut_above))


def locate(
    lungs: Lungs, geometry: Geometry, outline: BoxMask, shape: ShapeMeasures, density: Density, margin: Margin
) -> Location:
    """Side, lobe (an estimate by geometry), distance to the pleura and what follows from it.

    Parameters
    ----------
    lungs, geometry
        The lungs and the grid they are on.
    outline
        The nodule.
    shape, density, margin
        What was found before; perifissural nodules are small, solid and smooth.
    """
    tight = outline.trimmed()
    center = np.argwhere(tight.mask).mean(axis=0) + np.array(tight.start)
    side = _side(lungs, geometry, tight)
    wall = _wall_distance(lungs, geometry, tight)
    lobe: Lobe = "unknown"
    confidence, fissure = 0.0, np.inf
    frame = lung_frames(lungs, geometry).get(side)
    if frame is not None:
        lobe, confidence, fissure = _lobe(side, frame, center * np.array(geometry.spacing))
    juxtapleural = wall <= CONTACT_MM
    perifissural = (
        density == "solid"
        and shape.long_axis_mm < PERIFISSURAL_LONG_MM
        and shape.solidity >= PERIFISSURAL_SOLIDITY
        and not (margin.spiculated or margin.lobulated)
        and fissure <= PERIFISSURAL_FISSURE_MM
        and wall >= PERIFISSURAL_WALL_MM
    )
    where = "place in the lung not known" if side == "unknown" else f"{side} {lobe} lobe (estimate)"
    if side != "unknown" and lobe == "unknown":
        where = f"{side} lung"
    words = [where] + ["juxtapleural"] * juxtapleural + ["perifissural candidate"] * perifissural
    return Location(side, lobe, confidence, wall, bool(juxtapleural), bool(perifissural), ", ".join(words))


def _around(geometry: Geometry, outline: BoxMask, reach_mm: float) -> tuple[slice, slice, slice]:
    z, y, x = (
        slice(max(0, a - int(reach_mm / s) - 1), min(n, a + m + int(reach_mm / s) + 1))
        for a, m, s, n in zip(outline.start, outline.mask.shape, geometry.spacing, geometry.shape, strict=True)
    )
    return z, y, x


def _side(lungs: Lungs, geometry: Geometry, outline: BoxMask) -> Side:
    """The lung with most voxels in the outline, else the one nearest to it."""
    for labels in (lungs.labels[outline.box][outline.mask], *(_nearby(lungs, geometry, outline))):
        right, left = np.count_nonzero(labels == LungLabel.RIGHT), np.count_nonzero(labels == LungLabel.LEFT)
        if right or left:
            return "right" if right >= left else "left"
    return "unknown"


def _nearby(lungs: Lungs, geometry: Geometry, outline: BoxMask) -> list[NDArray[np.uint8]]:
    return [lungs.labels[_around(geometry, outline, reach)] for reach in (5.0, *SEARCH_MM[:2])]


def _lobe(side: Side, frame: LungFrame, at_mm: NDArray[np.float64]) -> tuple[Lobe, float, float]:
    """Lobe, confidence, and distance in mm to the nearest modelled fissure, of a place (z, y, x) in mm."""
    depth, height = frame.place(float(at_mm[0]), float(at_mm[1]))
    (d0, h0), (d1, h1) = MAJOR_FISSURE
    tall, deep = frame.apex - frame.base, frame.back - frame.front
    slope = (h1 - h0) / (d1 - d0)
    steepness = slope * tall / deep
    above_major = (height - h0 - slope * (depth - d0)) * tall / np.hypot(1, steepness)
    above_minor = (height - MINOR_FISSURE_HEIGHT) * tall
    boundary = abs(above_major)
    lobe: Lobe = "lower"
    if above_major >= 0:
        lobe = "upper"
        if side == "right":
            boundary = min(boundary, abs(above_minor))
            lobe = "upper" if above_minor >= 0 else "middle"
    confidence = 0.5 + (MOST_CONFIDENCE - 0.5) * min(1.0, boundary / SURE_MM)
    return lobe, float(confidence * (CUT_CONFIDENCE if frame.cut else 1.0)), float(boundary)


def _wall_distance(lungs: Lungs, geometry: Geometry, outline: BoxMask) -> float:
    """Distance in mm from the edge of the outline to the nearest tissue outside the lungs, 0 where they touch.

    The nodule counts as lung; so does all of the search region where no lungs were found.
    """
    from scipy import ndimage

    known = bool(lung_frames(lungs, geometry))
    for reach in SEARCH_MM:
        box = _around(geometry, outline, reach)
        inside = lungs.labels[box] != LungLabel.BACKGROUND if known else lungs.region[box].copy()
        nodule = np.zeros(inside.shape, bool)
        place = zip(outline.start, box, outline.mask.shape, strict=True)
        nodule[tuple(slice(a - b.start, a - b.start + n) for a, b, n in place)] = outline.mask
        # Far from the wall a coarser grid answers well enough.
        step = 1 if reach <= SEARCH_MM[0] else 2 if reach <= SEARCH_MM[1] else 4
        coarse = (slice(None), slice(None, None, step), slice(None, None, step))
        spacing = (geometry.spacing[0], geometry.spacing[1] * step, geometry.spacing[2] * step)
        inside = (inside | nodule)[coarse]
        if inside.all():
            continue
        at = np.argwhere(nodule) // (1, step, step)
        # From center to center, neighbors are a voxel apart, a whole slice where slices are thick, yet they touch: the
        # wall grown by one voxel in every direction is as far from the nodule's centers as the edges are apart.
        apart = ndimage.binary_erosion(inside, np.ones((3, 3, 3)), border_value=1)
        gap = float(ndimage.distance_transform_edt(apart, sampling=spacing)[tuple(at.T)].min())
        if gap <= reach:
            return gap
    return SEARCH_MM[-1]
