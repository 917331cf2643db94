"""`lungcad models`: what there is, and getting, checking and deleting what others publish."""

import functools
import hashlib
import io
import json
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from LungCADLib.cli import main
from LungCADLib.weights import BUNDLED, CATALOG, bundle_folder, bundled_files, catalog

NAME = "toy"
WEIGHTS = b"tensors of a toy network"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def stick(monkeypatch, tmp_path):
    """A folder with a network's file, served as its publisher's site; the cache is another, empty folder."""
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / "toy.pth").write_bytes(WEIGHTS)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    license = catalog.License("CC BY-NC 4.0", "https://example.org/license", "Toy et al.", commercial=False)
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    url = f"http://127.0.0.1:{server.server_address[1]}/toy.pth"
    toy = catalog.Entry(NAME, "a toy", license, "https://example.org", "toy.pth", url, ("sha256", digest), 1)
    monkeypatch.setitem(CATALOG, NAME, toy)
    monkeypatch.setenv("LUNGCAD_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("LUNGCAD_WEIGHTS_OFFLINE", raising=False)
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def state(capsys):
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    (toy,) = [entry for entry in json.loads(capsys.readouterr().out)["downloadable"] if entry["name"] == NAME]
    return toy["state"]


def person(monkeypatch, says):
    """A person at the terminal who types an answer."""
    keyboard = io.StringIO(says)
    keyboard.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", keyboard)


def test_the_list_shows_engines_bundled_files_and_downloads(capsys, tmp_path):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    for word in ("--lungs", "--detector", "classical", "reader-model", "CC BY-NC 4.0, non-commercial", "not here"):
        assert word in shown
    assert all(name in shown for name in CATALOG)
    assert all(file.sha256 in shown for file in bundled_files())
    assert str(tmp_path / "cache") in shown


def test_the_list_as_json_has_all_of_it(capsys):
    assert main(["models", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"engines", "bundled", "downloadable", "cache"}
    engines = {(engine["option"], engine["engine"]): engine["what"] for engine in said["engines"]}
    assert engines["--malignancy", "reader-model"]
    for file in said["bundled"]:
        assert {"name", "size", "sha256", "state"} <= set(file)
        if file["name"].removesuffix(".safetensors") in BUNDLED:
            assert file["license"]["name"] == "Apache-2.0"
    toy = next(entry for entry in said["downloadable"] if entry["name"] == NAME)
    assert (toy["megabytes"], toy["license"]["commercial"], toy["state"]) == (1, False, "not here")


def test_a_script_that_accepts_gets_the_file(capsys, tmp_path):
    assert main(["models", "download", NAME, "--accept-license"]) == 0
    shown = capsys.readouterr().out
    for word in ("CC BY-NC 4.0, non-commercial use only", "https://example.org/license", "Toy et al.", "cache/toy"):
        assert word in shown
    assert (bundle_folder(NAME) / "toy.pth").read_bytes() == WEIGHTS
    assert state(capsys) == "here"


def test_both_spellings_are_understood(capsys):
    assert main(["models", "download", NAME, "--accept-licence"]) == 0
    assert main(["models", "licence", NAME]) == 0


def test_a_script_that_does_not_accept_is_refused_after_seeing_the_license(capsys, tmp_path):
    assert main(["models", "download", NAME]) == 3
    said = capsys.readouterr()
    assert "Toy et al." in said.out
    assert said.err.endswith("accept that with --accept-license.\n")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("answer", "code", "after"), [("y\n", 0, "here"), ("n\n", 3, "not here"), ("", 3, "not here")])
def test_a_person_is_asked(monkeypatch, capsys, answer, code, after):
    person(monkeypatch, answer)
    assert main(["models", "download", NAME]) == code
    assert "Accept this license and download 1 MB? [y/N]" in capsys.readouterr().err
    assert state(capsys) == after


def test_files_brought_by_hand_are_imported_from_a_folder_named_either_way(monkeypatch, capsys, stick):
    assert main(["models", "import", NAME]) == 3
    assert "--from DIR or the environment variable LUNGCAD_WEIGHTS_OFFLINE" in capsys.readouterr().err
    assert main(["models", "import", NAME, "--from", str(stick)]) == 0
    assert main(["models", "delete", NAME]) == 0
    monkeypatch.setenv("LUNGCAD_WEIGHTS_OFFLINE", str(stick))
    assert main(["models", "import", NAME]) == 0
    assert state(capsys) == "here"


def test_what_was_tampered_with_is_told_by_list_and_check(capsys):
    assert main(["models", "download", NAME, "--accept-license"]) == 0
    assert main(["models", "check"]) == 0
    (bundle_folder(NAME) / "toy.pth").write_bytes(b"other")
    assert main(["models", "check"]) == 3
    assert "toy.pth was changed since it was installed (SHA-256 differs)" in capsys.readouterr().err
    assert state(capsys) == "damaged"


def test_check_names_a_bundled_file_that_is_not_the_released_one(monkeypatch, capsys):
    from LungCADLib import weights

    bad = weights.BundledFile("outline.safetensors", 1, "0" * 64, "changed")
    monkeypatch.setattr(weights, "bundled_files", lambda: [bad])
    assert main(["models", "check"]) == 3
    assert capsys.readouterr().err == "lungcad: outline.safetensors is changed; install LungCAD again.\n"


def test_delete_says_what_it_did(capsys):
    assert main(["models", "delete", NAME]) == 3
    assert capsys.readouterr().err == "lungcad: toy is not on this computer; nothing to delete.\n"
    assert main(["models", "download", NAME, "--accept-license"]) == 0
    assert main(["models", "delete", NAME]) == 0
    assert state(capsys) == "not here"


def test_a_cache_that_cannot_be_written_ends_with_4(monkeypatch, capsys, stick):
    monkeypatch.setenv("LUNGCAD_WEIGHTS", str(stick / "toy.pth"))
    assert main(["models", "download", NAME, "--accept-license"]) == 4
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*BUNDLED, *[name for name in CATALOG if name != NAME]])
def test_every_network_has_a_license_to_show(capsys, name):
    assert main(["models", "license", name]) == 0
    shown = capsys.readouterr().out
    assert "License: " in shown
    assert "Attribution: " in shown


@pytest.mark.parametrize("words", [["download"], ["download", "unknown"], ["delete", "outline"], ["unknown"]])
def test_a_name_or_an_action_that_is_not_there_ends_with_2(words):
    with pytest.raises(SystemExit) as end:
        main(["models", *words])
    assert end.value.code == 2


def test_help_gives_examples_and_names_the_folders(capsys):
    with pytest.raises(SystemExit):
        main(["models", "--help"])
    shown = capsys.readouterr().out
    for word in ("examples:", "models import", "LUNGCAD_WEIGHTS_OFFLINE", "LUNGCAD_BUNDLE_<NAME>"):
        assert word in shown
