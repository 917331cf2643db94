"""The ensemble of the comparison: its weights are learned where no member had looked, never from who is judged."""

import json
import re

import numpy as np
import pytest
from compare_methods import by_size, random_answers, register
from slice_factory import patients, write_data, write_slices

from LungCADLib.cli import main
from LungCADLib.malignancy.ensemble import FURTHEST, log_odds
from LungCADLib.training.methods import ensemble


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_data(tmp_path_factory.mktemp("data"), per_fold=2)
    write_slices(folder / "lidc-slices", patients(6))
    return folder


@pytest.fixture
def members(monkeypatch):
    made = register(monkeypatch, good=by_size, coin=random_answers)
    monkeypatch.setattr(ensemble, "MEMBERS", {"good": "good-engine", "coin": "coin-engine"})
    return made


def compare(folder, capsys, *words):
    words = [*map(str, words), "--runs", str(folder / "runs"), "--workers", "1", "--resamples", "60"]
    code = main(["compare", *words, "--json", "--device", "cpu"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else None, printed.err


def test_log_odds_are_not_surer_than_was_tested():
    assert log_odds(np.array([0.5, 0.0, 1.0])).tolist() == pytest.approx(
        [0, *(s * np.log(1 / FURTHEST - 1) for s in (-1, 1))]
    )


def test_it_believes_the_member_that_knows(data, members, tmp_path, capsys):
    slices = data / "lidc-slices" / "slices.npz"
    code, found, _ = compare(tmp_path, capsys, "--slices", slices, "--methods", "ensemble")
    assert code == 0
    assert list(found) == ["ruler", "ensemble"]  # members work for it; only what was asked for is shown
    assert found["ensemble"]["auc"]["value"] == 1
    assert len(members["good"].fitted) == 5


def test_weights_of_a_fold_are_learned_on_the_others(data, members, tmp_path, capsys, monkeypatch):
    seen, combination = [], ensemble.combination

    def spy(said, labels):
        seen.append({len(column) for column in said.values()} | {len(labels)})
        return combination(said, labels)

    monkeypatch.setattr(ensemble, "combination", spy)
    slices = data / "lidc-slices" / "slices.npz"
    compare(tmp_path, capsys, "--slices", slices, "--methods", "ensemble")
    assert seen == [{24}] * 5  # 30 nodules, six of each fold


def test_for_a_test_set_weights_are_learned_in_folds_of_the_training_set(data, members, tmp_path, capsys):
    slices = data / "lidc-slices" / "slices.npz"
    test = write_slices(tmp_path / "test", [f"P{i}" for i in range(20)], side=61)
    code, found, _ = compare(tmp_path, capsys, "--slices", slices, "--test-slices", test, "--methods", "ensemble,coin")
    assert code == 0
    assert found["ensemble"]["auc"]["n"] == 20 and found["ensemble"]["auc"]["value"] == 1
    good = members["good"]
    assert len(good.fitted) == 1 + 5  # on all of the training set, and for the weights in its packaged folds
    assert all(not learned & asked for learned, asked in good.asked)


def test_without_a_member_there_is_no_ensemble(data, members, tmp_path, capsys):
    def fails(call):
        raise MemoryError("no room")

    members["coin"].at_fit = fails
    slices = data / "lidc-slices" / "slices.npz"
    code, found, said = compare(tmp_path, capsys, "--slices", slices, "--methods", "ensemble,good")
    assert code == 1
    assert found["ensemble"]["error"] == "It needs the opinion of coin."
    assert "Method coin has no figures: MemoryError: no room" in said
    assert found["good"]["auc"]["value"] == 1


def test_the_card_holds_what_the_command_prints(data, members, tmp_path, capsys):
    words = ["--data", data, "--card", tmp_path / "card", "--methods", "reader-model,good,coin,ensemble"]
    code, found, _ = compare(tmp_path, capsys, *words)
    assert code == 0
    table = json.loads((tmp_path / "card" / "ensemble.json").read_text())
    assert table["figures"]["auc"] == found["ensemble"]["auc"]
    assert table["figures"]["auc_ruler_8_15_mm"] == found["ruler"]["auc_8_15_mm"]
    weights = {term["name"]: term["coefficient"] for term in table["terms"]}
    assert weights["good-engine"] > abs(weights["coin-engine"])
    page, card = ((tmp_path / "card" / name).read_text() for name in ("compare.md", "ensemble.md"))
    assert all(one["title"] in page for one in found.values())
    assert "30 slices (15 suspicious) of 30 LIDC patients" in card
    pictures = re.findall(r"\]\((.*?\.svg)\)", page)
    assert len(pictures) == 6 and all((tmp_path / "card" / name).is_file() for name in pictures)
    assert json.loads((tmp_path / "card" / "weights.json").read_text()).keys() == {"ensemble.json"}


def test_a_card_of_a_try_is_refused(data, members, tmp_path, capsys):
    words = ["--data", data, "--card", tmp_path / "card", "--methods", "good", "--scale", "0.1"]
    code, _, said = compare(tmp_path, capsys, *words)
    assert code == 3 and "usual training" in said
    assert not (tmp_path / "card").exists()
