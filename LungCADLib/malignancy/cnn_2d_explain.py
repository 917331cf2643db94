"""What the 2D CNN of paper 004 looked at on a nodule's largest slice: the paper's wish for Grad-CAM or SHAP."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.explain import (
    Explanation,
    HeatMap,
    agreement,
    grad_cam,
    integrated_gradients,
    likeness,
    occlusion,
    on_scan,
    randomized,
)
from LungCADLib.malignancy.appearance import slice_of
from LungCADLib.malignancy.appearance_explain import LUNG_HU
from LungCADLib.malignancy.cnn_2d import NAME, SUSPICIOUS, networks, packaged_crop, view_of
from LungCADLib.malignancy.cnn_2d_view import NATIVE_PIXELS, PIXELS, Crop, widths_mm
from LungCADLib.malignancy.slice_view import LUNG_WINDOW_HU
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Geometry, Scan

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LungCADLib.malignancy.cnn_2d_network import Cnn2d

LAYERS = ("network.features.2",)
"""The last features, 15 x 15, that the answer is read from."""

HIDDEN_PIXELS = 20
"""A sixth of the crop; a nodule of 10 mm or more fills half of it."""

Map = NDArray[np.float32]


def explain_cnn_2d(
    scan: Scan,
    outline: BoxMask,
    diameter_mm: float,
    members: "Sequence[Cnn2d] | None" = None,
    crop: Crop | None = None,
) -> Explanation:
    """Where on its largest slice a nodule looks suspicious to the 2D CNN; every map is the mean over the networks.

    Parameters
    ----------
    scan, outline
        The CT, and the nodule's outline on its grid.
    diameter_mm
        The nodule's long axis.
    members, crop
        The networks and how wide their crops are; the packaged ones if None.

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
    crop = packaged_crop() if crop is None else crop
    questions = [question(member) for member in members]
    image = view_of(scan, outline, diameter_mm, crop) - lung()
    cam = _mean(questions, lambda score: grad_cam(score, LAYERS, image))
    lost = _mean(questions, lambda score: occlusion(score, image, HIDDEN_PIXELS))
    added = _mean(questions, lambda score: integrated_gradients(score, image))
    blind = [question(randomized(member, seed)) for seed, member in enumerate(members)]
    chance = _mean(blind, lambda score: grad_cam(score, LAYERS, image))
    grid = view_grid(scan, outline, diameter_mm, crop)

    def heat(values: Map, name: str, meaning: str) -> HeatMap:
        return on_scan(values[None], grid, scan.geometry, name, meaning)

    return Explanation(
        network=NAME,
        log_odds=float(np.mean([float(score(image).detach()) for score in questions])),
        grad_cam=heat(cam, "grad-cam", "evidence for suspicion, 0 or more (Grad-CAM)"),
        occlusion=heat(lost, "occlusion", "log odds of suspicion lost when lung hides the place"),
        agreement=agreement(cam, lost),
        chance=likeness(cam, chance),
        integrated_gradients=heat(
            added, "integrated-gradients", "log odds of suspicion that the pixel of the view adds to those of mere lung"
        ),
    )


def question(member: "nn.Module") -> "nn.Module":
    """A module that asks the network for log odds (n, 1), about views in which aerated lung is 0."""
    from torch import nn

    class Question(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = member

        def forward(self, image: "Tensor") -> "Tensor":
            logits: Tensor = self.network(image + lung())
            return logits[:, SUSPICIOUS : SUSPICIOUS + 1] - logits[:, 1 - SUSPICIOUS : 2 - SUSPICIOUS]

    return Question().eval()


def lung() -> float:
    """Aerated lung as the network sees it."""
    low, high = LUNG_WINDOW_HU
    return (LUNG_HU - low) / (high - low)


def view_grid(scan: Scan, outline: BoxMask, diameter_mm: float, crop: Crop) -> Geometry:
    """The view's pixels in the patient: one slice."""
    z, y, x = slice_of(outline)
    z_mm, y_mm, x_mm = scan.spacing
    width = widths_mm(crop, np.array([diameter_mm]), np.array([[y_mm, x_mm]]), NATIVE_PIXELS)[0]
    step = float(width / PIXELS)
    reach = (PIXELS - 1) / 2 * step
    return Geometry(
        (1, PIXELS, PIXELS),
        (z_mm, step, step),
        tuple(scan.geometry.to_lps((z, y - reach / y_mm, x - reach / x_mm)).tolist()),  # type: ignore[arg-type]
        scan.geometry.direction,
    )


def _mean(questions: "Sequence[nn.Module]", method: "Callable[[nn.Module], Map]") -> Map:
    out: Map = np.mean([method(score) for score in questions], axis=0, dtype=np.float32)
    return out
