"""The appearance network, packaged, or trained again on the cases at hand.

Packaged, it is the member that has not seen the patient, with the coefficients fitted without that patient's fold. It
learned from every picture at hand and from all that the readers said. Trained again, one network learns by the same
recipe from the cases alone: from the label instead of the readers' votes, and, of the characteristics, from texture
and diameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy import appearance
from LungCADLib.malignancy.appearance import DIAMETERS_MM
from LungCADLib.malignancy.appearance_network import AppearanceNetwork
from LungCADLib.malignancy.reader_model import ReaderModel
from LungCADLib.malignancy.slice_view import square
from LungCADLib.training.appearance import STEPS
from LungCADLib.training.appearance_data import (
    LEAST_RATING,
    RATING_RANGE,
    READERS_COUNT,
    SIDE,
    TRAITS,
    Pictures,
    still_views,
)
from LungCADLib.training.appearance_recipe import recipe
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.reader_fit import fit
from LungCADLib.training.trainer import train

KEY = "appearance"


@dataclass(frozen=True, eq=False)
class FittedAppearance:
    """Networks, and the regression that brings the mean of their answers to a probability."""

    networks: Sequence[AppearanceNetwork]
    model: ReaderModel
    device: str = "cpu"

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,)."""
        return self.model.suspicion(_answers(self.networks, cases, self.device))[0]


class Appearance:
    """As the road uses it, but for the fusion's signs."""

    key = KEY
    title = "Appearance network"
    needs_outlines = False

    def fit(self, cases: Cases, run: Run) -> FittedAppearance:
        """One network, and the regression on its answers to the cases themselves, altered as in training."""
        steps = run.steps(STEPS)
        made = recipe(_pictures(cases), (), steps)
        network = train(made, run.folder, run.seed, run.device, lambda done, of: run.progress(done / of))
        assert isinstance(network, AppearanceNetwork)
        answers = _answers([network], cases, run.device)
        return FittedAppearance([network], fit(answers, cases.suspicious, appearance.ANSWERS), run.device)

    def packaged(self, fold: int) -> FittedAppearance:
        """One member with its coefficients, or the five with those of all patients."""
        models, members = appearance.packaged(), appearance.networks()
        alone = appearance.ALONE_MODEL
        if fold < 0:
            return FittedAppearance(members, ReaderModel.from_json(models["models"][alone]))
        return FittedAppearance([members[fold]], ReaderModel.from_json(models["left_out"][alone][fold]))


def _answers(networks: Sequence[AppearanceNetwork], cases: Cases, device: str) -> NDArray[np.float64]:
    seen = still_views(cases.hu, cases.spacing_mm)
    mean: NDArray[np.float64] = appearance.answers(networks, seen, device).mean(axis=0)
    return mean


def _pictures(cases: Cases) -> Pictures:
    """The cases as what the network's recipe learns from."""
    n = len(cases)
    middle = (cases.hu.shape[1] // 2, cases.hu.shape[2] // 2)
    traits = np.full((n, len(TRAITS)), np.nan)
    low, high = np.log(DIAMETERS_MM)
    traits[:, TRAITS.index("texture")] = (cases.texture - LEAST_RATING) / RATING_RANGE
    traits[:, TRAITS.index("diameter")] = np.clip((np.log(cases.diameter_mm) - low) / (high - low), 0, 1)
    return Pictures(
        hu=np.stack([square(one, middle, SIDE) for one in cases.hu]),
        known=np.stack([square(np.ones(one.shape, bool), middle, SIDE) for one in cases.hu]),
        mask=np.stack([square(one, middle, SIDE) for one in cases.mask]),
        outlined=np.full(n, cases.outlined),
        spacing_mm=cases.spacing_mm,
        suspicion=cases.suspicious.astype(float),
        traits=traits,
        weight=np.array([READERS_COUNT.get(int(readers), 1.0) for readers in cases.readers]),
        patient=cases.patient,
    )


METHOD = Appearance()
