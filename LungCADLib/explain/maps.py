"""Heat maps in the patient, and whether to believe them."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from LungCADLib.scan import Box, Geometry

if TYPE_CHECKING:
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A map that is 0 outside a box of the scan's grid.

    Parameters
    ----------
    name
        How it was made.
    meaning
        What a value says, with its unit.
    start
        (z, y, x) of the box's first voxel in the scan.
    values
        float32 (z, y, x).
    """

    name: str
    meaning: str
    start: tuple[int, int, int]
    values: NDArray[np.float32]

    @property
    def box(self) -> Box:
        """The box as slices into the scan's array."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.values.shape, strict=True))  # type: ignore[return-value]

    @property
    def hottest(self) -> tuple[int, int, int]:
        """Index (z, y, x) of the largest value in the scan."""
        z, y, x = np.unravel_index(int(self.values.argmax()), self.values.shape)
        return self.start[0] + int(z), self.start[1] + int(y), self.start[2] + int(x)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a network answered what it answered.

    Parameters
    ----------
    network
        Which, and what of it.
    log_odds
        Its answer.
    grad_cam
        Where its features spoke for the answer (Selvaraju et al. 2017, arXiv:1610.02391).
    occlusion
        What its answer loses when a place is hidden (Zeiler and Fergus 2014, arXiv:1311.2901).
    agreement
        Correlation of the Grad-CAM with how much hiding a place changes the answer, up or down: what both show is less
        likely an artifact of either. Up counts too, since lung inside a mass is a cavity.
    chance
        Rank correlation of the Grad-CAM with that of the same network with random weights (Adebayo et al. 2018,
        arXiv:1810.03292): near 1, the map would show the picture and not what was learned.
    integrated_gradients
        What each pixel adds to the answer (Sundararajan et al. 2017, arXiv:1703.01365), where it was asked.
    """

    network: str
    log_odds: float
    grad_cam: HeatMap
    occlusion: HeatMap
    agreement: float
    chance: float
    integrated_gradients: HeatMap | None = None

    @property
    def maps(self) -> list[HeatMap]:
        """All of them."""
        found = (self.grad_cam, self.occlusion, self.integrated_gradients)
        return [each for each in found if each is not None]


def on_scan(values: NDArray[np.float32], grid: Geometry, scan: Geometry, name: str, meaning: str) -> HeatMap:
    """A map (z, y, x) on the network's grid as one on the scan's, linear, as far as the scan goes."""
    ends = np.array([(0, n - 1) for n in grid.shape], float)
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T
    index = scan.to_index(grid.to_lps(corners))
    # A hair, so that a slice that lies on the grid's own does not become two.
    start = np.clip(np.floor(index.min(axis=0) + 1e-3), 0, np.array(scan.shape) - 1).astype(int)
    stop = np.clip(np.ceil(index.max(axis=0) - 1e-3) + 1, start + 1, scan.shape).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    found = grid.resample(values, scan.crop((z, y, x)))
    return HeatMap(name, meaning, (z.start, y.start, x.start), found.astype(np.float32))


def agreement(cam: NDArray, lost: NDArray) -> float:
    """Pearson's correlation of a Grad-CAM with the size of what hiding a place does; 0 where one of them is flat."""
    if np.ptp(cam) == 0 or np.ptp(np.abs(lost)) == 0:
        return 0.0
    return float(np.corrcoef(cam.ravel(), np.abs(lost).ravel())[0, 1])


def likeness(one: NDArray, other: NDArray) -> float:
    """Spearman's rank correlation of two maps of the same shape; 0 where one of them is flat."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def randomized(network: Network, seed: int = 0) -> Network:
    """A copy that has learned nothing: every parameter drawn anew, with the mean and spread it had."""
    import torch

    copy = deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copy.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            spread = parameter.std() if parameter.numel() > 1 else parameter.abs()
            parameter.copy_(parameter.mean() + drawn.to(parameter) * spread)
    return copy.eval()
