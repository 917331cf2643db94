"""What the appearance network looked at on a nodule's largest slice."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.explain import Explanation, agreement, grad_cam, likeness, occlusion, on_scan, randomized
from LungCADLib.malignancy.appearance import NAME, answers, networks, slice_of, view_of
from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU, PIXEL_MM, SIDE_PIXELS, TISSUE_WINDOW_HU
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Geometry, Scan

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LungCADLib.malignancy.appearance_network import AppearanceNetwork

LAYERS = ("network.joined", "network.down.2")
"""The two that the answer is read from: features of all resolutions at 1.5 mm, and the coarsest at 6 mm."""

HIDDEN_PIXELS = 10
"""7.5 mm: hides a small nodule, and a part of a large one."""

LUNG_HU = -850.0
"""What hides a place: aerated lung."""


def explain_appearance(
    scan: Scan, outline: BoxMask, members: "Sequence[AppearanceNetwork] | None" = None
) -> Explanation:
    """Where on its largest slice a nodule looks suspicious to the appearance network.

    Both maps are means over the members and the eight sides of the view that they look at.

    Parameters
    ----------
    scan, outline
        The CT, and the nodule's outline on its grid.
    members
        The networks; the packaged ones if None.

    Returns
    -------
    Explanation
        Its maps are one slice thick.

    Raises
    ------
    InputError
        If MONAI or the weights are missing.
    """
    members = networks() if members is None else tuple(members)
    seen = view_of(scan, outline)
    cam = mean_map(members, seen, lambda score, image: grad_cam(score, LAYERS, image))
    lost = mean_map(members, seen, lambda score, image: occlusion(score, image, HIDDEN_PIXELS))
    blind = [randomized(member, seed) for seed, member in enumerate(members)]
    chance = mean_map(blind, seen, lambda score, image: grad_cam(score, LAYERS, image))
    grid = view_grid(scan, outline)
    return Explanation(
        network=NAME,
        log_odds=float(answers(members, seen)[:, 0, 0].mean()),
        grad_cam=on_scan(cam[None], grid, scan.geometry, "grad-cam", "evidence for suspicion, 0 or more (Grad-CAM)"),
        occlusion=on_scan(
            lost[None], grid, scan.geometry, "occlusion", "log odds of suspicion lost when lung hides the place"
        ),
        agreement=agreement(cam, lost),
        chance=likeness(cam, chance),
    )


def mean_map(
    members: "Sequence[nn.Module]", seen: "Tensor", method: "Callable[[nn.Module, Tensor], NDArray[np.float32]]"
) -> NDArray[np.float32]:
    """The mean map (y, x) over networks and the eight sides of a view (1, c, y, x)."""
    total = np.zeros(seen.shape[2:], np.float32)
    for mirrored in (False, True):
        for quarter in range(4):
            side = (seen.flip(3) if mirrored else seen).rot90(quarter, (2, 3))
            for member in members:
                score, image = question(member, side)
                found = np.rot90(method(score, image), -quarter)
                total += found[:, ::-1] if mirrored else found
    return (total / (8 * len(members))).astype(np.float32)


def question(member: "nn.Module", seen: "Tensor") -> "tuple[nn.Module, Tensor]":
    """A module that asks the network about the two windows of a view, in which aerated lung is 0; and those windows."""
    import torch
    from torch import nn

    lung = [(LUNG_HU - low) / (high - low) * 2 - 1 for low, high in (LUNG_WINDOW_HU, TISSUE_WINDOW_HU)]
    fill = torch.tensor(lung).clamp(-1, 1).reshape(1, 2, 1, 1)
    known = seen[:, 2:]

    class Question(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = member

        def forward(self, windows: "Tensor") -> "Tensor":
            views = torch.cat([(windows + fill) * known, known.expand(len(windows), -1, -1, -1)], dim=1)
            answer: Tensor = self.network(views).suspicion[:, None]
            return answer

    return Question().eval(), seen[:, :2] - fill


def view_grid(scan: Scan, outline: BoxMask) -> Geometry:
    """The view's pixels in the patient: one slice."""
    z, y, x = slice_of(outline)
    z_mm, y_mm, x_mm = scan.spacing
    reach = (SIDE_PIXELS - 1) / 2 * PIXEL_MM
    return Geometry(
        (1, SIDE_PIXELS, SIDE_PIXELS),
        (z_mm, PIXEL_MM, PIXEL_MM),
        tuple(scan.geometry.to_lps((z, y - reach / y_mm, x - reach / x_mm)).tolist()),  # type: ignore[arg-type]
        scan.geometry.direction,
    )
