"""Method 000: features of a CNN, K-means patterns of each class, fuzzy membership as further features.

The paper gives no network, no split and no number; what stands here is the reading of `LungCADLib/malignancy/patterns`
and `LungCADLib/training/membership_recipe`. The network begins with the first layers of the appearance network's member
that has not seen the patients left out, where there is one (transfer learning), or from scratch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.malignancy import appearance, membership
from LungCADLib.malignancy.membership_network import MembershipNetwork
from LungCADLib.malignancy.patterns import Answers, Patterns
from LungCADLib.malignancy.preprocessing import Step, preprocessed
from LungCADLib.training.appearance_data import still_views
from LungCADLib.training.folds import FOLDS, fold_of_patient
from LungCADLib.training.membership_recipe import Choices, recipe
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.patterns_fit import fit_patterns
from LungCADLib.training.trainer import train

KEY = "000"

STEPS, STEPS_FROM_SCRATCH = 400, 800
"""Batches of one network."""

HELD = 5
"""One patient of so many is kept from the network, to calibrate on."""

LEAST_OF_FOLD = 1 / 3
"""Training cases must have this share of the patients of a fold for the fold to count as trained on."""


@dataclass(frozen=True, eq=False)
class FittedMembership:
    """Networks with their patterns, and the preprocessing that they were trained with."""

    networks: Sequence[MembershipNetwork]
    patterns: Sequence[Patterns]
    steps: Sequence[Step] = ()
    device: str = "cpu"

    def predict(self, cases: Cases) -> NDArray[np.float64]:
        """Probability (n,) by the heads."""
        return probability(np.mean([one.headed for one in self.answers(cases)[0]], axis=0))

    def answers(self, cases: Cases) -> tuple[list[Answers], NDArray[np.float64]]:
        """What each member's patterns say, and the networks' own log odds (members, n)."""
        found, odds = features(self.networks, cases, self.steps, self.device)
        return membership.answers(found, self.patterns), odds


class Membership:
    """Method 000 with our readings."""

    key = KEY
    title = "CNN features, K-means and fuzzy membership (paper 000)"
    needs_outlines = False

    def fit(self, cases: Cases, run: Run) -> FittedMembership:
        """One network and its patterns."""
        held = held_out(cases, run.seed)
        start = unseen_start(cases.patient)
        made = recipe(
            cases.only(~held),
            run.steps(STEPS_FROM_SCRATCH if start is None else STEPS),
            Choices(start=None if start is None else appearance.networks()[start]),
        )
        network = train(made, run.folder, run.seed, run.device, lambda done, of: run.progress(done / of))
        assert isinstance(network, MembershipNetwork)
        patterns = patterns_of(network, cases, held, run.seed, device=run.device)
        return FittedMembership([network], [patterns], device=run.device)

    def packaged(self, fold: int) -> FittedMembership:
        """One member with its patterns, or all five."""
        which = slice(None) if fold < 0 else slice(fold, fold + 1)
        return FittedMembership(membership.networks()[which], membership.patterns()[which], membership.steps())


def features(
    members: Sequence[MembershipNetwork], cases: Cases, steps: Sequence[Step], device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features (members, n, d) and log odds (members, n) of cases as they are."""
    return membership.features_of(members, still_views(preprocessed(cases.hu, steps), cases.spacing_mm), device)


def patterns_of(
    network: MembershipNetwork,
    cases: Cases,
    held: NDArray[np.bool_],
    seed: int,
    steps: Sequence[Step] = (),
    device: str = "cpu",
) -> Patterns:
    """The patterns of training cases, calibrated on those that the network has not learned from."""
    return fit_patterns(features([network], cases, steps, device)[0][0], cases.suspicious, held, seed)


def held_out(cases: Cases, seed: int) -> NDArray[np.bool_]:
    """Whether each case (n,) is of a patient kept from the network: every `HELD`th one, in an order by the seed.

    Of those with a suspicious nodule and of the others apart, so that both parts have both.

    Raises
    ------
    InputError
        If there are not two patients of each.
    """
    random = np.random.default_rng(seed)
    of = np.unique(cases.patient[cases.suspicious])
    kinds = (of, np.setdiff1d(cases.patient, of))
    if any(len(names) < 2 for names in kinds):
        raise InputError(
            "Method 000 needs two patients with a suspicious nodule and two without: it learns from some and is "
            "calibrated on others."
        )
    chosen = [random.permutation(names)[: max(1, len(names) // HELD)] for names in kinds]
    return np.isin(cases.patient, np.concatenate(chosen))


def unseen_start(patients: NDArray[np.str_]) -> int | None:
    """The appearance member that may be started from: the one of the only fold that these patients leave out.

    A member has seen every patient but those of its fold. If the training cases come from the other four folds, what is
    tested is that fold, or people nobody has seen. From any other split, None: the member might know those it will be
    tested on.
    """
    fold_of, there = fold_of_patient(), set(patients.tolist())
    share = [
        sum(p in there for p, fold in fold_of.items() if fold == k) / max(1, sum(f == k for f in fold_of.values()))
        for k in range(FOLDS)
    ]
    missing = [k for k in range(FOLDS) if share[k] == 0]
    if len(missing) != 1 or any(share[k] < LEAST_OF_FOLD for k in range(FOLDS) if k != missing[0]):
        return None
    return missing[0]


def probability(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability (n,) of log odds (n,)."""
    out: NDArray[np.float64] = 1 / (1 + np.exp(-log_odds))
    return out


METHOD = Membership()
