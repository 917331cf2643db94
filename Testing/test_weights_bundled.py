"""The networks that come with LungCAD: only the files that were released are loaded."""

import hashlib
import json
import subprocess
import sys

import pytest

from LungCADLib import weights
from LungCADLib.errors import InputError
from LungCADLib.resources import resource
from LungCADLib.weights import bundled

torch = pytest.importorskip("torch")


@pytest.fixture
def models(monkeypatch, tmp_path):
    """An installation's folder of models, to be filled by the test."""

    def found(*parts):
        path = tmp_path.joinpath(*parts[1:])
        if not path.exists():
            raise FileNotFoundError
        return path

    monkeypatch.setattr(bundled, "resource", found)
    for read in (weights.bundled_members, weights.bundled_table):
        read.cache_clear()
    yield tmp_path
    for read in (weights.bundled_members, weights.bundled_table):
        read.cache_clear()


@pytest.fixture
def toy(models):
    """A released file of two members."""
    path = models / "toy.safetensors"
    members = [{"layer.weight": torch.full((2, 3), k + 0.5), "steps": torch.tensor(k)} for k in range(2)]
    weights.write_members(path, members, {"channels": 16})
    weights.release(path)
    return path


def test_what_was_written_comes_back(toy):
    members, description = weights.bundled_members("toy")
    assert description == {"channels": 16, "members": 2}
    assert torch.equal(members[1]["layer.weight"], torch.full((2, 3), 1.5))
    assert (members[1]["layer.weight"].dtype, members[1]["steps"].dtype) == (torch.float32, torch.int64)


def test_who_may_read_other_files_may_read_weights(toy):
    (toy.parent / "any").write_text("")
    assert toy.stat().st_mode == (toy.parent / "any").stat().st_mode


def test_a_release_enters_one_file_and_leaves_the_others(models, toy):
    other = models / "other.safetensors"
    other.write_bytes(b"other")
    assert weights.release(other) == hashlib.sha256(b"other").hexdigest()
    released = json.loads((models / "weights.json").read_text())
    assert released == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (toy, other)}
    assert sorted(path.name for path in models.iterdir()) == ["other.safetensors", "toy.safetensors", "weights.json"]


def changed(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (changed, "toy.safetensors is not the file of weights that was released (SHA-256 differs); install it again."),
        (lambda path: path.unlink(), "toy.safetensors is not in this installation; install LungCAD again."),
        (
            lambda path: (path.parent / "weights.json").unlink(),
            "toy.safetensors is not in weights.json, the list of released weights; install LungCAD again.",
        ),
        (
            lambda path: (path.parent / "weights.json").write_text("{"),
            "weights.json, the list of released weights, is damaged; install LungCAD again.",
        ),
    ],
    ids=["changed", "missing", "unlisted", "list damaged"],
)
def test_a_file_that_is_not_the_released_one_is_refused_in_one_sentence(toy, harm, said):
    harm(toy)
    with pytest.raises(InputError) as refused:
        weights.bundled_members("toy")
    assert str(refused.value).endswith(said)


def test_a_table_is_entered_where_it_is_written_and_refused_once_it_was_changed(models, toy):
    path = models / "score.json"
    weights.write_table(path, {"slope": 2.5})
    assert weights.bundled_table("score") == {"slope": 2.5}
    path.write_text('{"slope": 25}')
    weights.bundled_table.cache_clear()
    with pytest.raises(InputError, match=r"score\.json is not the file of weights that was released"):
        weights.bundled_table("score")


def test_what_is_written_elsewhere_enters_no_list(tmp_path):
    weights.write_table(tmp_path / "score.json", {"slope": 2.5}, indent=2)
    assert [path.name for path in tmp_path.iterdir()] == ["score.json"]


@pytest.mark.parametrize("data", [b"", b"no tensors", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_a_file_that_is_no_weights_at_all_is_refused(tmp_path, data):
    path = tmp_path / "own.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not a file of LungCAD's weights, or is damaged"):
        weights.read_members(path)


def test_a_file_of_tensors_that_lungcad_did_not_write_is_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}, {"lungcad": "[]"}):
        save_file({"0.layer": torch.zeros(1)}, path, metadata)
        with pytest.raises(InputError, match="is not a file of LungCAD's weights"):
            weights.read_members(path)


def test_the_state_of_every_bundled_file_is_told(models, toy):
    for name in ("changed", "gone"):
        (models / f"{name}.safetensors").write_bytes(name.encode())
        weights.release(models / f"{name}.safetensors")
    (models / "changed.safetensors").write_bytes(b"tampered")
    (models / "gone.safetensors").unlink()
    (models / "new.safetensors").write_bytes(b"new")
    (models / "score.json").write_text("{}")
    (models / "patients.csv").write_text("patient")
    (models / "toy.md").write_text("a model card")
    (models / "toy.svg").write_text("its picture")
    assert {file.name: file.state for file in weights.bundled_files()} == {
        "changed.safetensors": "changed",
        "gone.safetensors": "missing",
        "new.safetensors": "not released",
        "patients.csv": "list",
        "score.json": "not released",
        "toy.safetensors": "as released",
        "weights.json": "list",
    }
    (toy_file,) = [file for file in weights.bundled_files() if file.name == toy.name]
    assert (toy_file.size, toy_file.sha256) == (toy.stat().st_size, hashlib.sha256(toy.read_bytes()).hexdigest())


def test_every_file_of_weights_in_the_repository_is_the_released_one():
    states = {file.name: file.state for file in weights.bundled_files()}
    assert set(states.values()) <= {"as released", "list"}, states


def test_every_network_in_the_repository_loads_has_a_license_and_a_model_card():
    for file in weights.bundled_files():
        name, _, kind = file.name.partition(".")
        if kind == "safetensors":
            members, description = weights.bundled_members(name)
            assert len(members) == description["members"] > 0
            assert name in weights.BUNDLED
            assert resource("Models", f"{name}.md").stat().st_size > 500


def test_importing_weights_imports_no_torch():
    code = "import sys, LungCADLib.weights; print(sorted({'torch', 'safetensors', 'numpy', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
