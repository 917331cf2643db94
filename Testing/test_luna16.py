"""LUNA16's evaluation of a submission: by hand, by its script's own way of counting, and by MONAI."""

import csv
import json

import numpy as np
import pytest

from LungCADLib.cli import main
from LungCADLib.evaluation.froc import POINTS, RATES, Scored, froc, resampled

HEAD = ("seriesuid", "coordX", "coordY", "coordZ")


def write(path, last, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([(*HEAD, last), *rows])


@pytest.fixture
def tables(tmp_path):
    """Two nodules in scan A, one in B, none in C; something excluded in A and, without a diameter, in C."""
    nodules = [("A", 0, 0, 0, 10), ("A", 50, 0, 0, 6), ("B", 0, 0, 0, 8), ("Z", 0, 0, 0, 8)]
    write(tmp_path / "annotations.csv", "diameter_mm", nodules)
    write(tmp_path / "annotations_excluded.csv", "diameter_mm", [("A", 0, 90, 0, 4), ("C", 0, 0, 0, -1)])
    (tmp_path / "seriesuids.csv").write_text("A\nB\nC\n")
    return tmp_path


MARKS = [
    ("A", 1, 0, 0, 0.9),  # hits the first nodule
    ("A", 0, 2, 0, 0.8),  # hits it again: neither a find nor false
    ("A", 0, 91, 0, 0.7),  # on an excluded finding
    ("A", 0, 92, 0, 0.6),  # exactly on its edge: false
    ("B", 0, 0, 0, 0.5),  # hits
    ("C", 4.9, 0, 0, 0.4),  # within 5 mm of what has no diameter: excluded
    ("C", 0, 0, 200, 0.3),  # false
    ("Z", 0, 0, 0, 0.99),  # a scan that is not listed
]


def evaluate(tables, rows, *words):
    write(tables / "marks.csv", "probability", rows)
    return main(["evaluate", "froc", "--detections", str(tables / "marks.csv"), "--tables", str(tables), *words])


def test_a_submission_by_hand(tables, capsys):
    assert evaluate(tables, MARKS, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    counts = {key: value for key, value in found.items() if isinstance(value, int)}
    assert counts == {
        "scans": 3, "nodules": 3, "nodules_hit_by_any_mark": 2, "marks": 7, "false_marks": 2,
        "further_hits_on_a_nodule": 1, "marks_in_other_series": 1,
    }  # fmt: skip
    # Strictest first: 0.9 finds one of three; 0.6 is false (1/3 per scan); 0.5 finds the second; 0.3 is false.
    expected = [1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3]
    assert [found[f"sensitivity_at_{rate:g}"]["value"] for rate in RATES] == pytest.approx(expected, abs=1e-6)
    assert found["cpm"]["value"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert found["cpm"]["low"] <= found["cpm"]["value"] <= found["cpm"]["high"]


def test_the_screen_and_the_picture_say_it_too(tables, tmp_path, capsys):
    assert evaluate(tables, MARKS, "--plot", str(tmp_path / "froc.svg")) == 0
    assert "cpm" in capsys.readouterr().out
    assert "(CPM 0.571)" in (tmp_path / "froc.svg").read_text()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("annotations.csv", "seriesuid,coordX,coordY\nA,1,2\n", "coordZ"),
        ("marks.csv", "seriesuid,coordX,coordY,coordZ,probability\nA,1,2,three,0.5\n", "row 1 needs numbers"),
        ("marks.csv", "seriesuid,coordX,coordY,coordZ,probability\nA,1,2,3,nan\n", "row 1 needs numbers"),
        ("seriesuids.csv", "A\nB\nA\n", "names A 2 times"),
        ("seriesuids.csv", "a,b\n1,2\n", "no list of series UIDs"),
        ("seriesuids.csv", "seriesuid\nX\n", "None of the nodules lies in a series"),
    ],
)
def test_what_is_no_table_of_luna16_is_refused(tables, capsys, file, content, said):
    write(tables / "marks.csv", "probability", MARKS)
    (tables / file).write_text(content)
    assert main(["evaluate", "froc", "--detections", str(tables / "marks.csv"), "--tables", str(tables)]) == 3
    printed = capsys.readouterr().err
    assert said in printed and file in printed


def test_the_real_tables_are_read(real_data, tmp_path, capsys):
    # The nodules themselves as marks: each finds itself, and a few find a neighbor, too.
    with (real_data / "tables" / "annotations.csv").open() as file:
        rows = [[*list(row.values())[:4], 0.5] for row in csv.DictReader(file)]
    write(tmp_path / "marks.csv", "probability", rows)
    words = ["--detections", str(tmp_path / "marks.csv"), "--tables", str(real_data / "tables"), "--json"]
    assert main(["evaluate", "froc", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["scans"], found["nodules"], found["false_marks"]) == (888, 1186, 0)
    assert found["cpm"]["value"] == 1


def some_scans(seed, scans=12):
    random = np.random.default_rng(seed)
    out = []
    for _ in range(scans):
        nodules = random.normal(1, 1, random.integers(0, 4)).round(1)
        nodules[random.random(len(nodules)) < 0.2] = -np.inf
        out.append(Scored(nodules, random.normal(0, 1, random.integers(0, 12)).round(1)))
    return out


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_the_one_of_lunas_script(seed):
    # noduleCADEvaluationLUNA16.py: scikit-learn's ROC over hits and false marks, a missed nodule as a positive with the
    # lowest score of all, whose threshold is left out.
    metrics = pytest.importorskip("sklearn.metrics")
    scans = some_scans(seed)
    nodules, false = (np.concatenate([getattr(scan, name) for scan in scans]) for name in ("nodules", "false"))
    missed = np.isneginf(nodules)
    labels = np.concatenate([np.ones(len(nodules)), np.zeros(len(false))])
    scores = np.concatenate([np.where(missed, -1e9, nodules), false])
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores)
    kept = thresholds > -1e8
    per_scan, sensitivity = fpr[kept] * len(false) / len(scans), tpr[kept]
    rates = np.linspace(0.125, 8, 10001)
    curve = froc(scans)
    assert np.array_equal(curve.rates, rates) and len(rates) == POINTS
    assert curve.sensitivity == pytest.approx(np.interp(rates, per_scan, sensitivity))
    assert curve.cpm == pytest.approx(np.mean(np.interp(RATES, per_scan, sensitivity)))


def test_monai_gives_the_same_where_its_rates_are_lunas(seed=3):
    # MONAI's own rates begin at 1/4, and its curve leaves out the lowest score: here one that is false.
    metrics = pytest.importorskip("monai.metrics")
    scans = some_scans(seed)
    nodules, false = (np.concatenate([getattr(scan, name) for scan in scans]) for name in ("nodules", "false"))
    false = np.append(false, -99.0)
    found = nodules[np.isfinite(nodules)]
    rates, sensitivity = metrics.compute_froc_curve_data(false, found, len(nodules), len(scans))
    expected = metrics.compute_froc_score(rates, sensitivity, eval_thresholds=RATES)
    assert froc(scans).cpm == pytest.approx(float(expected), abs=1e-6)


def test_drawing_again_is_the_curve_of_each_draw():
    scans, seed, times = some_scans(7), 11, 40
    drawn = resampled(scans, seed, times)
    random = np.random.default_rng(seed)
    for row in drawn:
        curve = froc([scans[i] for i in random.integers(len(scans), size=len(scans))])
        assert row == pytest.approx([curve.cpm, *curve.at])
