"""`lungcad train outline`: what the network is shown, and a run that resumes to the same bits."""

import numpy as np
import pytest
from slice_factory import patients, write_boxes, write_data

from LungCADLib.cli import main
from LungCADLib.errors import InputError
from LungCADLib.nodules.field import CHANNELS, PIXELS, Field
from LungCADLib.training.outline_batch import DRAWN, View, draw, view
from LungCADLib.training.outline_cases import FAR_MM, read_lessons

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def lessons(data):
    return read_lessons(data)


def test_every_file_gives_its_nodules_with_their_outline_and_size(lessons):
    assert {name: len(some) for name, some in lessons.items()} == {"box": 10, "crop": 10, "slice": 10}
    for name, some in lessons.items():
        for one in some:
            assert one.style == ("slice" if name == "slice" else "volume")
            assert len(one.hu) == (1 if name == "slice" else 3)
            middle = np.argwhere(one.truth).mean(axis=0)
            assert one.center == pytest.approx(middle, abs=1.1)
            # The factory's nodules are 5 to 7 mm, or 16 to 20 mm.
            assert 4.5 < one.diameter_mm < 21


def test_the_distance_is_negative_inside_and_counts_millimeters(lessons):
    one = lessons["slice"][0]
    assert ((one.distance_mm < 0) == one.truth).all()
    row = one.distance_mm[0, 35, 35:]
    assert np.abs(np.diff(row[np.abs(row) < FAR_MM - 1])).max() < 2 * one.spacing[1] + 0.01
    assert one.distance_mm.max() == FAR_MM


def test_a_patient_of_no_fold_is_refused(tmp_path):
    write_data(tmp_path)
    write_boxes(tmp_path / "lidc-vois", [*patients(2)[:-1], "LIDC-IDRI-0001"])
    with pytest.raises(InputError, match="LIDC-IDRI-0001, who is in no fold"):
        read_lessons(tmp_path)


def test_a_view_shows_the_nodule_and_its_own_voxels_truth(lessons):
    random = np.random.default_rng(0)
    for some in lessons.values():
        for one in some:
            seen = view(one, random)
            assert seen.inputs.shape[1:] == (CHANNELS, PIXELS, PIXELS)
            assert seen.truth.shape == seen.distance_mm.shape == (len(seen.voxels.part), *seen.voxels.grid.shape[:2])
            assert set(seen.truth.unique().tolist()) == {0.0, 1.0}
            # The HU that the network sees at the scan's voxels are bright where the outline says nodule.
            hu = seen.voxels.values(seen.inputs[:, 0])
            inside = seen.voxels.seen & (seen.truth > 0)
            outside = seen.voxels.seen & (seen.distance_mm > 2)
            assert hu[inside].mean() > hu[outside].mean() + 1


def test_an_unaltered_view_is_a_field_of_the_scan(lessons):
    one = lessons["box"][0]
    where = Field.around(one.center, one.spacing, one.hu.shape, one.diameter_mm)
    back = where.voxels(one.hu.shape).values(where.sample(one.truth)[0]) >= 0.5
    truth = one.truth[where.voxels(one.hu.shape).box]
    assert 2 * (back.numpy() & truth).sum() / (back.sum() + truth.sum()) > 0.95


def test_a_batch_draws_from_every_file_the_same_for_the_same_step(lessons):
    one, other = (draw(lessons, np.random.default_rng(3)) for _ in range(2))
    assert len(one) == sum(DRAWN.values())
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.inputs, b.inputs) and torch.equal(a.truth, b.truth)


class Says(torch.nn.Module):
    """A network that says what it is told, whatever it sees."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, x, stack):
        return self.logits


def test_the_loss_is_small_where_the_outline_is_right_and_grows_with_a_leaks_reach(lessons):
    from LungCADLib.training.outline_loss import loss

    one = lessons["slice"][-1]
    where = Field.around(one.center, one.spacing, one.hu.shape, one.diameter_mm)
    voxels = where.voxels(one.hu.shape)
    truth, distance = (torch.from_numpy(v[voxels.box].astype(np.float32)) for v in (one.truth, one.distance_mm))
    batch = [View(where.inputs(one.hu, "slice"), voxels, truth, distance)]
    away = where.sample(one.distance_mm)[0]
    right = -4 * away
    near, far = right.clone(), right.clone()
    leak = (away > 0.2) & (away < 1.2)
    near[leak] = 4
    farther = torch.where(away > 3, away, torch.inf).view(-1).argsort()[: int(leak.sum())]
    far.view(-1)[farther] = 4
    whole, parts = zip(*(loss(Says(some), batch) for some in (right, near, far)), strict=True)
    assert parts[0]["dice"] < 0.1 < parts[1]["dice"]
    assert parts[0]["boundary"] < parts[1]["boundary"] < parts[2]["boundary"]
    assert whole[0] < min(whole[1:])


def train(data, tmp_path, *words):
    return main(["train", "outline", "--data", str(data), "--out", str(tmp_path / "out"),
                 "--runs", str(tmp_path / "runs"), "--device", "cpu", *words])  # fmt: skip


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_to_the_same_bits_and_writes_the_file(data, tmp_path, capsys, monkeypatch):
    from LungCADLib.nodules.outline_network import OutlineNetwork
    from LungCADLib.training import outline, outline_batch, trainer
    from LungCADLib.weights import read_members

    monkeypatch.setattr(outline_batch, "DRAWN", {"box": 2, "crop": 1, "slice": 2})
    monkeypatch.setattr(trainer, "SAVED_EVERY", 1)
    calls, loss = [], outline.loss

    def dies(network, batch):
        calls.append(batch)
        if len(calls) == 4:
            raise Killed
        return loss(network, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(outline, "loss", dies)
        train(data, tmp_path / "a", "--steps", "3", "--folds", "0", "1")
    assert train(data, tmp_path / "a", "--steps", "3", "--folds", "0", "1") == 0
    assert "--folds 2 3 4" in capsys.readouterr().out
    assert not (tmp_path / "a" / "out").exists()
    for name in ("a", "b"):
        assert train(data, tmp_path / name, "--steps", "3") == 0
    one, other = ((tmp_path / name / "out" / "outline.safetensors").read_bytes() for name in "ab")
    assert one == other
    members, said = read_members(tmp_path / "a" / "out" / "outline.safetensors")
    assert (len(members), said["steps"], said["trained_on"]) == (5, 3, {"box": 10, "crop": 10, "slice": 10})
    inputs = torch.randn(2, CHANNELS, PIXELS, PIXELS)
    (logits,) = OutlineNetwork(members).logits([inputs])
    assert logits.shape == (2, PIXELS, PIXELS) and logits.isfinite().all()


def test_a_member_that_is_taught_on_starts_where_it_was(data, tmp_path, monkeypatch):
    from LungCADLib.training import outline_batch
    from LungCADLib.training.trainer import CHECKPOINT
    from LungCADLib.weights import bundled_members

    monkeypatch.setattr(outline_batch, "DRAWN", {"box": 1, "crop": 1, "slice": 1})
    assert train(data, tmp_path, "--further", "--steps", "1", "--folds", "3") == 0
    state = torch.load(tmp_path / "runs" / "fold-3" / CHECKPOINT, weights_only=True)
    members, description = bundled_members("outline")
    assert state["settings"]["steps_before"] == [*description.get("steps_before", []), description["steps"]]
    weights = {name: value for name, value in members[3].items() if value.is_floating_point() and "running" not in name}
    apart = max(float((state["network"][name] - value).abs().max()) for name, value in weights.items())
    assert 0 < apart < 0.01
