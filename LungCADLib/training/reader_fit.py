"""The protocol and the fit of the reader-suspicion model: which nodules count, the regression, the folds."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.malignancy.reader_model import TERMS, ReaderModel
from LungCADLib.training.lidc_nodules import NoduleTable

VERSION = "1.0"
FOLDS = 10
LEAST_READERS = 3
UNDECIDED = 3.0
"""LIDC's middle malignancy rating; nodules whose median is this are in neither class."""

PENALTY = 1.0
"""Inverse weight of the squared coefficients: scikit-learn's C, at its default; other values did no better."""

REFITS = 500
"""Resamplings of the patients behind the covariance of the coefficients."""

Matrix = NDArray[np.float64]
Labels = NDArray[np.bool_]


def in_protocol(table: NoduleTable) -> Labels:
    """Nodules of the usual protocol: at least three readers, median rating not 3."""
    return (table.readers >= LEAST_READERS) & (table.median != UNDECIDED)


def suspicious(table: NoduleTable) -> Labels:
    """Nodules whose median rating is above 3."""
    return table.median > UNDECIDED


def fit(values: Matrix, labels: Labels, names: tuple[str, ...], penalty: float = PENALTY) -> ReaderModel:
    """A ridge-penalized logistic regression on standardized features (n, k), without the covariance yet."""
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    return ReaderModel(
        version=VERSION,
        terms=names,
        mean=mean,
        scale=scale,
        low=values.min(axis=0),
        high=values.max(axis=0),
        coefficients=_coefficients((values - mean) / scale, labels, penalty),
        covariance=np.zeros((len(names) + 1,) * 2),
    )


def _coefficients(standard: Matrix, labels: Labels, penalty: float = PENALTY) -> NDArray[np.float64]:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise InputError("Fitting needs scikit-learn; get it with `pip install scikit-learn`.") from None
    regression = LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-10).fit(standard, labels)
    return np.concatenate([regression.intercept_, regression.coef_[0]])


def with_covariance(model: ReaderModel, values: Matrix, labels: Labels, patients: NDArray, seed: int) -> ReaderModel:
    """The model with the covariance its coefficients have when whole patients are drawn with replacement."""
    generator = np.random.default_rng(seed)
    cases = [np.flatnonzero(patients == patient) for patient in dict.fromkeys(patients)]
    standard = (values - model.mean) / model.scale
    refits = []
    for _ in range(REFITS):
        drawn = np.concatenate([cases[i] for i in generator.integers(len(cases), size=len(cases))])
        refits.append(_coefficients(standard[drawn], labels[drawn]))
    return replace(model, covariance=np.cov(np.array(refits), rowvar=False))


def fit_reader_model(table: NoduleTable, seed: int) -> ReaderModel:
    """The model as it is packaged: every term, fitted on all nodules of the protocol in the table."""
    used = in_protocol(table)
    values, labels = table.features[used], suspicious(table)[used]
    model = fit(values, labels, tuple(term.name for term in TERMS))
    return with_covariance(model, values, labels, table.patient[used], seed)


def out_of_fold(values: Matrix, labels: Labels, used: Labels, patients: NDArray, seed: int) -> NDArray[np.float64]:
    """For every nodule, its suspicion by a model that was not fitted on its patient.

    Ten folds, grouped by patient and balanced by class, over the nodules used for fitting. The other nodules of a
    patient get that patient's fold; a patient without any nodule used gets the model fitted on all of them.

    Parameters
    ----------
    values
        (n, k) features.
    labels
        bool (n,).
    used
        bool (n,): nodules to fit on.
    patients
        (n,).
    seed
        Of the folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    names = tuple(str(i) for i in range(values.shape[1]))
    probabilities = fit(values[used], labels[used], names).suspicion(values)[0]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for _, held_out in folds.split(values[used], labels[used], patients[used]):
        held = np.isin(patients, patients[used][held_out])
        probabilities[held] = fit(values[used & ~held], labels[used & ~held], names).suspicion(values[held])[0]
    return probabilities
