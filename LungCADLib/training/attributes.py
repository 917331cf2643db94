"""`lungcad train attributes`: the network that rates how a nodule looks, five times over.

It writes `attributes.safetensors`; `lungcad evaluate attributes` says how good it is.
"""

import argparse
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.malignancy.attributes import NAME, WORDS, chances_above, expected
from LungCADLib.training.attribute_examples import Bank, Batch, Example, read_examples
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.members import add_training_arguments, train_members
from LungCADLib.training.trainer import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

STEPS = 1500
VERSIONS = 6
BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_training_arguments(parser, NAME, STEPS)


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet, and write the file when all five are there."""
    bank = Bank(read_examples(args.data), VERSIONS, args.seed)
    description = {"nodules": len(bank.examples), "patients": len({example.patient for example in bank.examples})}
    return train_members(
        NAME,
        lambda left_out: recipe(bank, left_out, args.steps),
        description,
        args,
        lambda members: {"thresholds": grade_thresholds(members, bank.examples)},
    )


def recipe(bank: Bank, left_out: Collection[str], steps: int) -> Recipe:
    """How one member is trained: on all nodules but those of the patients left out."""
    from LungCADLib.malignancy.attributes_network import attribute_network

    nodules = np.array([i for i, example in enumerate(bank.examples) if example.patient not in left_out], np.intp)
    settings = {"batch": BATCH, "nodules": len(nodules)}
    return Recipe(
        attribute_network,
        lambda random: bank.draw(nodules, BATCH, random),
        loss,
        steps,
        LEARNING_RATE,
        WEIGHT_DECAY,
        settings,
    )


def grade_thresholds(members: "Sequence[nn.Module]", examples: Sequence[Example]) -> list[list[list[float]]]:
    """Expected ratings above which a grade is 2, 3, 4, 5, so that grades are as frequent as readers' ratings.

    Rounding would make everyone moderate, as expected values are. Each nodule is rated by the member that has not seen
    its patient.

    Returns
    -------
    list
        By fold that is left out, at last with all of them: by attribute, four.
    """
    fold_of = fold_of_patient()
    fold = np.array([fold_of.get(example.patient, FOLDS) for example in examples])
    value = np.full((len(examples), len(WORDS)), np.nan)
    for k, member in enumerate(members):
        at = np.flatnonzero(fold == k).tolist()
        if at:
            value[at] = expected(chances_above([member], [examples[i].cuts for i in at]))
    above, readers = np.stack([e.above for e in examples]), np.stack([e.readers for e in examples])
    return [
        [_matching(value[kept, a], above[kept, a], readers[kept, a]) for a in range(len(WORDS))]
        for kept in (np.flatnonzero((fold != k) & (fold < FOLDS)) for k in range(FOLDS + 1))
    ]


def _matching(value: NDArray[np.float64], above: NDArray[np.float32], readers: NDArray[np.float32]) -> list[float]:
    """Thresholds of values (n,) that as large a share exceeds as of the readers' ratings exceed 1, 2, 3, 4."""
    order = np.argsort(value)
    mass = (readers[order].cumsum() - readers[order] / 2) / max(float(readers.sum()), 1.0)
    share = (above * readers[:, None]).sum(axis=0) / max(float(readers.sum()), 1.0)
    return [float(t) for t in np.interp(1 - share, mass, value[order])] if len(value) else [1.5, 2.5, 3.5, 4.5]


def loss(network: "nn.Module", batch: Batch) -> "tuple[Tensor, Mapping[str, float]]":
    """Cross-entropy of "rated above 1, 2, 3, 4" against the share of the readers who did, mean over readers.

    The cumulative likelihood of ordinal regression (McCullagh, J R Stat Soc B 1980;42:109) with thresholds that depend
    on the nodule.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    device = next(network.parameters()).device
    views, descriptors, above, readers = (
        torch.from_numpy(part).to(device) for part in (batch.views, batch.descriptors, batch.above, batch.readers)
    )
    log_odds = network(views.contiguous(memory_format=torch.channels_last), descriptors)
    each = binary_cross_entropy_with_logits(log_odds, above, reduction="none").mean(dim=2) * readers
    by_attribute = each.sum(dim=0) / readers.sum(dim=0).clamp_min(1.0)
    return by_attribute.mean(), dict(zip(WORDS, by_attribute.detach().tolist(), strict=True))
