"""CALM's opinion (paper 003): how suspicious does a nodule look to a classifier that is told its cluster?

Five small networks (`calm_network.py`) look at 40 x 40 pixels around the middle of the nodule's largest axial slice;
the mean of their probabilities is the opinion. They lie in `Resources/Models/calm.safetensors`, made by `lungcad train
calm`; how well they did stands in `calm.json`, and what they may and may not be used for in `calm.md`, both made by
`lungcad evaluate calm`.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import predict
from LungCADLib.errors import InputError
from LungCADLib.malignancy.appearance import slice_of
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU
from LungCADLib.malignancy.tested import tested_sentence
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion
from LungCADLib.weights import bundled_members, bundled_table

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.calm_network import CalmNetwork

NAME = "calm"
VERSION = "1.0"

SIDE_PIXELS = 40
"""Of a patch, at the scan's own pixels (paper 003, section 6)."""


@cache
def packaged() -> dict[str, Any]:
    """`calm.json` as plain data: the figures that the networks were tested with."""
    return bundled_table(NAME)


@cache
def networks() -> "tuple[CalmNetwork, ...]":
    """The packaged networks, in the order of the folds of patients that they have not seen."""
    from LungCADLib.malignancy.calm_network import network_of

    return tuple(network_of(state) for state in bundled_members(NAME)[0])


def patch(image: NDArray, center: tuple[int, int]) -> NDArray:
    """The 40 x 40 pixels of an image (y, x) around a pixel (y, x); mirrored at the edge where the image ends."""
    half = SIDE_PIXELS // 2
    low = [c - half for c in center]
    short = [(max(0, -a), max(0, a + SIDE_PIXELS - n)) for a, n in zip(low, image.shape, strict=True)]
    if any(max(pair) for pair in short):
        image = np.pad(image, short, mode="symmetric")
        low = [a + before for a, (before, _) in zip(low, short, strict=True)]
    return image[low[0] : low[0] + SIDE_PIXELS, low[1] : low[1] + SIDE_PIXELS]


def pictures(hu: NDArray) -> "Tensor":
    """Patches (n, y, x) in HU as the networks see them: float32 (n, 1, y, x), the lung window scaled to 0..1."""
    import torch

    low, high = LUNG_WINDOW_HU
    scaled = (torch.from_numpy(np.ascontiguousarray(hu)).float() - low) / (high - low)
    return scaled.clamp(0, 1)[:, None]


def view_of(scan: Scan, outline: BoxMask) -> "Tensor":
    """What the networks see of a nodule: (1, 1, 40, 40), around the middle of its largest axial slice.

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    z, y, x = slice_of(outline)
    return pictures(patch(scan.hu[z], (y, x))[None])


def probabilities(members: "Sequence[CalmNetwork]", seen: "Tensor", device: str = "cpu") -> NDArray[np.float64]:
    """What each network says of pictures (n, 1, y, x): (members, n)."""
    import torch

    def ask(some: "Tensor") -> "Tensor":
        return torch.stack([member(some) for member in members], dim=1)

    out: NDArray[np.float64] = predict(ask, seen, device, members).double().T.numpy()
    return out


def rate(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """How suspicious a nodule looks to an autoencoder with clusters and a classifier (CALM, paper 003).

    `low` and `high` are the least and the most suspicious of the five networks.
    """
    if scan is None or outline is None:
        raise InputError("The CALM engine looks at the CT: it needs the scan and the nodule's outline.")
    each = probabilities(networks(), view_of(scan, outline))[:, 0]
    mean, least, most = float(each.mean()), float(each.min()), float(each.max())
    return Opinion(NAME, VERSION, mean, least, most, MEANING, tested(packaged()))


def tested(data: dict[str, Any]) -> str:
    """One sentence on how well the networks of `calm.json` did, with the ruler beside it on the same nodules."""
    return tested_sentence(data["figures"])
