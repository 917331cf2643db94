"""`lungcad evaluate appearance`: every figure under its name, each patient judged by who has not seen them."""

import json
import math

import numpy as np
import pytest
from slice_factory import change, patients, write_data, write_patches, write_slices

from LungCADLib.cli import main
from LungCADLib.evaluation.appearance_card import parts_rows, rows, text
from LungCADLib.evaluation.appearance_figures import Rated, figures, sensitivity, specificity, strata_of
from LungCADLib.evaluation.classification import Figure
from LungCADLib.evaluation.reliability_figure import MARGIN, SIDE, svg
from LungCADLib.malignancy import appearance

torch = pytest.importorskip("torch")

STRANGERS = [f"X{i}" for i in range(12)]
KNOWN = patients(2)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    from LungCADLib.evaluation import appearance_figures

    class Few(appearance_figures.Resamples):
        def __init__(self, patients, seed=0):
            super().__init__(patients, rounds=40, seed=seed)

    monkeypatch.setattr(appearance_figures, "Resamples", Few)


def answer(capsys, *words):
    assert main(["evaluate", "appearance", *map(str, words), "--device", "cpu"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_file_of_slices_prints_every_figure_under_its_name(tmp_path, capsys):
    slices = write_slices(tmp_path, STRANGERS, side=41)
    found = answer(capsys, "--slices", slices, "--ratings", slices.with_name("ratings.csv"), "--json")
    for name in (
        "auc", "auc_ruler", "auc_area", "auc_fusion", "accuracy", "sensitivity", "specificity", "brier", "ece",
        "calibration_slope", "calibration_intercept", "average_precision", "auc_minus_ruler", "auc_fusion_minus_ruler",
        "auc_fusion_minus_reader_model", "auc_ge", "auc_siemens", "auc_solid",
    ):  # fmt: skip
        assert found[name].keys() == {"value", "low", "high", "n", "positive"}
    # Large and spiculated against small and smooth: nothing is easier.
    assert found["auc"]["value"] == found["auc_fusion"]["value"] == found["auc_ruler"]["value"] == 1
    assert (found["auc"]["n"], found["auc"]["positive"]) == (12, 6)
    assert (found["auc_siemens"]["n"], found["auc_siemens"]["positive"]) == (6, 3)
    assert found["auc_minus_ruler"]["value"] == 0
    assert sum(n for _, _, n in found["reliability_fusion"]) == 12
    assert any("12 are of others, judged by all five" in note for note in found["notes"])


def test_a_file_of_patches_needs_no_outline(tmp_path, capsys):
    patches = write_patches(tmp_path, STRANGERS)
    found = answer(capsys, "--patches", patches, "--table", patches.with_name("patches.csv"), "--json")
    assert found["auc"]["value"] > 0.9
    assert found["auc_ruler"]["value"] == 1
    assert "auc_area" not in found
    assert "auc_solid" not in found


def test_a_folder_of_data_gives_both_and_the_page_has_the_figures_of_the_json(tmp_path, capsys):
    write_data(tmp_path)
    found = answer(capsys, "--data", tmp_path, "--json")
    assert found.keys() == {"slices", "patches"}
    assert main(["evaluate", "appearance", "--data", str(tmp_path), "--device", "cpu"]) == 0
    page = capsys.readouterr().out
    for name in found:
        brier = found[name]["brier"]
        assert f"{brier['value']:.3f} ({brier['low']:.3f} to {brier['high']:.3f})" in page
    assert any("10 nodules are of patients in lidc-folds.csv" in note for note in found["slices"]["notes"])


def test_only_slices_of_the_protocol_count(tmp_path, capsys):
    slices = write_slices(tmp_path, STRANGERS, side=41)
    ratings = slices.with_name("ratings.csv")
    header, *lines = ratings.read_text().splitlines()
    names = header.split(",")
    cells = [line.split(",") for line in lines]
    for k in range(1, 5):
        cells[0][names.index(f"Malignancy_{k}")] = "3"  # a median of 3
    for k in (3, 4):
        cells[1][names.index(f"Malignancy_{k}")] = "0"  # two readers
    ratings.write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")
    assert answer(capsys, "--slices", slices, "--json")["auc"]["n"] == 10
    for row in cells:
        row[names.index("Malignancy_1")] = row[names.index("Malignancy_2")] = "0"
    ratings.write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")
    assert "nothing to test" in fails(capsys, "--slices", slices)


def test_a_patient_is_judged_by_the_network_and_coefficients_that_have_not_seen_them(monkeypatch):
    from LungCADLib.training.appearance_fusion import NO_FOLD, folds_of, unseen_answers, unseen_probabilities

    folds = folds_of(np.array([KNOWN[0], KNOWN[1], "X"]))
    assert folds.tolist() == [0, 1, NO_FOLD]
    asked = lambda members, seen, device: np.array([[[m, 0.0]] * len(seen) for m in members])  # noqa: E731
    monkeypatch.setattr(appearance, "answers", asked)
    said = unseen_answers([10.0, 20.0, 30.0, 40.0, 50.0], torch.zeros(3, 1), folds)
    assert said[:, 0].tolist() == [10, 20, 30]

    packaged = appearance.packaged()
    term = appearance.ANSWERS[0]
    fitted = [packaged["left_out"]["alone"][0], packaged["left_out"]["alone"][1], packaged["models"]["alone"]]
    columns = {term: np.ones(3), appearance.ANSWERS[1]: np.full(3, 2.0)}
    found = unseen_probabilities(packaged, "alone", columns, folds)
    for probability, model in zip(found, fitted, strict=True):
        standard = [((1.0, 2.0)[i] - t["mean"]) / t["scale"] * t["coefficient"] for i, t in enumerate(model["terms"])]
        assert probability == pytest.approx(1 / (1 + math.exp(-model["intercept"] - sum(standard))), abs=1e-4)


def test_a_card_holds_the_figures_and_the_package_remembers_them(tmp_path, capsys):
    write_data(tmp_path / "data")
    assert main(["evaluate", "appearance", "--data", str(tmp_path / "data"), "--card", str(tmp_path / "card")]) == 0
    capsys.readouterr()
    card = (tmp_path / "card" / "appearance.md").read_text()
    data = json.loads((tmp_path / "card" / "appearance.json").read_text())
    brier = data["figures"]["slices"]["brier"]
    assert f"{brier['value']:.3f} ({brier['low']:.3f} to {brier['high']:.3f})" in card
    assert data["models"] == appearance.packaged()["models"]
    assert f"AUC {data['figures']['slices']['auc']['value']:.3f}" in appearance.tested(data, "alone")
    assert (tmp_path / "card" / "appearance-reliability.svg").read_text().startswith("<svg")


def test_the_packaged_card_has_the_packaged_figures():
    from LungCADLib.resources import resource

    card = resource("Models", "appearance.md").read_text(encoding="utf-8")
    for figures_of_set in appearance.packaged()["figures"].values():
        for name in ("auc", "auc_fusion", "auc_ruler", "brier", "ece"):
            figure = figures_of_set[name]
            assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in card


def test_the_packaged_figures_keep_what_the_card_promises():
    slices, patches = (appearance.packaged()["figures"][name] for name in ("slices", "patches"))
    assert (slices["auc"]["n"], patches["auc"]["n"]) == (591, 708)
    assert slices["auc"]["value"] >= 0.95
    assert patches["auc"]["value"] >= 0.925
    for figures_of_set in (slices, patches):
        assert figures_of_set["auc_fusion_minus_ruler"]["low"] > 0


def rated(n=40, strata=None):
    labels = np.arange(n) % 2 == 0
    ruler = np.where(labels, 9.0, 8.5) + np.arange(n) / n
    network = np.where(labels, 0.8, 0.3)
    others = {"fusion": network, "ruler": ruler / 20, "area": ruler**2}
    return Rated(labels, network, others, ruler, np.array([f"P{i}" for i in range(n)]), strata or {})


def test_figures_by_hand():
    found = figures(rated(), [("", "ruler"), ("fusion", "")])
    assert found["auc"].value == 1
    assert found["accuracy"].value == found["sensitivity"].value == found["specificity"].value == 1
    assert found["brier"].value == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert found["auc_area"].value == found["auc_ruler"].value < 1
    assert found["auc_minus_ruler"].value == pytest.approx(1 - found["auc_ruler"].value)
    assert found["auc_fusion_minus_network"].value == 0
    assert found["auc_8_15_mm"].n == 40
    # No nodule lies between 10 and 20 mm, so there is nothing to say of that band; all lie between 6 and 10.
    assert math.isnan(found["auc_10_20_mm"].value)
    assert (found["auc_10_20_mm"].n, found["auc_6_10_mm"].n) == (0, 40)


def test_sensitivity_and_specificity_by_hand():
    labels, probabilities = np.array([True, True, False, False]), np.array([0.5, 0.4, 0.6, 0.1])
    assert sensitivity(labels, probabilities) == 0.5
    assert specificity(labels, probabilities) == 0.5
    assert math.isnan(sensitivity(~labels[:2], probabilities[:2]))
    assert math.isnan(specificity(labels[:2], probabilities[:2]))


def test_strata_with_few_of_a_kind_have_no_number():
    few = np.arange(40) < 5  # three positives, two negatives
    found = figures(rated(strata={"toshiba": few}), [])
    assert (found["auc_toshiba"].n, found["auc_toshiba"].positive) == (5, 3)
    assert math.isnan(found["auc_toshiba"].value)
    assert text(found["auc_toshiba"]) == "-"


def test_strata_are_of_vendor_and_texture():
    texture = np.array([1, 2, 2.5, 4, 4.5, 5, np.nan])
    found = strata_of(np.array(["GE", "GE", "", "Siemens", "GE", "GE", "GE"]), texture)
    where = {name: np.flatnonzero(among).tolist() for name, among in found.items()}
    assert where == {
        "ge": [0, 1, 4, 5, 6], "siemens": [3], "non_solid": [0, 1], "part_solid": [2, 3], "solid": [4, 5],
    }  # fmt: skip


def test_tables_name_every_figure():
    found = figures(rated(strata={"ge": np.arange(40) < 30}), [("", "ruler"), ("fusion", "ruler")])
    whole = {row[0]: row for row in rows(found)}
    assert whole["AUC"][1] == "1.000 (1.000 to 1.000)"
    assert whole["AUC"][-1] == "40 (20)"
    assert whole["AUC, fusion less ruler"][1] == text(found["auc_fusion_minus_ruler"])
    assert [row[0] for row in parts_rows(found)] == [
        *(f"{band} mm by the ruler" for band in ("6 to 10", "8 to 15", "10 to 20")),
        "GE",
    ]


def test_a_number_is_written_with_its_interval():
    assert text(Figure(0.5, 0.25, 0.75, 9, 4)) == "0.500 (0.250 to 0.750)"


def test_reliability_is_drawn_where_it_belongs():
    picture = svg({"A & B": [(0.0, 0.5, 3), (1.0, 1.0, 3)]})
    assert f'points="{MARGIN:.1f},{MARGIN + SIDE / 2:.1f} {MARGIN + SIDE:.1f},{MARGIN:.1f}"' in picture
    assert "A &amp; B" in picture


def test_a_plot_is_written(tmp_path, capsys):
    import xml.etree.ElementTree as ET

    slices = write_slices(tmp_path, STRANGERS, side=41)
    answer(capsys, "--slices", slices, "--json", "--plot", tmp_path / "curve.svg")
    assert ET.parse(tmp_path / "curve.svg").getroot().tag.endswith("svg")


def fails(capsys, *words):
    assert main(["evaluate", "appearance", *map(str, words)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lungcad: ") and captured.err.count("\n") == 1
    return captured.err


def test_bad_files_are_refused_in_one_sentence(tmp_path, capsys):
    assert "not there" in fails(capsys, "--slices", tmp_path / "none.npz")
    assert "not there" in fails(capsys, "--patches", tmp_path / "none.npz")
    assert "not there" in fails(capsys, "--data", tmp_path)
    slices = write_slices(tmp_path, STRANGERS, side=41)
    change(slices, mask=None)
    assert "'mask'" in fails(capsys, "--slices", slices)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ratings", "a"), "--ratings belongs to --slices"),
        (("--slices", "a", "--table", "b"), "--table to --patches"),
        (("--slices", "a", "--card", "b"), "--card tells of the data"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told_so(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "appearance", *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_an_outline_that_is_empty_is_refused(tmp_path, capsys):
    slices = write_slices(tmp_path, STRANGERS, side=41)
    with np.load(slices) as file:
        mask = file["mask"].copy()
    mask[3] = 0
    change(slices, mask=mask)
    assert "slice 3" in fails(capsys, "--slices", slices)
