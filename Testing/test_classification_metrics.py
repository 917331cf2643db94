"""Every metric against a hand-made example, its definition, or scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.evaluation import classification as c

LABELS = np.array([False, False, True, False, True])
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.9])


def test_auc_counts_ordered_pairs_and_half_of_the_ties():
    # Pairs (positive, negative): 0.35 beats 0.1 only; 0.9 beats all three: 4 of 6.
    assert c.auc(LABELS, SCORES) == pytest.approx(4 / 6)
    assert c.auc(np.array([True, False]), np.array([1.0, 1.0])) == 0.5
    assert np.isnan(c.auc(np.array([True, True]), np.array([0.0, 1.0])))


def test_average_precision_by_hand():
    # From the top: 0.9 is right (precision 1, recall 1/2); the second positive stands fourth (precision 2/4).
    assert c.average_precision(LABELS, SCORES) == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)


def test_sensitivity_at_specificity_takes_the_best_threshold_allowed():
    labels = np.array([False] * 10 + [True] * 4)
    scores = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 20.0, 7.5, 8.5, 9, 30])
    # One of ten negatives may lie above: thresholds down to 8.5 pass, and 3 of 4 positives reach it.
    assert c.sensitivity_at_specificity(labels, scores, 0.9) == 0.75
    # None may lie above: only the score of 30 passes.
    assert c.sensitivity_at_specificity(labels, scores, 1.0) == 0.25


def test_tied_scores_are_called_together():
    labels = np.array([True, False, True, False])
    assert c.sensitivity_at_specificity(labels, np.array([1.0, 1.0, 1.0, 0.0]), 0.9) == 0.0


def test_accuracy_calls_one_half_positive():
    assert c.accuracy(np.array([True, False, True]), np.array([0.5, 0.5, 0.49])) == pytest.approx(1 / 3)


def test_brier_by_hand():
    assert c.brier(np.array([True, False]), np.array([0.8, 0.4])) == pytest.approx((0.04 + 0.16) / 2)


def test_ece_by_hand():
    labels = np.array([False, False, True, True])
    probabilities = np.array([0.1, 0.3, 0.6, 0.8])
    # Two bins: mean 0.2 against 0, and 0.7 against 1.
    assert c.ece(labels, probabilities, bins=2) == pytest.approx(0.5 * 0.2 + 0.5 * 0.3)


def test_reliability_bins_hold_equal_mass():
    rows = c.reliability(np.zeros(31, bool), np.linspace(0, 1, 31), bins=15)
    assert [n for *_, n in rows] == [3] + [2] * 14


def test_calibration_of_honest_probabilities_is_slope_one_intercept_zero():
    # Groups whose share of positives is exactly the probability stated.
    probabilities = np.repeat([0.2, 0.5, 0.9], 10)
    labels = np.concatenate([np.arange(10) < 10 * p for p in (0.2, 0.5, 0.9)])
    assert c.calibration_slope(labels, probabilities) == pytest.approx(1)
    assert c.calibration_intercept(labels, probabilities) == pytest.approx(0, abs=1e-9)


def test_calibration_slope_shows_overconfidence():
    labels = np.concatenate([np.arange(10) < 10 * p for p in (0.2, 0.5, 0.8)])
    honest = np.repeat([0.2, 0.5, 0.8], 10)
    odds = (honest / (1 - honest)) ** 2
    assert c.calibration_slope(labels, odds / (1 + odds)) == pytest.approx(0.5)


def test_calibration_intercept_shows_a_shift():
    labels = np.concatenate([np.arange(10) < 10 * p for p in (0.2, 0.5, 0.8)])
    honest = np.repeat([0.2, 0.5, 0.8], 10)
    odds = honest / (1 - honest) / np.e
    assert c.calibration_intercept(labels, odds / (1 + odds)) == pytest.approx(1)


def test_calibration_slope_does_not_exist_where_classes_separate():
    assert np.isnan(c.calibration_slope(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.8, 0.9])))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=4, max_size=40))
def test_ranking_metrics_agree_with_scikit_learn(cases):
    metrics = pytest.importorskip("sklearn.metrics")
    labels = np.array([label for label, _ in cases])
    scores = np.array([score / 8 for _, score in cases])
    if labels.all() or not labels.any():
        return
    assert c.auc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert c.average_precision(labels, scores) == pytest.approx(metrics.average_precision_score(labels, scores))
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert c.sensitivity_at_specificity(labels, scores) == pytest.approx(tpr[1 - fpr >= 0.9 - 1e-12].max())


def test_resamples_draw_whole_patients():
    draws = c.Resamples(["a", "b", "a", "c"], rounds=200).draws
    for draw in draws:
        counts = np.bincount(draw, minlength=4)
        assert counts[0] == counts[2]
        assert counts[[0, 1, 3]].sum() == 3
    assert len({tuple(sorted(draw)) for draw in draws}) == 10  # three patients with replacement: C(5, 3) multisets


def test_figure_gives_the_value_on_all_cases_and_the_percentiles_of_the_draws():
    numbers = np.arange(100.0)
    resamples = c.Resamples(range(100), rounds=2000, seed=1)
    figure = resamples.figure(lambda i: float(numbers[i].mean()), numbers >= 50)
    assert (figure.value, figure.n, figure.positive) == (49.5, 100, 50)
    error = numbers.std() / 10
    assert figure.low == pytest.approx(49.5 - 1.96 * error, abs=0.5)
    assert figure.high == pytest.approx(49.5 + 1.96 * error, abs=0.5)


def test_figure_among_some_cases_ignores_the_others():
    numbers = np.array([1.0, 1.0, 5.0, 5.0])
    figure = c.Resamples("abcd", rounds=50).figure(
        lambda i: float(numbers[i].mean()) if len(i) else float("nan"), numbers > 2, among=numbers > 2
    )
    assert (figure.value, figure.low, figure.high, figure.n, figure.positive) == (5, 5, 5, 2, 2)


def test_a_difference_is_paired_case_by_case():
    numbers = np.random.default_rng(0).normal(size=50)
    figure = c.Resamples(range(50)).figure(lambda i: float((numbers[i] + 1).mean() - numbers[i].mean()), numbers > 0)
    assert figure.low == pytest.approx(1) and figure.high == pytest.approx(1)


def test_sensitivity_and_specificity_call_one_half_positive():
    labels = np.array([True, True, False, False, False])
    probabilities = np.array([0.5, 0.4, 0.6, 0.1, 0.49])
    assert c.sensitivity(labels, probabilities) == 0.5
    assert c.specificity(labels, probabilities) == pytest.approx(2 / 3)
    assert np.isnan(c.sensitivity(np.zeros(2, bool), np.zeros(2)))
    assert np.isnan(c.specificity(np.ones(2, bool), np.zeros(2)))


def test_the_roc_curve_by_hand():
    wrong, right = c.roc(LABELS, SCORES)
    assert wrong == pytest.approx([0, 0, 1 / 3, 2 / 3, 2 / 3, 1])
    assert right == pytest.approx([0, 0.5, 0.5, 0.5, 1, 1])
    assert np.trapezoid(right, wrong) == pytest.approx(c.auc(LABELS, SCORES))


def test_probabilities_are_judged_as_scikit_learn_does():
    calibration, metrics = pytest.importorskip("sklearn.calibration"), pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    probabilities = random.permutation(np.linspace(0.01, 0.99, 150))
    labels = random.random(150) < probabilities
    assert c.brier(labels, probabilities) == pytest.approx(metrics.brier_score_loss(labels, probabilities))
    share, mean = calibration.calibration_curve(labels, probabilities, n_bins=15, strategy="quantile")
    ours = c.reliability(labels, probabilities)
    assert [row[0] for row in ours] == pytest.approx(mean)
    assert [row[1] for row in ours] == pytest.approx(share)
    assert c.ece(labels, probabilities) == pytest.approx(np.abs(share - mean).mean())


def test_the_interval_of_independent_cases_is_scipys():
    from scipy.stats import bootstrap

    random = np.random.default_rng(1)
    labels = random.random(150) < 0.5
    scores = labels + random.normal(0, 1.2, 150)
    ours = c.Resamples(range(150), rounds=1500).figure(lambda i: c.auc(labels[i], scores[i]), labels)

    def statistic(drawn, values):
        return c.auc(drawn > 0.5, values)

    columns = (labels.astype(float), scores)
    theirs = bootstrap(
        columns, statistic, paired=True, vectorized=False, method="percentile", n_resamples=1500, rng=0
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.012)
