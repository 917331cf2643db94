"""What the networks and patterns of method 000 say of nodules whose patients they have not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.evaluation.classification import ROUNDS
from LungCADLib.evaluation.compare_figures import RULER, Comparison
from LungCADLib.evaluation.membership_figures import CNN, KMEANS, OPINION
from LungCADLib.malignancy import appearance, membership
from LungCADLib.malignancy.patterns import Patterns
from LungCADLib.malignancy.preprocessing import Step
from LungCADLib.training.appearance_fusion import LONG_AXIS, NO_FOLD, folds_of, unseen_probabilities
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.methods.membership import FittedMembership, probability
from LungCADLib.weights import bundled_members, read_members


@dataclass(frozen=True, eq=False)
class Trained:
    """Five networks with their patterns, and how they were trained."""

    fitted: FittedMembership
    said: Mapping[str, object]

    def member(self, fold: int) -> FittedMembership:
        """The one that has not seen a fold; all of them for people nobody has seen."""
        if fold == NO_FOLD:
            return self.fitted
        one = slice(fold, fold + 1)
        return FittedMembership(self.fitted.networks[one], self.fitted.patterns[one], self.fitted.steps)


def packaged() -> Trained:
    """What comes with LungCAD."""
    fitted = FittedMembership(membership.networks(), membership.patterns(), membership.steps())
    return Trained(fitted, bundled_members(membership.NAME)[1])


def read_trained(path: Path) -> Trained:
    """What `lungcad train membership` wrote: the networks, and the patterns in the `.json` file beside them.

    Raises
    ------
    InputError
        If one of the files is missing, damaged or of something else.
    """
    import json

    from LungCADLib.malignancy.membership_network import network_of

    members, said = read_members(path)
    table = path.with_suffix(".json")
    if said.get("network") != "MembershipNetwork":
        raise InputError(f"{path} holds no networks of `lungcad train {membership.NAME}`; name a file that it wrote.")
    try:
        found = [Patterns.from_json(one) for one in json.loads(table.read_bytes())[membership.PATTERNS]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{table} is missing or holds no patterns; train again.") from None
    networks = [network_of(state) for state in members]
    return Trained(FittedMembership(networks, found, tuple(Step(name) for name in said["preprocess"])), said)


def judge(
    cases: Cases, trained: Trained, beside: Mapping[str, Trained], device: str = "cpu"
) -> tuple[Comparison, list[str]]:
    """What is said of every case, and by whom: each patient is judged by what has not seen them."""
    folds = folds_of(cases.patient)
    own, cnn, kmeans = unseen(cases, trained, folds, device)
    said = {OPINION: own, CNN: cnn, KMEANS: kmeans}
    said[RULER] = unseen_probabilities(appearance.packaged(), "ruler", {LONG_AXIS: np.log(cases.diameter_mm)}, folds)
    said |= {name: unseen(cases, one, folds, device)[0] for name, one in beside.items()}
    new = int((folds == NO_FOLD).sum())
    who = (
        f"{len(folds) - new} nodules are of patients in lidc-folds.csv, each judged by the one network of five, and "
        f"its patterns, that have not seen the patient; {new} are of others, judged by all five, as in use."
    )
    return Comparison(cases.suspicious, cases.diameter_mm, cases.patient, said, ROUNDS, seed=0), [who]


def unseen(
    cases: Cases, trained: Trained, folds: NDArray[np.int64], device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities (n,) of the head, of the network alone and of the distances to the patterns."""
    out = np.zeros((3, len(cases)))
    for fold in set(folds.tolist()):
        rows = folds == fold
        said, odds = trained.member(fold).answers(cases.only(rows))
        columns: Sequence[NDArray[np.float64]] = (
            np.mean([one.headed for one in said], axis=0), odds.mean(axis=0),
            np.mean([one.nearest for one in said], axis=0),
        )  # fmt: skip
        out[:, rows] = [probability(column) for column in columns]
    return out[0], out[1], out[2]
