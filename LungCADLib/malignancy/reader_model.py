"""The reader-suspicion model: would most radiologists of LIDC call this nodule suspicious?

A logistic regression on six things a CT shows. Its numbers lie in `Resources/Models/reader-model.json`, made by
`lungcad train reader-model`; what it may and may not be used for stands beside them in `reader-model.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Calcification, Density, Nodule, Opinion
from LungCADLib.weights import bundled_table

NAME = "reader-model"
MEANING = "agreement with radiologists' suspicion (LIDC readers), not a probability of cancer"

BENIGN_CALCIFICATION: frozenset[Calcification] = frozenset({"central", "diffuse", "laminated", "popcorn"})
"""The patterns that speak for a benign nodule (MacMahon et al., Radiology 2017;284:228, and Lung-RADS v2022)."""

NORMAL_95 = 1.959963984540054
"""Half-width of a 95% interval in standard errors."""

DECIMALS = 6
"""In `reader-model.json`; processors and library versions differ in the last digits of a fit."""


@dataclass(frozen=True)
class Signs:
    """What the model looks at, in the words of `study.Nodule`.

    Parameters
    ----------
    mean_diameter_mm
        Mean of the long and the short axis.
    elongation
        Short axis over long axis.
    solidity
        Share of the convex hull that the outline fills.
    benign_calcification
        Whether the nodule has a benign pattern of calcification.
    density
        Calcified and fat-containing nodules count as solid.
    """

    mean_diameter_mm: float
    elongation: float
    solidity: float
    benign_calcification: bool
    density: Density


@dataclass(frozen=True)
class Quantity:
    """A number that a model adds up: its name, what it is, and its unit ("" for none)."""

    name: str
    meaning: str
    unit: str


@dataclass(frozen=True)
class Term(Quantity):
    """One term of the model, and how the signs give it."""

    value: Callable[[Signs], float]


SHAPE_TERMS = (
    Term(
        "log_mean_diameter",
        "natural logarithm of the mean of long and short axis",
        "ln mm",
        lambda s: float(np.log(s.mean_diameter_mm)),
    ),
    Term("elongation", "short axis over long axis", "", lambda s: s.elongation),
    Term("solidity", "share of the convex hull that the outline fills", "", lambda s: s.solidity),
)
CALCIFICATION_TERMS = (
    Term(
        "benign_calcification",
        "1 for central, diffuse, laminated or popcorn calcification, else 0",
        "",
        lambda s: float(s.benign_calcification),
    ),
)
DENSITY_TERMS = (
    Term("non_solid", "1 for a non-solid (ground-glass) nodule, else 0", "", lambda s: float(s.density == "non-solid")),
    Term("part_solid", "1 for a part-solid nodule, else 0", "", lambda s: float(s.density == "part-solid")),
)
TERMS = SHAPE_TERMS + CALCIFICATION_TERMS + DENSITY_TERMS


def features(signs: Signs) -> NDArray[np.float64]:
    """The terms' values (6,), in the order of `TERMS`: the one way to them, for training and at run time."""
    return np.array([term.value(signs) for term in TERMS])


def signs_of(nodule: Nodule) -> Signs:
    """The signs of a nodule that the road has measured."""
    return Signs(
        nodule.mean_diameter_mm,
        nodule.shape.elongation,
        nodule.shape.solidity,
        nodule.calcification in BENIGN_CALCIFICATION,
        nodule.density,
    )


def suspicion_features(nodule: Nodule) -> NDArray[np.float64]:
    """The terms' values (6,) of a nodule that the road has measured."""
    return features(signs_of(nodule))


@dataclass(frozen=True, eq=False)
class ReaderModel:
    """The fitted logistic regression.

    Parameters
    ----------
    version
        Of the numbers.
    terms
        Names of the features, in order.
    mean, scale
        (n,): a feature enters as (value - mean) / scale.
    low, high
        (n,): the least and greatest value seen in training; a value beyond enters as the nearest one seen.
    coefficients
        (n + 1,): the intercept, then one per term, in log odds.
    covariance
        (n + 1, n + 1) of the coefficients, from refits on resampled patients.
    """

    version: str
    terms: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def suspicion(self, values: NDArray[np.float64]) -> tuple[NDArray, NDArray, NDArray]:
        """Suspicion (0 to 1) with its 95% interval, for features (..., n).

        The interval is what resampling the patients does to the coefficients (delta method on the log odds); it does
        not hold the spread between readers.
        """
        seen = np.clip(values, self.low, self.high)
        standard = (seen - self.mean) / self.scale
        row = np.concatenate([np.ones((*standard.shape[:-1], 1)), standard], axis=-1)
        log_odds = row @ self.coefficients
        error = np.sqrt(np.einsum("...i,ij,...j->...", row, self.covariance, row))
        return (
            _probability(log_odds),
            _probability(log_odds - NORMAL_95 * error),
            _probability(log_odds + NORMAL_95 * error),
        )

    def to_json(self, quantities: Sequence[Quantity] = TERMS) -> dict[str, Any]:
        """Intercept, terms and covariance as plain data, one object per term, rounded to what the fit can repeat."""
        described = {quantity.name: quantity for quantity in quantities}
        columns = {
            "coefficient": self.coefficients[1:],
            "mean": self.mean,
            "scale": self.scale,
            "lowest_seen": self.low,
            "highest_seen": self.high,
        }
        return {
            "intercept": round(float(self.coefficients[0]), DECIMALS),
            "terms": [
                {"name": name, "meaning": described[name].meaning, "unit": described[name].unit}
                | {key: round(float(column[i]), DECIMALS) for key, column in columns.items()}
                for i, name in enumerate(self.terms)
            ],
            "covariance": self.covariance.round(DECIMALS).tolist(),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "ReaderModel":
        """The model from the object in `reader-model.json`."""
        terms = data["terms"]

        def column(key: str) -> NDArray[np.float64]:
            return np.array([term[key] for term in terms], float)

        return ReaderModel(
            version=data["version"],
            terms=tuple(term["name"] for term in terms),
            mean=column("mean"),
            scale=column("scale"),
            low=column("lowest_seen"),
            high=column("highest_seen"),
            coefficients=np.concatenate([[data["intercept"]], column("coefficient")]),
            covariance=np.array(data["covariance"], float),
        )


def _probability(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))


@cache
def packaged() -> dict[str, Any]:
    """`reader-model.json` as plain data: the model, what it was fitted on, and the figures it was tested with."""
    return bundled_table(NAME)


def rate(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """The packaged model's opinion on a measured nodule; the CT itself is not looked at."""
    data = packaged()
    value, low, high = ReaderModel.from_json(data).suspicion(suspicion_features(nodule))
    return Opinion(NAME, data["version"], float(value), float(low), float(high), MEANING, tested(data))


def tested(data: dict[str, Any]) -> str:
    """One sentence on how well the model in `reader-model.json` did, with the ruler beside it on the same nodules."""
    if "figures" not in data:
        return f"not tested yet: run `lungcad evaluate {NAME}`"
    figures = data["figures"]
    said = {
        name: f"{f['value']:.3f} ({f['low']:.3f} to {f['high']:.3f})"
        for name, f in figures.items()
        if name.startswith("auc")
    }
    return (
        f"AUC {said['auc']}; the ruler (long axis) {said['auc_ruler']}: cross-validated by patient on "
        f"{figures['auc']['n']} LIDC nodules (three or more readers, median rating not 3). "
        f"Among those of 8 to 15 mm: {said['auc_8_15_mm']}; the ruler {said['auc_ruler_8_15_mm']}"
    )
