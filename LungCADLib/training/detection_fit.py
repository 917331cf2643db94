"""Fits the two scores of detection: of a blob before it is outlined, and of a nodule after."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.score import BlobScore, Tree
from LungCADLib.nodules.accept import NoduleScore
from LungCADLib.training.detection_grounds import Rows

NODULE_WEIGHT = 10.0
BLOB_REGRESSION_C = 0.05
BOOSTING = {"n_estimators": 200, "learning_rate": 0.05, "max_depth": 3, "subsample": 0.7, "min_samples_leaf": 20}
NODULE_REGRESSION_C = 0.3


def fit_blob_score(rows: Rows, seed: int) -> BlobScore:
    """A regression on standardized features and boosted trees on plain ones."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    weight = np.where(rows.nodule, NODULE_WEIGHT, 1.0)
    mean, scale = rows.features.mean(0), rows.features.std(0) + 1e-6
    regression = LogisticRegression(C=BLOB_REGRESSION_C, max_iter=5000)
    regression.fit((rows.features - mean) / scale, rows.nodule, weight)
    boosting = GradientBoostingClassifier(random_state=seed, **BOOSTING).fit(rows.features, rows.nodule, weight)
    positive = float((weight * rows.nodule).sum() / weight.sum())
    return BlobScore(
        mean,
        scale,
        regression.coef_[0],
        float(regression.intercept_[0]),
        float(np.log(positive / (1 - positive))),
        tuple(_tree(stage[0].tree_, BOOSTING["learning_rate"]) for stage in boosting.estimators_),
    )


def fit_nodule_score(
    impressions: NDArray[np.float64], nodule: NDArray[np.bool_], operating_point: float
) -> NoduleScore:
    """A regression on standardized impressions."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = impressions.mean(0), impressions.std(0) + 1e-6
    regression = LogisticRegression(C=NODULE_REGRESSION_C, max_iter=5000).fit((impressions - mean) / scale, nodule)
    return NoduleScore(mean, scale, regression.coef_[0], float(regression.intercept_[0]), operating_point)


def _tree(tree: Any, rate: float) -> Tree:
    leaf = tree.children_left < 0
    return Tree(
        np.where(leaf, -1, tree.feature),
        np.where(leaf, 0.0, tree.threshold),
        np.maximum(tree.children_left, 0),
        np.maximum(tree.children_right, 0),
        rate * tree.value[:, 0, 0],
    )
