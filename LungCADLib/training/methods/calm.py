"""Paper "003": a convolutional autoencoder, clusters and a classifier (CALM), and the baselines of its table 1.

The paper promises benign against malignant, but its data, its negatives and its accuracy are those of nodule against
non-nodule. Here, on cases, it is asked what the other methods are asked; `lungcad evaluate calm` asks the other
question too. Its 0.953 accuracy and 0.97 AUC are of that other question, and of patches of the same nodules on both
sides of the split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from LungCADLib.malignancy import calm
from LungCADLib.malignancy.calm_network import CalmNetwork
from LungCADLib.training import calm_baselines
from LungCADLib.training.calm_baselines import NAMES, OnFeatures, alone, on_features
from LungCADLib.training.calm_fit import HELD_OUT, CalmSettings, fit_member, prepare
from LungCADLib.training.calm_material import Material, parted, stored_patches
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.weights import bundled_members

KEY = "003"
BASELINES_FILE = "calm-baselines"
"""The packaged baselines, without what they share with the same fold's CALM; AE is too large to come along."""

PACKAGED = ("nn", "lr", "svm", "cnn")

State = dict[str, Tensor]


def material_of(cases: Cases) -> Material:
    """Cases as what CALM learns from."""
    return Material.of(stored_patches(cases.hu), cases.suspicious, cases.patient)


@dataclass(frozen=True, eq=False)
class FittedCalm:
    """Networks from pictures (n, 1, 40, 40) to probabilities, which are averaged."""

    networks: Sequence[nn.Module]
    device: str = "cpu"

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,)."""
        return calm_baselines.probabilities(self.networks, material_of(cases).still(), self.device)


@dataclass(frozen=True)
class CalmMethod:
    """Autoencoder, clusters and classifier."""

    key: str = KEY
    title: str = "CAE + CALM (paper 003)"
    needs_outlines: bool = False

    def fit(self, cases: Cases, run: Run) -> FittedCalm:
        """One member."""
        settings = CalmSettings().scaled(run.steps)
        network, _, _ = fit_member(material_of(cases), settings, run.folder, run.seed, run.device, run.progress)
        return FittedCalm([network], run.device)

    def packaged(self, fold: int) -> FittedCalm:
        """One member, or all five."""
        return FittedCalm(_some(calm.networks(), fold))


@dataclass(frozen=True)
class Baseline:
    """One of the paper's other methods; `name` is that of `calm_baselines.NAMES`."""

    name: str
    needs_outlines: bool = False

    @property
    def key(self) -> str:
        """Its name in the table of methods."""
        return f"{KEY}-{self.name}"

    @property
    def title(self) -> str:
        """What a table calls it."""
        return NAMES[self.name]

    def fit(self, cases: Cases, run: Run) -> FittedCalm:
        """One network, on an autoencoder of its own where it stands on one."""
        material, settings = material_of(cases), CalmSettings().scaled(run.steps)
        if self.name in ("nn", "lr", "svm"):
            prepared = prepare(material, settings, run.folder, run.seed, run.device, run.progress)
            network = on_features(self.name, prepared, run.seed, run.steps(calm_baselines.PASSES))
        else:
            learned, apart = parted(material, HELD_OUT, run.seed)
            padding = settings.cae.padding
            network = alone(self.name, learned, apart, padding, run.folder, run.seed, run.device, run.scale)
        return FittedCalm([network], run.device)

    def packaged(self, fold: int) -> FittedCalm | None:
        """One member, or all five; None where none comes along."""
        return FittedCalm(_some(packaged_baselines(self.name), fold)) if self.name in PACKAGED else None


def to_package(network: nn.Module, name: str) -> State:
    """The weights of a baseline that CALM's member does not have, under names that several can share a file with."""
    shared = ("mean", "scale") if name == "cnn" else ("mean", "scale", "encoder.")
    kept = {key: tensor for key, tensor in network.state_dict().items() if not key.startswith(shared)}
    return {f"{name}.{key}": tensor for key, tensor in kept.items()}


@cache
def packaged_baselines(name: str) -> tuple[nn.Module, ...]:
    """The packaged networks of a baseline, in the order of the folds of patients that they have not seen."""
    return tuple(
        _unpacked(name, state, member)
        for state, member in zip(bundled_members(BASELINES_FILE)[0], calm.networks(), strict=True)
    )


def _unpacked(name: str, state: State, member: CalmNetwork) -> nn.Module:
    own = {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}
    network = calm_baselines.network(name, "same")
    assert isinstance(network, OnFeatures)
    if name != "cnn":
        network.encoder.load_state_dict(member.encoder.state_dict())
        network.mean.copy_(member.mean)
        network.scale.copy_(member.scale)
    network.load_state_dict({**network.state_dict(), **own})
    return network.eval()


def _some(members: Sequence[nn.Module], fold: int) -> Sequence[nn.Module]:
    return members if fold < 0 else members[fold : fold + 1]


METHOD = CalmMethod()
NN, LR, SVM, AE, CNN = (Baseline(name) for name in ("nn", "lr", "svm", "ae", "cnn"))
