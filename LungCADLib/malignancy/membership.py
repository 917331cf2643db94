"""The opinion of method 000: does a nodule look like the malignant patterns, and to what degree does it belong to them?

Five small networks (`membership_network.py`) make features of the nodule's largest axial slice; in the space of each
lie the patterns of benign and malignant nodules and two fuzzy groups (`patterns.py`). A head that sees features and
memberships gives the opinion. Networks lie in `Resources/Models/membership.safetensors`, patterns in `membership.json`,
both made by `lungcad train membership`; what they may and may not be used for stands beside them in `membership.md`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import predict
from LungCADLib.errors import InputError
from LungCADLib.malignancy import appearance
from LungCADLib.malignancy.patterns import Answers, Patterns
from LungCADLib.malignancy.preprocessing import Step, preprocessed
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.malignancy.slice_view import eight_sides
from LungCADLib.malignancy.tested import tested_sentence
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion
from LungCADLib.weights import bundled_members, bundled_table

if TYPE_CHECKING:
    from torch import Tensor

    from LungCADLib.malignancy.membership_network import MembershipNetwork

NAME = "membership"

PATTERNS = "patterns"
"""In `membership.json`: one `Patterns` of each network, in the networks' order."""


def packaged() -> dict[str, Any]:
    """`membership.json`: the patterns, what they were fitted on, and the figures they were tested with."""
    return bundled_table(NAME)


@cache
def networks() -> "tuple[MembershipNetwork, ...]":
    """The packaged networks, in the order of the folds of patients that they have not seen."""
    from LungCADLib.malignancy.membership_network import network_of

    return tuple(network_of(state) for state in bundled_members(NAME)[0])


@cache
def patterns() -> tuple[Patterns, ...]:
    """The packaged patterns, in the networks' order."""
    return tuple(Patterns.from_json(one) for one in packaged()[PATTERNS])


def steps() -> tuple[Step, ...]:
    """The preprocessing that the packaged networks were trained with."""
    return tuple(Step(name) for name in bundled_members(NAME)[1]["preprocess"])


def features_of(
    members: "Sequence[MembershipNetwork]", seen: "Tensor", device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features (members, n, d) and the networks' own log odds (members, n) of views (n, c, y, x).

    Both are means over the eight sides of a view, so that neither depends on how the patient lay.
    """
    import torch

    def ask(some: "Tensor") -> "Tensor":
        said = [member(some) for member in members]
        rows = [torch.cat([one.features, one.suspicion[:, None]], dim=1) for one in said]
        return torch.stack(rows, dim=1)

    sides = [predict(ask, side, device, members) for side in eight_sides(seen)]
    mean = torch.stack(sides).double().mean(dim=0).transpose(0, 1).numpy()
    return mean[:, :, :-1], mean[:, :, -1]


def answers(found: NDArray[np.float64], of: Sequence[Patterns]) -> list[Answers]:
    """What each member's patterns say of its features (members, n, d)."""
    return [one.answers(features) for one, features in zip(of, found, strict=True)]


def view_of(scan: Scan, outline: BoxMask, before: Sequence[Step] = ()) -> "Tensor":
    """What the networks see of a nodule: (1, c, y, x), around the middle of its largest axial slice.

    Parameters
    ----------
    scan, outline
        The CT, and where in it the nodule is.
    before
        Preprocessing of the slice.

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    if not before:
        return appearance.view_of(scan, outline)
    z = appearance.slice_of(outline)[0]
    alone = scan.crop((slice(z, z + 1), slice(None), slice(None)))
    mask = BoxMask((0, *outline.start[1:]), outline.mask[z - outline.start[0]][None])
    return appearance.view_of(replace(alone, hu=preprocessed(alone.hu, before)), mask)


def rate(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """What the heads think of a nodule; `low` and `high` are the least and the most suspicious of them."""
    if scan is None or outline is None:
        raise InputError("The membership engine looks at the CT: it needs the scan and the nodule's outline.")
    found = features_of(networks(), view_of(scan, outline, steps()))[0]
    said = np.array([one.headed[0] for one in answers(found, patterns())])
    low, value, high = (float(1 / (1 + np.exp(-log_odds))) for log_odds in (said.min(), said.mean(), said.max()))
    data = packaged()
    return Opinion(NAME, data["version"], value, low, high, MEANING, tested(data))


def tested(data: dict[str, Any]) -> str:
    """One sentence on how well `membership.json` did, with the ruler beside it on the same nodules."""
    if "figures" not in data:
        return f"not tested yet: run `lungcad evaluate {NAME} --card DIR`"
    return tested_sentence(data["figures"]["slices"])
