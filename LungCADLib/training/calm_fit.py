"""One member of CALM from its material: the autoencoder, features on one scale, clusters and classifier."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from LungCADLib.compute import predict
from LungCADLib.malignancy.calm_network import CalmNetwork, Encoder
from LungCADLib.training.cae import CaeSettings, train_autoencoder
from LungCADLib.training.cae_network import Autoencoder
from LungCADLib.training.calm_heads import taught
from LungCADLib.training.calm_loop import Learned, LoopSettings, Rows, learn
from LungCADLib.training.calm_material import Material, parted

HELD_OUT = 0.1
"""Share of the training patients that choose the round, and nothing else."""

FINE_TUNE = 400
"""Batches in which the encoder learns from labels before CALM does. Section 4 of paper 003: "some data is used for
fine-tuning the parameters of the CAE"; how is not said."""

LEAST_SPREAD = 1e-3
"""A feature that varies less than this is not stretched further."""

CAE_SHARE = 0.7
"""About how much of the time the autoencoder takes."""

Follow = Callable[[float], None]


@dataclass(frozen=True)
class CalmSettings:
    """How a member is trained: the autoencoder, `fine_tune` steps of its encoder from labels, then the loop."""

    cae: CaeSettings = field(default_factory=CaeSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)
    fine_tune: int = FINE_TUNE

    def scaled(self, steps: Callable[[int], int]) -> "CalmSettings":
        """With other numbers of steps, given the usual ones."""
        cae = replace(self.cae, layer_steps=steps(self.cae.layer_steps), joint_steps=steps(self.cae.joint_steps))
        tuned = steps(self.fine_tune) if self.fine_tune else 0
        return replace(self, cae=cae, loop=replace(self.loop, rounds=steps(self.loop.rounds)), fine_tune=tuned)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The trained autoencoder, its encoder as it is used, and the material as features on a common scale.

    `mean` and `scale` (d,) bring features to it: those of `rows`, what is learned from, have mean 0 and deviation 1.
    `held_out` are rows of other patients; `learned` and `apart` are the patches that both are of.
    """

    autoencoder: Autoencoder
    encoder: Encoder
    mean: Tensor
    scale: Tensor
    rows: Rows
    held_out: Rows
    learned: Material
    apart: Material


def prepare(
    material: Material,
    settings: CalmSettings,
    folder: Path,
    seed: int,
    device: str = "cpu",
    follow: Follow = lambda share: None,
) -> Prepared:
    """Train the autoencoder, and see the material with it.

    Parameters
    ----------
    material
        Of patients to learn from; some of them are held out for the choice of the round.
    folder
        Of the autoencoder's checkpoints.
    """
    learned, apart = parted(material, HELD_OUT, seed)
    autoencoder = train_autoencoder(
        learned.draw, settings.cae, folder / "cae", seed, device, lambda done, of: follow(done / of), learned.described
    )
    encoder = autoencoder.encoder
    if settings.fine_tune:
        tuning = (learned, settings.cae.padding, folder / "tuned", seed, device, settings.fine_tune)
        encoder = taught(*tuning, start=encoder).encoder
    pictures, labels = learned.examples(seed)
    seen = encoded(encoder, pictures, device)
    mean, scale = seen.mean(dim=0), seen.std(dim=0).clamp_min(LEAST_SPREAD)
    other, truth = apart.examples(seed)

    def rows(features: Tensor, positive: np.ndarray) -> Rows:
        return Rows((features - mean) / scale, torch.from_numpy(positive.astype(np.int64)))

    held_out = rows(encoded(encoder, other, device), truth)
    return Prepared(autoencoder, encoder, mean, scale, rows(seen, labels), held_out, learned, apart)


def fit_member(
    material: Material,
    settings: CalmSettings,
    folder: Path,
    seed: int,
    device: str = "cpu",
    follow: Follow = lambda share: None,
) -> tuple[CalmNetwork, Learned, Prepared]:
    """Train a member, or go on where a run in this folder stopped; also how it came about."""
    prepared = prepare(material, settings, folder, seed, device, lambda share: follow(CAE_SHARE * share))
    learned = learn(
        prepared.rows,
        prepared.held_out,
        settings.loop,
        folder / "loop",
        seed,
        lambda done, of: follow(CAE_SHARE + (1 - CAE_SHARE) * done / of),
        {"fine_tune": settings.fine_tune} if settings.fine_tune else None,
    )
    network = CalmNetwork(settings.cae.padding)
    network.encoder.load_state_dict(prepared.encoder.state_dict())
    network.classifier.load_state_dict(learned.classifier.state_dict())
    for name, tensor in (
        ("mean", prepared.mean), ("scale", prepared.scale),
        ("centers", learned.centers), ("importance", learned.importance),
    ):  # fmt: skip
        getattr(network, name).copy_(tensor)
    return network.eval(), learned, prepared


def encoded(encoder: Encoder, pictures: Tensor, device: str = "cpu") -> Tensor:
    """The features (n, d) of pictures (n, 1, 40, 40), not yet on the common scale."""
    return predict(encoder.eval(), pictures, device)
