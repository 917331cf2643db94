"""The outline by a network: five small U-Nets look at the nodule in a field made for its size, and are averaged.

The first look uses the size the detector guessed; where the outline found is of another size, the nodule is looked at
again in a field made for that. The outline is held near the classical one, which stands where the network sees nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import autocast, batch_size, choose_device, in_batches
from LungCADLib.masks import BoxMask, in_plane_diameter_mm
from LungCADLib.nodules.field import CHANNELS, STYLES, Field, Size
from LungCADLib.nodules.outline import outline_nodule
from LungCADLib.scan import Scan
from LungCADLib.settings import Device
from LungCADLib.study import Candidate
from LungCADLib.weights import State, bundled_members

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "outline"

SURE_LOGIT = 0.0
"""From here a voxel belongs to the nodule: as likely as not."""

AGAIN = 1.2
"""A field made for a diameter off by this factor is replaced by a fitting one."""

SIZE_LOOKS = 2
"""So often at most one member alone looks for the size, before all look at the nodule."""

OFF_DIAMETERS, OFF_MM = 0.3, 2.0
"""What lies farther from the center than this share of the diameter and so many mm is something else."""

Spacing = tuple[float, float, float]
Point = tuple[float, float, float]


STRAY_MM, STRAY_DIAMETERS = 2.0, 0.25
"""An outline goes no farther from the classical one than so many mm and this share of that one's diameter."""

MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
"""Dimensions of a field's slices (n, y, x) along which it is mirrored before a network looks."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """An outline, and how sure the network is of it: the Dice it expects with what a reader would draw, 0 to 1."""

    mask: BoxMask
    expected_dice: float


class OutlineNetwork:
    """Networks that look at the same field, each from another side, and whose logits are averaged.

    Parameters
    ----------
    members
        State dicts of `unet.slice_unet`. Several look once each; one alone looks from all sides.
    device
        As `compute.choose_device` gives it.
    """

    def __init__(self, members: Sequence[State], device: str = "cpu") -> None:
        networks = [_network(member) for member in members]
        self.looks = (
            [(networks[0], mirror) for mirror in MIRRORS]
            if len(networks) == 1
            else [(network, MIRRORS[k % len(MIRRORS)]) for k, network in enumerate(networks)]
        )
        self.device = device

    def logits(self, inputs: "Sequence[Tensor]", looks: int | None = None) -> "list[Tensor]":
        """Mean logit (n, y, x) of each field's inputs (n, channels, y, x) over the first so many looks, on the CPU."""
        import torch

        from LungCADLib.nodules.unet import Stack

        def run(cases: slice, device: str) -> "list[Tensor]":
            some = inputs[cases]
            heights = [len(one) for one in some]
            stack, x = Stack.of(heights, device), torch.cat(list(some)).to(device)
            said = []
            with torch.inference_mode(), autocast(device):
                for network, mirror in self.looks[:looks]:
                    seen = x.flip([dim + 1 for dim in mirror])
                    said.append(network.to(device)(seen, stack).float().flip(mirror))
            return list(torch.stack(said).mean(dim=0).cpu().split(heights))

        size = batch_size(max(one.numel() * one.element_size() for one in inputs), self.device)
        return [one for part in in_batches(run, len(inputs), size, self.device) for one in part]

    def outline(
        self,
        volumes: Sequence[NDArray],
        spacings: Sequence[Spacing],
        centers: Sequence[Point],
        diameters_mm: Sequence[float],
        style: str = STYLES[0],
    ) -> list[Drawn]:
        """Outlines of nodules, each on its own volume's grid; empty where nothing is seen at a center.

        Parameters
        ----------
        volumes
            HU (z, y, x); may be the same for several nodules.
        spacings
            mm (z, y, x).
        centers
            Fractional index (z, y, x).
        diameters_mm
            A guess.
        style
            What is drawn, one of `nodules.field.STYLES`.
        """
        sizes = list(diameters_mm)

        def look(cases: Sequence[int], looks: int | None) -> list[Drawn]:
            fields = [Field.around(centers[i], spacings[i], volumes[i].shape, sizes[i]) for i in cases]
            inputs = [where.inputs(volumes[i], style) for i, where in zip(cases, fields, strict=True)]
            answers = zip(cases, fields, self.logits(inputs, looks), strict=True)
            return [_drawn(where, logits, volumes[i].shape, sizes[i]) for i, where, logits in answers]

        todo = list(range(len(volumes)))
        for _ in range(SIZE_LOOKS):
            wrong = []
            for i, seen in zip(todo, look(todo, 1), strict=True):
                diameter = in_plane_diameter_mm(seen.mask.mask, spacings[i])
                if diameter and not 1 / AGAIN < diameter / sizes[i] < AGAIN:
                    sizes[i] = diameter
                    wrong.append(i)
            todo = wrong
            if not todo:
                break
        return look(range(len(volumes)), None)


def outline_by_network(scan: Scan, region: NDArray[np.bool_], candidate: Candidate, device: Device = "auto") -> BoxMask:
    """Outline the nodule at a candidate with the packaged networks, near the outline by threshold.

    Parameters as `outline.outline_nodule`.
    """
    return outline_all_by_network(scan, region, [candidate], device)[0]


def outline_all_by_network(
    scan: Scan, region: NDArray[np.bool_], candidates: Sequence[Candidate], device: Device = "auto"
) -> list[BoxMask]:
    """Outline several candidates at once, which a network does sooner than one by one."""
    network = packaged(choose_device(device))
    return outline_candidates(network, scan, region, candidates)


def outline_candidates(
    network: OutlineNetwork,
    scan: Scan,
    region: NDArray[np.bool_],
    candidates: Sequence[Candidate],
) -> list[BoxMask]:
    """Outlines of candidates by a network. Never empty, trimmed.

    The network learned mostly from boxes that end soon above and below the nodule, and may follow a vessel or the wall
    beyond. It is therefore held near the classical outline, which stands where the network sees nothing.
    """
    n = len(candidates)
    centers = [_index(scan, candidate) for candidate in candidates]
    guesses = [2 * candidate.radius_mm for candidate in candidates]
    drawn = network.outline([scan.hu] * n, [scan.spacing] * n, centers, guesses)
    classical = [outline_nodule(scan, region, candidate) for candidate in candidates]
    return [_kept_near(one.mask, other, scan) for one, other in zip(drawn, classical, strict=True)]


@cache
def packaged(device: str, member: int | None = None) -> OutlineNetwork:
    """The network that comes with LungCAD, or one of its members alone."""
    members, _ = bundled_members(NAME)
    return OutlineNetwork(members if member is None else [members[member]], device)


def _network(member: State) -> "nn.Module":
    import torch

    from LungCADLib.nodules.unet import slice_unet

    network = slice_unet(CHANNELS)
    network.load_state_dict(member)
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[no-any-return,call-overload]


def _kept_near(drawn: BoxMask, classical: BoxMask, scan: Scan) -> BoxMask:
    """The part of an outline near the classical one, connected with it; the classical one where that is nothing."""
    from scipy import ndimage

    reach = STRAY_MM + STRAY_DIAMETERS * in_plane_diameter_mm(classical.mask, scan.spacing)
    around = classical.padded(np.ceil(reach / np.array(scan.spacing)).astype(int) + 1, scan.geometry.shape)
    near = ndimage.distance_transform_edt(~around.mask, sampling=scan.spacing) <= reach
    labels, _ = ndimage.label(_within(drawn, around) & near, np.ones((3, 3, 3)))
    shared = np.bincount(labels[around.mask], minlength=1)
    shared[0] = 0
    if not shared.any():
        return classical
    return BoxMask(around.start, labels == int(shared.argmax())).trimmed()


def _within(mask: BoxMask, box: BoxMask) -> NDArray[np.bool_]:
    """A mask in the box of another."""
    out = np.zeros(box.mask.shape, bool)
    low = np.maximum(mask.start, box.start)
    high = np.minimum(np.add(mask.start, mask.mask.shape), np.add(box.start, box.mask.shape))
    if (high > low).all():
        here, there = (tuple(map(slice, low - one.start, high - one.start)) for one in (box, mask))
        out[here] = mask.mask[there]
    return out


def _index(scan: Scan, candidate: Candidate) -> Point:
    index = np.clip(scan.geometry.to_index(candidate.center_lps_mm), 0, np.array(scan.hu.shape) - 1)
    z, y, x = (float(v) for v in index)
    return z, y, x


def _drawn(where: Field, logits: "Tensor", shape: Size, diameter_mm: float) -> Drawn:
    """What is the nodule in a field: the part nearest to the center, if that is near enough; its holes filled."""
    from scipy import ndimage

    voxels = where.voxels(shape)
    values = voxels.values(logits).numpy()
    labels, count = ndimage.label(values >= SURE_LOGIT, np.ones((3, 3, 3)))
    center = np.array(where.center) - voxels.start
    away = [np.linalg.norm((np.argwhere(labels == k + 1) - center) * where.spacing, axis=1).min() for k in range(count)]
    if not away or min(away) > OFF_DIAMETERS * diameter_mm + OFF_MM:
        return Drawn(BoxMask(voxels.start, np.zeros(values.shape, bool)), 0.0)
    part = labels == int(np.argmin(away)) + 1
    mask = np.stack([ndimage.binary_fill_holes(one) for one in part])
    chance = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return Drawn(BoxMask(voxels.start, mask), float(2 * chance[mask].sum() / (chance.sum() + mask.sum())))
