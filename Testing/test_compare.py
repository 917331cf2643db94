"""`lungcad compare`: who learns from whom, what is kept, what is refused, and what comes out."""

import json
import os
import re

import numpy as np
import pytest
from compare_methods import by_size, random_answers, register
from slice_factory import change, patients, write_patches, write_rows, write_slices

from LungCADLib.cli import main
from LungCADLib.evaluation.compare_work import Piece, work
from LungCADLib.evaluation.compare_workers import work_through
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.methods import METHODS, method

STRANGERS = [f"P{i:02}" for i in range(30)]


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    return write_slices(tmp_path_factory.mktemp("slices"), patients(6))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return write_slices(tmp_path_factory.mktemp("others"), STRANGERS, side=61)


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("patches"), [*patients(3), "Q1", "Q2"])


@pytest.fixture
def compare(tmp_path, capsys):
    """Runs the command in this process; gives its exit code, what --json printed, and standard error."""

    def run(slices, *words):
        words = ["--slices", str(slices), *map(str, words), "--runs", str(tmp_path / "runs")]
        code = main(["compare", *words, "--json", "--workers", "1", "--resamples", "60", "--device", "cpu"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    return run


def test_the_ruler_is_always_there_and_every_figure_has_its_interval(compare, slices):
    code, found, _ = compare(slices, "--methods", "reader-model")
    assert code == 0
    assert list(found) == ["ruler", "reader-model"]
    for one in found.values():
        assert {"auc", "accuracy", "sensitivity", "specificity", "brier", "ece", "auc_8_15_mm"} <= one.keys()
        assert {"value", "low", "high", "n"} <= one["auc"].keys()
        assert one["auc"]["n"] == 30
        assert one["train_s"] >= 0 and one["predict_ms"] >= 0
    assert found["reader-model"]["auc_minus_ruler"].keys() == {"value", "low", "high", "n", "positive", "p"}
    assert "auc_minus_ruler" not in found["ruler"]


def test_a_coin_has_an_interval_around_one_half(compare, others, monkeypatch):
    register(monkeypatch, coin=random_answers)
    code, found, _ = compare(others, "--methods", "coin")
    auc = found["coin"]["auc"]
    assert code == 0
    assert auc["low"] < 0.5 < auc["high"]
    assert found["ruler"]["auc"]["value"] == 1  # the factory's suspicious nodules are the large ones
    assert found["coin"]["auc_minus_ruler"]["high"] < 0


def test_whoever_judges_has_not_learned_from_the_patient(compare, slices, patches, monkeypatch):
    spy = register(monkeypatch, spy=by_size)["spy"]
    code, found, _ = compare(slices, "--patches", patches, "--methods", "spy")
    assert code == 0
    assert len(spy.fitted) == 5
    for learned, asked in spy.asked:
        assert not learned & asked
    folds = fold_of_patient()
    for learned in spy.fitted:
        assert len({folds[p] for p in set(patients(6)) - learned}) == 1  # one fold is left out each time
    # The two patches of patients in no fold are judged by all five; everyone else once.
    strangers = [asked for _, asked in spy.asked if "Q1" in asked and len(asked) > 1]
    assert len(strangers) == 5
    assert found["spy"]["patches"]["auc"]["n"] == 17


def test_folds_are_made_where_the_patients_are_in_none(compare, others, monkeypatch):
    spy = register(monkeypatch, spy=by_size)["spy"]
    assert compare(others, "--methods", "spy")[0] == 0
    left_out = [set(STRANGERS) - learned for learned in spy.fitted]
    assert sorted(p for fold in left_out for p in fold) == STRANGERS
    assert all(not learned & asked for learned, asked in spy.asked)


def test_a_killed_comparison_goes_on(compare, slices, monkeypatch):
    def dies(call):
        if call == 4:
            raise KeyboardInterrupt

    spy = register(monkeypatch, spy=by_size)["spy"]
    spy.at_fit = dies
    assert compare(slices, "--methods", "spy")[0] == 130
    spy.at_fit = None
    code, first, _ = compare(slices, "--methods", "spy")
    assert code == 0
    assert len(spy.fitted) == 4 + 2  # three folds were kept; the one that was killed and the last are done now
    again = compare(slices, "--methods", "spy")[1]
    assert len(spy.fitted) == 6
    assert again == first
    compare(slices, "--methods", "spy", "--seed", "1")
    assert len(spy.fitted) == 11  # another question


def test_a_method_that_fails_leaves_the_others_their_figures(compare, slices, monkeypatch):
    def fails(call):
        raise RuntimeError("no luck\nat all")

    made = register(monkeypatch, bad=by_size, wrong=lambda cases: np.full(len(cases), 1.5), good=by_size)
    made["bad"].at_fit = fails
    code, found, said = compare(slices, "--methods", "bad,wrong,good")
    assert code == 1
    assert found["bad"] == {"title": "Method bad", "error": "RuntimeError: no luck at all"}
    assert "does not hold one probability" in found["wrong"]["error"]
    assert found["good"]["auc"]["value"] == found["ruler"]["auc"]["value"]
    assert "Method bad has no figures: RuntimeError: no luck at all" in said
    assert len(made["bad"].fitted) == 1  # not tried again on every fold


def test_outlines_that_a_set_has_not_are_not_made_up(compare, slices, patches, monkeypatch, tmp_path):
    register(monkeypatch, spy=by_size)["spy"].needs_outlines = True
    _, found, _ = compare(slices, "--patches", patches, "--methods", "spy", "--out", tmp_path / "out")
    assert "patches" not in found["spy"]
    assert "patches" in found["ruler"]
    assert "measure outlines and patches have none: Method spy" in (tmp_path / "out" / "compare.html").read_text()


def test_a_test_set_is_judged_once_by_what_learned_from_all_of_the_other(compare, slices, others, monkeypatch):
    spy = register(monkeypatch, spy=by_size)["spy"]
    spy.member = "packaged"
    code, found, _ = compare(slices, "--test-slices", others, "--methods", "spy")
    assert code == 0
    assert spy.fitted == [set(patients(6))]
    assert found["spy"]["auc"]["n"] == 30
    assert not found["spy"]["loaded"]


def test_bundled_members_answer_for_their_own_fold_only(compare, slices, others, monkeypatch, tmp_path):
    spy = register(monkeypatch, spy=by_size)["spy"]
    spy.member = "packaged"
    assert compare(slices, "--methods", "spy")[1]["spy"]["loaded"]
    assert not spy.fitted
    folds = fold_of_patient()
    assert all(learned == f"fold {folds[p]}" for learned, asked in spy.asked for p in asked)
    # Not for patients in no fold, nor for other folds than the packaged ones, nor where it was asked to train.
    assert not compare(others, "--methods", "spy")[1]["spy"]["loaded"]
    moved = [{"patient": p, "fold": (folds[p] + 1) % 5} for p in patients(6)]
    write_rows(tmp_path / "folds.csv", moved)
    assert not compare(slices, "--methods", "spy", "--folds", tmp_path / "folds.csv")[1]["spy"]["loaded"]
    assert not compare(slices, "--methods", "spy", "--retrain")[1]["spy"]["loaded"]


def test_a_patient_in_both_sets_is_refused_by_name(compare, slices, tmp_path):
    test = write_slices(tmp_path, [*STRANGERS[:9], patients(6)[3]])
    code, found, said = compare(slices, "--test-slices", test, "--methods", "ruler")
    assert (code, found) == (3, None)
    assert f"{patients(6)[3]} is in both {slices} and {test}" in said


def test_a_nodule_under_two_names_is_said_loudly(compare, slices, tmp_path):
    test = write_slices(tmp_path, STRANGERS)  # the factory draws the same pictures for other patients
    code, _, said = compare(slices, "--test-slices", test, "--methods", "ruler")
    assert code == 0
    assert f"ONE SLICE UNDER TWO PATIENTS, 30 TIMES (first: {patients(6)[0]} in {slices}, P00 in {test})" in said


def test_a_patient_in_two_folds_is_refused_by_name(compare, others, tmp_path):
    def refused(rows):
        write_rows(tmp_path / "folds.csv", rows)
        code, _, said = compare(others, "--folds", tmp_path / "folds.csv", "--methods", "ruler")
        assert code == 3
        return said

    rows = [{"patient": p, "fold": i % 2} for i, p in enumerate(STRANGERS)]
    assert "P03 is in fold 1 and in fold 0" in refused([*rows, {"patient": "P03", "fold": 0}])
    assert "no fold for P29" in refused(rows[:-1])
    assert "without a gap" in refused([{**row, "fold": 2 * row["fold"]} for row in rows])
    assert "row 1 has fold 'one'" in refused([{"patient": "P00", "fold": "one"}, *rows])


def test_unusable_files_are_refused_in_one_sentence(compare, others, tmp_path):
    def refused(**arrays):
        path = write_slices(tmp_path, STRANGERS)
        change(path, **arrays)
        code, _, said = compare(path, "--methods", "ruler")
        assert code == 3
        return said

    assert "has no array 'mask'" in refused(mask=None)
    assert "mask of slice 0 is empty" in refused(mask=np.zeros((30, 71, 71), np.uint8))
    path = write_slices(tmp_path, STRANGERS)
    write_rows(tmp_path / "wrong.csv", [{"patient": "P00", "note": "no rating"}])
    code, _, said = compare(path, "--ratings", tmp_path / "wrong.csv", "--methods", "ruler")
    assert code == 3 and "manufacturer" in said
    code, _, said = compare(path, "--ratings", others.with_name("ratings.csv"), "--methods", "rulers")
    assert code == 3 and "no method named 'rulers'" in said
    code, _, said = compare(tmp_path / "nothing.npz", "--methods", "ruler")
    assert code == 3 and "is not there" in said


def test_a_set_without_both_kinds_is_refused(compare, slices, tmp_path):
    test = write_slices(tmp_path, STRANGERS)
    rows = [{**row, **{f"Malignancy_{k}": 2 for k in range(1, 5)}} for row in _rows(test.with_name("ratings.csv"))]
    write_rows(test.with_name("ratings.csv"), rows)
    code, _, said = compare(slices, "--test-slices", test, "--methods", "ruler")
    assert code == 3 and "nodules of both kinds" in said
    code, _, said = compare(test, "--methods", "ruler")
    assert code == 3 and "nodules of one kind only" in said


def _rows(path):
    import csv

    with path.open() as file:
        return list(csv.DictReader(file))


def test_options_that_do_not_go_together_are_a_usage_error(slices, capsys):
    for words in (["--ratings", "a.csv"], ["--slices", "a", "--test-slices", "b", "--patches", "c"], ["--scale", "0"]):
        with pytest.raises(SystemExit) as stopped:
            main(["compare", *words])
        assert stopped.value.code == 2
    assert "--scale" in capsys.readouterr().err


def test_the_page_needs_nothing_else_and_a_try_says_loudly_that_it_is_one(compare, slices, tmp_path, monkeypatch):
    register(monkeypatch, coin=random_answers)
    compare(slices, "--methods", "coin,reader-model", "--scale", "0.1", "--out", tmp_path / "out")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert not re.findall(r"(?:src|href)=|<script|@import|url\(", page)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "ONLY 0.1 OF THE USUAL TRAINING" in page
    assert page.count("<svg") == 2 + 3  # areas and curves, and each method's reliability
    assert "The ruler alone reaches an AUC of 1.000" in page
    assert "one reader&#x27;s rating tells there" in page
    table = _rows(tmp_path / "out" / "compare.csv")
    assert {row["method"] for row in table} == {"ruler", "coin", "reader-model"}
    assert not list((tmp_path / "out").glob("*.partial"))


def test_without_json_the_table_and_the_verdict_are_printed(slices, tmp_path, capsys):
    words = ["--methods", "reader-model", "--resamples", "40", "--workers", "1", "--runs", str(tmp_path)]
    assert main(["compare", "--slices", str(slices), *words]) == 0
    printed = capsys.readouterr().out
    assert "Ruler (diameter" in printed and "Reader-suspicion" in printed
    assert "earns its place" in printed
    assert main(["compare", "--methods", "list"]) == 0
    assert "ensemble" in capsys.readouterr().out


class _Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_process_that_dies_takes_only_its_piece_with_it(slices, tmp_path):
    from LungCADLib.training.methods.cases import Cases
    from LungCADLib.training.slice_sets import read_slices

    cases = Cases.of_slices(read_slices(slices, slices.with_name("ratings.csv")))

    def piece(key, asked):
        return Piece(key, "all", cases, {"slices": asked}, None, tmp_path, 0, "cpu", 1.0)

    outcomes = work_through([piece("appearance", _Deadly()), piece("ruler", cases)], 2)
    said = {one.method: outcome for one, outcome in outcomes}
    assert "exit code 9" in said["appearance"]
    here = work(piece("ruler", cases))
    assert np.array_equal(said["ruler"].probabilities["slices"], here.probabilities["slices"])


def test_every_method_says_what_it_is():
    for key in METHODS:
        one = method(key)
        assert one.key == key
        assert 3 < len(one.title) < 60
        assert isinstance(one.needs_outlines, bool)
