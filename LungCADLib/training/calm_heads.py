"""A head on the encoder's features, and both taught together from labels: the CNN, and the encoder's fine-tuning."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from LungCADLib.malignancy.calm_network import Encoder, Padding, classifier, features_of
from LungCADLib.training.calm_loop import BATCH, BETAS, LEARNING_RATE, WEIGHT_DECAY
from LungCADLib.training.calm_material import Material
from LungCADLib.training.trainer import Recipe, train

AVERAGED_OVER = 50


class OnFeatures(nn.Module):
    """A head on the encoder's features; a head of one output gives log odds, one of two the logarithms of shares."""

    mean: Tensor
    scale: Tensor

    def __init__(self, head: nn.Module, padding: Padding = "same") -> None:
        super().__init__()
        self.encoder = Encoder(padding)
        self.head = head
        self.register_buffer("mean", torch.zeros(features_of(padding)))
        self.register_buffer("scale", torch.ones(features_of(padding)))

    def forward(self, pictures: Tensor) -> Tensor:
        return probability(self.head((self.encoder(pictures) - self.mean) / self.scale))


def probability(answers: Tensor) -> Tensor:
    """Of the second class (n,), from log odds (n, 1) or logarithms of shares (n, 2)."""
    return answers[:, 0].sigmoid() if answers.shape[1] == 1 else answers.softmax(dim=1)[:, 1]


def taught(
    learned: Material,
    padding: Padding,
    folder: Path,
    seed: int,
    device: str,
    steps: int,
    start: Encoder | None = None,
) -> OnFeatures:
    """Encoder and classifier taught from the labels, from `start` if it is given; or on where a run here stopped."""

    def network() -> nn.Module:
        made = OnFeatures(classifier(features_of(padding)), padding)
        if start is not None:
            made.encoder.load_state_dict(start.state_dict())
        return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, OnFeatures)
        on = next(net.parameters()).device
        with torch.autocast(on.type, torch.bfloat16):
            answers = net.head(net.encoder(batch[0].to(on)))
        return cross_entropy(answers.float(), batch[1].to(on)), {}

    recipe = Recipe(
        network,
        lambda random: learned.drawn(random, BATCH),
        loss,
        steps,
        settings={"data": learned.described, "padding": padding},
        optimizer=lambda net: torch.optim.Adam(net.parameters(), LEARNING_RATE, BETAS, weight_decay=WEIGHT_DECAY),
        averaged_over=AVERAGED_OVER,
    )
    made = train(recipe, folder, seed, device)
    assert isinstance(made, OnFeatures)
    return made
