"""The 2D CNN's opinion (paper "004"): does the largest slice, enlarged to 124 pixels, look suspicious?

Five networks (`cnn_2d_network.py`), each trained without the patients of one fold, are asked, and their probabilities
averaged. They lie in `Resources/Models/cnn-2d.safetensors`, made by `lungcad train cnn-2d`; `cnn-2d.json` holds what
`lungcad evaluate cnn-2d` found, and `cnn-2d.md` what they may and may not be used for.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import predict
from LungCADLib.errors import InputError
from LungCADLib.malignancy.appearance import slice_of
from LungCADLib.malignancy.cnn_2d_view import NATIVE_PIXELS, Crop, views, widths_mm
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU, square
from LungCADLib.malignancy.tested import tested_sentence
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion
from LungCADLib.weights import bundled_members, bundled_table

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.cnn_2d_network import Cnn2d

NAME = "cnn-2d"

SUSPICIOUS = 1
"""The softmax unit of malignant nodules; 0 is that of benign ones."""


def packaged() -> dict[str, Any]:
    """`cnn-2d.json` as plain data: its version, and the figures it was tested with."""
    return bundled_table(NAME)


@cache
def networks() -> "tuple[Cnn2d, ...]":
    """The packaged networks, in the order of the folds of patients that they have not seen."""
    from LungCADLib.malignancy.cnn_2d_network import network_of

    return tuple(network_of(state) for state in bundled_members(NAME)[0])


def packaged_crop() -> Crop:
    """How wide the crops are that the packaged networks learned from."""
    return Crop(bundled_members(NAME)[1]["crop"])


def probabilities(members: "Sequence[Cnn2d]", seen: "Tensor", device: str = "cpu") -> NDArray[np.float64]:
    """Probability (members, n) of suspicion by each network, of views (n, 1, y, x)."""
    import torch

    def ask(some: "Tensor") -> "Tensor":
        return torch.stack([member(some).float().softmax(dim=1)[:, SUSPICIOUS] for member in members], dim=1)

    out: NDArray[np.float64] = predict(ask, seen, device, members).double().numpy().T
    return out


def view_of(scan: Scan, outline: BoxMask, diameter_mm: float, crop: Crop) -> "Tensor":
    """What the networks see of a nodule: (1, 1, y, x), around the middle of its largest axial slice.

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    import torch

    z, y, x = slice_of(outline)
    hu = square(scan.hu[z].astype(np.float32), (y, x), NATIVE_PIXELS, LUNG_WINDOW_HU[0])
    spacing = np.array([scan.spacing[1:]])
    width = widths_mm(crop, np.array([diameter_mm]), spacing, NATIVE_PIXELS)
    tensors = (torch.from_numpy(array.astype(np.float32)) for array in (hu[None], spacing, width))
    return views(*tensors)


def rate(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """What the 2D CNN of paper 004 thinks of a nodule; `low` and `high` are the least and most suspicious of five."""
    if scan is None or outline is None:
        raise InputError("The 2D CNN looks at the CT: it needs the scan and the nodule's outline.")
    data = packaged()
    each = probabilities(networks(), view_of(scan, outline, nodule.long_axis_mm, packaged_crop()))[:, 0]
    return Opinion(
        NAME, data["version"], float(each.mean()), float(each.min()), float(each.max()), MEANING, tested(data)
    )


def tested(data: dict[str, Any]) -> str:
    """One sentence on how well it did, with the ruler beside it on the same nodules."""
    if "figures" not in data:
        return f"not tested yet: run `lungcad evaluate {NAME} --card DIR`"
    return tested_sentence(data["figures"]["slices"])
