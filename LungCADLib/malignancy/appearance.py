"""The appearance network's opinion: how suspicious does the nodule look on its largest axial slice?

Five small networks (`appearance_network.py`) look at the slice, turned and mirrored; the means of their answers are
brought to a probability. The fusion adds the six signs of the reader-suspicion model. Networks and coefficients lie in
`Resources/Models/appearance.safetensors` and `appearance.json`, made by `lungcad train appearance`; what they may and
may not be used for stands beside them in `appearance.md`.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import predict
from LungCADLib.errors import InputError
from LungCADLib.malignancy.reader_model import MEANING, TERMS, ReaderModel, suspicion_features
from LungCADLib.malignancy.slice_view import PIXEL_MM, SIDE_PIXELS, eight_sides, square, views
from LungCADLib.malignancy.tested import tested_sentence
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion
from LungCADLib.weights import bundled_members, bundled_table

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.appearance_network import AppearanceNetwork

NAME = "appearance"
FUSION = "fusion"

ANSWERS = ("appearance_log_odds", "appearance_log_diameter")
"""What the networks answer, as terms of the models in `appearance.json`: how suspicious the slice looks, and how large
(ln mm)."""

DIAMETERS_MM = (3.0, 40.0)
"""The ends of the scale on which the networks say how large, which is logarithmic."""

ALONE_MODEL, FUSION_MODEL = "alone", "fusion"
MODELS: dict[str, tuple[str, ...]] = {
    ALONE_MODEL: ANSWERS,
    FUSION_MODEL: (*ANSWERS, *(term.name for term in TERMS)),
}
"""The models that opinions come from, and their terms: the first brings the networks' answers to a probability."""


@cache
def packaged() -> dict[str, Any]:
    """`appearance.json` as plain data: the models, what they were fitted on, and the figures they were tested with."""
    return bundled_table(NAME)


@cache
def networks() -> "tuple[AppearanceNetwork, ...]":
    """The packaged networks, in the order of the folds of patients that they have not seen."""
    from LungCADLib.malignancy.appearance_network import network_of

    return tuple(network_of(state) for state in bundled_members(NAME)[0])


def answers(members: "Sequence[AppearanceNetwork]", seen: "Tensor", device: str = "cpu") -> NDArray[np.float64]:
    """`ANSWERS` (members, n, 2) to views (n, c, y, x), each the mean over the eight sides of a view."""
    import torch

    from LungCADLib.malignancy.appearance_network import DIAMETER

    low, high = np.log(DIAMETERS_MM)

    def ask(some: "Tensor") -> "Tensor":
        said = [member(some) for member in members]
        size = [low + (high - low) * one.traits[:, DIAMETER].sigmoid() for one in said]
        return torch.stack([torch.stack([one.suspicion for one in said]), torch.stack(size)]).permute(2, 1, 0)

    sides = [predict(ask, side, device, members) for side in eight_sides(seen)]
    out: NDArray[np.float64] = torch.stack(sides).double().mean(dim=0).transpose(0, 1).numpy()
    return out


def view_of(scan: Scan, outline: BoxMask) -> "Tensor":
    """What the networks see of a nodule: (1, c, y, x), around the middle of its largest axial slice.

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    import torch

    z, y, x = slice_of(outline)
    steps = scan.spacing[1:]
    hu = scan.hu[z]
    side = 2 * int(np.ceil(SIDE_PIXELS * PIXEL_MM / 2 / min(steps))) + 3
    pixels = torch.from_numpy(square(hu.astype(np.float32), (y, x), side))[None]
    known = torch.from_numpy(square(np.ones(hu.shape, np.float32), (y, x), side))[None]
    middle = torch.full((1, 2), float(side // 2))
    return views(pixels, known, middle, torch.tensor([steps], dtype=torch.float32))


def slice_of(outline: BoxMask) -> tuple[int, int, int]:
    """The voxel (z, y, x) of the scan in the middle of an outline's largest axial slice.

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    area = outline.mask.sum(axis=(1, 2))
    if not area.any():
        raise ValueError("A nodule without voxels cannot be looked at.")
    z = int(area.argmax())
    y, x = (round(float(v)) for v in np.argwhere(outline.mask[z]).mean(axis=0) + outline.start[1:])
    return outline.start[0] + z, y, x


def rate(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """What the networks think of a nodule; `low` and `high` are the least and the most suspicious of them."""
    return _opinion(NAME, ALONE_MODEL, _answers(scan, outline))


def rate_fused(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """What the networks and the reader-suspicion model's signs say together.

    `low` and `high` are the least and the most suspicious of them, as in `rate`.
    """
    said = _answers(scan, outline)
    signs = np.broadcast_to(suspicion_features(nodule), (len(said), len(TERMS)))
    return _opinion(FUSION, FUSION_MODEL, np.column_stack([said, signs]))


def _answers(scan: Scan | None, outline: BoxMask | None) -> NDArray[np.float64]:
    """`ANSWERS` (members, 2)."""
    if scan is None or outline is None:
        raise InputError("The appearance engines look at the CT: they need the scan and the nodule's outline.")
    return answers(networks(), view_of(scan, outline))[:, 0]


def _opinion(name: str, model: str, rows: NDArray[np.float64]) -> Opinion:
    """From a model's terms (members, terms), which differ in the networks' answers only."""
    data = packaged()
    fitted = ReaderModel.from_json(data["models"][model])
    each = fitted.suspicion(rows)[0]
    value = fitted.suspicion(rows.mean(axis=0))[0]
    return Opinion(
        name, data["version"], float(value), float(each.min()), float(each.max()), MEANING, tested(data, model)
    )


def tested(data: dict[str, Any], model: str) -> str:
    """One sentence on how well a model in `appearance.json` did, with the ruler beside it on the same nodules."""
    if "figures" not in data:
        return f"not tested yet: run `lungcad evaluate {NAME} --card DIR`"
    return tested_sentence(data["figures"]["slices"], "" if model == ALONE_MODEL else f"_{model}")
