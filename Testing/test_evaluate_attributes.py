"""`lungcad evaluate attributes`: agreement by hand-made examples, honest members, files of every kind, bad input."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slice_factory import change, patients, write_boxes, write_crops, write_slices

from LungCADLib.cli import main
from LungCADLib.evaluation import attributes_figures
from LungCADLib.evaluation.agreement import PatientDraws, mean_absolute_error, quadratic_kappa, spearman
from LungCADLib.evaluation.attributes import _read as read
from LungCADLib.evaluation.attributes import rate
from LungCADLib.evaluation.attributes_figures import Rated, figures
from LungCADLib.evaluation.files import Files
from LungCADLib.malignancy import attributes
from LungCADLib.malignancy.attributes import WORDS
from LungCADLib.training.folds import FOLDS

pytest.importorskip("torch")

KINDS = {"slices": write_slices, "vois": write_boxes, "crops": write_crops}


def column(*numbers):
    return np.array(numbers, float)


def once(statistic, one, other):
    return float(statistic(column(*one), column(*other), np.ones((1, len(one))))[0])


def test_quadratic_kappa_by_hand():
    """Mean squared difference 1/3; variances 2/3 and 14/9, means a third apart: by chance 7/3; so 1 - 1/7."""
    assert once(quadratic_kappa, (1, 2, 3), (1, 2, 4)) == pytest.approx(6 / 7)
    assert once(quadratic_kappa, (1, 2, 3), (1, 2, 3)) == 1
    assert once(quadratic_kappa, (1, 2, 3), (3, 2, 1)) == pytest.approx(-1)
    assert once(quadratic_kappa, (1, 2, 3, 4), (3, 3, 3, 3)) == pytest.approx(0)


def test_spearman_by_hand_with_ties():
    """Ranks 1, 2.5, 2.5, 4 and 1, 2, 3.5, 3.5: 3.75 over 4.5."""
    assert once(spearman, (1, 2, 2, 3), (10, 20, 30, 30)) == pytest.approx(3.75 / 4.5)
    assert once(spearman, (1, 2, 3), (3, 2, 1)) == pytest.approx(-1)
    assert math.isnan(once(spearman, (1, 2, 3), (2, 2, 2)))


def test_mean_absolute_error_by_hand():
    assert once(mean_absolute_error, (1, 2.5, 4), (1, 2, 5)) == pytest.approx(0.5)


grade = st.integers(1, 5)
pairs = st.lists(st.tuples(grade, grade), min_size=3, max_size=25)


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_kappa_and_spearman_are_the_librarys(rows):
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score

    one, other = zip(*rows, strict=True)
    if len(set(one)) > 1 and len(set(other)) > 1:
        assert once(quadratic_kappa, one, other) == pytest.approx(
            cohen_kappa_score(one, other, labels=range(1, 6), weights="quadratic")
        )
        assert once(spearman, one, other) == pytest.approx(spearmanr(one, other)[0])


@settings(max_examples=50, deadline=None)
@given(pairs, st.data())
def test_a_weight_is_how_often_a_case_stands_there(rows, data):
    one, other = (column(*values) for values in zip(*rows, strict=True))
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any)))
    again = np.repeat(np.arange(len(rows)), times)
    for statistic in (spearman, quadratic_kappa, mean_absolute_error):
        weighted = statistic(one, other, times[None].astype(float))[0]
        assert weighted == pytest.approx(once(statistic, one[again], other[again]), nan_ok=True, abs=1e-9)


def test_intervals_are_over_patients_and_not_for_a_few():
    values = np.arange(40.0)
    noisy = values + np.random.default_rng(0).normal(0, 12, 40)
    own = PatientDraws([f"P{i}" for i in range(40)]).estimate(spearman, values, noisy, np.arange(40))
    assert own.low < own.value < own.high
    assert own.n == 40
    few = PatientDraws(["A", "B", "C", "D"] * 10).estimate(spearman, values, noisy, np.arange(40))
    assert math.isnan(few.low)
    assert few.value == own.value


def made(value, readers, **more):
    """Nodules whose expected ratings are given for spiculation; every other characteristic is rated the same."""
    n = len(value)
    above = np.repeat(np.clip(column(*value)[:, None] - 1 - np.arange(4), 0, 1)[:, None], len(WORDS), axis=1)
    grades = np.repeat(np.round(column(*value))[:, None], len(WORDS), axis=1)
    return Rated(
        [f"P{i}" for i in range(n)], dict.fromkeys(WORDS, np.array(readers, float)), above, grades,
        more.get("diameter_mm", np.linspace(4, 20, n)), ["GE"] * n, more.get("hand", {}), more.get("spiculated"),
    )  # fmt: skip


def test_figures_by_hand():
    """Expected 1, 2, 4 and readers' means 1, 2.5, 4.5: one order, a third off; medians the same as the means."""
    found = figures(made((1, 2, 4), [[1, 1], [2, 3], [4, 5]]))
    assert found["spearman_margin"].value == pytest.approx(1)
    assert found["spearman_margin_ruler"].value == pytest.approx(-1)
    assert found["spearman_malignancy_ruler"].value == pytest.approx(1)
    assert found["mae_margin"].value == pytest.approx(1 / 3)
    assert found["spearman_mean"].value == pytest.approx(1)
    assert found["kappa_margin"].n == 3


def test_readers_are_compared_in_pairs_and_the_network_with_each_of_them():
    """Pairs: 1 and 1, 2 and 3, each both ways; the third nodule has one reader. The network says 1, 2."""
    found = figures(made((1, 2, 4), [[1, 1], [2, 3], [4, np.nan]]))
    one, other = (1, 1, 2, 3), (1, 1, 3, 2)
    assert found["kappa_texture_readers"].value == pytest.approx(once(quadratic_kappa, one, other))
    assert found["mae_texture_readers"].value == pytest.approx(0.5)
    assert found["kappa_texture_one_reader"].value == pytest.approx(once(quadratic_kappa, (1, 1, 2, 2), one))
    assert found["kappa_texture_readers"].n == 2
    assert found["kappa_texture"].n == 3


def test_saying_the_most_frequent_rating_is_the_constant():
    found = figures(made((1, 2, 4), [[1], [1], [4]]))
    assert found["mae_subtlety_constant"].value == pytest.approx(1)
    assert "kappa_subtlety_readers" not in found


def test_spiculated_by_hand_and_by_the_network_at_the_same_specificity():
    """By hand one of four is called wrongly and one of two rightly; the network finds both, and is as often wrong."""
    ratings = [[1], [2], [1], [2], [4], [5]]
    hand = {"spiculation": column(0.1, 0.2, 0.6, 0.3, 0.1, 0.9)}
    found = figures(made((1, 1, 3.2, 1, 3.9, 4.5), ratings, hand=hand, spiculated=hand["spiculation"] > 0.5))
    assert found["specificity_spiculated_hand"].value == pytest.approx(3 / 4)
    assert found["sensitivity_spiculated_hand"].value == pytest.approx(1 / 2)
    assert found["sensitivity_spiculated"].value == pytest.approx(1)
    assert found["specificity_spiculated"].value == pytest.approx(3 / 4)
    assert found["sensitivity_spiculated_as_specific"].value == pytest.approx(1)
    assert found["auc_spiculated"].value == pytest.approx(1)
    assert found["spearman_spiculation_hand"].value == pytest.approx(
        once(spearman, hand["spiculation"], (1, 2, 1, 2, 4, 5))
    )


def test_nodules_that_nobody_rated_do_not_count():
    found = figures(made((1, 2, 4), [[1], [np.nan], [4]]))
    assert found["spearman_margin"].n == 2


@pytest.fixture
def files(tmp_path):
    """Files of all three kinds, of patients in the folds and of others."""
    whose = [*patients(2), *(f"LIDC-IDRI-{9000 + i}" for i in range(4))]
    return {name: write(tmp_path / name, whose) for name, write in KINDS.items()}


def answer(capsys, *words):
    capsys.readouterr()
    assert main(["evaluate", "attributes", "--device", "cpu", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fewer draws, for the tests' time alone."""
    monkeypatch.setattr(attributes_figures, "PatientDraws", lambda patients: PatientDraws(patients, 50))


@pytest.mark.parametrize("kind", KINDS)
def test_json_has_every_figure_under_its_name(files, capsys, kind):
    found = answer(capsys, f"--{kind}", files[kind], "--ratings", files[kind].with_name("ratings.csv"))
    measure = found["spearman_malignancy"]
    assert set(measure) == {"value", "low", "high", "n"}
    assert measure["n"] == 14
    assert measure["low"] <= measure["value"] <= measure["high"]
    for name in WORDS:
        assert {f"spearman_{name}", f"kappa_{name}", f"mae_{name}"} <= set(found)
    assert ("kappa_margin_readers" in found) == (kind == "slices")
    assert ("spearman_texture_hand" in found) == (kind != "slices")
    assert "10 nodules are of patients in lidc-folds.csv" in found["notes"][0]
    if kind != "slices":
        assert found["spearman_margin"] == {"value": None, "low": None, "high": None, "n": 0}


def test_several_files_stand_under_their_kind(files, capsys):
    words = [word for kind in ("vois", "crops") for word in (f"--{kind}", files[kind])]
    found = answer(capsys, *words)
    assert list(found) == ["crops", "vois"]
    assert found["vois"]["kappa_texture"]["n"] == 14


def test_an_engines_outlines_stand_beside_the_readers(files, capsys):
    found = answer(capsys, "--vois", files["vois"], "--engine", "classical")
    assert list(found) == ["vois", "vois_classical"]
    assert 7 <= found["vois_classical"]["kappa_texture"]["n"] <= 14
    assert main(["evaluate", "attributes", "--vois", str(files["vois"]), "--engine", "magic"]) == 3
    assert "magic" in capsys.readouterr().err


def test_a_patient_is_rated_by_the_member_that_has_not_seen_the_patient_and_others_by_all(files, monkeypatch):
    asked = {}

    def chances(members, nodules, device):
        asked[len(members), id(members[0])] = len(nodules)
        return np.tile([0.9, 0.6, 0.3, 0.1], (len(nodules), len(WORDS), 1))

    monkeypatch.setattr(attributes, "chances_above", chances)
    rated = rate(read("slices", Files(files["slices"]))["slices"], "cpu")
    members = attributes.networks()
    expected = {(1, id(member)): 2 for member in members} | {(FOLDS, id(members[0])): 4}
    assert asked == expected
    assert rated.above.shape == (14, len(WORDS), 4)


def test_tables_and_card_show_the_same_numbers(files, tmp_path, capsys):
    words = ["--slices", str(files["slices"]), "--vois", str(files["vois"])]
    found = answer(capsys, *words)
    assert main(["evaluate", "attributes", "--device", "cpu", *words, "--card", str(tmp_path)]) == 0
    shown, card = capsys.readouterr().out, (tmp_path / "attributes.md").read_text(encoding="utf-8")
    value = f"{found['slices']['spearman_malignancy']['value']:.2f} ("
    for text in (shown, card):
        assert value in text
        assert "Rated spiculated" in text
        assert "network, as specific as by hand" not in text
    assert "CC BY 3.0" in card
    assert "| malignancy |" in card


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slices", "{slices}", "--slices", "{slices}"], "--slices is given twice"),
        (["--slices", "{slices}", "--ratings", "a.csv", "--ratings", "b.csv"], "--ratings b.csv must follow"),
    ],
)
def test_a_wrong_command_line_ends_with_2(files, capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "attributes", *(word.format(**files) for word in words)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_ratings_of_other_nodules_are_refused(files, capsys, kind):
    table = files[kind].with_name("ratings.csv")
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n", encoding="utf-8")
    assert main(["evaluate", "attributes", f"--{kind}", str(files[kind])]) == 3
    assert "row 1 is of" in capsys.readouterr().err


def test_files_that_are_not_there_or_without_outline_are_refused(files, tmp_path, capsys):
    assert main(["evaluate", "attributes", "--data", str(tmp_path / "nowhere")]) == 3
    assert "crops.npz" in capsys.readouterr().err
    mask = np.load(files["slices"])["mask"]
    mask[4] = 0
    change(files["slices"], mask=mask)
    assert main(["evaluate", "attributes", "--slices", str(files["slices"])]) == 3
    assert "the mask of slice 4 is empty" in capsys.readouterr().err


def test_the_packaged_networks_agree_with_readers_of_patients_they_have_not_seen(real_data, capsys):
    """Each crop has one reader; readers agree with each other at a mean kappa of 0.40 on the slices."""
    found = answer(capsys, "--crops", real_data / "lidc-crops" / "crops.npz")
    assert found["kappa_mean"]["value"] > 0.45
    assert found["spearman_mean"]["value"] > 0.5 > found["spearman_mean_ruler"]["value"] + 0.1
    assert found["spearman_spiculation"]["value"] > found["spearman_spiculation_hand"]["value"]
    assert found["mae_mean"]["value"] < found["mae_mean_constant"]["value"]
