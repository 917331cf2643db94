"""What paper 003 compares CALM with (table 1): networks from pictures (n, 1, 40, 40) in 0..1 to probabilities (n,).

NN, LR and SVM stand on the features of CALM's own encoder: the same classifier without clusters, logistic regression,
and a linear support vector machine whose distances are made probabilities on patients held out (Platt). AE is a fully
connected autoencoder of 1,024 neurons with a logistic regression on its code; CNN is CALM's encoder and classifier,
taught from the labels alone. Where the paper gives no number, the strength of a penalty, the patients held out choose.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, softplus

from LungCADLib.compute import predict
from LungCADLib.malignancy.calm_network import SIDE_PIXELS, Padding, classifier, features_of
from LungCADLib.training.calm_fit import Prepared
from LungCADLib.training.calm_heads import OnFeatures, probability, taught
from LungCADLib.training.calm_loop import BATCH, BETAS, LEARNING_RATE, WEIGHT_DECAY, Rows
from LungCADLib.training.calm_material import Material
from LungCADLib.training.trainer import Recipe, train

NAMES = {
    "nn": "CAE + NN (paper 003)",
    "lr": "CAE + logistic regression (paper 003)",
    "svm": "CAE + linear SVM (paper 003)",
    "ae": "Autoencoder (paper 003)",
    "cnn": "CNN (paper 003)",
}

PASSES = 30
"""Of NN over its rows; the pass that did best on the patients held out is kept."""

PENALTIES = {"lr": (1e-4, 1e-3, 1e-2, 1e-1), "svm": (1e-5, 1e-4, 1e-3)}
"""Scikit-learn's C, from strong to weak."""

CODE = 1024
AE_STEPS, CNN_STEPS = 200, 500
AE_BATCH = 100


class Dense(nn.Module):
    """The fully connected autoencoder; what it rebuilds is for training, `forward` is its code's classification."""

    def __init__(self) -> None:
        super().__init__()
        pixels = SIDE_PIXELS**2
        self.code = nn.Sequential(nn.Flatten(), nn.Linear(pixels, CODE), nn.ReLU())
        self.decoder = nn.Linear(CODE, pixels)
        self.head = nn.Linear(CODE, 1)

    def rebuilt(self, pictures: Tensor) -> Tensor:
        """Pictures again."""
        out: Tensor = self.decoder(self.code(pictures)).reshape(pictures.shape)
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        return probability(self.head(self.code(pictures)))


def network(name: str, padding: Padding = "same") -> nn.Module:
    """An untrained one of `NAMES`."""
    if name == "ae":
        return Dense()
    d = features_of(padding)
    return OnFeatures(classifier(d) if name in ("nn", "cnn") else nn.Linear(d, 1), padding)


def network_of(name: str, state: Mapping[str, Tensor]) -> nn.Module:
    """One of `NAMES` with its weights, ready to use."""
    valid = "mean" in state and len(state["mean"]) == features_of("valid")
    made = network(name, "valid" if valid else "same")
    made.load_state_dict(dict(state))
    return made.eval()


def on_features(name: str, prepared: Prepared, seed: int, passes: int = PASSES) -> nn.Module:
    """NN, LR or SVM on what CALM's encoder sees."""
    made = network(name, "valid" if prepared.rows.features.shape[1] == features_of("valid") else "same")
    assert isinstance(made, OnFeatures)
    made.encoder.load_state_dict(prepared.encoder.state_dict())
    made.mean.copy_(prepared.mean)
    made.scale.copy_(prepared.scale)
    if name == "nn":
        _taught(made.head, prepared.rows, prepared.held_out, seed, passes)
    else:
        _regressed(name, made.head, prepared.rows, prepared.held_out, seed)
    return made.eval()


def alone(
    name: str, learned: Material, apart: Material, padding: Padding, folder: Path, seed: int,
    device: str = "cpu", scale: float = 1.0,
) -> nn.Module:  # fmt: skip
    """AE or CNN from the pictures, or on where a run in this folder stopped."""
    if name == "cnn":
        return taught(learned, padding, folder, seed, device, max(1, round(scale * CNN_STEPS)))
    made = train(_dense_recipe(learned, max(1, round(scale * AE_STEPS))), folder, seed, device)
    assert isinstance(made, Dense)

    def rows(material: Material) -> Rows:
        pictures, labels = material.examples(seed)
        return Rows(predict(made.code, pictures, device), torch.from_numpy(labels.astype(np.int64)))

    _regressed("lr", made.head, rows(learned), rows(apart), seed)
    return made.eval()


def probabilities(members: Sequence[nn.Module], pictures: Tensor, device: str = "cpu") -> np.ndarray:
    """The mean of what networks say of pictures (n, 1, 40, 40): (n,)."""
    said: np.ndarray = np.mean([predict(one, pictures, device).double().numpy() for one in members], axis=0)
    return said


def _dense_recipe(learned: Material, steps: int) -> Recipe:
    def loss(net: nn.Module, seen: Tensor) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, Dense)
        wanted = seen.to(next(net.parameters()).device)
        return mse_loss(net.rebuilt(wanted), wanted), {}

    return Recipe(
        Dense,
        lambda random: learned.draw(random, AE_BATCH),
        loss,
        steps,
        settings={"data": learned.described},
        optimizer=lambda net: torch.optim.Adam(net.parameters(), LEARNING_RATE, BETAS),
        averaged_over=50,
    )


def _taught(head: nn.Module, rows: Rows, held_out: Rows, seed: int, passes: int) -> None:
    """Teach the classifier; the pass that does best on the patients held out stays."""
    torch.manual_seed(seed)
    for layer in head.children():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    optimizer = torch.optim.Adam(head.parameters(), LEARNING_RATE, BETAS, weight_decay=WEIGHT_DECAY)
    best, kept = float("inf"), head.state_dict()
    for _ in range(passes):
        for some in torch.randperm(len(rows.features)).split(BATCH):
            loss = cross_entropy(head(rows.features[some]), rows.labels[some])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            found = float(cross_entropy(head(held_out.features), held_out.labels))
        if found < best:
            best, kept = found, {key: tensor.clone() for key, tensor in head.state_dict().items()}
    head.load_state_dict(kept)


def _regressed(name: str, head: nn.Module, rows: Rows, held_out: Rows, seed: int) -> None:
    """Fit a linear head; the penalty that does best on the patients held out stays."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    assert isinstance(head, nn.Linear)
    best = float("inf")
    for strength in PENALTIES[name]:
        if name == "lr":
            model = LogisticRegression(C=strength, max_iter=300)
        else:
            model = LinearSVC(C=strength, random_state=seed)
        model.fit(rows.features.numpy(), rows.labels.numpy())
        weight, bias = np.asarray(model.coef_[0]), float(model.intercept_[0])
        if name == "svm":
            slope, shift = _platt(held_out.features.numpy() @ weight + bias, held_out.labels.numpy())
            weight, bias = slope * weight, slope * bias + shift
        log_odds = held_out.features @ torch.from_numpy(weight).float() + bias
        loss = float(softplus(torch.where(held_out.labels == 1, -log_odds, log_odds)).mean())
        if loss < best:
            best = loss
            with torch.no_grad():
                head.weight.copy_(torch.from_numpy(weight)[None])
                head.bias.fill_(bias)


def _platt(distances: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and shift that make distances from the plane log odds (Platt, 1999), by logistic regression."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e3).fit(distances[:, None], labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0])
