"""Networks that others publish: downloaded on request from a server on this machine, checked, kept, deleted."""

import hashlib
import io
import json
import os
import shutil
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from LungCADLib import weights
from LungCADLib.errors import Cancelled, InputError, OutputError
from LungCADLib.weights import cache, catalog

BUNDLE, SINGLE = "toy_bundle", "toy_file"
MODEL = b"tensors of a toy network" * 1000


def zipped(files, top="toy_bundle/"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(f"{top}{name}", data)
    return out.getvalue()


BUNDLE_FILES = {
    "LICENSE": b"Apache License",
    "configs/metadata.json": b"{}",
    "models/model.pt": MODEL,
    "models/model.ts": b"a program",
}
BUNDLE_ZIP = zipped(BUNDLE_FILES)


class Server(ThreadingHTTPServer):
    """Serves what is in `files`; a status or a broken connection where that stands instead of bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.asked = []

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        what = self.server.files.get(name, 404)
        if isinstance(what, int):
            self.send_error(what)
            return
        data, length = what if isinstance(what, tuple) else (what, len(what))
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def entries(monkeypatch, server):
    """A catalog of a zipped bundle and of a single file, both on the server."""
    license = catalog.License("CC BY-NC 4.0", "https://example.org/license", "Toy et al.", commercial=False)
    bundle = catalog.Entry(
        BUNDLE, "a toy", license, "https://example.org", "toy_v1.zip", server.url("toy_v1.zip"),
        ("sha1", hashlib.sha1(BUNDLE_ZIP).hexdigest()), 1, {"models/model.pt": ("md5", hashlib.md5(MODEL).hexdigest())},
    )  # fmt: skip
    single = replace(
        bundle, name=SINGLE, file="toy.pth", url=server.url("toy.pth"), parts={},
        digest=("sha256", hashlib.sha256(MODEL).hexdigest()),
    )  # fmt: skip
    monkeypatch.setattr(catalog, "CATALOG", {BUNDLE: bundle, SINGLE: single})
    server.files.update({"toy_v1.zip": BUNDLE_ZIP, "toy.pth": MODEL})
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """The cache of this test."""
    for variable in ("LUNGCAD_WEIGHTS_OFFLINE", "LUNGCAD_BUNDLE_TOY_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LUNGCAD_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


def get(name, **more):
    return weights.download(name, license_accepted=True, **more)


def nothing_stayed(home):
    return not home.exists() or not list(home.iterdir())


def test_a_bundle_is_unpacked_as_a_folder_without_the_program_in_it(home):
    folder = get(BUNDLE)
    assert folder == home / BUNDLE == weights.bundle_folder(BUNDLE)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"LICENSE", "configs/metadata.json", "models/model.pt", "lungcad.json"}
    assert (folder / "models/model.pt").read_bytes() == MODEL
    assert [path.name for path in home.iterdir()] == [BUNDLE]


def test_a_single_file_keeps_its_name(home):
    assert (get(SINGLE) / "toy.pth").read_bytes() == MODEL
    assert weights.is_installed(SINGLE)
    assert not weights.is_installed(BUNDLE)


def test_the_receipt_says_what_was_checked_and_under_which_license():
    receipt = json.loads((get(BUNDLE) / "lungcad.json").read_text())
    assert receipt["checked"] == {"toy_v1.zip": {"sha1": hashlib.sha1(BUNDLE_ZIP).hexdigest()}}
    assert receipt["license"] == "CC BY-NC 4.0, non-commercial use only"
    assert receipt["sha256"]["models/model.pt"] == hashlib.sha256(MODEL).hexdigest()


def test_nothing_is_asked_of_the_server_before_the_license_is_accepted(server, home):
    with pytest.raises(InputError, match=r"CC BY-NC 4.0, non-commercial use only \(https.*accept that with --accept-"):
        weights.download(BUNDLE, license_accepted=False)
    assert server.asked == []
    assert nothing_stayed(home)


def test_progress_is_told_in_bytes():
    told = []
    get(SINGLE, report=lambda received, total: told.append((received, total)))
    assert told[0] == (0, len(MODEL))
    assert told[-1] == (len(MODEL), len(MODEL))


def test_a_server_that_does_not_say_how_much_it_sends_is_fine(server):
    server.files["toy.pth"] = (MODEL, None)
    told = []
    get(SINGLE, report=lambda received, total: told.append((received, total)))
    assert told[-1] == (len(MODEL), None)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            404,
            r"answers 404 \(Not Found\); try later, or bring the file by hand with `lungcad models import toy_bundle",
        ),
        (503, r"answers 503"),
        (
            b"another file",
            r"is not what https://example.org publishes as toy_bundle \(SHA1 differs\); it was not instal",
        ),
        ((BUNDLE_ZIP[:50], len(BUNDLE_ZIP)), r"broke after 0 of 0 MB; try again"),
        ((b"x" * 3_000_000, None), r"sends far more than 1 MB"),
    ],
    ids=["gone", "busy", "other", "broken", "endless"],
)
def test_a_download_that_fails_says_why_and_leaves_nothing(server, home, what, said):
    server.files["toy_v1.zip"] = what
    with pytest.raises(InputError, match=said):
        get(BUNDLE)
    assert nothing_stayed(home)
    with pytest.raises(
        InputError, match="toy_bundle is not on this computer; get it with `lungcad models download toy_"
    ):
        weights.bundle_folder(BUNDLE)


def test_without_a_network_the_person_is_told_how_to_bring_the_file(monkeypatch, home):
    free = replace(catalog.CATALOG[BUNDLE], url="http://127.0.0.1:9/toy_v1.zip")
    monkeypatch.setitem(catalog.CATALOG, BUNDLE, free)
    with pytest.raises(
        InputError, match=r"cannot be reached \(.*refused.*\); connect .* `lungcad models import toy_bun"
    ):
        get(BUNDLE)
    assert nothing_stayed(home)


@pytest.mark.parametrize("stop", [Cancelled, KeyboardInterrupt])
def test_a_stopped_download_leaves_nothing(home, stop):
    def report(received, total):
        if received:
            raise stop

    with pytest.raises(stop):
        get(SINGLE, report=report)
    assert nothing_stayed(home)


def test_a_failed_download_keeps_what_was_there(server):
    get(SINGLE)
    server.files["toy.pth"] = b"another file"
    with pytest.raises(InputError, match="SHA256 differs"):
        get(SINGLE)
    assert (weights.bundle_folder(SINGLE) / "toy.pth").read_bytes() == MODEL


def test_too_little_room_is_known_before_the_download(monkeypatch, home):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(OutputError, match=r"not enough room in .*cache for toy_bundle; free some.*LUNGCAD_WEIGHTS"):
        get(BUNDLE)
    assert nothing_stayed(home)


def test_a_disk_that_fills_up_meanwhile_is_told(monkeypatch, home):
    def full(*args):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="not enough room"):
        get(SINGLE)
    assert nothing_stayed(home)


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LUNGCAD_WEIGHTS", str(tmp_path / "file"))
    with pytest.raises(
        OutputError, match=r"cache folder .* cannot be written .*name another one in .* LUNGCAD_WEIGHTS"
    ):
        get(SINGLE)


HARM = {
    "changed": (
        lambda folder: (folder / "models/model.pt").write_bytes(MODEL[::-1]),
        "was changed since it was install",
    ),
    "missing": (lambda folder: (folder / "models/model.pt").unlink(), "model.pt is missing"),
    "config": (lambda folder: (folder / "configs/metadata.json").write_text("[]"), "metadata.json was changed"),
    "added": (lambda folder: (folder / "models/other.PT").write_bytes(b""), "other.PT does not belong to toy_bundle"),
    "no receipt": (lambda folder: (folder / "lungcad.json").unlink(), "lungcad.json is missing or damaged"),
    "bad receipt": (lambda folder: (folder / "lungcad.json").write_text("[]"), "lungcad.json is missing or damaged"),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_is_not_as_it_was_installed_is_refused_until_it_is_downloaded_again(harm):
    do, said = HARM[harm]
    do(get(BUNDLE))
    with pytest.raises(InputError, match=said) as refused:
        weights.bundle_folder(BUNDLE)
    assert "lungcad models download toy_bundle` again" in str(refused.value)
    get(BUNDLE)
    assert weights.bundle_folder(BUNDLE)


def test_delete_removes_it_with_what_a_killed_download_left(home):
    get(BUNDLE)
    get(SINGLE)
    (home / ".toy_bundle-x1y2").mkdir()
    weights.delete(BUNDLE)
    assert [path.name for path in home.iterdir()] == [SINGLE]
    with pytest.raises(InputError, match="toy_bundle is not on this computer; nothing to delete"):
        weights.delete(BUNDLE)


def brought(tmp_path, kind):
    """What a person brings on a stick, in four forms."""
    stick = tmp_path / "stick"
    stick.mkdir()
    if kind in ("zip", "zip itself"):
        (stick / "toy_v1.zip").write_bytes(BUNDLE_ZIP)
        return stick if kind == "zip" else stick / "toy_v1.zip"
    for name, data in BUNDLE_FILES.items():
        path = stick / BUNDLE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return stick if kind == "folder" else stick / BUNDLE


@pytest.mark.parametrize("kind", ["zip", "zip itself", "folder", "folder itself"])
def test_files_brought_by_hand_are_installed_as_a_download_is(server, tmp_path, kind):
    folder = weights.import_files(BUNDLE, brought(tmp_path, kind))
    assert weights.bundle_folder(BUNDLE) == folder
    assert (folder / "models/model.pt").read_bytes() == MODEL
    assert (folder / "configs/metadata.json").exists()
    assert not (folder / "models/model.ts").exists()
    assert server.asked == []


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_files_brought_by_hand_must_be_the_published_ones(home, tmp_path, kind):
    source = brought(tmp_path, kind)
    for path in source.rglob("*"):
        if path.name in ("toy_v1.zip", "model.pt"):
            path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(InputError, match=r"is not what .* publishes as toy_bundle \((SHA1|MD5) differs\)"):
        weights.import_files(BUNDLE, source)
    assert nothing_stayed(home)


def test_a_folder_without_the_files_is_told_what_they_are_called(tmp_path):
    with pytest.raises(InputError, match=r"does not hold toy_v1.zip or, unpacked, models/model.pt; it is published at"):
        weights.import_files(BUNDLE, tmp_path)
    with pytest.raises(InputError, match=r"does not hold toy.pth; it is published at http"):
        weights.import_files(SINGLE, tmp_path / "nowhere")


def test_where_an_offline_folder_is_named_nothing_is_downloaded(monkeypatch, server, tmp_path):
    monkeypatch.setenv("LUNGCAD_WEIGHTS_OFFLINE", str(brought(tmp_path, "zip")))
    assert get(BUNDLE) == weights.bundle_folder(BUNDLE)
    with pytest.raises(InputError, match=r"does not hold toy.pth"):
        get(SINGLE)
    assert server.asked == []


def test_a_persons_own_folder_takes_the_place_of_a_download(monkeypatch, tmp_path):
    monkeypatch.setenv("LUNGCAD_BUNDLE_TOY_BUNDLE", str(tmp_path))
    assert weights.bundle_folder(BUNDLE) == tmp_path
    monkeypatch.setenv("LUNGCAD_BUNDLE_TOY_BUNDLE", str(tmp_path / "nowhere"))
    with pytest.raises(
        InputError, match="nowhere is not a folder; correct the environment variable LUNGCAD_BUNDLE_TOY"
    ):
        weights.bundle_folder(BUNDLE)


def test_a_name_that_is_not_in_the_catalog_is_told():
    with pytest.raises(InputError, match="no download named 'x'; choose one of toy_bundle, toy_file"):
        weights.bundle_folder("x")


@pytest.mark.parametrize(
    ("system", "environment", "expected"),
    [
        ("linux", {}, "/home/ann/.cache/LungCAD/weights"),
        ("linux", {"XDG_CACHE_HOME": "/big/cache"}, "/big/cache/LungCAD/weights"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ann/.cache/LungCAD/weights"),
        ("darwin", {"XDG_CACHE_HOME": "/big/cache"}, "/home/ann/Library/Caches/LungCAD/weights"),
        ("win32", {"LOCALAPPDATA": "/home/ann/AppData/Local"}, "/home/ann/AppData/Local/LungCAD/weights"),
        ("win32", {}, "/home/ann/AppData/Local/LungCAD/weights"),
        ("linux", {"LUNGCAD_WEIGHTS": "/mine", "XDG_CACHE_HOME": "/big/cache"}, "/mine"),
        ("linux", {"LUNGCAD_WEIGHTS": "~/mine"}, "/home/ann/mine"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="paths are written as on Linux")
def test_the_cache_is_where_the_system_keeps_such_things(monkeypatch, system, environment, expected):
    for variable in ("LUNGCAD_WEIGHTS", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in {"HOME": "/home/ann", **environment}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(cache.sys, "platform", system)
    assert weights.cache_folder() == Path(expected)
