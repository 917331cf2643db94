"""Batches for the outline network: nodules drawn, and seen as other scanners, readers and clicks might show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.nodules.field import Field, Voxels
from LungCADLib.training.outline_cases import Lesson

if TYPE_CHECKING:
    from torch import Tensor

DRAWN: Mapping[str, int] = {"box": 6, "crop": 2, "slice": 16}
"""Nodules of each set in a batch."""

SIZE_SD = 0.25
"""Of the natural logarithm of the diameter for which the field is made over the true one: its guess may be wrong."""

OFF_CENTER = 0.12
"""SD of the click's distance from where it should be, along each axis, in diameters."""

CUT_CHANCE = 0.3
"""How often slices are taken away below and above, so that the data's end says little about the nodule's."""

SHIFT_SD_HU = 20.0
"""Scanners differ, and some slices here are 24 HU too low."""

GAIN_SD = 0.05
NOISE_CHANCE, NOISE_MOST_HU = 0.5, 60.0
BLUR_CHANCE, BLUR_MOST_PIXELS = 0.25, 1.2
STRETCH_SD = 0.08
"""SD of the natural logarithm of a stretch along one axis within the slices."""


@dataclass(frozen=True, eq=False)
class View:
    """A nodule as the network sees it, and what it should have said, voxel by voxel of the scan.

    Attributes
    ----------
    inputs
        (n, CHANNELS, PIXELS, PIXELS).
    voxels
        Where the scan's voxels lie in the field.
    truth
        float32 (z, y, x) of 0 and 1 at these voxels: the reader's outline.
    distance_mm
        float32 (z, y, x) from the reader's outline, negative inside.
    """

    inputs: "Tensor"
    voxels: Voxels
    truth: "Tensor"
    distance_mm: "Tensor"


def draw(lessons: Mapping[str, Sequence[Lesson]], random: np.random.Generator, altered: float = 1.0) -> list[View]:
    """A batch from lessons by set; `altered` as in `view`."""
    chosen = [
        some[int(i)]
        for name, n in DRAWN.items()
        if (some := lessons.get(name, ()))
        for i in random.integers(len(some), size=n)
    ]
    return [view(lesson, random, altered) for lesson in chosen]


def view(lesson: Lesson, random: np.random.Generator, altered: float = 1.0) -> View:
    """One nodule, altered at random, but for turns and mirrors as much as `altered` says, from 0 to 1."""
    import torch

    seen = _mirrored(_cut(lesson, random, altered), random)
    where = _field(seen, random, altered)
    hu = _as_scanned(where.sample(seen.hu)[0], where.pixel_mm, random, altered)
    voxels = where.voxels(seen.hu.shape)
    truth, distance = (
        torch.from_numpy(volume[voxels.box].astype(np.float32)) for volume in (seen.truth, seen.distance_mm)
    )
    return View(where.dressed(hu, seen.hu.shape, seen.style), voxels, truth, distance)


def _mirrored(lesson: Lesson, random: np.random.Generator) -> Lesson:
    """Upside down, every other time."""
    if random.random() < 0.5:
        return lesson
    center = (len(lesson.hu) - 1 - lesson.center[0], *lesson.center[1:])
    return replace(
        lesson, hu=lesson.hu[::-1], truth=lesson.truth[::-1], distance_mm=lesson.distance_mm[::-1], center=center
    )


def _cut(lesson: Lesson, random: np.random.Generator, altered: float) -> Lesson:
    """Without some slices at the ends; a slice of the nodule, the one nearest to the click, stays."""
    height = len(lesson.hu)
    if height < 3 or random.random() >= altered * CUT_CHANCE:
        return lesson
    inside = np.flatnonzero(lesson.truth.any(axis=(1, 2)))
    kept = int(inside[np.abs(inside - lesson.center[0]).argmin()])
    first, last = int(random.integers(0, kept + 1)), int(random.integers(kept, height))
    part = slice(first, last + 1)
    center = (float(np.clip(lesson.center[0] - first, 0, last - first)), *lesson.center[1:])
    return replace(
        lesson, hu=lesson.hu[part], truth=lesson.truth[part], distance_mm=lesson.distance_mm[part], center=center
    )


def _field(lesson: Lesson, random: np.random.Generator, altered: float) -> Field:
    diameter = lesson.diameter_mm * np.exp(altered * SIZE_SD * random.standard_normal())
    off = np.clip(random.standard_normal(3), -2, 2) * OFF_CENTER * lesson.diameter_mm / np.array(lesson.spacing)
    z, y, x = np.clip(np.array(lesson.center) + altered * off, 0, np.array(lesson.hu.shape) - 1)
    where = Field.around((float(z), float(y), float(x)), lesson.spacing, lesson.hu.shape, float(diameter))
    angle = random.uniform(0, 2 * np.pi)
    stretch = np.exp(altered * STRETCH_SD * random.standard_normal() * np.array([0.5, -0.5]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * stretch
    if random.random() < 0.5:
        turn = turn[:, ::-1]
    return replace(where, turn=turn)


def _as_scanned(hu: "Tensor", pixel_mm: float, random: np.random.Generator, altered: float) -> "Tensor":
    """HU (n, PIXELS, PIXELS) as another scanner might give them: level, contrast, blur, noise."""
    import torch

    gain, shift = altered * GAIN_SD * random.standard_normal(), altered * SHIFT_SD_HU * random.standard_normal()
    hu = hu * float(1 + gain) + float(shift)
    if random.random() < altered * BLUR_CHANCE:
        hu = _blurred(hu, random.uniform(0.4, BLUR_MOST_PIXELS))
    if random.random() < altered * NOISE_CHANCE:
        noise = torch.from_numpy(random.standard_normal(hu.shape, np.float32))
        # Noise is of the scanner's pixels, not of the finer ones of the field.
        hu = hu + random.uniform(0, NOISE_MOST_HU) * _blurred(noise, 0.5 * USUAL_GRAIN_MM / pixel_mm) * 2
    return hu


USUAL_GRAIN_MM = 0.7


def _blurred(images: "Tensor", sigma: float) -> "Tensor":
    """Gaussian blur of (n, y, x) within slices."""
    import torch
    from torch.nn.functional import conv2d

    reach = max(1, int(np.ceil(2.5 * sigma)))
    kernel: NDArray[np.float32] = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    weights = torch.from_numpy(kernel / kernel.sum())
    one = conv2d(images[:, None], weights[None, None, :, None], padding=(reach, 0))
    return conv2d(one, weights[None, None, None, :], padding=(0, reach))[:, 0]
