"""The appearance network's opinion: how suspicious does the nodule look on its largest axial slice?

Five small networks (`appearance_network.py`) look at the slice, mirrored and turned; the mean of their log odds is brought
to a probability. `fusion` adds the six signs of the reader-suspicion model. Networks and coefficients lie in
`Resources/Models/appearance.safetensors` and `appearance.json`, made by `lungcad train appearance`.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import predict
from LungCADLib.errors import InputError
from LungCADLib.malignancy.reader_model import MEANING, TERMS, ReaderModel, suspicion_features
from LungCADLib.malignancy.slice_view import PIXEL_MM, SIDE_PIXELS, half_turns, square, views
from LungCADLib.masks import BoxMask
from LungCADLib.resources import resource
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion
from LungCADLib.weights import bundled_members

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.appearance_network import AppearanceNetwork

NAME = "appearance"
FUSION = "fusion"

TERM = "appearance_log_odds"
FUSION_TERMS = (TERM, *(term.name for term in TERMS))
"""What the fusion adds up: the network's log odds and the reader-suspicion model's six terms."""


@cache
def packaged() -> dict[str, Any]:
    """`appearance.json` as plain data: both calibrations and the figures they were tested with."""
    return json.loads(resource("Models", f"{NAME}.json").read_text(encoding="utf-8"))


@cache
def networks() -> "tuple[AppearanceNetwork, ...]":
    """The packaged networks, in the order of the folds of patients that they have not seen."""
    from LungCADLib.malignancy.appearance_network import network_of

    return tuple(network_of(state) for state in bundled_members(NAME)[0])


def log_odds(members: "tuple[AppearanceNetwork, ...]", seen: "Tensor", device: str = "cpu") -> NDArray[np.float64]:
    """Log odds (members, n) of suspicion for views (n, c, y, x), each the mean over the eight ways to turn a view."""
    answers = []
    for member in members:
        member.to(device)
        turned = [predict(lambda x, network=member: network(x).suspicion, side, device) for side in half_turns(seen)]
        answers.append(np.mean([one.double().numpy() for one in turned], axis=0))
        member.to("cpu")
    return np.array(answers)


def largest_slice(outline: BoxMask) -> tuple[int, tuple[int, int]]:
    """The axial slice that cuts most of the nodule, and the pixel (y, x) nearest to the middle of what it cuts.

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    area = outline.mask.sum(axis=(1, 2))
    if not area.any():
        raise ValueError("A nodule without voxels cannot be looked at.")
    z = int(area.argmax())
    y, x = (round(float(v)) for v in np.argwhere(outline.mask[z]).mean(axis=0))
    return outline.start[0] + z, (outline.start[1] + y, outline.start[2] + x)


def view_of(scan: Scan, outline: BoxMask) -> "Tensor":
    """What the networks see of a nodule: (1, c, y, x)."""
    import torch

    z, center = largest_slice(outline)
    steps = scan.spacing[1:]
    side = 2 * int(np.ceil(SIDE_PIXELS * PIXEL_MM / 2 / min(steps))) + 3
    hu = square(scan.hu[z], center, side)
    known = square(np.ones(scan.hu[z].shape, bool), center, side)
    middle, spacing = torch.full((1, 2), float(side // 2)), torch.tensor([steps], dtype=torch.float32)
    tensors = (torch.from_numpy(one.astype(np.float32))[None] for one in (hu, known))
    return views(*tensors, middle, spacing)


def rate(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """What the networks think of a nodule; `low` and `high` are the least and the most suspicious of them."""
    odds = _log_odds_of(scan, outline)
    return _opinion(NAME, "alone", odds[:, None])


def rate_fused(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """What the networks and the reader-suspicion model's signs say together; `low` and `high` as above."""
    odds = _log_odds_of(scan, outline)
    signs = np.broadcast_to(suspicion_features(nodule), (len(odds), len(TERMS)))
    return _opinion(FUSION, "fusion", np.column_stack([odds, signs]))


def _log_odds_of(scan: Scan | None, outline: BoxMask | None) -> NDArray[np.float64]:
    if scan is None or outline is None:
        raise InputError("The appearance engines look at the CT: they need the scan and the nodule's outline.")
    return log_odds(networks(), view_of(scan, outline))[:, 0]


def _opinion(name: str, calibration: str, rows: NDArray[np.float64]) -> Opinion:
    """From features (members, terms), alike but for the networks' log odds."""
    data = packaged()
    model = ReaderModel.from_json(data[calibration])
    value = model.suspicion(rows.mean(axis=0))[0]
    each = model.suspicion(rows)[0]
    return Opinion(
        name, data["version"], float(value), float(each.min()), float(each.max()), MEANING, tested(data, calibration)
    )
