"""The opinion of the Lung-RADS slice set's pipeline: outline the nodule on its largest slice, classify what is inside.

Five networks (`lung_rads_cnn_network.py`) look at the slice from eight sides; a logistic regression brings the mean of
their log odds to a probability. Networks and coefficients lie in `Resources/Models/lung-rads-cnn.safetensors` and
`lung-rads-cnn.json`, made by `lungcad train lung-rads-cnn` of LIDC's slices; the Lung-RADS set itself is not among
their data. What they may and may not be used for stands beside them in `lung-rads-cnn.md`.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import predict
from LungCADLib.errors import InputError
from LungCADLib.malignancy.appearance import slice_of
from LungCADLib.malignancy.reader_model import MEANING, ReaderModel
from LungCADLib.malignancy.slice_view import eight_sides, square, views
from LungCADLib.malignancy.tested import tested_sentence
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion
from LungCADLib.weights import bundled_members, bundled_table

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork

NAME = "lung-rads-cnn"

SIDE_PIXELS, PIXEL_MM = 64, 0.75
"""48 mm, as much as the slices to learn from show; the encoder needs a side that 32 divides."""

WINDOWS_HU = ((-1000.0, 400.0), (-160.0, 240.0), (-100.0, 900.0))
"""Lung, soft tissue, calcification: one window per color that ImageNet's encoders see."""

CLASSES = ("benign", "suspicious")
"""What a network of LIDC's slices answers, in this order."""

SEGMENTED, WHOLE = "segmented", "whole"
ANSWERS = (SEGMENTED, WHOLE)
"""Which image a network's log odds are of: what it outlined, or everything (the baseline)."""


@cache
def packaged() -> dict[str, Any]:
    """`lung-rads-cnn.json` as plain data: the regressions, what they were fitted on, and the figures of the test."""
    return bundled_table(NAME)


@cache
def networks() -> "tuple[LungRadsNetwork, ...]":
    """The packaged networks, in the order of the folds of patients that they have not seen."""
    from LungCADLib.malignancy.lung_rads_cnn_network import network_of

    return tuple(network_of(state) for state in bundled_members(NAME)[0])


def still_views(hu: "NDArray", spacing_mm: NDArray[np.float64]) -> "Tensor":
    """What the networks see of HU images (n, y, x) as they are: (n, windows + 1, y, x) around their middles."""
    import torch

    pixels = torch.from_numpy(np.asarray(hu, np.float32))
    middle = torch.tensor([hu.shape[1] // 2, hu.shape[2] // 2], dtype=torch.float32).repeat(len(hu), 1)
    spacing = torch.from_numpy(np.asarray(spacing_mm, np.float32))[:, None].repeat(1, 2)
    return seen_of(pixels, torch.ones_like(pixels), middle, spacing)


def seen_of(
    hu: "Tensor", known: "Tensor", center: "Tensor", spacing_mm: "Tensor", turn: "Tensor | None" = None
) -> "Tensor":
    """`slice_view.views` in these windows on this grid, for training and for use."""
    return views(hu, known, center, spacing_mm, turn, windows_hu=WINDOWS_HU, side=SIDE_PIXELS, pixel_mm=PIXEL_MM)


def answers(members: "Sequence[LungRadsNetwork]", seen: "Tensor", device: str = "cpu") -> NDArray[np.float64]:
    """Log odds of "suspicious" (members, n, `ANSWERS`) for views (n, c, y, x), the mean over their eight sides."""
    import torch

    def ask(some: "Tensor") -> "Tensor":
        said = [member(some) for member in members]
        pairs = [torch.stack([one.segmented, one.whole], dim=1) for one in said]
        return torch.stack([pair[..., 1] - pair[..., 0] for pair in pairs], dim=1)

    sides = [predict(ask, side, device, members) for side in eight_sides(seen)]
    out: NDArray[np.float64] = torch.stack(sides).double().mean(dim=0).transpose(0, 1).numpy()
    return out


def outlined(members: "Sequence[LungRadsNetwork]", seen: "Tensor", device: str = "cpu") -> NDArray[np.float32]:
    """The chance (n, y, x) that a pixel of views (n, c, y, x) is the nodule's: the mean over members."""
    import torch

    def ask(some: "Tensor") -> "Tensor":
        return torch.stack([member(some).outline.sigmoid()[:, 0] for member in members]).mean(dim=0)

    out: NDArray[np.float32] = predict(ask, seen, device, members).float().numpy()
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
    side = 2 * int(np.ceil(SIDE_PIXELS * PIXEL_MM / 2 / min(steps))) + 3
    pixels = torch.from_numpy(square(scan.hu[z].astype(np.float32), (y, x), side))[None]
    known = torch.from_numpy(square(np.ones(scan.hu[z].shape, np.float32), (y, x), side))[None]
    middle = torch.full((1, 2), float(side // 2))
    return seen_of(pixels, known, middle, torch.tensor([steps], dtype=torch.float32))


def rate(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """What the pipeline of paper 001 thinks of a nodule; `low` and `high` are the least and most suspicious of five."""
    if scan is None or outline is None:
        raise InputError(f"The engine {NAME} looks at the CT: it needs the scan and the nodule's outline.")
    said = answers(networks(), view_of(scan, outline))[:, 0, : ANSWERS.index(WHOLE)]
    data = packaged()
    fitted = ReaderModel.from_json(data["models"][SEGMENTED])
    each = fitted.suspicion(said)[0]
    value = fitted.suspicion(said.mean(axis=0))[0]
    return Opinion(NAME, data["version"], float(value), float(each.min()), float(each.max()), MEANING, tested(data))


def tested(data: dict[str, Any]) -> str:
    """One sentence on how well it did, with the ruler beside it on the same nodules."""
    if "figures" not in data:
        return f"not tested yet: run `lungcad evaluate {NAME} --card DIR`"
    return tested_sentence(data["figures"]["slices"])
