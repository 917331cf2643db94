"""Files from elsewhere are unpacked without trusting them, and give tensors without running anything."""

import io
import pickle
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from LungCADLib import weights
from LungCADLib.errors import InputError
from LungCADLib.weights import archive


def zipped(files, top="bundle/"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(f"{top}{name}", data)
    return out.getvalue()


A_ZIP = zipped({"LICENSE": b"Apache License", "models/model.pt": b"tensors" * 1000})


@contextmanager
def an_archive(path, *infos):
    with zipfile.ZipFile(path, "w") as packed:
        for info, data in infos:
            packed.writestr(info, data)
    yield path


@pytest.mark.parametrize("name", ["../escape.pt", "/escape.pt", "a/../../escape.pt", "C:escape.pt", "..\\escape.pt"])
def test_a_zip_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    with (
        an_archive(tmp_path / "evil.zip", ("fine/model.pt", b""), (name, b"")) as path,
        pytest.raises(InputError, match="leads out of its folder"),
    ):
        archive.unpack(path, tmp_path / "deep" / "in" / "here")
    assert [path.name for path in tmp_path.rglob("*")] == ["evil.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("top/link")
    link.external_attr = 0o120777 << 16
    with (
        an_archive(tmp_path / "evil.zip", (link, b"/etc/passwd")) as path,
        pytest.raises(InputError, match="leads out of its folder"),
    ):
        archive.unpack(path, tmp_path / "here")


def test_a_zip_of_too_much_is_refused_before_it_is_unpacked(monkeypatch, tmp_path):
    monkeypatch.setattr(archive, "LARGEST_BYTES", 1000)
    monkeypatch.setattr(archive, "MOST_FILES", 3)
    for infos in ([("a", b"0" * 1001)], [(f"{i}", b"") for i in range(4)]):
        with (
            an_archive(tmp_path / "bomb.zip", *infos) as path,
            pytest.raises(InputError, match="more than a network has"),
        ):
            archive.unpack(path, tmp_path / "here")
        assert not (tmp_path / "here").exists()


def test_a_zip_with_or_without_a_top_folder_is_unpacked_alike(tmp_path):
    for top in ("", "bundle/"):
        (tmp_path / "b.zip").write_bytes(zipped({"LICENSE": b"", "models/model.pt": b""}, top))
        archive.unpack(tmp_path / "b.zip", tmp_path / f"at{top}")
        assert (tmp_path / f"at{top}" / "models" / "model.pt").is_file()


@pytest.mark.parametrize("data", [b"", b"no zip", A_ZIP[:-30], A_ZIP[:100] + b"?" + A_ZIP[101:]])
def test_a_damaged_zip_is_refused(tmp_path, data):
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(InputError, match="is not a zip file that can be unpacked"):
        archive.unpack(tmp_path / "b.zip", tmp_path / "here")


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("code-has-run"),)


def test_a_file_of_weights_that_would_run_code_is_refused_and_does_not_run(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Malicious()))
    assert Path("code-has-run").exists()  # so the test below can fail
    Path("code-has-run").unlink()
    torch.save({"layer": torch.zeros(1), "evil": Malicious()}, "evil.pt")
    Path("plain.pt").write_bytes(pickle.dumps(Malicious(), protocol=2))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(InputError, match=f"{name} holds more than tensors, so it could run code"):
            weights.read_state(Path(name))
    assert not Path("code-has-run").exists()


def test_tensors_are_read_wherever_a_checkpoint_keeps_them(tmp_path):
    torch = pytest.importorskip("torch")
    state = {"layer": torch.arange(3.0)}
    for saved in (state, {"model": state, "epoch": 3}, {"state_dict": state}):
        torch.save(saved, tmp_path / "model.pt")
        assert torch.equal(weights.read_state(tmp_path / "model.pt")["layer"], state["layer"])


def test_what_holds_no_network_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pt"
    for saved in ({}, {"epoch": 3}, {"model": {"layer": 1.0}}, [torch.zeros(1)], 3):
        torch.save(saved, path)
        with pytest.raises(InputError, match=r"model.pt (does not hold a network|is not a file of weights)"):
            weights.read_state(path)
    for data in (b"", b"no pickle"):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"model\.pt"):
            weights.read_state(path)
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        weights.read_state(tmp_path / "nowhere.pt")
