"""DSB2017: the layout, the run that goes on and that one patient cannot stop, the submission, the log loss."""

import csv
import json

import numpy as np
import pytest
from dsb_factory import patient_id, tiny_twin, write_labels
from study_factory import make_scan, make_study

from LungCADLib.cli import main
from LungCADLib.errors import InputError
from LungCADLib.evaluation import dsb_run
from LungCADLib.evaluation.dsb import submitted
from LungCADLib.evaluation.dsb_figures import calibrated, log_loss, losses
from LungCADLib.evaluation.dsb_run import Verdict, walk_patients
from LungCADLib.settings import Settings
from LungCADLib.training.datasets.dsb2017 import SET, patients, read_labels


@pytest.fixture(scope="module")
def study():
    return make_study(make_scan())


@pytest.fixture
def quick(monkeypatch, study):
    """Reading is real, the road is not; the names of who was analyzed."""
    seen = []

    def analyze(scan, settings):
        seen.append(scan.header.patient_id)
        return study

    monkeypatch.setattr(dsb_run, "analyze", analyze)
    return seen


def submission(path):
    return {row["id"]: float(row["cancer"]) for row in csv.DictReader(path.open())}


def test_the_layout_names_everyone_with_a_label_or_a_folder(tmp_path):
    ids = tiny_twin(tmp_path)
    write_labels(tmp_path, {ids[0]: 1, ids[1]: 0, "gone": 1})
    found = {patient.id: patient for patient in patients(tmp_path)}
    assert set(found) == {*ids, "gone"}
    assert found[ids[0]].cancer is True and found[ids[1]].cancer is False and found[ids[2]].cancer is None
    assert found["gone"].folder is None
    assert found[ids[2]].folder == tmp_path / "stage1" / ids[2]
    assert SET.recognizes(tmp_path) and not SET.recognizes(tmp_path / "stage1")


def test_folders_may_stand_beside_the_table(tmp_path):
    ids = tiny_twin(tmp_path, (1, 0))
    for path in (tmp_path / "stage1").iterdir():
        path.rename(tmp_path / path.name)
    (tmp_path / "stage1").rmdir()
    assert [patient.id for patient in patients(tmp_path)] == sorted(ids)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,cancer\na,yes\n", "line 2: expected id,cancer with cancer 0 or 1"),
        ("id,cancer\na,1\na,0\n", "line 3: patient a stands in it twice"),
        ("id,cancer\n../a,1\n", "no name of a patient's folder"),
        ("name,label\na,1\n", "expected id,cancer"),
        ("", "names no patient"),
    ],
)
def test_another_table_gets_one_sentence(tmp_path, text, says):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read_labels(tmp_path / "labels.csv")


def test_a_folder_without_patients_is_refused(tmp_path):
    write_labels(tmp_path, {"a": 1})
    with pytest.raises(InputError, match=r"no folder of DICOM per patient; expected stage1_labels\.csv"):
        patients(tmp_path)


def test_the_check_names_what_is_broken_or_missing(tmp_path):
    from LungCADLib.progress import Progress

    ids = tiny_twin(tmp_path)
    write_labels(tmp_path, {ids[0]: 1, ids[1]: 0, "gone": 1})
    for path in (tmp_path / "stage1" / ids[1]).iterdir():
        path.write_bytes(b"no DICOM")
    report = SET.check(tmp_path, Progress())
    states = {case.case: case.state for case in report.cases}
    assert states == {ids[0]: "complete", ids[1]: "broken", ids[2]: "complete", "gone": "missing"}
    assert report.notes == ("1 patients have no label.",)


def test_the_command_writes_a_submission_and_goes_on_where_it_was(tmp_path, quick, capsys):
    ids = tiny_twin(tmp_path / "data")
    words = ["evaluate", "dsb", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out.csv"), "--json"]
    words += ["--runs", str(tmp_path / "runs")]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(quick) == sorted(ids) and found["failed"] == {}
    assert set(found["figures"]) == {"noisy-or", "noisy-or, leak 0.01", "noisy-or, calibrated", "ruler", "base rate"}
    base = found["figures"]["base rate"]["log_loss"]
    assert base["value"] == pytest.approx(-(2 * np.log(2 / 3) + np.log(1 / 3)) / 3) and base["n"] == 3
    # 0.93 * 0.71 and 0.61 * 0.71; the third nodule has no suspicion
    expected = 1 - 0.99 * (1 - 0.93 * 0.71) * (1 - 0.61 * 0.71)
    assert submission(tmp_path / "out.csv") == {name: pytest.approx(expected, abs=1e-6) for name in ids}

    quick.clear()
    assert main(words) == 0
    assert quick == []
    assert main([*words, "--malignancy", "appearance"]) == 0
    assert sorted(quick) == sorted(ids)


def test_a_patient_who_fails_is_named_and_stops_nobody(tmp_path, quick, capsys):
    ids = tiny_twin(tmp_path / "data")
    for path in (tmp_path / "data" / "stage1" / ids[0]).iterdir():
        path.write_bytes(b"no DICOM")
    words = ["evaluate", "dsb", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out.csv")]
    words += ["--runs", str(tmp_path / "runs")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert ids[0] in err and f"{ids[0]} gets the others' mean" in out
    assert "2 (1 with cancer)" in out
    written = submission(tmp_path / "out.csv")
    assert written[ids[0]] == pytest.approx(written[ids[1]])

    # Once it can be read, only that patient is analyzed.
    quick.clear()
    tiny_twin(tmp_path / "data")
    assert main(words) == 0
    assert quick == [ids[0]]


def test_nobody_analyzed_is_an_error(tmp_path, quick, capsys):
    ids = tiny_twin(tmp_path / "data", (1,))
    for path in (tmp_path / "data" / "stage1" / ids[0]).iterdir():
        path.write_bytes(b"no DICOM")
    assert main(["evaluate", "dsb", "--data", str(tmp_path / "data"), "--runs", str(tmp_path / "runs")]) == 3
    assert "None of the 1 patients" in capsys.readouterr().err


def test_a_bug_in_the_road_costs_one_patient(tmp_path, study):
    ids = tiny_twin(tmp_path)

    def walk(folder, settings):
        if folder.name == ids[0]:
            raise ZeroDivisionError("1 / 0")
        return study

    found = walk_patients(patients(tmp_path), Settings(), tmp_path / "runs", walk)
    assert "ZeroDivisionError" in found[ids[0]].error
    assert not found[ids[1]].error and found[ids[1]].nodules == 3


def test_who_failed_gets_the_mean_of_the_others():
    done = [Verdict((0.5,)), Verdict(error="why"), Verdict((0.1,))]
    assert submitted(done, 0.0) == pytest.approx([0.5, 0.3, 0.1])


def test_log_loss_by_hand():
    labels = np.array([True, False])
    assert log_loss(labels, np.array([0.8, 0.4])) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert log_loss(labels, np.array([0.0, 0.0])) == pytest.approx(-np.log(1e-15) / 2)


def test_log_loss_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels, p = rng.random(50) < 0.3, rng.random(50)
    assert log_loss(labels, p) == pytest.approx(metrics.log_loss(labels, p))


def test_calibration_never_sees_the_patients_own_label():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(1)
    labels = rng.random(40) < 0.5
    values = labels + 0.5 * rng.standard_normal(40)
    other = labels.copy()
    other[7] = ~other[7]
    assert calibrated(values, labels)[7] == calibrated(values, other)[7]
    # Three others without cancer: (0 + 1) / (3 + 2).
    assert calibrated(np.arange(4.0), np.array([True, False, False, False]))[0] == pytest.approx(0.2)


def test_the_leak_saves_a_patient_in_whom_nothing_was_found():
    pytest.importorskip("sklearn")
    cancer = [True, True, False, False]
    done = [Verdict((0.8,), 1, 20.0), Verdict(), Verdict((0.1,), 1, 5.0), Verdict()]
    rows = {row.name: row for row in losses([patient_id(str(k)) for k in range(4)], cancer, done, 0.01)}
    assert rows["noisy-or"].log_loss.value > 8 > 2 > rows["noisy-or, leak 0.01"].log_loss.value
    assert rows["base rate"].log_loss.value == pytest.approx(np.log(2))
    # Of the four pairs with and without cancer: 20 mm wins two, nothing found loses one to 5 mm and ties with nothing.
    assert rows["ruler"].auc.value == pytest.approx((2 + 0.5) / 4)
    assert rows["noisy-or, calibrated"].auc.value == rows["noisy-or, leak 0.01"].auc.value
    assert rows["base rate"].auc is None
