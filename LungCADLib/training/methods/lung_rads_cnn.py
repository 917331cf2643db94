"""001, the Lung-RADS slice set's pipeline: outline the nodule with a MobileNetV2 U-Net, classify what is inside.

AlAthari, Chen, Desai and Singh, "Lung Cancer Segmentation", Deep Neural Networks final project, 2024: a plan and a data
set, without layers, hyper-parameters or results; the readings are in `training/lung_rads_cnn_recipe.py` and
`malignancy/lung_rads_cnn_network.py`. Here it learns from the cases at hand; the Lung-RADS set itself, in which LIDC's
images are without their patients' names, is never among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy import lung_rads_cnn
from LungCADLib.malignancy.lung_rads_cnn import ANSWERS, SEGMENTED, answers, still_views
from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork
from LungCADLib.malignancy.reader_model import ReaderModel
from LungCADLib.training.lung_rads_cnn import STEPS
from LungCADLib.training.lung_rads_cnn_recipe import recipe
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.trainer import train

KEY = "001"


@dataclass(frozen=True, eq=False)
class FittedLungRads:
    """Networks, and what brings their mean log odds to a probability; None takes these as they are."""

    networks: Sequence[LungRadsNetwork]
    model: ReaderModel | None
    device: str = "cpu"

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,)."""
        seen = still_views(cases.hu, cases.spacing_mm)
        said = answers(self.networks, seen, self.device)[:, :, ANSWERS.index(SEGMENTED)].mean(axis=0)
        if self.model is None:
            out: NDArray[np.float64] = 1 / (1 + np.exp(-said))
            return out
        return self.model.suspicion(said[:, None])[0]


class LungRads:
    """One network on the cases; without outlines it learns to outline a disc of the stated diameter."""

    key = KEY
    title = "001: MobileNetV2 U-Net, CNN on the segmented image"
    needs_outlines = False

    def fit(self, cases: Cases, run: Run) -> FittedLungRads:
        """Its probabilities are the network's own: those of the cases that it learned from would calibrate nothing."""
        made = recipe(cases, run.steps(STEPS))
        network = train(made, run.folder, run.seed, run.device, lambda done, of: run.progress(done / of))
        assert isinstance(network, LungRadsNetwork)
        return FittedLungRads([network], None, run.device)

    def packaged(self, fold: int) -> FittedLungRads:
        """One member with its coefficients, or the five with those of all patients."""
        data, members = lung_rads_cnn.packaged(), lung_rads_cnn.networks()
        if fold < 0:
            return FittedLungRads(members, ReaderModel.from_json(data["models"][SEGMENTED]))
        return FittedLungRads([members[fold]], ReaderModel.from_json(data["left_out"][SEGMENTED][fold]))


METHOD = LungRads()
