"""Results appear whole or not at all, and never cost anyone a file."""

import os

import pytest

from LungCADLib.errors import OutputError
from LungCADLib.jobs.output import check_folder, publishing

STUDY = '{"schema_version": "1.0", "provenance": {"lungcad": "0.1.0"}}'


def own_results(folder):
    folder.mkdir()
    (folder / "study.json").write_text(STUDY)
    (folder / "nodules.csv").write_text("old")
    (folder / "scene.mrb").write_text("old")
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def publish(folder, force=False):
    check_folder(folder, force)
    with publishing(folder, {"study.json", "nodules.csv", "scene.mrb"}) as partial:
        (partial / "study.json").write_text(STUDY)
        (partial / "nodules.csv").write_text("new")


def test_a_new_folder_gets_the_results_and_its_parents_are_made(tmp_path):
    publish(tmp_path / "a" / "b" / "out")
    assert names(tmp_path / "a" / "b") == ["out"]
    assert names(tmp_path / "a" / "b" / "out") == ["nodules.csv", "study.json"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    publish(tmp_path / "out")
    assert names(tmp_path / "out") == ["nodules.csv", "study.json"]


def test_the_current_folder_is_used(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    publish(type(tmp_path)("."))
    assert names(tmp_path / "here") == ["nodules.csv", "study.json"]
    assert names(tmp_path) == ["here"]


def test_older_results_are_replaced_whole(tmp_path):
    folder = own_results(tmp_path / "out")
    publish(folder)
    assert names(folder) == ["nodules.csv", "study.json"], "the older scene does not belong to the new study"
    assert (folder / "nodules.csv").read_text() == "new"


@pytest.mark.parametrize("make", [own_results, lambda folder: folder.mkdir() or folder], ids=["results", "nothing"])
def test_a_folder_with_other_files_needs_force_which_leaves_them_alone(tmp_path, make):
    folder = make(tmp_path / "out")
    (folder / "notes.txt").write_text("mine")
    before = names(folder)
    with pytest.raises(OutputError, match=r"notes\.txt"):
        publish(folder)
    assert names(folder) == before
    publish(folder, force=True)
    assert names(folder) == ["nodules.csv", "notes.txt", "study.json"]
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("study", [None, "{}", "[]", "not JSON"])
def test_a_file_that_only_has_the_name_of_a_result_is_not_replaced_even_with_force(tmp_path, study):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "nodules.csv").write_text("mine")
    if study is not None:
        (folder / "study.json").write_text(study)
    for force in (False, True):
        with pytest.raises(OutputError, match=r"nodules\.csv is there and is not LungCAD's"):
            publish(folder, force)
    assert (folder / "nodules.csv").read_text() == "mine"


def test_a_file_that_came_while_the_scan_was_analyzed_is_not_replaced(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError, match="already there"), publishing(folder) as partial:
        (partial / "notes.txt").write_text("new")
        (folder / "notes.txt").write_text("mine")
    assert names(tmp_path) == ["out"]
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(OutputError, match="is a file, not a folder"):
            check_folder(folder, force=True)


def test_a_broken_link_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="leads nowhere"):
        check_folder(tmp_path / "out", force=True)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(OutputError, match=f"{tmp_path} cannot be written"):
        check_folder(tmp_path / "out", force=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OutputError])
def test_whatever_stops_the_writing_nothing_is_left(tmp_path, error):
    with pytest.raises(error), publishing(tmp_path / "a" / "out") as partial:
        (partial / "study.json").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="No space left on device"), publishing(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_older_results_survive_a_run_that_fails(tmp_path):
    folder = own_results(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt), publishing(folder, {"study.json", "nodules.csv"}) as partial:
        (partial / "nodules.csv").write_text("new")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["out"]
    assert names(folder) == ["nodules.csv", "scene.mrb", "study.json"]
    assert (folder / "nodules.csv").read_text() == "old"
