"""The detector that ships: scale-space blobs, and a network that looks at the best of them at two scales.

Five members were trained, each without the patients of one fold. Of a patient who taught some of them only the member
speaks that never saw that patient; of everyone else all five do, and their log odds are averaged.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import choose_device, predict
from LungCADLib.detection.blob_detector import as_candidates, score_model
from LungCADLib.detection.blobs import Blobs, LungGrid, find_blobs, lung_grid
from LungCADLib.detection.features import describe
from LungCADLib.detection.reduction_network import reduction_network
from LungCADLib.detection.views import pyramid, views
from LungCADLib.errors import InputError
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.settings import Device
from LungCADLib.study import Candidate
from LungCADLib.weights import State, bundled_members

if TYPE_CHECKING:
    from torch import Tensor

NAME = "reduction"

BUDGET = 6000
"""So many blobs of a scan are scored by their numbers: thousands of vessels answer more strongly than ground glass."""

LOOKED_AT = 250
"""So many of them, those that score best, are shown to the network."""

LOOKED_AT_AGAIN = 40
"""So many of those, the best after the first look, are also seen from the other `SIDES`. A nodule looks alike from
everywhere; what a vessel looks like hangs on where it runs, and noise on the grid."""

SIDES: tuple[tuple[tuple[int, ...], bool], ...] = (
    *(((*mirrored,), False) for mirrored in ((), (-1,), (-2,), (-2, -1))),
    *(((-3, *mirrored), True) for mirrored in ((), (-1,), (-2,), (-2, -1))),
)
"""Axes along which views are mirrored, and whether y and x change places: half of those learned from."""


class ReductionModel:
    """The members and what brings their log odds to a score.

    Parameters
    ----------
    members
        State dicts of `reduction_network`, member k without the patients of fold k.
    description
        `widths`; `mean` and `scale` of the candidates' numbers; `slope` and `intercept` of the calibration;
        `folds`: the fold of each patient who was learned from.
    device
        Where the networks are to run.
    """

    def __init__(self, members: Sequence[State], description: dict[str, Any], device: Device = "cpu") -> None:
        self.device = device
        self.description = description
        self.networks = []
        for state in members:
            network = reduction_network(tuple(description["widths"]))
            network.load_state_dict(state)
            self.networks.append(network.eval())

    def members_for(self, patient: str | None) -> list[int]:
        """The members that may speak of a patient: those that never saw the patient."""
        own = self.description["folds"].get(patient)
        return list(range(len(self.networks))) if own is None else [own]

    def log_odds(
        self, looked: NDArray[np.uint8], numbers: NDArray[np.float64], members: Sequence[int]
    ) -> NDArray[np.float64]:
        """(n,) calibrated log odds of candidates.

        Parameters
        ----------
        looked
            (n, 2, z, y, x) as `views.views` cuts them.
        numbers
            (n, f) as `features.describe` gives them.
        members
            Who is asked.
        """
        import torch

        mean, scale = (np.array(self.description[key]) for key in ("mean", "scale"))
        standard = torch.from_numpy(np.clip((numbers - mean) / scale, -5, 5).astype(np.float32))
        asked = [self.networks[k] for k in members]

        def mean_answer(seen: "Tensor", said: "Tensor") -> "Tensor":
            return torch.stack([network(seen, said) for network in asked]).mean(dim=0)

        inputs = [torch.from_numpy(looked), standard]
        raw = predict(mean_answer, inputs, choose_device(self.device), asked).double().numpy()
        return np.asarray(self.description["slope"] * raw + self.description["intercept"])

    def log_odds_from_all_sides(
        self, looked: NDArray[np.uint8], numbers: NDArray[np.float64], members: Sequence[int]
    ) -> NDArray[np.float64]:
        """As `log_odds`, the mean over `SIDES`."""
        return np.asarray(
            np.mean([self.log_odds(seen_from(looked, *side), numbers, members) for side in SIDES], axis=0)
        )


def seen_from(looked: NDArray[np.uint8], mirrored: tuple[int, ...], swapped: bool) -> NDArray[np.uint8]:
    """Views (n, 2, z, y, x) mirrored along some axes, y and x swapped before."""
    return np.ascontiguousarray(np.flip(looked.swapaxes(-2, -1) if swapped else looked, mirrored))


def detect(scan: Scan, lungs: Lungs, progress: Progress) -> list[Candidate]:
    """The best blobs inside the lungs, scored by the packaged network, highest score first.

    Raises
    ------
    InputError
        If PyTorch or the weights are missing.
    """
    return detect_with(reduction_model(), scan, lungs, progress)


def detect_with(model: ReductionModel, scan: Scan, lungs: Lungs, progress: Progress) -> list[Candidate]:
    """As `detect`, by any members."""
    grid = lung_grid(scan, lungs.region)
    progress.update(0.2)
    blobs = find_blobs(grid, BUDGET)
    progress.update(0.6)
    if not len(blobs):
        return []
    numbers = describe(grid, blobs)
    best = np.argsort(-score_model().predict(numbers), kind="stable")[:LOOKED_AT]
    blobs, numbers = blobs.take(best), numbers[best]
    progress.update(0.7)
    return as_candidates(grid, blobs, scored(model, grid, blobs, numbers, scan.header.patient_id))


def scored(
    model: ReductionModel, grid: LungGrid, blobs: Blobs, numbers: NDArray[np.float64], patient: str | None
) -> NDArray[np.float64]:
    """(n,) how likely each blob of a grid, with its numbers (n, f), is a nodule, by the members that may say so."""
    looked = views(pyramid(grid.hu), blobs.index, np.sqrt(3) * blobs.sigma_mm)
    members = model.members_for(patient)
    log_odds = model.log_odds(looked, numbers, members)
    best = np.argsort(-log_odds, kind="stable")[:LOOKED_AT_AGAIN]
    log_odds[best] = model.log_odds_from_all_sides(looked[best], numbers[best], members)
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))), np.float64)


@cache
def reduction_model() -> ReductionModel:
    """The packaged network.

    Raises
    ------
    InputError
        If PyTorch or the weights are missing.
    """
    if find_spec("torch") is None:
        raise InputError(
            "The detector 'network' needs PyTorch, which is not installed; install lungcadlib[networks], or choose "
            "the detector 'blobs'."
        )
    members, description = bundled_members(NAME)
    return ReductionModel(members, description, "auto")
