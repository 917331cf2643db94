"""`lungcad analyze`: what it writes, what it says, how it ends. The road itself has its own tests."""

import io
import os
import signal
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from study_factory import make_scan, make_study

from LungCADLib import readers
from LungCADLib.cli import main
from LungCADLib.cli.screen import show_study
from LungCADLib.readers import read_scan as real_read_scan
from LungCADLib.settings import Patient, Settings
from LungCADLib.study import Study


@pytest.fixture
def road(monkeypatch, tmp_path):
    """A road that finds the hand-made study at once; a test may replace `analyze` and `write` with worse ones."""
    scan = make_scan()
    road = SimpleNamespace(settings=None, series=None, at=tmp_path / "work")
    road.at.mkdir()

    def read_scan(path, series=None, progress=None):
        road.series = series
        return scan

    def analyze(scan, settings, progress):
        road.settings = settings
        with progress.stage("lungs"):
            progress.update(0.5)
        return make_study(scan)

    def write(study, scan, out):
        study.save(out / "study.json")
        (out / "nodules.csv").write_text("id\n")

    road.analyze, road.write = analyze, write
    fake = SimpleNamespace(
        SHARES={"read": 1.0, "lungs": 2.0, "write": 1.0},
        analyze=lambda *args: road.analyze(*args),
        write_results=lambda *args: road.write(*args),
    )
    monkeypatch.setitem(sys.modules, "LungCADLib.pipeline", fake)
    monkeypatch.setattr(readers, "read_scan", read_scan)
    monkeypatch.chdir(road.at)
    return road


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_results_are_written_shown_and_found(road, capsys):
    assert main(["analyze", "ct.nrrd", "--out", "out"]) == 0
    assert names(road.at) == ["out"]
    assert names(road.at / "out") == ["nodules.csv", "study.json"]
    shown = capsys.readouterr().out
    for word in ("L1", "right upper lobe, central", "solid", "16.1", "0.71", "12% (5.0-31)", "4A", "0.93"):
        assert word in shown
    assert "not a probability of cancer" in shown
    assert "range over what nobody entered: emphysema" in shown
    assert "Lung-RADS v2022: 4A. CT in 3 months" in shown
    assert "Warning: The slices are 2.5 mm thick." in shown
    assert "outline doubtful" in shown and "The right lung is small." in shown
    assert "not a medical device" in shown
    assert "table: out/nodules.csv" in shown
    assert "scene.mrb" not in shown, "a file that was not written is not announced"


def test_a_narrow_terminal_folds_words_but_never_cuts_a_number():
    study = make_study(make_scan())
    study.nodules[0].density, study.nodules[0].volume_mm3 = "part-solid", 123456.0
    console = Console(width=80, file=io.StringIO())
    show_study(study, console)
    shown = console.file.getvalue()
    for whole in ("part-solid", "16.1", "123456", "0.71", "12% (5.0-31)", "4A", "0.93"):
        assert whole in shown


def test_no_nodules_is_said(road, capsys):
    def analyze(scan, settings, progress):
        study = make_study(scan)
        study.nodules.clear()
        return study

    road.analyze = analyze
    assert main(["analyze", "ct.nrrd"]) == 0
    assert "No nodule found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "folder"),
    [("ct.nii.gz", "ct-lungcad"), ("a/CT.NRRD", "CT-lungcad"), ("a/dicom/", "dicom-lungcad"), (".", "work-lungcad")],
)
def test_results_go_to_a_folder_named_after_the_input(road, given, folder):
    assert main(["analyze", given]) == 0
    assert names(road.at) == [folder]


def test_json_is_the_study_and_nothing_else(road, capsys):
    assert main(["analyze", "ct.nrrd", "--json", "--profile"]) == 0
    captured = capsys.readouterr()
    assert Study.from_json(captured.out) == make_study(make_scan())
    assert "lungs" in captured.err
    assert captured.out == (road.at / "ct-lungcad" / "study.json").read_text()


def test_progress_in_a_file_is_a_line_per_stage(road, capsys):
    main(["analyze", "ct.nrrd"])
    assert capsys.readouterr().err.splitlines() == ["  0% read", " 25% lungs", " 75% write"]


def test_profile_shows_the_time_of_each_stage_and_the_memory(road, capsys):
    main(["analyze", "ct.nrrd", "--profile"])
    shown = capsys.readouterr().err
    assert all(stage in shown for stage in ("read", "lungs", "write", "all"))
    assert "Peak memory:" in shown


def test_what_the_command_line_says_reaches_the_road(road):
    given = (
        "--device cpu --series 1.2.3 --threshold 0.4 --min-diameter 6 --age 61 --sex F --years-since-quit 3"
        " --family-history yes --emphysema no --high-risk unknown --pet intense --lungs a --detector b --outline c"
        " --malignancy d"
    )
    assert main(["analyze", "ct.nrrd", *given.split()]) == 0
    patient = Patient(
        age_years=61.0,
        sex="female",
        ever_smoker=True,
        years_since_quit=3.0,
        family_history_lung_cancer=True,
        emphysema=False,
        pet_uptake="intense",
    )
    assert road.series == "1.2.3"
    assert road.settings == Settings(
        device="cpu",
        lung_engine="a",
        detector="b",
        outliner="c",
        malignancy="d",
        detection_threshold=0.4,
        min_diameter_mm=6.0,
        patient=patient,
    )


def test_nothing_said_is_the_default_and_nothing_known(road):
    assert main(["analyze", "ct.nrrd"]) == 0
    assert road.settings == Settings()


@pytest.mark.parametrize(("flag", "smoked"), [("--smoker", True), ("--never-smoker", False)])
def test_smoking_is_a_yes_or_a_no(road, flag, smoked):
    assert main(["analyze", "ct.nrrd", flag]) == 0
    assert road.settings.patient == Patient(ever_smoker=smoked)


@pytest.mark.parametrize(
    "wrong",
    [
        "--threshold 1.1",
        "--threshold nan",
        "--threshold much",
        "--min-diameter -1",
        "--min-diameter inf",
        "--age 131",
        "--sex other",
        "--smoker --never-smoker",
        "--never-smoker --years-since-quit 2",
        "--emphysema maybe",
        "--pet bright",
        "--device tpu",
    ],
)
def test_a_wrong_command_line_ends_with_2(road, wrong, capsys):
    with pytest.raises(SystemExit) as end:
        main(["analyze", "ct.nrrd", *wrong.split()])
    assert end.value.code == 2
    assert "error: argument" in capsys.readouterr().err
    assert names(road.at) == []


def test_an_unusable_input_ends_with_3_and_one_sentence(road, monkeypatch, capsys):
    monkeypatch.setattr(readers, "read_scan", real_read_scan)
    (road.at / "empty.nrrd").touch()
    for path in ("gone.nrrd", "empty.nrrd"):
        assert main(["analyze", path]) == 3
        *_, said = capsys.readouterr().err.splitlines()
        assert said.startswith("lungcad: ") and path in said
    assert names(road.at) == ["empty.nrrd"]


def test_a_device_that_is_not_there_ends_with_3_before_the_scan_is_read(road, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["analyze", "ct.nrrd", "--device", "cuda"]) == 3
    assert capsys.readouterr().err.startswith("lungcad: Device cuda is not available here")


def test_a_folder_with_other_files_ends_with_4_before_the_scan_is_read(road, capsys):
    (road.at / "out").mkdir()
    (road.at / "out" / "notes.txt").write_text("mine")
    assert main(["analyze", "ct.nrrd", "--out", "out"]) == 4
    assert capsys.readouterr().err == (
        "lungcad: out holds other files, such as notes.txt; choose another --out, or --force to add LungCAD's files.\n"
    )
    assert road.settings is None
    assert main(["analyze", "ct.nrrd", "--out", "out", "--force"]) == 0
    assert names(road.at / "out") == ["nodules.csv", "notes.txt", "study.json"]


def test_the_same_command_twice_replaces_its_own_results(road):
    for _ in range(2):
        assert main(["analyze", "ct.nrrd"]) == 0
    assert names(road.at) == ["ct-lungcad"]


def test_a_full_disk_ends_with_4(road, capsys):
    def write(study, scan, out):
        study.save(out / "study.json")
        raise OSError(28, "No space left on device")

    road.write = write
    assert main(["analyze", "ct.nrrd"]) == 4
    assert capsys.readouterr().err.endswith(f"{road.at / 'ct-lungcad'}: No space left on device.\n")
    assert names(road.at) == []


def press_ctrl_c(*args):
    raise KeyboardInterrupt


def terminate(*args):
    os.kill(os.getpid(), signal.SIGTERM)
    # Python runs the handler between two bytecodes of the main thread.
    for _ in range(1000):
        pass
    raise AssertionError("the signal did not stop the run")


@pytest.mark.parametrize("stop", [press_ctrl_c, terminate])
@pytest.mark.parametrize("where", ["analyze", "write"])
def test_a_stopped_run_ends_with_130_and_leaves_nothing(road, stop, where, capsys):
    def write(study, scan, out):
        study.save(out / "study.json")
        stop()

    if where == "analyze":
        road.analyze = stop
    else:
        road.write = write
    assert main(["analyze", "ct.nrrd", "--out", "a/out"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "lungcad: Stopped."
    assert names(road.at) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("first\nsecond"), "lungcad: Error inside LungCAD: RuntimeError: first (--debug shows where)"),
        (MemoryError(), "lungcad: This machine has not enough free memory for this scan."),
        (
            ModuleNotFoundError("No module named 'monai'", name="monai"),
            "lungcad: The package monai is missing; pip install 'lungcadlib[networks,scene,train]'.",
        ),
    ],
)
def test_an_error_of_ours_ends_with_1_one_sentence_and_nothing_left(road, capsys, error, said):
    def analyze(*args):
        raise error

    road.analyze = analyze
    assert main(["analyze", "ct.nrrd"]) == 1
    shown = capsys.readouterr().err
    assert shown.splitlines()[-1] == said
    assert "Traceback" not in shown
    assert main(["analyze", "ct.nrrd", "--debug"]) == main(["--debug", "analyze", "ct.nrrd"]) == 1
    assert capsys.readouterr().err.count("Traceback") == 2
    assert names(road.at) == []
