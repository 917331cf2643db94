"""Figures of CALM by hand, what its tables and pictures show, and the words of its commands."""

import numpy as np
import pytest

from LungCADLib.evaluation.calm_figures import Judged, f1, figures, paired, precision

torch = pytest.importorskip("torch")

from LungCADLib.evaluation.calm_arms import frame, trivial  # noqa: E402
from LungCADLib.evaluation.calm_card import SHOWN, card, parts_rows, rows  # noqa: E402
from LungCADLib.evaluation.calm_pictures import rounds  # noqa: E402
from LungCADLib.training.calm_loop import Learned  # noqa: E402
from LungCADLib.training.lung_patches import STORED_SIDE, LungPatches  # noqa: E402

LABELS = np.array([True, True, True, False, False])
SAID = np.array([0.9, 0.6, 0.2, 0.7, 0.1])


def test_precision_and_f1_by_hand():
    # Called: 0.9, 0.6 and 0.7; two of the three are right, and one of three positives is missed.
    assert precision(LABELS, SAID) == pytest.approx(2 / 3)
    assert f1(LABELS, SAID) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert np.isnan(precision(LABELS, np.zeros(5)))


def judged(n=40):
    labels = np.arange(n) % 2 == 0
    good = np.where(labels, 0.8, 0.2) + np.linspace(-0.1, 0.1, n)
    return Judged(
        labels, good, {"nn": 1 - good}, {"ruler": np.where(labels, 20.0, 5.0)}, np.array([f"P{i}" for i in range(n)]),
        {"6_10_mm": labels, "8_15_mm": np.ones(n, bool), "10_20_mm": np.ones(n, bool)},
    )  # fmt: skip


def test_every_method_has_its_figures_and_its_difference_from_calm():
    found = figures(judged())
    assert (found["auc"].value, found["auc_nn"].value, found["auc_ruler"].value) == (1.0, 0.0, 1.0)
    assert found["auc_minus_nn"].value == 1.0
    assert found["auc_minus_ruler"].value == 0.0
    assert (found["recall"].value, found["f1_nn"].value) == (1.0, 0.0)
    assert np.isnan(found["auc_6_10_mm"].value)  # of one kind only
    table = rows(found, "malignancy")
    assert [line[0] for line in table] == ["CAE + CALM", "CAE + NN", "ruler (long axis)", "40 cases, 20 positive"]
    assert {len(line) for line in table} == {len(SHOWN["malignancy"].columns)}
    assert {len(line) for line in parts_rows(found, "malignancy")} == {len(SHOWN["malignancy"].part_columns)}


def test_the_card_tells_what_was_evaluated_and_leaves_the_rest_out():
    weights = {"version": "1.0", "patches": 40, "patients": 40}
    text = card(weights, {"malignancy": figures(judged())}, None)
    assert "| CAE + CALM | 1.000 (1.000 to 1.000)" in text
    assert "## Suspicious nodules" in text
    assert "## Nodules against other places" not in text
    assert "## Generated nodules" not in text
    assert "{" not in text


def test_with_and_without_are_of_the_same_patients():
    one = judged()
    same = paired(one.labels, one.patients.tolist(), one.calm, one.calm)
    assert same["auc"]["minus"].value == same["auc"]["minus"].low == same["auc"]["minus"].high == 0.0
    assert paired(one.labels, one.patients.tolist(), one.calm, 1 - one.calm)["accuracy"]["minus"].value == 1.0


def patches(n=60):
    """Bright middles and one frame for all nodules of the first half; the rest has nothing in the middle."""
    random = np.random.default_rng(0)
    hu = random.normal(-850, 30, (n, STORED_SIDE, STORED_SIDE))
    nodule = np.arange(n) < n // 2
    hu[nodule, 26:35, 26:35] = 0
    return LungPatches(
        hu.astype(np.int16), nodule, np.zeros(n, np.int8), np.full(n, 0.7), np.array([f"P{i}" for i in range(n)]),
        np.arange(n) % 5,
    )  # fmt: skip


def test_the_middle_tells_a_nodule_and_the_frame_does_not():
    from LungCADLib.evaluation.classification import auc

    some = patches()
    signs = trivial(some)
    assert auc(some.nodule, signs["middle_hu"]) == 1.0
    assert signs["contrast"][0] == pytest.approx(850, abs=60)
    assert 0.2 < auc(some.nodule, frame(some)) < 0.8


def test_the_frame_gives_away_a_class_that_is_of_another_scanner():
    from LungCADLib.evaluation.classification import auc

    some = patches()
    some.hu[some.nodule] += np.random.default_rng(1).normal(0, 90, some.hu[some.nodule].shape).astype(np.int16)
    assert auc(some.nodule, frame(some)) > 0.95


def test_the_picture_has_a_line_for_each_member_in_both_panels():
    history = np.column_stack([np.linspace(5, 4, 12), np.zeros(12), np.ones(12), np.linspace(1, 2, 12)])
    one = Learned(torch.nn.Sequential(), torch.zeros(2, 3), torch.zeros(3), history, 1)
    picture = rounds({"fold 0": one, "fold 1": one})
    assert picture.count("<polyline") == picture.count("<circle") == 4
    assert "variance within clusters" in picture


def test_the_card_is_of_the_packaged_networks(capsys):
    from LungCADLib.cli import main

    with pytest.raises(SystemExit):
        main(["evaluate", "calm", "--mode", "nodule", "--card", "x"])
    assert "packaged networks" in capsys.readouterr().err
