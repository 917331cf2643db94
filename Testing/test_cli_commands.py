"""The other commands, and what all commands have in common."""

import hashlib
import json
import re
import subprocess
import sys
from importlib import import_module

import jsonschema
import pytest
from study_factory import make_scan, make_study

from LungCADLib import __version__, phantom, training
from LungCADLib.cli import COMMANDS, GROUPS, main
from LungCADLib.phantom import small_phantom, write_phantom
from LungCADLib.resources import resource


def end_of(words):
    with pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code


def test_help_names_every_command_and_exit_code(capsys):
    assert end_of(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {name} " in shown for name in [*COMMANDS, *GROUPS])
    assert all(f"\n  {code} " in shown for code in (0, 1, 2, 3, 4, 130))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert end_of([command, "--help"]) == 0
    assert f"usage: lungcad {command}" in capsys.readouterr().out


def test_version(capsys):
    assert end_of(["--version"]) == 0
    assert capsys.readouterr().out == f"lungcad {__version__}\n"


@pytest.mark.parametrize("words", [[], ["unknown"], ["train"], ["train", "unknown"], ["analyze"], ["--unknown"]])
def test_an_incomplete_or_unknown_command_ends_with_2(words):
    assert end_of(words) == 2


def test_the_package_runs_as_a_module():
    answer = subprocess.run([sys.executable, "-m", "LungCADLib", "--version"], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, f"lungcad {__version__}\n")


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    command = f"{sys.executable} -m LungCADLib schema | head -c 1"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("{", "")


def test_schema_is_what_a_study_satisfies(capsys):
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    study = json.loads(make_study(make_scan()).to_json())
    jsonschema.validate(study, schema)
    del study["nodules"][0]["volume_mm3"]
    with pytest.raises(jsonschema.ValidationError, match="volume_mm3"):
        jsonschema.validate(study, schema)


@pytest.fixture(scope="module")
def small():
    return small_phantom(nodules=1, extent_mm=(60.0, 340.0, 340.0))


def test_series_lists_what_a_folder_holds(small, tmp_path, capsys):
    write_phantom(tmp_path / "deep" / "dicom", small)
    assert main(["series", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for word in ("2.25.", "read by default", "patient PHANTOM", "24 slices", "2.50 mm apart", "axial"):
        assert word in shown
    assert main(["series", str(tmp_path), "--json"]) == 0
    (series,) = json.loads(capsys.readouterr().out)
    assert (series["modality"], series["slices"], series["usable"], len(series["files"])) == ("CT", 24, True, 24)
    assert series["series_uid"] in shown


def test_series_of_a_folder_without_any_ends_with_3(tmp_path, capsys):
    assert main(["series", str(tmp_path)]) == 3
    assert capsys.readouterr().err == f"lungcad: {tmp_path} holds no DICOM series.\n"


@pytest.fixture
def quick_phantom(monkeypatch, small):
    monkeypatch.setattr(phantom, "make_phantom", lambda seed, nodules, progress: small)


@pytest.mark.parametrize(("name", "truth"), [("ct.nrrd", "ct.truth.json"), ("dicom", "dicom.truth.json")])
def test_phantom_writes_scan_and_truth_and_never_replaces(quick_phantom, tmp_path, name, truth, capsys):
    out = tmp_path / "new" / name
    assert main(["phantom", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out), str(out.parent / truth)]
    assert sorted(path.name for path in out.parent.iterdir()) == sorted([name, truth])
    before = {path: path.stat().st_mtime_ns for path in out.parent.rglob("*")}
    assert main(["phantom", str(out)]) == 4
    assert {path: path.stat().st_mtime_ns for path in out.parent.rglob("*")} == before


def test_phantom_with_labels_writes_the_true_outlines_too(quick_phantom, tmp_path):
    assert main(["phantom", str(tmp_path / "ct.mha"), "--labels"]) == 0
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["ct.lungs.nrrd", "ct.mha", "ct.nodules.nrrd", "ct.truth.json"]


def test_phantom_is_made_as_asked(monkeypatch, tmp_path, small):
    asked = {}
    monkeypatch.setattr(phantom, "make_phantom", lambda seed, **more: asked.update(seed=seed, **more) or small)
    assert main(["phantom", str(tmp_path / "ct.nrrd"), "--seed", "7", "--nodules", "2"]) == 0
    assert (asked["seed"], asked["nodules"]) == (7, 2)
    assert end_of(["phantom", "x.nrrd", "--nodules", "-1"]) == 2


def test_a_stopped_phantom_leaves_nothing(monkeypatch, quick_phantom, tmp_path):
    def write(path, *args, **more):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom, "write_phantom", write)
    assert main(["phantom", str(tmp_path / "ct.nrrd")]) == 130
    assert list(tmp_path.iterdir()) == []


def test_models_lists_engines_and_the_hash_of_each_weights_file(capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    for engine in ("--lungs", "--detector", "--outline", "--malignancy", "reader-model"):
        assert engine in shown
    for path in resource("Models").glob("*.json"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in shown


def test_a_trainer_is_a_module_with_two_functions_and_its_first_line_is_its_help(tmp_path, monkeypatch, capsys):
    toy = (
        '"""`lungcad train toy-model`: counts folds."""\n\n'
        "def add_arguments(parser):\n    parser.add_argument('--folds', type=int)\n\n"
        "def run(args):\n    return args.folds\n"
    )
    (tmp_path / "a_trainer.py").write_text(toy, encoding="utf-8")
    other = '"""`lungcad train other`: is never imported."""\nraise AssertionError\n'
    (tmp_path / "another_trainer.py").write_text(other, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(training, "COMMANDS", {"toy-model": "a_trainer", "other": "another_trainer"})
    assert main(["train", "toy-model", "--folds", "42"]) == 42
    assert end_of(["train", "--help"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"toy-model\s+counts folds\n", said)
    assert re.search(r"other\s+is never imported\n", said)


@pytest.mark.parametrize("group", GROUPS)
def test_every_trainer_and_evaluator_has_help(group, capsys):
    names = import_module(GROUPS[group][0]).COMMANDS
    assert names
    for name in names:
        assert end_of([group, name, "--help"]) == 0
        assert f"usage: lungcad {group} {name}" in capsys.readouterr().out
