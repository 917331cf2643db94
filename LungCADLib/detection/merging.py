"""From slices in which every pixel has a probability to candidates in the patient: distance merging, then Z merging.

Pugliese (Lung Cancer Images Classification by Deep Learning, DeepLearn 2017, Bilbao) names the two steps and draws
them, without numbers. The reading here: what a slice shows above one half falls into parts; parts of one slice that lie
near each other are one (`distance_merging`); parts of neighboring slices that lie over each other are one nodule
(`z_merging`).

Positions within slices are (row, column) in mm from the center of pixel (0, 0); slices are counted from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull

LEAST_PROBABILITY = 0.5
LEAST_PIXELS = 4

REACH_MM = 2.0
"""Two parts of a slice are one when their centers are no farther apart than the larger radius and this."""

ALWAYS_MM = 5.0
"""Two parts of a slice are one, whatever their size, when their centers are nearer than this."""

MOST_MISSING_SLICES, MOST_MISSING_MM = 1, 3.0
"""What Z merging bridges where a nodule is not seen: so many slices, and no more than so many mm."""

LEAST_OVERLAP = 0.1
"""Two parts lie over each other from more than this on: their common area over that of both together."""

LEAST_SLICES = 2
THICK_MM = 2.5
"""A candidate has at least `LEAST_SLICES` slices; where slices are this thick, one will do."""

BEST_SLICES = 3
"""A candidate's score is the mean probability of so many slices, its best."""


@dataclass(frozen=True, eq=False)
class SlicePart:
    """What one slice shows of one thing.

    Attributes
    ----------
    slice
        Which one.
    center_mm
        (row, column), the mean of its pixels weighted by their probabilities.
    pixels
        int (n, 2): row and column of each.
    probability
        Mean of the pixels' probabilities.
    pixel_mm
        Size of a pixel (row, column).
    """

    slice: int
    center_mm: tuple[float, float]
    pixels: NDArray[np.int64]
    probability: float
    pixel_mm: tuple[float, float]

    @property
    def area_mm2(self) -> float:
        return len(self.pixels) * self.pixel_mm[0] * self.pixel_mm[1]

    @property
    def radius_mm(self) -> float:
        """Of the disc with the part's area."""
        return float(np.sqrt(self.area_mm2 / np.pi))

    @property
    def feret_mm(self) -> float:
        """The greatest distance between two corners of pixels: how far a caliper opens at most."""
        corners = np.unique(
            np.concatenate([self.pixels + np.array(corner) for corner in ((0, 0), (0, 1), (1, 0), (1, 1))]), axis=0
        ) * np.array(self.pixel_mm)
        outer = corners[ConvexHull(corners).vertices]
        return float(np.sqrt(((outer[:, None] - outer[None]) ** 2).sum(axis=2).max()))


@dataclass(frozen=True, eq=False)
class Chain:
    """Parts that lie over each other: a candidate.

    Attributes
    ----------
    parts
        From the lowest slice to the highest; a slice may have several.
    slice_mm
        Distance of neighboring slices.
    """

    parts: tuple[SlicePart, ...]
    slice_mm: float

    @property
    def slices(self) -> list[int]:
        """In which it is seen, each once."""
        return sorted({part.slice for part in self.parts})

    @property
    def center(self) -> tuple[float, float, float]:
        """Slice (fractions allowed), row in mm, column in mm: the parts' centers weighted by their volumes."""
        at = np.array([(part.slice, *part.center_mm) for part in self.parts])
        z, row, column = np.average(at, axis=0, weights=[part.area_mm2 for part in self.parts])
        return float(z), float(row), float(column)

    @property
    def volume_mm3(self) -> float:
        return sum(part.area_mm2 for part in self.parts) * self.slice_mm

    @property
    def diameter_mm(self) -> float:
        """The greatest one within a slice."""
        return max(part.feret_mm for part in self.parts)

    @property
    def extent_mm(self) -> float:
        """Along z, from the lower face of the lowest slice to the upper face of the highest."""
        return (self.slices[-1] - self.slices[0] + 1) * self.slice_mm

    @property
    def score(self) -> float:
        best = [max(part.probability for part in self.parts if part.slice == k) for k in self.slices]
        return float(np.mean(sorted(best)[-BEST_SLICES:]))


def slice_components(probability: NDArray, pixel_mm: tuple[float, float], number: int = 0) -> list[SlicePart]:
    """The parts of one slice: connected pixels (by sides or corners) of at least one half, at least four together.

    Parameters
    ----------
    probability
        (y, x), 0 to 1.
    pixel_mm
        Size of a pixel (row, column).
    number
        Of the slice.
    """
    labels, _ = ndimage.label(probability >= LEAST_PROBABILITY, np.ones((3, 3)))
    parts = []
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        pixels = np.argwhere(labels[box] == label) + np.array([box[0].start, box[1].start])
        if len(pixels) >= LEAST_PIXELS:
            parts.append(_part(number, pixels, probability[tuple(pixels.T)].astype(float), pixel_mm))
    return parts


def distance_merging(parts: Sequence[SlicePart]) -> list[SlicePart]:
    """The parts of one slice after those that lie near each other became one.

    Two are near when their centers are no farther apart than the larger radius and 2 mm, or nearer than 5 mm; what is
    near to the same part becomes one with it. The center of several is the mean of theirs, weighted by probability
    times area; so it is, as before, the mean of all pixels weighted by their probabilities.
    """
    centers = np.array([part.center_mm for part in parts]).reshape(-1, 2)
    radii = np.array([part.radius_mm for part in parts])
    distance = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    near = (distance <= np.maximum(radii[:, None], radii[None]) + REACH_MM) | (distance < ALWAYS_MM)
    return [_joined([parts[i] for i in rows]) for rows in _groups(len(parts), np.argwhere(np.triu(near, 1)))]


def z_merging(parts: Sequence[SlicePart], slice_mm: float) -> list[Chain]:
    """The parts of all slices as candidates, best score first.

    A part and one of the next slice belong together when their centers lie, within the slice, no farther apart than the
    larger radius, or when they overlap by more than a tenth; so do parts with one slice of at most 3 mm between them.
    What was seen in a single slice is dropped, unless slices are at least 2.5 mm thick.

    Parameters
    ----------
    parts
        Of any slices, in any order.
    slice_mm
        Distance of neighboring slices.
    """
    reach = 1 + min(MOST_MISSING_SLICES, int(MOST_MISSING_MM / slice_mm + 1e-9))
    by_slice: dict[int, list[int]] = {}
    for i, part in enumerate(parts):
        by_slice.setdefault(part.slice, []).append(i)
    links = [
        (i, j)
        for k, here in by_slice.items()
        for step in range(1, reach + 1)
        for i in here
        for j in by_slice.get(k + step, ())
        if _over(parts[i], parts[j])
    ]
    chains = [
        Chain(tuple(sorted((parts[i] for i in rows), key=lambda part: part.slice)), slice_mm)
        for rows in _groups(len(parts), np.array(links, int).reshape(-1, 2))
    ]
    kept = [chain for chain in chains if slice_mm >= THICK_MM or len(chain.slices) >= LEAST_SLICES]
    return sorted(kept, key=lambda chain: -chain.score)


def overlap(one: SlicePart, other: SlicePart) -> float:
    """Common area over that of both together (Jaccard), as if they were of one slice; 0 to 1."""
    low = np.minimum(one.pixels.min(axis=0), other.pixels.min(axis=0))
    wide = np.maximum(one.pixels.max(axis=0), other.pixels.max(axis=0))[1] - low[1] + 1
    first, second = ((part.pixels - low) @ np.array([wide, 1]) for part in (one, other))
    both = len(np.intersect1d(first, second, assume_unique=True))
    return both / (len(first) + len(second) - both)


def _over(one: SlicePart, other: SlicePart) -> bool:
    distance = float(np.hypot(*np.subtract(one.center_mm, other.center_mm)))
    if distance <= max(one.radius_mm, other.radius_mm):
        return True
    return distance < one.feret_mm + other.feret_mm and overlap(one, other) > LEAST_OVERLAP


def _part(
    number: int, pixels: NDArray[np.int64], weights: NDArray[np.float64], pixel_mm: tuple[float, float]
) -> SlicePart:
    row, column = np.average(pixels * np.array(pixel_mm), axis=0, weights=weights)
    return SlicePart(number, (float(row), float(column)), pixels, float(weights.mean()), pixel_mm)


def _joined(parts: Sequence[SlicePart]) -> SlicePart:
    if len(parts) == 1:
        return parts[0]
    areas = [part.area_mm2 for part in parts]
    weights = [part.probability * area for part, area in zip(parts, areas, strict=True)]
    row, column = np.average([part.center_mm for part in parts], axis=0, weights=weights)
    probability = float(np.average([part.probability for part in parts], weights=areas))
    pixels = np.concatenate([part.pixels for part in parts])
    return SlicePart(parts[0].slice, (float(row), float(column)), pixels, probability, parts[0].pixel_mm)


def _groups(count: int, links: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Which of `count` things belong together through links (k, 2), in the order of each group's first."""
    graph = coo_array((np.ones(len(links)), tuple(links.T)), shape=(count, count))
    if not count:
        return []
    number, label = connected_components(graph, directed=False)
    return [np.flatnonzero(label == k) for k in range(number)]
