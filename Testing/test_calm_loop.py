"""CALM's clusters and classifier: dissimilarity, appended cluster, centers, the end, and resuming, by hand."""

import numpy as np
import pytest

from LungCADLib.errors import InputError

torch = pytest.importorskip("torch")

from LungCADLib.malignancy.calm_network import augmented, classifier, dissimilarity  # noqa: E402
from LungCADLib.training import calm_loop  # noqa: E402
from LungCADLib.training.calm_loop import LoopSettings, Rows, State, centers, importance, learn, variance  # noqa: E402

SMALL = LoopSettings(rounds=6, trees=8, tree_rows=60)


class Stop(Exception):
    pass


def two_groups(n=60, d=4, seed=0):
    """Rows about -2 and +2 along the first feature; the label is the sign of the second."""
    random = np.random.default_rng(seed)
    features = random.normal(0, 0.3, (n, d)).astype(np.float32)
    features[:, 0] += np.where(np.arange(n) < n // 2, -2, 2)
    features[:, 1] += random.choice([-1, 1], n)
    return Rows(torch.from_numpy(features), torch.from_numpy((features[:, 1] > 0).astype(np.int64)))


def test_dissimilarity_is_the_weighted_sum_of_absolute_differences():
    rows = torch.tensor([[1.0, 5.0], [0.0, 0.0]])
    weights = torch.tensor([2.0, 0.5])
    # |1 - 3| * 2 + |5 - 1| * 0.5 = 6 and 3 * 2 + 1 * 0.5 = 6.5 from the first center; 2 + 2.5 and 0 from the second.
    found = dissimilarity(rows, torch.tensor([[3.0, 1.0], [0.0, 0.0]]), weights)
    assert found.tolist() == [[6.0, 4.5], [6.5, 0.0]]


def test_the_cluster_is_appended_as_one_of_two_ones():
    rows = augmented(torch.tensor([[7.0], [8.0]]), torch.tensor([1, 0]))
    assert rows.tolist() == [[7.0, 0.0, 1.0], [8.0, 1.0, 0.0]]


def test_the_classifier_has_the_layers_of_the_paper():
    layers = list(classifier(1252))
    assert [(m.in_features, m.out_features) for m in layers[::2]] == [(1252, 128), (128, 32), (32, 2)]
    assert all(isinstance(m, torch.nn.LeakyReLU) for m in layers[1::2])


def test_importance_is_the_mean_absolute_weight_without_the_clusters_columns():
    network = torch.nn.Sequential(torch.nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -3.0, 9.0, 9.0], [-2.0, -5.0, 9.0, 9.0]]))
    assert importance(network).tolist() == [1.5, 4.0]
    assert importance(network, signed=True).tolist() == [-0.5, -4.0]  # the paper's letter: dissimilarities below zero


def test_variance_is_about_the_mean_of_each_cluster():
    features = torch.tensor([[0.0], [2.0], [10.0]])
    # About 1 and 10: (1 + 1 + 0) / 3.
    assert variance(features, torch.tensor([0, 0, 1])) == pytest.approx(2 / 3)


def test_a_center_is_a_row_of_the_middle_of_its_cluster():
    rows = two_groups()
    cluster = (rows.features[:, 0] > 0).long()
    found = centers(rows.features, cluster, torch.ones(4), SMALL, seed=0)
    for k, center in enumerate(found):
        assert any(torch.equal(center, row) for row in rows.features[cluster == k])
        assert float(center[0]) == pytest.approx(-2 if k == 0 else 2, abs=0.5)


def test_a_cluster_without_rows_gets_the_farthest_row():
    rows = Rows(torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([0, 0, 1]))
    state = State(rows)
    state.centers = torch.tensor([[0.0], [100.0]])
    assert calm_loop._assign(state, rows) == 1
    assert state.cluster.tolist() == [0, 0, 1]
    assert state.centers.tolist() == [[0.0], [9.0]]


def test_groups_become_clusters_and_labels_are_learned(tmp_path):
    rows = two_groups(200)
    found = learn(rows, two_groups(60, seed=1), LoopSettings(rounds=60, trees=8, tree_rows=60), tmp_path, seed=3)
    cluster = dissimilarity(rows.features, found.centers, found.importance).argmin(dim=1)
    said = found.classifier(augmented(rows.features, cluster)).argmax(dim=1)
    assert float((said == rows.labels).float().mean()) > 0.9
    assert found.history.shape[1] == len(calm_loop.HISTORY)


def still(monkeypatch, changes):
    """Assignments that change as told, round by round."""
    told = iter(changes)
    assign = calm_loop._assign

    def assigned(state, rows):
        assign(state, rows)
        return next(told)

    monkeypatch.setattr(calm_loop, "_assign", assigned)


@pytest.mark.parametrize(
    ("changes", "rounds"),
    [
        ([0] * 20, 10),
        ([5, 0, 0, 1] + [0] * 20, 13),  # the first is the assignment before the first round; a change starts anew
        ([1] * 50, 30),
    ],
)
def test_it_ends_after_ten_rounds_without_a_change_or_at_the_most(tmp_path, monkeypatch, changes, rounds):
    still(monkeypatch, changes)
    settings = LoopSettings(rounds=30, trees=2, tree_rows=30)
    assert len(learn(two_groups(), two_groups(20, seed=1), settings, tmp_path, seed=0).history) == rounds


def test_the_round_that_did_best_on_others_is_kept_unless_the_last_is_asked_for(tmp_path):
    rows, others = two_groups(), two_groups(20, seed=1)
    best = learn(rows, others, SMALL, tmp_path / "best", seed=0)
    assert best.kept == 1 + int(best.history[:, 3].argmin())
    last = learn(rows, others, LoopSettings(rounds=6, trees=8, tree_rows=60, last=True), tmp_path / "last", seed=0)
    assert last.kept == len(last.history)


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(calm_loop, "SAVED_EVERY", 2)
    rows, others = two_groups(), two_groups(20, seed=1)
    whole = learn(rows, others, SMALL, tmp_path / "whole", seed=0)

    def kill(done, of):
        if done == 5:
            raise Stop

    with pytest.raises(Stop):
        learn(rows, others, SMALL, tmp_path / "killed", 0, kill)
    rounds = []
    again = learn(rows, others, SMALL, tmp_path / "killed", 0, lambda done, of: rounds.append(done))
    assert rounds[0] == 5
    assert np.array_equal(whole.history, again.history)
    assert torch.equal(whole.centers, again.centers)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.classifier.parameters(), again.classifier.parameters(), strict=True)
    )
    with pytest.raises(InputError, match="other settings"):
        learn(rows, others, LoopSettings(rounds=7, trees=8), tmp_path / "killed", 0)
