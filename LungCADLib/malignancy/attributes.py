"""How a nodule looks, in the words of LIDC's readers: seven characteristics from 1 to 5.

Five small networks (`attributes_network.py`) look at axial slices of the nodule with its outline; what they expect of
readers is averaged. The weights lie in `Resources/Models/attributes.safetensors`, made by `lungcad train attributes`;
how well they agree with readers, and how well readers agree with each other, stands beside them in `attributes.md`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from LungCADLib.compute import predict
from LungCADLib.malignancy.attributes_views import PIXEL_MM, SIDE, Cut, slices_of, view, windowed
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Attribute
from LungCADLib.weights import bundled_members

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "attributes"

WORDS: dict[str, tuple[str, str, str, str, str]] = {
    "subtlety": ("extremely subtle", "moderately subtle", "fairly subtle", "moderately obvious", "obvious"),
    "margin": ("poorly defined", "nearly poorly defined", "medium", "nearly sharp", "sharp"),
    "lobulation": ("none", "nearly none", "medium", "nearly marked", "marked"),
    "spiculation": ("none", "nearly none", "medium", "nearly marked", "marked"),
    "texture": ("non-solid", "non-solid to part-solid", "part-solid", "part-solid to solid", "solid"),
    "sphericity": ("linear", "linear to ovoid", "ovoid", "ovoid to round", "round"),
    "malignancy": (
        "highly unlikely", "moderately unlikely", "indeterminate", "moderately suspicious", "highly suspicious",
    ),
}  # fmt: skip
"""What grades 1 to 5 of each characteristic mean (McNitt-Gray et al., Acad Radiol 2007;14:1464, whose forms name the
first, middle and last grade of some; the ones between as pylidc names them). In the order of the network's answers."""

GRADES = 5

SPICULATED_RATING = 2.2
"""A mean rating of spiculation from which a nodule counts as spiculated in guidelines and risk equations. Chosen on
LIDC's boxes, outlined by the classical engine and rated by networks that had not seen the patients, to be as specific
as `nodules/margin.py`; `lungcad evaluate attributes --engine classical` shows what both find."""

LONGEST_MM = SIDE * PIXEL_MM / np.sqrt(2) + 2.0
"""How far from the nodule's center the network sees, along a diagonal."""


@cache
def networks() -> "tuple[nn.Module, ...]":
    """The packaged networks, in the order of the folds of patients that they have not seen."""
    from LungCADLib.malignancy.attributes_network import network_of

    return tuple(network_of(state) for state in bundled_members(NAME)[0])


def thresholds(unseen: int = -1) -> NDArray[np.float64]:
    """Mean ratings (attributes, grades - 1) above which a grade is 2, 3, 4, 5.

    They make grades as frequent as readers' ratings, where rounded means would all be moderate.

    Parameters
    ----------
    unseen
        The fold of patients they know nothing of; -1 for those of all folds.
    """
    return np.array(bundled_members(NAME)[1]["thresholds"][unseen])


def rate_attributes(scan: Scan, outline: BoxMask, device: str = "cpu") -> dict[str, Attribute]:
    """What LIDC's readers would be expected to say of a nodule's looks.

    Parameters
    ----------
    scan
        The CT.
    outline
        The nodule, at least one voxel.
    device
        As `compute.choose_device` gives it.

    Returns
    -------
    dict
        By characteristic, in the order of `WORDS`.

    Raises
    ------
    ValueError
        If the outline is empty.
    InputError
        If the weights are not there.
    """
    above = chances_above(networks(), [cuts_of(scan, outline)], device)[0]
    return {name: attribute(name, a, t) for name, a, t in zip(WORDS, above, thresholds(), strict=True)}


def spiculated(attributes: Mapping[str, Attribute]) -> bool:
    """Whether a nodule counts as spiculated where a guideline or a risk equation asks yes or no."""
    return attributes["spiculation"].value >= SPICULATED_RATING


def cuts_of(scan: Scan, outline: BoxMask) -> tuple[Cut, ...]:
    """The slices of a nodule to look at, as far around it as the network sees.

    Raises
    ------
    ValueError
        If the outline is empty.
    """
    if not outline.mask.any():
        raise ValueError("A nodule without voxels cannot be looked at.")
    spacing = scan.spacing[1:]
    cuts = []
    for z in slices_of(outline.mask):
        center = np.argwhere(outline.mask[z]).mean(axis=0) + outline.start[1:]
        reach = np.ceil(LONGEST_MM / np.array(spacing))
        low = np.maximum(np.floor(center - reach), 0).astype(int)
        high = np.minimum(np.ceil(center + reach) + 1, scan.hu.shape[1:]).astype(int)
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        mask = np.zeros(scan.hu.shape[1:], bool)
        mask[outline.box[1:]] = outline.mask[z]
        y, x = center - low
        cuts.append(Cut(scan.hu[outline.start[0] + z][inside], mask[inside], spacing, (float(y), float(x))))
    return tuple(cuts)


def chances_above(
    members: "Sequence[nn.Module]", nodules: Sequence[Sequence[Cut]], device: str = "cpu"
) -> NDArray[np.float64]:
    """Chance (n, attributes, grades - 1) that a reader rates above 1, 2, 3, 4: mean over members, slices and sides."""
    import torch

    from LungCADLib.malignancy.attributes_descriptors import describe

    seen = torch.from_numpy(windowed(np.stack([view(cut) for cuts in nodules for cut in cuts])))
    descriptors = predict(describe, seen, device)

    def chances(views: "Tensor", descriptors: "Tensor") -> "Tensor":
        return torch.stack([member(views, descriptors).sigmoid() for member in members]).mean(dim=0)

    sides = [predict(chances, (side, descriptors), device, members) for side in _sides(seen)]
    each = torch.stack(sides).double().mean(dim=0).numpy()
    # A slice counts as much as its area, so the largest the most.
    areas = [np.array([float(cut.mask.sum()) for cut in cuts]) for cuts in nodules]
    parts = np.split(each, np.cumsum([len(cuts) for cuts in nodules])[:-1])
    return np.stack([np.average(part, axis=0, weights=area) for part, area in zip(parts, areas, strict=True)])


def _sides(views: "Tensor") -> "list[Tensor]":
    """Views (n, c, y, x) turned by quarters, and mirrored."""
    return [side.rot90(k, (2, 3)).contiguous() for side in (views, views.flip(3)) for k in range(4)]


def probabilities(above: NDArray) -> NDArray[np.float64]:
    """Of each rating from 1 (..., grades), from the chances (..., grades - 1) of one above 1, above 2 and so on."""
    ones, zeros = np.ones((*above.shape[:-1], 1)), np.zeros((*above.shape[:-1], 1))
    return -np.diff(np.concatenate([ones, above, zeros], axis=-1), axis=-1)


def expected(above: NDArray) -> NDArray[np.float64]:
    """The mean rating (...), 1 to 5."""
    return 1 + above.sum(axis=-1)


def grade(above: NDArray, thresholds: ArrayLike) -> NDArray[np.int64]:
    """One rating (...): how many of the four thresholds the mean rating exceeds, plus one."""
    return 1 + (expected(above)[..., None] > np.asarray(thresholds)).sum(axis=-1)


def attribute(name: str, above: NDArray[np.float64], thresholds: ArrayLike) -> Attribute:
    """One characteristic from its chances and its thresholds, each (grades - 1,)."""
    rating = int(grade(above, thresholds))
    return Attribute(
        value=float(expected(above)),
        grade=rating,
        probabilities=[float(p) for p in probabilities(above)],
        meaning=WORDS[name][rating - 1],
    )
