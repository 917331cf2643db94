"""What the reduction network looked at around a candidate, in its near and its far view."""

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.blobs import find_blobs, lung_grid
from LungCADLib.detection.features import describe
from LungCADLib.detection.reduction import BUDGET, NAME, ReductionModel, reduction_model
from LungCADLib.detection.views import LARGE_RADIUS_MM, SIDE, SPACINGS_MM, WINDOW_HU, pyramid, views
from LungCADLib.errors import InputError
from LungCADLib.explain import Explanation, agreement, grad_cam, likeness, occlusion, on_scan, randomized
from LungCADLib.masks import Lungs
from LungCADLib.scan import Geometry, Scan

if TYPE_CHECKING:
    from torch import Tensor, nn

VIEWS = ("near", "far")

HIDDEN_VOXELS = 8
"""Of a view's 24 along each side: 8 mm near and 16 mm far, for a candidate of usual size."""

LUNG_HU = -850.0
"""What hides a place: aerated lung."""

NEAR_MM = 6.0
"""A blob at least so near is the one asked about."""


def explain_candidate(
    scan: Scan,
    lungs: Lungs,
    center_lps_mm: tuple[float, float, float],
    model: ReductionModel | None = None,
    near_mm: float = NEAR_MM,
) -> list[Explanation]:
    """Where around a candidate the reduction network saw a nodule.

    The maps are means over the members that may speak of the patient. What the network is told in numbers is not
    shown: it stays as it is.

    Parameters
    ----------
    scan, lungs
        The CT and its lungs.
    center_lps_mm
        A candidate's center, or a place near one.
    model
        The networks; the packaged ones if None.
    near_mm
        How far from the place the blob may be that is asked about; in a large mass it need not be in the middle.

    Returns
    -------
    list[Explanation]
        Of the near view and of the far view.

    Raises
    ------
    InputError
        If there is no blob near the place, or MONAI, PyTorch or the weights are missing.
    """
    import torch

    model = reduction_model() if model is None else model
    grid = lung_grid(scan, lungs.region)
    blobs = find_blobs(grid, BUDGET)
    away = np.linalg.norm(blobs.index - grid.geometry.to_index(center_lps_mm), axis=1)
    if not len(away) or away.min() > near_mm:
        x, y, z = center_lps_mm
        raise InputError(
            f"The detector sees nothing round within {near_mm:.0f} mm of ({x:.1f}, {y:.1f}, {z:.1f}); give a place "
            "inside the nodule."
        )
    blob = blobs.take(np.array([away.argmin()]))
    radius = np.sqrt(3) * blob.sigma_mm
    looked = torch.from_numpy(views(pyramid(grid.hu), blob.index, radius)).float()
    numbers = describe(grid, blob)
    mean, scale = (np.array(model.description[key]) for key in ("mean", "scale"))
    said = torch.from_numpy(np.clip((numbers - mean) / scale, -5, 5).astype(np.float32))
    speaking = model.members_for(scan.header.patient_id)
    answer = float(model.log_odds_from_all_sides(looked.byte().numpy(), numbers, speaking)[0])
    members = [deepcopy(model.networks[k]).cpu() for k in speaking]
    blind = [randomized(member, seed) for seed, member in enumerate(members)]
    zoom = max(float(radius[0]) / LARGE_RADIUS_MM, 1.0)
    found = []
    for which, name in enumerate(VIEWS):
        cam, lost, chance = (np.zeros((SIDE,) * 3, np.float32) for _ in range(3))
        for member, other in zip(members, blind, strict=True):
            score, image = question(member, looked, said, which)
            layers = [f"network.{layer_of(member, which)}"]
            cam += grad_cam(score, layers, image) / len(members)
            lost += occlusion(score, image, HIDDEN_VOXELS) / len(members)
            chance += grad_cam(question(other, looked, said, which)[0], layers, image)
        place = view_grid(grid.geometry, blob.index[0], SPACINGS_MM[which] * zoom)
        found.append(
            Explanation(
                network=f"{NAME}, {name} view",
                log_odds=answer,
                grad_cam=on_scan(cam, place, scan.geometry, "grad-cam", "evidence for a nodule, 0 or more (Grad-CAM)"),
                occlusion=on_scan(
                    lost, place, scan.geometry, "occlusion", "log odds of a nodule lost when lung hides the place"
                ),
                agreement=agreement(cam, lost),
                chance=likeness(cam, chance),
            )
        )
    return found


def layer_of(network: "nn.Module", which: int) -> str:
    """The name of a tower's last features, which the answer is read from.

    They are coarse (3 x 3 x 3 places). Finer ones, before the last halving, were tried: on the nodules of a real scan
    their maps had nothing to do with what hiding showed.
    """
    return f"towers.{which}.{len(network.towers[which]) - 1}"  # type: ignore[arg-type, index, union-attr]


def question(member: "nn.Module", looked: "Tensor", numbers: "Tensor", which: int) -> "tuple[nn.Module, Tensor]":
    """A module that asks the network about one of the views, in which aerated lung is 0; and that view.

    Parameters
    ----------
    member
        The network.
    looked
        float32 (1, 2, z, y, x) as `views.views` cuts them.
    numbers
        (1, f), standardized.
    which
        The view asked about; the other one stays.
    """
    import torch
    from torch import nn

    low, high = WINDOW_HU
    fill = (LUNG_HU - low) * (254 / (high - low)) + 1
    known = looked[:, which : which + 1] > 0

    class Question(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = member

        def forward(self, gray: "Tensor") -> "Tensor":
            n = len(gray)
            both = [view.expand(n, -1, -1, -1, -1) for view in looked.split(1, dim=1)]
            both[which] = (gray + fill) * known
            answer: Tensor = self.network(torch.cat(both, dim=1), numbers.expand(n, -1))[:, None]
            return answer

    return Question().eval(), looked[:, which : which + 1] - fill


def view_grid(grid: Geometry, index: NDArray[np.float64], step_mm: float) -> Geometry:
    """A view's voxels in the patient."""
    first = grid.to_lps(index - (SIDE - 1) / 2 * step_mm / np.array(grid.spacing))
    return Geometry((SIDE,) * 3, (step_mm,) * 3, tuple(first.tolist()), grid.direction)
