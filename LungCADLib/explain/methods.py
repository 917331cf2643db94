"""Ways to ask a network where it looked: two are MONAI's (`monai.visualize`), one is a formula.

All take a module that answers images (n, c, ...) with log odds (n, 1), and in whose images 0 is what healthy
surroundings look like.
"""

import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

OVERLAP = 0.5
"""Of neighboring places that are hidden."""

AT_ONCE = 32


def grad_cam(score: "nn.Module", layers: Sequence[str], image: "Tensor") -> NDArray[np.float32]:
    """Where features spoke for a higher answer, on the image's grid.

    Parameters
    ----------
    score
        The module, in evaluation mode.
    layers
        Names of the submodules whose features are looked at; their maps are added.
    image
        (1, c, ...).

    Returns
    -------
    NDArray
        float32 (...), 0 or more. Its sum is about the log odds that the features gave where they are averaged.
    """
    import torch

    _needs_monai()
    from monai.visualize import GradCAM, default_upsampler

    shape = tuple(image.shape[2:])
    total = np.zeros(shape, np.float32)
    for layer in layers:
        cam = GradCAM(deepcopy(score), layer)  # it leaves hooks behind
        # Parameters may be frozen; the features' gradients need one input that asks for them.
        with torch.enable_grad():
            found = cam.compute_map(image.detach().clone().requires_grad_(), class_idx=0).detach()
        share = found.numel() / np.prod(shape)
        total += default_upsampler(shape)(found)[0, 0].cpu().numpy() * share
    return total


def occlusion(score: "nn.Module", image: "Tensor", side: int) -> NDArray[np.float32]:
    """What the answer loses, in log odds, when a place fades into healthy surroundings; negative where it gains.

    Parameters
    ----------
    score
        The module, in evaluation mode.
    image
        (1, c, ...).
    side
        Of the square or cube that fades, most in its middle, in pixels.

    Returns
    -------
    NDArray
        float32 (...).
    """
    import torch

    _needs_monai()
    from monai.visualize import OcclusionSensitivity

    hidden = OcclusionSensitivity(
        score, mask_size=side, n_batch=AT_ONCE, verbose=False, mode="gaussian", overlap=OVERLAP, activate=False
    )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI 1.6 indexes as PyTorch asks no longer to
        found, _ = hidden(image)
        whole = score(image)
    return np.asarray((whole.reshape(()) - found[0, 0]).cpu(), np.float32)


def integrated_gradients(score: "nn.Module", image: "Tensor", steps: int = 32) -> NDArray[np.float32]:
    """What each pixel adds to the answer on the straight way from healthy surroundings (0) to the image, in log odds.

    Sundararajan et al. 2017, arXiv:1703.01365: pixel times its mean gradient along the way, here at the middles of
    equal steps. An additive attribution as Shapley's: the values sum to the answer less that to healthy surroundings
    (completeness), the better the more steps.

    Parameters
    ----------
    score
        The module, in evaluation mode.
    image
        (1, c, ...).
    steps
        Places on the way.

    Returns
    -------
    NDArray
        float32 (...), channels added up; negative where a pixel speaks against the answer.
    """
    import torch

    total = torch.zeros_like(image)
    with torch.enable_grad():
        for part in ((torch.arange(steps) + 0.5) / steps).split(AT_ONCE):
            share = part.to(image).reshape(-1, *[1] * (image.ndim - 1))
            way = (share * image.detach()).requires_grad_()
            (gradient,) = torch.autograd.grad(score(way).sum(), way)
            total += gradient.sum(dim=0, keepdim=True)
    found = (image.detach() * total / steps).sum(dim=1)[0]
    return np.asarray(found.cpu(), np.float32)


def _needs_monai() -> None:
    from importlib.util import find_spec

    if find_spec("monai") is None:
        raise InputError("An explanation needs MONAI, which is not installed; pip install 'lungcadlib[networks]'.")
