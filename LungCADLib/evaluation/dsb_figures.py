"""How well patients' scores do: log loss and AUC with intervals, beside the base rate and the ruler."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import Figure, Resamples, auc
from LungCADLib.evaluation.dsb_run import Verdict
from LungCADLib.malignancy.patient_score import noisy_or

CLIPPED = 1e-15
"""Probabilities are kept so far from 0 and 1 (Kaggle's metric LogLoss)."""

NOTHING_MM = 3.0
"""A patient without nodules counts as one with a nodule of this size, below which none is reported."""


@dataclass(frozen=True)
class Row:
    """One score; `auc` is None where it is the same for everybody."""

    name: str
    log_loss: Figure
    auc: Figure | None

    @property
    def loss_text(self) -> str:
        return f"{self.log_loss.value:.3f} ({self.log_loss.low:.3f} to {self.log_loss.high:.3f})"

    @property
    def auc_text(self) -> str:
        return f"{self.auc.value:.3f} ({self.auc.low:.3f} to {self.auc.high:.3f})" if self.auc else "-"

    def to_json(self) -> dict[str, Any]:
        return {"log_loss": asdict(self.log_loss), "auc": asdict(self.auc) if self.auc else None}


def log_loss(labels: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    """Mean negative logarithm of the probability given to what was the case."""
    p = np.clip(probabilities, CLIPPED, 1 - CLIPPED)
    return float(-np.where(labels, np.log(p), np.log(1 - p)).mean())


def losses(ids: Sequence[str], cancer: Sequence[bool], verdicts: Sequence[Verdict], leak: float) -> list[Row]:
    """A row for each way to a number.

    Parameters
    ----------
    ids
        Of the patients (n,).
    cancer
        Their labels (n,), of both kinds.
    verdicts
        What was found in each (n,).
    leak
        Of the noisy-or.
    """
    labels = np.array(cancer, bool)
    plain, leaky = (np.array([noisy_or(one.contributions, part) for one in verdicts]) for part in (0.0, leak))
    size = np.log([max(one.largest_mm, NOTHING_MM) for one in verdicts])
    # What answers for each patient from all others ranks a patient of the rarer kind lower for that alone; so AUC is
    # that of the value itself, which calibration would not reorder.
    scores = {
        "noisy-or": (plain, plain),
        f"noisy-or, leak {leak:g}": (leaky, leaky),
        "noisy-or, calibrated": (leaky, calibrated(_log_odds(leaky), labels)),
        "ruler": (size, calibrated(size, labels)),
    }
    draws = Resamples(ids)
    rows = [
        Row(
            name,
            draws.figure(lambda i, p=p: log_loss(labels[i], p[i]), labels),  # type: ignore[misc]
            draws.figure(lambda i, v=value: auc(labels[i], v[i]), labels),  # type: ignore[misc]
        )
        for name, (value, p) in scores.items()
    ]
    base = np.full(len(labels), labels.mean())
    return [*rows, Row("base rate", draws.figure(lambda i: log_loss(labels[i], base[i]), labels), None)]


def calibrated(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Probabilities (n,) from values (n,), of each patient by a logistic regression on all the others (Platt 1999).

    Where the others are all of one kind, it is their rate by Laplace's rule: (cancers + 1) / (patients + 2).
    """
    from sklearn.linear_model import LogisticRegression

    out = np.empty(len(values))
    for i in range(len(values)):
        others = np.arange(len(values)) != i
        seen = labels[others]
        if seen.all() or not seen.any():
            out[i] = (seen.sum() + 1) / (len(seen) + 2)
            continue
        mean, spread = values[others].mean(), values[others].std() + 1e-9
        fit = LogisticRegression().fit(((values[others] - mean) / spread)[:, None], seen)
        out[i] = fit.predict_proba([[(values[i] - mean) / spread]])[0, 1]
    return out


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)), np.float64)
