"""The variance of AUCs by DeLong and by Obuchowski: by hand, by definition, and against drawing again."""

import numpy as np
import pytest

from LungCADLib.evaluation.classification import Resamples, auc
from LungCADLib.evaluation.delong import components, covariance, difference

LABELS = np.array([True, True, True, False, False])
SCORES = np.array([0.9, 0.6, 0.3, 0.3, 0.1])


def cases(seed, patients, each, strength=(1.0, 0.6)):
    """Labels, two correlated scores and patients; the nodules of a patient are alike."""
    random = np.random.default_rng(seed)
    whose = np.repeat(np.arange(patients), each)
    labels = random.random(len(whose)) < np.repeat(random.uniform(0.2, 0.8, patients), each)
    common = random.normal(size=len(whose)) + np.repeat(random.normal(size=patients), each)
    scores = np.array([s * labels + 0.7 * common + 0.5 * random.normal(size=len(whose)) for s in strength])
    return labels, scores, whose


def test_components_by_hand():
    # 0.9 and 0.6 beat both negatives; 0.3 ties with one and beats the other. Two of three positives lie above the
    # negative of 0.3 and one ties; all lie above 0.1.
    below, above = components(LABELS, SCORES)
    assert below == pytest.approx([1, 1, 0.75])
    assert above == pytest.approx([2.5 / 3, 1])
    assert [below.mean(), above.mean()] == pytest.approx([auc(LABELS, SCORES)] * 2)


def test_variance_by_hand():
    # Of (1, 1, 0.75): 1/48; of (2.5/3, 1): 1/72. DeLong: 1/48 / 3 + 1/72 / 2.
    assert covariance(LABELS, SCORES[None])[0, 0] == pytest.approx(1 / 144 + 1 / 144)


def test_covariance_is_delongs_double_sum():
    labels, scores, _ = cases(1, 40, 1)
    scores = scores.round(1)  # ties
    above = (scores[:, labels][:, :, None] > scores[:, ~labels][:, None]).astype(float)
    above += 0.5 * (scores[:, labels][:, :, None] == scores[:, ~labels][:, None])
    expected = np.cov(above.mean(axis=2)) / labels.sum() + np.cov(above.mean(axis=1)) / (~labels).sum()
    assert covariance(labels, scores) == pytest.approx(expected)


def test_one_nodule_per_patient_is_plain_delong_in_any_order():
    labels, scores, _ = cases(2, 60, 1)
    names = [f"P{i}" for i in np.random.default_rng(0).permutation(60)]
    assert covariance(labels, scores, names) == pytest.approx(covariance(labels, scores))


def test_drawing_patients_again_gives_the_same_spread():
    labels, scores, whose = cases(3, 150, 4)
    draws = Resamples(whose.tolist(), rounds=1000).draws
    drawn = np.array([[auc(labels[i], score[i]) for score in scores] for i in draws])
    expected = np.cov(drawn.T)
    assert np.sqrt(covariance(labels, scores, whose)) == pytest.approx(np.sqrt(expected), rel=0.1)
    # Nodules of a patient are alike, so counting each as independent would be too sure of itself.
    assert covariance(labels, scores)[0, 0] < 0.8 * expected[0, 0]
    found, p = difference(labels, scores[0], scores[1], whose)
    low, high = np.percentile(drawn[:, 0] - drawn[:, 1], [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert (p < 0.05) == (low > 0 or high < 0)


def test_equal_scores_do_not_differ():
    labels, scores, whose = cases(4, 20, 2)
    found, p = difference(labels, scores[0], 2 * scores[0] + 1, whose)
    assert (found.value, found.low, found.high, p) == (0, 0, 0, 1)


def test_chance_differs_from_chance_as_rarely_as_it_should():
    random = np.random.default_rng(5)
    labels = np.arange(80) < 40
    p = [difference(labels, *random.normal(size=(2, 80)))[1] for _ in range(300)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_no_interval_from_one_patient():
    found, p = difference(LABELS, SCORES, SCORES[::-1], ["A"] * 5)
    assert np.isnan([found.low, found.high, p]).all()
