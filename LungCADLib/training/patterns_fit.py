"""Fits the patterns of method 000 in a network's feature space: K-means by class, fuzzy C-means, head, calibration."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score

from LungCADLib.malignancy.patterns import FUZZIFIER, GROUPS, Matrix, Patterns, Vector, memberships, nearer_to_malignant

PATTERNS = range(2, 6)
"""How many centers a class may have; the silhouette decides."""

STARTS = 10
ITERATIONS, SMALLEST_MOVE = 300, 1e-6
HEAD_PENALTY = 0.01
"""Inverse weight of the head's squared coefficients: strong, because the features already separate the cases."""

Labels = NDArray[np.bool_]


def fuzzy_c_means(features: Matrix, seed: int, groups: int = GROUPS, fuzzifier: float = FUZZIFIER) -> Matrix:
    """Centers (c, d) of fuzzy groups of features (n, d).

    In turn, memberships by distance and centers as means weighted by membership^m, c_i = Σ_k u_ik^m x_k / Σ_k u_ik^m,
    until no center moves (Bezdek 1981); the objective Σ u^m ‖x - c‖² falls in every round.
    """
    random = np.random.default_rng(seed)
    centers: Matrix = features[random.choice(len(features), groups, replace=False)].astype(float)
    for _ in range(ITERATIONS):
        weight = memberships(features, centers, fuzzifier) ** fuzzifier
        moved = weight.T @ features / weight.sum(axis=0)[:, None]
        step = np.abs(moved - centers).max()
        centers = moved
        if step < SMALLEST_MOVE:
            break
    return centers


def class_centers(features: Matrix, seed: int) -> Matrix:
    """K-means centers (k, d) of one class, k with the best silhouette; the mean where there are too few to divide."""
    best, centers = -np.inf, features.mean(axis=0, keepdims=True)
    different = len(np.unique(features, axis=0))
    for k in PATTERNS:
        if different <= k:
            break
        found = KMeans(k, n_init=STARTS, random_state=seed).fit(features)
        silhouette = float(silhouette_score(features, found.labels_))
        if silhouette > best:
            best, centers = silhouette, found.cluster_centers_
    return centers


def platt(scores: Vector, labels: Labels) -> Vector:
    """Slope and intercept (2,) that turn scores into log odds (Platt J, Advances in large margin classifiers, 1999).

    His targets, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), keep both finite where the scores separate the classes. A slope
    is never negative: a score that says the opposite on these few cases is no evidence that it means it.
    """
    positive, negative = int(labels.sum()), int((~labels).sum())
    high, low = (positive + 1) / (positive + 2), 1 / (negative + 2)
    target = np.where(labels, high, low)
    rows = np.concatenate([scores, scores])[:, None]
    regression = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    regression.fit(rows, np.repeat([1, 0], len(scores)), np.concatenate([target, 1 - target]))
    return np.array([max(float(regression.coef_[0, 0]), 0.0), float(regression.intercept_[0])])


def fit_patterns(features: Matrix, labels: Labels, held: Labels, seed: int) -> Patterns:
    """Everything but the calibration from the cases the network learned from, the calibration from those it did not.

    Parameters
    ----------
    features
        (n, d) as the network gives them.
    labels
        bool (n,): suspicious.
    held
        bool (n,): kept from the network, for calibration.
    seed
        Of where the clusters start.

    Raises
    ------
    ValueError
        If one of the two parts lacks a class.
    """
    if any(len(set(labels[part].tolist())) < 2 for part in (held, ~held)):
        raise ValueError("Both the cases learned from and those held out must be of both classes.")
    mean, scale = features[~held].mean(axis=0), features[~held].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (features - mean) / scale
    learned, of = standard[~held], labels[~held]
    benign, malignant = class_centers(learned[~of], seed), class_centers(learned[of], seed)
    groups = fuzzy_c_means(learned, seed)
    belongs = memberships(learned, groups)
    share = [float((belongs[:, k] * of).sum() / belongs[:, k].sum()) for k in range(GROUPS)]
    groups = groups[np.argsort(share)]
    rows = np.column_stack([standard, memberships(standard, groups)])
    regression = LogisticRegression(C=HEAD_PENALTY, max_iter=1000).fit(rows[~held], of)
    head = np.concatenate([regression.coef_[0], regression.intercept_])
    near = nearer_to_malignant(standard[held], benign, malignant)
    headed = rows[held] @ head[:-1] + head[-1]
    calibration = np.array([platt(scores, labels[held]) for scores in (near, headed)])
    return Patterns(mean, scale, benign, malignant, groups, head, calibration)
