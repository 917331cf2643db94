"""What the slice U-Net sees in a scan: the lungs' slices at 1 mm, each pixel's probability, merged to candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import choose_device, predict
from LungCADLib.detection.merging import (
    LEAST_PROBABILITY,
    Chain,
    SlicePart,
    distance_merging,
    slice_components,
    z_merging,
)
from LungCADLib.detection.slice_unet import multiple, slice_unet
from LungCADLib.scan import AIR_HU, Geometry, Scan
from LungCADLib.settings import Device

if TYPE_CHECKING:
    from LungCADLib.weights import State

PIXEL_MM = 1.0

LEAST_SLICE_MM = 1.25
"""Slices that lie nearer to each other are averaged, as few together as reach this: a scan of 1 mm is read in steps of
2 mm, half as long. A nodule of 4 mm still has two slices, which Z merging asks for."""

MARGIN_MM = 24.0
"""Of what is shown around the lungs: as far as the network's answer depends on."""

COARSE = 2
"""Slices are read once more with pixels so many times as large: the network knows nodules up to about 30 mm, and takes
what is larger for the mediastinum."""

LARGE_RADIUS_MM = 8.0
"""Of what the second reading sees, only parts of at least this radius count of which the first saw less than half; all
else the first sees better."""

TOGETHER = 2
"""Members that read each slice of a patient whom none has seen: slices take the five in turn, two at a time."""


@dataclass(frozen=True, eq=False)
class Slices:
    """The lungs' box of a scan, slice by slice.

    Attributes
    ----------
    hu
        int16 (z, y, x) with pixels of `PIXEL_MM`.
    region
        bool (z, y, x): the lungs.
    geometry
        The grid.
    """

    hu: NDArray[np.int16]
    region: NDArray[np.bool_]
    geometry: Geometry

    @property
    def slice_mm(self) -> float:
        return self.geometry.spacing[0]


@dataclass(frozen=True, eq=False)
class Merged:
    """What was seen after each step: parts of slices, parts merged by distance, candidates."""

    parts: list[SlicePart]
    near: list[SlicePart]
    chains: list[Chain]


class SliceReader:
    """The members that read slices.

    Parameters
    ----------
    members
        State dicts of `slice_unet`, member k without the patients of fold k.
    description
        `widths`; `folds`: the fold of each patient who was learned from.
    device
        Where the networks are to run.
    """

    def __init__(self, members: "Sequence[State]", description: dict[str, Any], device: Device = "cpu") -> None:
        self.device = device
        self.description = description
        self.networks = []
        for state in members:
            network = slice_unet(tuple(description["widths"]))
            network.load_state_dict(state)
            self.networks.append(network.eval())

    def probabilities(
        self, slices: Slices, patient: str | None, done: Callable[[float], None] = lambda share: None
    ) -> NDArray[np.float16]:
        """(z, y, x) for each pixel how likely it is of a nodule, in either reading; 0 outside the lungs.

        A patient who was learned from is read by the member that has not seen the patient; of anyone else each slice is
        read by two, and the next one by two others, so that the slices of a nodule are read by most of the five.

        Parameters
        ----------
        slices
            Of the scan.
        patient
            Whose scan it is, if known.
        done
            Told which share is done, 0 to 1.
        """
        own, members = self.description["folds"].get(patient), len(self.networks)
        out = np.zeros(slices.hu.shape, np.float16)
        for z, (hu, region) in enumerate(zip(slices.hu, slices.region, strict=True)):
            asked = [own] if own is not None else [(z + k) % members for k in range(TOGETHER)]
            fine = self._read(hu, region, asked)
            out[z] = np.maximum(fine, self._large(hu, region, asked, fine) * region)
            done((z + 1) / len(slices.hu))
        return out

    def _large(
        self, hu: NDArray[np.int16], region: NDArray[np.bool_], members: Sequence[int], fine: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Probabilities (y, x) of the large parts that larger pixels show and `fine` hardly does, 0 elsewhere."""
        rows, columns = (n // COARSE for n in hu.shape)
        even = (slice(rows * COARSE), slice(columns * COARSE))
        small, inside, known = (
            a[even].reshape(rows, COARSE, columns, COARSE).mean(axis=(1, 3))
            for a in (hu, region, fine >= LEAST_PROBABILITY)
        )
        seen = self._read(np.rint(small).astype(np.int16), inside >= 0.5, members)
        large = np.zeros_like(seen)
        for part in slice_components(seen, (COARSE * PIXEL_MM,) * 2):
            if part.radius_mm >= LARGE_RADIUS_MM and known[tuple(part.pixels.T)].mean() < 0.5:
                large[tuple(part.pixels.T)] = seen[tuple(part.pixels.T)]
        out = np.zeros(hu.shape, np.float32)
        out[even] = large.repeat(COARSE, 0).repeat(COARSE, 1)
        return out

    def _read(self, hu: NDArray[np.int16], region: NDArray[np.bool_], members: Sequence[int]) -> NDArray[np.float32]:
        """Mean probabilities (y, x) of a slice, 0 outside the lungs.

        One slice at a time: on a CPU several together take twice as long for each.
        """
        import torch

        frame = _frame(region, multiple(self.description["widths"]))
        if frame is None:
            return np.zeros(hu.shape, np.float32)
        inner = tuple(slice(max(s.start, 0), min(s.stop, n)) for s, n in zip(frame, hu.shape, strict=True))
        beyond = [(i.start - s.start, s.stop - i.stop) for s, i in zip(frame, inner, strict=True)]
        shown = torch.from_numpy(np.pad(hu[inner], beyond, constant_values=AIR_HU)[None])
        device = choose_device(self.device)
        answers = [torch.sigmoid(predict(self.networks[k], shown, device))[0].numpy() for k in members]
        out = np.zeros(hu.shape, np.float32)
        seen = tuple(slice(b[0], b[0] + i.stop - i.start) for b, i in zip(beyond, inner, strict=True))
        out[inner] = np.mean(answers, axis=0)[seen] * region[inner]
        return out


def lung_slices(scan: Scan, region: NDArray[np.bool_]) -> Slices:
    """The slices around `region` (bool, on the scan's grid), pixels of 1 mm; thin slices in groups."""
    pad = np.ceil(np.array([0.0, MARGIN_MM, MARGIN_MM]) / np.array(scan.spacing)).astype(int)
    box = []
    for axis in range(3):
        found = np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (int(found[0]), int(found[-1])) if len(found) else (0, 0)
        box.append(slice(max(first - int(pad[axis]), 0), min(last + int(pad[axis]) + 1, region.shape[axis])))
    part = scan.crop((box[0], box[1], box[2]))
    together = int(np.ceil(LEAST_SLICE_MM / scan.spacing[0] - 1e-6))
    shown = part.resampled((together * scan.spacing[0], PIXEL_MM, PIXEL_MM))
    inside = part.geometry.resample(region[tuple(box)].astype(np.uint8), shown.geometry, nearest=True)
    return Slices(shown.hu, inside.astype(bool), shown.geometry)


def merge(probability: NDArray, geometry: Geometry) -> Merged:
    """Probabilities (z, y, x) on a grid as parts of slices, as parts merged by distance, and as candidates."""
    pixel_mm = geometry.spacing[1:]
    by_slice = [slice_components(one, pixel_mm, k) for k, one in enumerate(probability)]
    near = [part for parts in by_slice for part in distance_merging(parts)]
    return Merged([part for parts in by_slice for part in parts], near, z_merging(near, geometry.spacing[0]))


def centers(chains: Sequence[Chain], geometry: Geometry) -> NDArray[np.float64]:
    """(n, 3) centers of candidates in LPS mm."""
    at = np.array([chain.center for chain in chains]).reshape(-1, 3)
    return geometry.to_lps(at / np.array([1.0, *geometry.spacing[1:]]))


def _frame(region: NDArray[np.bool_], step: int) -> tuple[slice, slice] | None:
    """Rows and columns around the lungs of a slice (y, x), sides divisible by `step`; None without lungs."""
    frame = []
    for axis in (0, 1):
        found = np.flatnonzero(region.any(axis=1 - axis))
        if not len(found):
            return None
        low, high = int(found[0] - MARGIN_MM / PIXEL_MM), int(found[-1] + 1 + MARGIN_MM / PIXEL_MM)
        frame.append(slice(low, low + -(-(high - low) // step) * step))
    return frame[0], frame[1]
