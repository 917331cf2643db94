"""K-means patterns, fuzzy membership and calibration: by hand, and by what must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from LungCADLib.malignancy.patterns import Patterns, memberships, nearer_to_malignant
from LungCADLib.training.label_rules import LabelRule

pytest.importorskip("sklearn")

from LungCADLib.training.patterns_fit import (
    class_centers,
    fit_patterns,
    fuzzy_c_means,
    platt,
)


def test_membership_by_hand():
    # On a line, centers at 0 and 4; at 1 the distances are 1 and 3, so u = (1/1) / (1/1 + 1/9) = 0.9.
    centers = np.array([[0.0], [4.0]])
    found = memberships(np.array([[1.0], [2.0], [4.0], [-2.0]]), centers)
    assert found[0] == pytest.approx([0.9, 0.1])
    assert found[1] == pytest.approx([0.5, 0.5])
    assert found[2] == pytest.approx([0, 1])
    assert found[3] == pytest.approx([0.9, 0.1])  # 1/4 against 1/36


def test_a_larger_fuzzifier_is_fuzzier():
    # u = 1 / (1 + (1/3)^(2 / (m - 1))): m = 3 gives 1 / (1 + 1/3).
    centers = np.array([[0.0], [4.0]])
    assert memberships(np.array([[1.0]]), centers, 3.0)[0, 0] == pytest.approx(0.75)
    assert memberships(np.array([[1.0]]), centers, 1.2)[0, 0] > 0.999


POINTS = arrays(float, (6, 3), elements=st.floats(-5, 5, width=32))


@given(POINTS, arrays(float, (2, 3), elements=st.floats(-5, 5, width=32)))
@settings(max_examples=40)
def test_memberships_are_shares_and_the_nearer_center_has_more(points, centers):
    found = memberships(points, centers)
    assert found.sum(axis=1) == pytest.approx(np.ones(6))
    assert (found >= 0).all()
    far = np.linalg.norm(points[:, None] - centers, axis=2)
    clear = np.abs(far[:, 0] - far[:, 1]) > 1e-6
    assert ((found[:, 0] > 0.5) == (far[:, 0] < far[:, 1]))[clear].all()


def blobs(n=60, apart=6.0, seed=0):
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(0, 1, (n, 2)), random.normal(apart, 1, (n, 2))])


def test_fuzzy_c_means_finds_two_clouds():
    centers = fuzzy_c_means(blobs(), 0)
    assert np.sort(centers[:, 0]) == pytest.approx([0, 6], abs=0.5)


def test_fuzzy_c_means_ends_where_both_of_its_equations_hold():
    points = blobs(apart=2.0)
    centers = fuzzy_c_means(points, 1)
    weight = memberships(points, centers) ** 2
    assert weight.T @ points / weight.sum(axis=0)[:, None] == pytest.approx(centers, abs=1e-5)


def test_fuzzy_c_means_ends_lower_than_at_any_center_nearby():
    points = blobs(apart=4.0)

    def objective(centers):
        far = np.linalg.norm(points[:, None] - centers, axis=2)
        return (memberships(points, centers) ** 2 * far**2).sum()

    centers = fuzzy_c_means(points, 0)
    random = np.random.default_rng(0)
    assert all(objective(centers) < objective(centers + random.normal(0, 0.3, centers.shape)) for _ in range(20))


def test_fuzzy_c_means_does_not_depend_on_where_it_starts_when_there_are_two_clouds():
    one, other = (np.sort(fuzzy_c_means(blobs(), seed), axis=0) for seed in (0, 1))
    assert one == pytest.approx(other, abs=1e-4)


def test_a_class_has_as_many_patterns_as_it_has_clouds():
    random = np.random.default_rng(0)
    middles = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    for k in (2, 3, 4):
        points = np.concatenate([random.normal(m, 0.5, (20, 2)) for m in middles[:k]])
        found = class_centers(points, 0)
        assert len(found) == k
        assert np.linalg.norm(found[:, None] - middles[:k], axis=2).min(axis=0).max() < 0.5


def test_a_class_of_two_or_of_equal_nodules_has_its_mean_as_only_pattern():
    assert class_centers(np.array([[0.0, 0], [2, 4]]), 0).tolist() == [[1, 2]]
    assert class_centers(np.ones((8, 2)), 0).tolist() == [[1, 1]]


def test_the_score_is_the_nearest_benign_less_the_nearest_malignant_distance():
    benign, malignant = np.array([[0.0, 0], [0, 10]]), np.array([[3.0, 4]])
    # From the origin: 0 to benign, 5 to malignant. From (3, 4): 5 to the nearest benign, 0 to malignant.
    assert nearer_to_malignant(np.array([[0.0, 0], [3, 4]]), benign, malignant).tolist() == [-5, 5]


def test_platts_targets_keep_the_slope_finite_and_his_line_calls_both_right():
    scores = np.array([-2.0, -1, 1, 2])
    slope, intercept = platt(scores, scores > 0)
    assert 0 < slope < 20
    assert intercept == pytest.approx(0, abs=1e-6)
    # Two of each class: the targets are 3/4 and 1/4, and at the optimum what is said adds up to them.
    said = 1 / (1 + np.exp(-slope * scores - intercept))
    assert said.sum() == pytest.approx(2, abs=1e-3)
    assert (said * scores).sum() == pytest.approx((np.where(scores > 0, 0.75, 0.25) * scores).sum(), abs=1e-3)


def test_a_score_that_says_the_opposite_is_not_turned_around():
    scores = np.array([-2.0, -1, 1, 2])
    assert platt(scores, scores < 0)[0] == 0


@pytest.fixture(scope="module")
def fitted():
    points, labels = blobs(100, 3.0), np.arange(200) >= 100
    held = np.arange(200) % 5 == 0
    return points, labels, held, fit_patterns(points, labels, held, 0)


def test_patterns_tell_two_clouds_apart_in_every_way(fitted):
    points, labels, _, patterns = fitted
    said = patterns.answers(points)
    for scores in (said.nearest, said.membership - 0.5, said.headed):
        assert ((scores > 0) == labels).mean() > 0.95
    assert (said.membership >= 0).all() and (said.membership <= 1).all()


def test_answers_by_hand():
    patterns = Patterns(
        mean=np.array([1.0]), scale=np.array([2.0]), benign=np.array([[-1.0], [-3.0]]), malignant=np.array([[2.0]]),
        groups=np.array([[-1.0], [2.0]]), head=np.array([10.0, 1.0, 3.0, 0.5]),
        calibration=np.array([[2.0, 1.0], [0.5, -1.0]]),
    )  # fmt: skip
    # 3 becomes (3 - 1) / 2 = 1: 2 from benign -1, 1 from malignant; memberships 0.2 and 0.8.
    said = patterns.answers(np.array([[3.0]]))
    assert said.nearest[0] == pytest.approx(2 * (2 - 1) + 1)
    assert said.membership[0] == pytest.approx(0.8)
    assert said.headed[0] == pytest.approx(0.5 * (10 * 1 + 0.2 + 3 * 0.8 + 0.5) - 1)


def test_what_is_held_out_changes_nothing_but_the_calibration(fitted):
    points, labels, held, patterns = fitted
    other = np.where(held[:, None], points + 100, points)
    again = fit_patterns(other, labels, held, 0)
    for name in ("mean", "scale", "benign", "malignant", "groups", "head"):
        assert getattr(again, name) == pytest.approx(getattr(patterns, name))
    assert (again.calibration != patterns.calibration).any()


def test_nothing_but_what_is_learned_from_decides_which_group_is_malignant(fitted):
    points, labels, held, patterns = fitted
    turned = fit_patterns(points, ~labels, held, 0)
    assert turned.groups == pytest.approx(patterns.groups[::-1], abs=1e-3)


def test_json_keeps_the_patterns(fitted):
    points, _, _, patterns = fitted
    again = Patterns.from_json(patterns.to_json())
    assert again.answers(points).headed == pytest.approx(patterns.answers(points).headed, abs=1e-3)


def test_a_part_without_both_classes_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        fit_patterns(blobs(5), np.arange(10) >= 5, np.arange(10) >= 8, 0)


@pytest.mark.parametrize(
    ("rule", "counts", "suspicious"),
    [
        (LabelRule.LEAVE_OUT, [1, 2.5, 3.5, 5], [3.5, 5]),
        (LabelRule.SUSPICIOUS, [1, 2.5, 3, 3.5, 5], [3, 3.5, 5]),
        (LabelRule.BENIGN, [1, 2.5, 3, 3.5, 5], [3.5, 5]),
    ],
)
def test_what_a_median_of_three_is_depends_on_the_rule(rule, counts, suspicious):
    median = np.array([1, 2.5, 3, 3.5, 5, np.nan])
    assert median[rule.counts(median)].tolist() == counts
    assert median[rule.counts(median) & rule.suspicious(median)].tolist() == suspicious
