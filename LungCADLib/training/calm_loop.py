"""The clustering-augmented learning method of paper 003 (section 5, algorithm 2): clusters and classifier by turns.

Two centers are drawn at random and every row is assigned to the nearer. Then, again and again: the classifier learns
from each cluster's rows in turn, the cluster appended to them; its first layer says how important each feature is, and
so how unlike two rows are; a random forest says which row is most surely of its cluster, and that becomes the center;
every row is assigned anew. It ends when no row has changed its cluster ten times in a row.

Where the paper cannot be followed to the letter, or does not say, this is how we read it:

a. A forest that learns the rows of one cluster alone has one class to predict. One forest learns all rows with their
   clusters; the center is the row whose own cluster gets the highest out-of-bag probability. Of several, it is the one
   nearest the cluster's median, which keeps objective (3), the sum of distances to the center, low.
b. The mean of signed weights can be negative, and a dissimilarity then too: the mean of their absolute values is
   taken, as `signed` undoes. Weights of the appended cluster do not count.
c. "Train the FNN model on data belonging to cluster l": one classifier goes on learning, one pass over the rows of each
   cluster in turn; so there is one set of weights for the dissimilarity.
d. Rows that are tested go to the nearer of the final centers; there is no forest in use.
e. A cluster without rows gets the row farthest from its own center. After 200 rounds it ends in any case, and before
   that when 20 rounds have not lowered the loss on patients held out; the round with the lowest is kept. `last` goes on
   to the end of the clusters and keeps what is there then.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from LungCADLib.malignancy.calm_network import CLUSTERS, augmented, classifier, dissimilarity
from LungCADLib.training.checkpoints import (
    CHECKPOINT,
    Stateful,
    number_of_step,
    resume_checkpoint,
    save_checkpoint,
    scalars,
)

ROUNDS, UNCHANGED, PATIENCE = 200, 10, 20
LEARNING_RATE, BETAS, WEIGHT_DECAY = 1e-3, (0.9, 0.999), 1e-4
"""Adam's; the paper's "momentum rate 0.9" is the first beta."""

BATCH = 64
SAVED_EVERY = 10
HISTORY = ("variance", "changed", "loss", "held_out_loss")


@dataclass(frozen=True)
class LoopSettings:
    """How clusters and classifier learn.

    Attributes
    ----------
    rounds, unchanged
        At most so many rounds; the end after so many without a change of assignment.
    trees, tree_rows, tree_depth
        Of the forest: how many trees, of how many rows each, how deep; the paper does not say.
    signed
        Take the mean of signed weights, as the paper's formula has it.
    last
        Keep the last round, as the paper has it, not the one that did best on patients held out.
    patience
        End after so many rounds that did not do better on patients held out; `last` does not ask.
    centers_of
        Centers are sought among so many rows at most, drawn once.
    """

    rounds: int = ROUNDS
    unchanged: int = UNCHANGED
    trees: int = 40
    tree_rows: int = 500
    tree_depth: int = 8
    signed: bool = False
    last: bool = False
    patience: int = PATIENCE
    centers_of: int = 4000


@dataclass(frozen=True, eq=False)
class Rows:
    """Features float32 (n, d) and labels int64 (n,), 0 or 1."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Learned:
    """A classifier, the centers (k, d) and the importance (d,) that say the cluster, and how it came about.

    `history` (rounds, 4) holds `HISTORY` of each round; `kept` is the round (from 1) that the rest is of.
    """

    classifier: nn.Sequential
    centers: Tensor
    importance: Tensor
    history: NDArray[np.float64]
    kept: int


class State:
    """All that a round changes besides the classifier and its optimizer; what a checkpoint holds of it."""

    def __init__(self, rows: Rows) -> None:
        self.cluster = torch.zeros(len(rows.features), dtype=torch.int64)
        self.centers = torch.zeros(CLUSTERS, rows.features.shape[1])
        self.importance = torch.ones(rows.features.shape[1])
        self.unchanged = 0
        self.history = torch.empty(0, len(HISTORY), dtype=torch.float64)
        self.best: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The reverse."""
        vars(self).update(state)


def learn(
    rows: Rows,
    held_out: Rows,
    settings: LoopSettings,
    folder: Path,
    seed: int,
    step_done: Callable[[int, int], None] = lambda done, of: None,
    data: Mapping[str, Any] | None = None,
) -> Learned:
    """Cluster and learn by turns, or go on where a run in this folder stopped, to the same bits.

    Parameters
    ----------
    rows
        To learn from.
    held_out
        Of other patients, for the choice of the round.
    settings
        How.
    folder
        Holds `checkpoint.pt` and the TensorBoard log of this run; made if it is not there.
    seed
        Of everything random.
    step_done
        Called with (rounds done, rounds at most).
    data
        What is said of the features; a checkpoint must agree with it.

    Raises
    ------
    InputError
        If the folder holds a run with other settings.
    """
    torch.manual_seed(seed)
    network = classifier(rows.features.shape[1] + CLUSTERS)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, BETAS, weight_decay=WEIGHT_DECAY)
    state = State(rows)
    state.importance = importance(network, settings.signed)
    state.centers = rows.features[torch.randperm(len(rows.features))[:CLUSTERS]].clone()
    _assign(state, rows)
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Stateful] = {"classifier": network, "optimizer": optimizer, "state": state}
    wanted = {"seed": seed, "rows": list(rows.features.shape), "loop": asdict(settings), **(data or {})}
    done = resume_checkpoint(folder / CHECKPOINT, wanted, kept)
    with scalars(folder, done) as log:
        while done < settings.rounds and not _over(state, settings, done):
            _round(network, optimizer, state, rows, held_out, settings, seed, done)
            done += 1
            log(dict(zip(HISTORY, state.history[-1].tolist(), strict=True)), done)
            if done % SAVED_EVERY == 0 or done == settings.rounds or _over(state, settings, done):
                save_checkpoint(folder / CHECKPOINT, wanted, done, kept)
            step_done(done, settings.rounds)
    step_done(settings.rounds, settings.rounds)
    best = state.best
    network.load_state_dict(best["classifier"])
    return Learned(network.eval(), best["centers"], best["importance"], state.history.numpy(), best["round"])


def _over(state: State, settings: LoopSettings, done: int) -> bool:
    """Whether the clusters no longer change, or it no longer gets better."""
    worse = bool(state.best) and not settings.last and done - state.best["round"] >= settings.patience
    return state.unchanged >= settings.unchanged or worse


def _round(
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    state: State,
    rows: Rows,
    held_out: Rows,
    settings: LoopSettings,
    seed: int,
    number: int,
) -> None:
    """One turn: learn, weigh, find centers, assign."""
    torch.manual_seed(number_of_step(seed, number))
    network.train()
    loss = _pass(network, optimizer, state.cluster, rows)
    network.eval()
    state.importance = importance(network, settings.signed)
    state.centers = centers(rows.features, state.cluster, state.importance, settings, seed)
    changed = _assign(state, rows)
    state.unchanged = 0 if changed else state.unchanged + 1
    cluster = dissimilarity(held_out.features, state.centers, state.importance).argmin(dim=1)
    with torch.inference_mode():
        held_loss = float(cross_entropy(network(augmented(held_out.features, cluster)), held_out.labels))
    line = [variance(rows.features, state.cluster), float(changed), loss, held_loss]
    state.history = torch.cat([state.history, torch.tensor([line], dtype=torch.float64)])
    if settings.last or not state.best or held_loss < state.best["loss"]:
        state.best = {
            "loss": held_loss,
            "round": number + 1,
            "classifier": {name: tensor.clone() for name, tensor in network.state_dict().items()},
            "centers": state.centers.clone(),
            "importance": state.importance.clone(),
        }


def _pass(network: nn.Sequential, optimizer: torch.optim.Optimizer, cluster: Tensor, rows: Rows) -> float:
    """One pass over the rows of each cluster in turn; the mean loss."""
    total = 0.0
    for index in range(CLUSTERS):
        members = torch.nonzero(cluster == index)[:, 0]
        for some in members[torch.randperm(len(members))].split(BATCH):
            loss = cross_entropy(network(augmented(rows.features[some], cluster[some])), rows.labels[some])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(some)
    return total / len(cluster)


def importance(network: nn.Sequential, signed: bool = False) -> Tensor:
    """How much each feature weighs in the first layer (d,): the mean over its neurons of absolute weights (b)."""
    first = network[0]
    assert isinstance(first, nn.Linear)
    weights = first.weight.detach()[:, :-CLUSTERS]
    return (weights if signed else weights.abs()).mean(dim=0)


def centers(features: Tensor, cluster: Tensor, weights: Tensor, settings: LoopSettings, seed: int) -> Tensor:
    """The row of each cluster that a forest is surest of (k, d), by reading (a)."""
    asked = np.sort(np.random.default_rng(seed).permutation(len(features))[: settings.centers_of])
    if len(np.unique(cluster[asked])) < CLUSTERS:
        asked = np.arange(len(features))
    features, cluster = features[asked], cluster[asked]
    sure = _surety(features.numpy(), cluster.numpy(), settings, seed)
    found = []
    for index in range(CLUSTERS):
        members = torch.nonzero(cluster == index)[:, 0]
        own = sure[members.numpy(), index]
        surest = members[torch.from_numpy(np.flatnonzero(own == own.max()))]
        median = features[members].median(dim=0).values
        away = dissimilarity(features[surest], median[None], weights)[:, 0]
        found.append(features[surest[int(away.argmin())]])
    return torch.stack(found)


def _surety(
    features: NDArray[np.float32], cluster: NDArray[np.int64], settings: LoopSettings, seed: int
) -> NDArray[np.float64]:
    """Out-of-bag probability (n, k) of each cluster; -1 for a row that every tree has learned."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        settings.trees,
        max_depth=settings.tree_depth,
        max_samples=min(settings.tree_rows, len(features)),
        oob_score=lambda truth, said: 0.0,  # the score is not asked for, but the votes are there only with one
        random_state=seed,
        n_jobs=1,
    ).fit(features, cluster)
    votes = np.asarray(forest.oob_decision_function_)
    votes = np.where(np.isfinite(votes), votes, -1.0)
    out = np.zeros((len(features), CLUSTERS))
    out[:, forest.classes_] = votes
    return out


def _assign(state: State, rows: Rows) -> int:
    """Give every row to the nearer center, and a cluster without rows the farthest row; how many rows changed."""
    apart = dissimilarity(rows.features, state.centers, state.importance)
    nearest, cluster = apart.min(dim=1)
    for index in range(CLUSTERS):
        if not (cluster == index).any():
            farthest = int(nearest.argmax())
            cluster[farthest] = index
            state.centers[index] = rows.features[farthest]
    changed = int((cluster != state.cluster).sum())
    state.cluster = cluster
    return changed


def variance(features: Tensor, cluster: Tensor) -> float:
    """Mean squared Euclidean distance of the rows from the mean of their cluster."""
    total = 0.0
    for index in range(CLUSTERS):
        members = features[cluster == index]
        if len(members):
            total += float((members - members.mean(dim=0)).square().sum())
    return total / len(features)
