"""`lungcad evaluate cnn-2d`: every figure under its name, the ruler's beside it, on patients not seen."""

import csv
import json

import numpy as np
import pytest
from slice_factory import patients, write_data, write_patches, write_slices

from LungCADLib.cli import main
from LungCADLib.evaluation import cnn_2d as evaluate
from LungCADLib.evaluation import training_curves
from LungCADLib.evaluation.cnn_2d_figures import PAPER, confusion, f1, precision, report
from LungCADLib.malignancy import cnn_2d
from LungCADLib.malignancy.cnn_2d_view import Crop
from LungCADLib.training.cnn_2d import COLUMNS
from LungCADLib.weights import write_members

torch = pytest.importorskip("torch")

STRANGERS = [f"X{i}" for i in range(12)]
LABELS = np.array([0, 0, 0, 0, 1, 1], bool)
SAID = np.array([0.1, 0.2, 0.5, 0.9, 0.4, 0.7])


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(evaluate, "ROUNDS", 40)


def answer(capsys, *words):
    assert main(["evaluate", "cnn-2d", *map(str, words), "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_precision_f1_and_the_confusion_matrix_are_those_worked_by_hand():
    # Called positive: 0.5, 0.9 (both wrong) and 0.7; missed: 0.4.
    assert confusion(LABELS, SAID) == [[2, 2], [1, 1]]
    assert precision(LABELS, SAID) == pytest.approx(1 / 3)
    assert f1(LABELS, SAID) == pytest.approx(2 * 1 / (2 * 1 + 2 + 1))
    found = report(LABELS, SAID)["suspicious"]
    assert (found["precision"], found["recall"], found["support"]) == pytest.approx((1 / 3, 0.5, 2))
    assert found["f1-score"] == pytest.approx(f1(LABELS, SAID))


def test_without_anyone_called_positive_there_is_no_precision():
    assert np.isnan(precision(LABELS, np.zeros(6)))
    assert f1(LABELS, np.zeros(6)) == 0
    assert np.isnan(f1(np.zeros(6, bool), np.zeros(6)))


def test_the_papers_figures_are_those_of_its_own_table():
    # Table 1: 174 true and 55 false among 229 benign, 168 true and 28 missed among 196 malignant.
    labels = np.repeat([False, True], [229, 196])
    said = np.concatenate([np.zeros(174), np.ones(55), np.zeros(28), np.ones(168)])
    assert round(float((said == labels).mean()), 2) == PAPER["accuracy"]
    assert round(float(said[labels].mean()), 2) == PAPER["sensitivity"]
    assert round(float(1 - said[~labels].mean()), 2) == PAPER["specificity"]
    assert round(precision(labels, said), 2) == PAPER["precision"]
    assert round(f1(labels, said), 2) == PAPER["f1"]


def test_slices_of_strangers_are_judged_by_all_five_beside_the_ruler(tmp_path, capsys):
    slices = write_slices(tmp_path, STRANGERS)
    found = answer(capsys, "--slices", slices, "--plots", tmp_path / "plots")
    for name in (
        "auc", "accuracy", "sensitivity", "specificity", "precision", "f1", "auc_ruler", "accuracy_ruler", "f1_ruler",
        "auc_minus_ruler", "auc_8_15_mm", "auc_ruler_8_15_mm", "auc_minus_ruler_8_15_mm",
    ):  # fmt: skip
        assert {"value", "low", "high", "n", "positive"} <= found[name].keys()
    assert (found["auc"]["n"], found["auc"]["positive"], found["auc_ruler"]["value"]) == (12, 6, 1)
    assert found["auc_8_15_mm"]["value"] is None  # the factory makes none
    assert np.sum(found["confusion"]) == 12
    assert any("12 are of others, judged by all five" in note for note in found["notes"])
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"cnn-2d-curves.svg", "cnn-2d-roc-slices.svg"}


def test_a_patient_is_judged_by_the_network_that_has_not_seen_them():
    from LungCADLib.training.appearance_fusion import NO_FOLD
    from LungCADLib.training.methods.cnn_2d import FittedCnn2d

    class Case(list):
        def only(self, rows):
            return Case(np.array(self)[rows])

    networks = [10.0, 20.0, 30.0, 40.0, 50.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FittedCnn2d, "predict", lambda self, cases: np.full(len(cases), np.mean(self.networks)))
        folds = np.array([0, 4, NO_FOLD])
        assert evaluate.unseen(networks, Crop.SCALED, Case([1, 2, 3]), folds, "cpu").tolist() == [10, 50, 30]


def test_another_training_stands_beside_it(tmp_path, capsys):
    from LungCADLib.malignancy.cnn_2d_network import Cnn2d

    torch.manual_seed(0)
    states = [Cnn2d().state_dict() for _ in range(5)]
    write_members(tmp_path / "other.safetensors", states, {"network": "Cnn2d", "crop": "fixed"})
    patches = write_patches(tmp_path, STRANGERS)
    found = answer(capsys, "--patches", patches, "--beside", tmp_path / "other.safetensors")
    less = found["auc"]["value"] - found["auc_other"]["value"]
    assert found["auc_minus_other"]["value"] == pytest.approx(less, abs=1e-5)
    assert "auc_other_minus_ruler_8_15_mm" in found


def test_a_card_holds_the_figures_and_the_package_remembers_them(tmp_path, capsys):
    write_data(tmp_path / "data")
    card = tmp_path / "card"
    assert main(["evaluate", "cnn-2d", "--data", str(tmp_path / "data"), "--card", str(card)]) == 0
    page = capsys.readouterr().out
    data = json.loads((card / "cnn-2d.json").read_text())
    brier = data["figures"]["slices"]["brier"]
    words = f"{brier['value']:.3f} ({brier['low']:.3f} to {brier['high']:.3f})"
    assert words in (card / "cnn-2d.md").read_text()
    assert words in page
    assert "weighted avg" in page
    assert cnn_2d.tested(data).startswith("AUC ")
    for name in ("curves", "roc-slices", "roc-patches"):
        assert (card / f"cnn-2d-{name}.svg").read_text().startswith("<svg")
        assert f"cnn-2d-{name}.svg" in (card / "cnn-2d.md").read_text()


def test_the_packaged_card_has_the_packaged_figures():
    from LungCADLib.resources import resource

    card = resource("Models", "cnn-2d.md").read_text(encoding="utf-8")
    for figures in cnn_2d.packaged()["figures"].values():
        for name in ("auc", "accuracy", "f1", "auc_ruler", "auc_8_15_mm"):
            figure = figures[name]
            assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in card


def test_the_packaged_figures_are_above_the_papers():
    slices = cnn_2d.packaged()["figures"]["slices"]
    assert slices["auc"]["n"] == 591
    assert slices["auc"]["low"] > PAPER["auc"]
    assert slices["accuracy"]["value"] > PAPER["accuracy"]


def held_out(path, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def test_the_papers_split_is_read_from_its_file(tmp_path, capsys):
    rows = [
        (f"P{i}", int(label), 5 + i, said, 0.5, i % 2) for i, (label, said) in enumerate(zip(LABELS, SAID, strict=True))
    ]
    found = answer(capsys, "--held-out", held_out(tmp_path / "h.csv", *rows))
    assert (found["confusion"], found["auc"]["n"]) == ([[2, 2], [1, 1]], 6)
    assert any("3 of the 6 nodules" in note for note in found["notes"])


def test_what_cannot_be_evaluated_is_refused(tmp_path, capsys):
    def refused(code, *words):
        if code == 2:
            with pytest.raises(SystemExit) as stopped:
                main(["evaluate", "cnn-2d", *map(str, words)])
            assert stopped.value.code == 2
        else:
            assert main(["evaluate", "cnn-2d", *map(str, words)]) == code
        return capsys.readouterr().err

    assert "--ratings belongs to --slices" in refused(2, "--ratings", "r.csv")
    assert "name their folder with --data" in refused(2, "--card", tmp_path, "--slices", "s.npz")
    assert "slices.npz is not there" in refused(3, "--slices", tmp_path / "slices.npz")
    write_members(tmp_path / "w.safetensors", [{"a": torch.zeros(2)}], {"network": "Other"})
    assert "holds no networks of `lungcad train cnn-2d`" in refused(3, "--beside", tmp_path / "w.safetensors")
    assert "not a number" in refused(3, "--held-out", held_out(tmp_path / "h.csv", ("P", "x", 1, 1, 1, 1)))
    assert "not a number" in refused(3, "--held-out", held_out(tmp_path / "h.csv", ("P", 1, "nan", 1, 1, 1)))
    slices = write_slices(tmp_path / "two", patients(2))
    ratings = slices.with_name("ratings.csv")
    with ratings.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["Malignancy_3"] = row["Malignancy_4"] = "0"
    with ratings.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert "nothing to test" in refused(3, "--slices", slices)


def test_the_curves_are_drawn_from_first_to_last_epoch():
    curve = [(0.7, 0.5, 0.7, 0.5), (0.4, 0.8, 0.5, 0.7), (0.3, 0.9, 0.45, 0.8)]
    drawn = training_curves.svg([curve, curve])
    assert drawn.count("<polyline") == 2 * 2 * 3  # two panels, two colors, two members and their mean
    assert ">3</text>" in drawn
