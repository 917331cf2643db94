"""The same fold with and without generated nodules: whether they pass the gates, and whether they help."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.calm_arms import BASELINES, CALM, Arm, Follow, one_fold
from LungCADLib.evaluation.calm_figures import paired
from LungCADLib.evaluation.classification import Figure
from LungCADLib.training.gan_gates import Gates
from LungCADLib.training.lung_patches import LungPatches

if TYPE_CHECKING:
    from LungCADLib.training.calm_fit import CalmSettings
    from LungCADLib.training.calm_material import Material

FOLD = 0
"""The split on which generated nodules are tried; four minutes of training for each."""

GATED = 2
"""So many generated pictures for each unseen real one go through the gates."""


@dataclass(frozen=True, eq=False)
class GanArm:
    """What generated pictures (n, y, x) in -1..1 are worth.

    `differences` holds, by name and metric, the value with them (`first`), without (`second`) and `minus`; `real` are
    nodules of the patients tested, in the same form as `made`.
    """

    gates: Gates
    differences: dict[str, dict[str, dict[str, Figure]]]
    made: NDArray[np.float32]
    real: NDArray[np.float32]
    rate: float
    steps: int

    def plain(self) -> dict[str, Any]:
        """All but the pictures."""
        gates = asdict(self.gates) | {"memorized": self.gates.memorized, "unlike": self.gates.unlike}
        return {"fold": FOLD, "rate": self.rate, "steps": self.steps, "gates": gates, "differences": self.differences}


def gan_arm(
    patches: LungPatches,
    material: "Material",
    without: Arm,
    settings: "CalmSettings",
    runs: Path,
    seed: int,
    device: str,
    rate: float,
    follow: Follow,
) -> GanArm:
    """Train a generator on the fold's nodules, then everything again with what it makes.

    Parameters
    ----------
    patches, material
        Of `nodule` mode, and as they are learned from.
    without
        The fold as it was learned without generated pictures.
    rate
        Generated pictures for each real positive.
    """
    from LungCADLib.training.calm_gan import STEPS, enlarged, recipe
    from LungCADLib.training.calm_material import COPIES
    from LungCADLib.training.gan_gates import judge

    tested, folder = patches.fold == FOLD, runs / "nodule-gan" / f"fold-{FOLD}"

    def enlarge(learned: "Material") -> "Material":
        def step_done(done: int, of: int) -> None:
            follow(f"generator, {done} of {of}")

        return enlarged(learned, rate, folder / "gan", seed, device, step_done=step_done)

    arm = one_fold(material, tested, settings, folder, seed, device, follow, enlarge)
    made = arm.prepared.learned.generated[:, 0] * 2 - 1
    versions = recipe(material.only(tested), seed).pictures.reshape(1 + COPIES, -1, *made.shape[1:])
    drawn = np.random.default_rng([seed, 5]).integers(1 + COPIES, size=versions.shape[1])
    real = versions[drawn, np.arange(versions.shape[1])]
    shown = recipe(material.only(~tested), seed).pictures
    follow("gates")
    gates = judge(made[: GATED * len(real)], shown, real, _features(without, device), seed)
    labels, patients = patches.nodule[tested], patches.patient[tested].tolist()
    differences = {name: paired(labels, patients, arm.said[name], without.said[name]) for name in (CALM, *BASELINES)}
    return GanArm(gates, differences, made, real, rate, STEPS)


def _features(arm: Arm, device: str) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """The encoder's 50 maps, each averaged over its places: as many numbers as a Gaussian of some hundreds can have."""
    import torch

    from LungCADLib.malignancy.calm_network import MAPS
    from LungCADLib.training.calm_fit import encoded

    def features(pictures: NDArray[np.float32]) -> NDArray[np.float64]:
        seen = torch.from_numpy((pictures[:, None] + 1) / 2)
        found = encoded(arm.prepared.autoencoder.encoder, seen, device)
        means: NDArray[np.float64] = found.reshape(len(pictures), MAPS, -1).mean(dim=2).double().numpy()
        return means

    return features
