"""The blob score: plain numbers in a file that give the score one can work out by hand."""

import json

import numpy as np
import pytest

from LungCADLib.detection.blob_detector import score_model
from LungCADLib.detection.features import NAMES
from LungCADLib.detection.score import BlobScore, Tree

LEAF = -1


def tree(*rows):
    """Rows are (feature, threshold, left, right, value)."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Tree(*columns)


def hand_tree():
    """If f0 <= 1: -2. Else if f1 <= 5: 0.5, else 3."""
    return tree(
        (0, 1.0, 1, 2, 9.0),
        (LEAF, 0.0, 0, 0, -2.0),
        (1, 5.0, 3, 4, 9.0),
        (LEAF, 0.0, 0, 0, 0.5),
        (LEAF, 0.0, 0, 0, 3.0),
    )


def hand_score():
    """Log-odds (linear + boosted) / 2 with linear = 2 (f0 - 1) / 4 + 1 and boosted = 0.25 + two trees."""
    count = len(NAMES)
    mean, scale, coefficients = np.zeros(count), np.ones(count), np.zeros(count)
    mean[0], scale[0], coefficients[0] = 1.0, 4.0, 2.0
    return BlobScore(mean, scale, coefficients, 1.0, 0.25, (hand_tree(), tree((LEAF, 0.0, 0, 0, 0.25))))


def rows(*pairs):
    features = np.zeros((len(pairs), len(NAMES)))
    features[:, :2] = np.reshape(pairs, (-1, 2))
    return features


def as_read(score, **more):
    return json.loads(json.dumps({"score": {**score.to_dict(), **more}}))


def test_a_tree_goes_left_up_to_the_threshold_and_right_beyond():
    features = rows((0.0, 9.0), (1.0, 9.0), (1.001, 5.0), (1.001, 5.001), (7.0, -1.0))
    assert hand_tree().predict(features).tolist() == [-2.0, -2.0, 0.5, 3.0, 0.5]


def test_a_tree_of_one_leaf_says_the_same_of_everything():
    assert tree((LEAF, 0.0, 0, 0, 0.7)).predict(rows((0, 0), (5, 5))).tolist() == [0.7, 0.7]


@pytest.mark.parametrize(
    ("pair", "log_odds"),
    [
        ((1.0, 0.0), (1.0 + (0.25 + 0.25 - 2.0)) / 2),
        ((3.0, 0.0), (2.0 + (0.25 + 0.25 + 0.5)) / 2),
        ((3.0, 6.0), (2.0 + (0.25 + 0.25 + 3.0)) / 2),
    ],
)
def test_the_score_is_the_mean_of_both_log_odds_as_a_probability(pair, log_odds):
    assert hand_score().predict(rows(pair))[0] == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-12)


def test_no_row_gives_no_score_and_absurd_rows_stay_between_0_and_1():
    assert hand_score().predict(rows()).shape == (0,)
    low, high = hand_score().predict(rows((-1e9, 0.0), (1e9, 0.0)))
    assert 0 <= low < 1e-6
    assert 1 - 1e-6 < high <= 1


def test_a_score_comes_back_from_json():
    back = BlobScore.from_json(as_read(hand_score()))
    features = np.random.default_rng(0).normal(2, 3, (50, len(NAMES)))
    assert np.array_equal(back.predict(features), hand_score().predict(features))


@pytest.mark.parametrize("names", [NAMES[:-1], (*NAMES, "more"), (NAMES[1], NAMES[0], *NAMES[2:])])
def test_a_score_trained_on_other_features_is_refused(names):
    with pytest.raises(ValueError, match="was trained on other features; run `lungcad train"):
        BlobScore.from_json(as_read(hand_score(), features=list(names)))


def test_the_packaged_score_loads_and_its_trees_end_in_leaves():
    score = score_model()
    assert len(score.mean) == len(score.scale) == len(score.coefficients) == len(NAMES)
    assert (score.scale > 0).all()
    assert score.trees
    for one in score.trees:
        inner = one.feature >= 0
        assert (one.feature < len(NAMES)).all()
        children = np.concatenate([one.left[inner], one.right[inner]])
        assert sorted(children.tolist()) == list(range(1, len(one.feature)))
    values = score.predict(np.random.default_rng(0).normal(0, 1, (200, len(NAMES))))
    assert ((values >= 0) & (values <= 1)).all()
    assert len(np.unique(values)) > 100
