"""Paper "004", the 2D CNN: one slice, enlarged to 124 x 124 pixels, and three convolutions.

M. Rocamora Valenti, A. González González, E. Grachev and D. Blasco Añó, Deep Learning for Lung Nodule Classification in
CT Images, Universitat Politècnica de València. On 425 held-out nodules of LIDC they report an AUC of 0.87 and an
accuracy of 0.80; they do not say whether patients were kept apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy import cnn_2d
from LungCADLib.malignancy.cnn_2d_network import Cnn2d
from LungCADLib.malignancy.cnn_2d_view import Crop
from LungCADLib.training.cnn_2d import EPOCHS
from LungCADLib.training.cnn_2d_recipe import recipe, seen, steps_per_epoch
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.trainer import train

KEY = "004"


@dataclass(frozen=True, eq=False)
class FittedCnn2d:
    """Networks whose probabilities are averaged."""

    networks: Sequence[Cnn2d]
    crop: Crop
    device: str = "cpu"

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,)."""
        mean: NDArray[np.float64] = cnn_2d.probabilities(self.networks, seen(cases, self.crop), self.device).mean(
            axis=0
        )
        return mean


@dataclass(frozen=True)
class Cnn2dMethod:
    """By the paper's letter where it has one; `crop` is what it leaves open."""

    crop: Crop = Crop.SCALED
    key: str = KEY
    title: str = "2D CNN, 124 x 124 (paper 004)"
    needs_outlines: bool = False

    def fit(self, cases: Cases, run: Run) -> FittedCnn2d:
        """One network, 50 epochs."""
        steps = run.steps(EPOCHS * steps_per_epoch(len(cases)))
        made = recipe(cases, self.crop, steps)
        network = train(made, run.folder, run.seed, run.device, lambda done, of: run.progress(done / of))
        assert isinstance(network, Cnn2d)
        return FittedCnn2d([network], self.crop, run.device)

    def packaged(self, fold: int) -> FittedCnn2d:
        """One member, or all five."""
        members = cnn_2d.networks()
        return FittedCnn2d(members if fold < 0 else members[fold : fold + 1], cnn_2d.packaged_crop())


METHOD = Cnn2dMethod()
