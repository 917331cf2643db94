"""`lungcad train cnn-2d`: by the paper's letter, to the same bits after a kill, never from strangers."""

import csv

import numpy as np
import pytest
from slice_factory import patients, write_slices

from LungCADLib.cli import main
from LungCADLib.malignancy.cnn_2d_view import PIXELS, Crop
from LungCADLib.training.cnn_2d_curve import Epoch, HeldOut, read_curve, write_step
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.methods import Run
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.slice_sets import read_slices

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_slices(folder / "lidc-slices", patients(2))
    return folder


@pytest.fixture(scope="module")
def cases(data):
    path = data / "lidc-slices" / "slices.npz"
    return Cases.of_slices(read_slices(path, path.with_name("ratings.csv")))


def train(data, folder, *words):
    return main(["train", "cnn-2d", "--data", str(data), "--out", str(folder / "out"),
                 "--runs", str(folder / "runs"), "--device", "cpu", *words])  # fmt: skip


def test_the_recipe_is_the_papers(cases):
    from LungCADLib.training.cnn_2d import EPOCHS
    from LungCADLib.training.cnn_2d_recipe import BATCH, recipe, steps_per_epoch

    made = recipe(cases, Crop.SCALED, 7)
    optimizer = made.optimizer(made.network())
    assert isinstance(optimizer, torch.optim.Adam)
    assert not isinstance(optimizer, torch.optim.AdamW)
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}
    assert [made.rate(step, 7) for step in (0, 6)] == [1, 1]
    assert (BATCH, EPOCHS, made.averaged_over) == (20, 50, 1)
    assert [steps_per_epoch(n) for n in (1, 20, 21, 992)] == [1, 1, 2, 50]


def test_class_weights_balance_the_classes():
    from LungCADLib.training.cnn_2d_recipe import class_weights

    # 6 benign and 2 suspicious: 8 / (2 * 6) and 8 / (2 * 2).
    weights = class_weights(np.array([0, 0, 1, 0, 0, 1, 0, 0], bool))
    assert weights.tolist() == pytest.approx([8 / 12, 8 / 4])


def test_the_loss_is_the_weighted_mean_worked_by_hand():
    from LungCADLib.training.cnn_2d_recipe import Batch, loss

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(torch.tensor([[0.0, 0.0], [0.0, float(np.log(3))]]))

        def forward(self, seen):
            return self.logits

    batch = Batch(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), torch.tensor([0.5, 2.0]))
    total, parts = loss(Fixed(), batch)
    # -ln(1/2) weighs one half, -ln(3/4) two.
    assert float(total.detach()) == pytest.approx((0.5 * np.log(2) + 2 * np.log(4 / 3)) / 2, rel=1e-5)
    assert parts["cross_entropy"] == pytest.approx((np.log(2) + np.log(4 / 3)) / 2, rel=1e-5)
    assert parts["accuracy"] == 1.0  # at a tie, the first class


def test_a_batch_is_turned_mirrored_and_zoomed_and_the_same_each_time(cases):
    from LungCADLib.training.cnn_2d_recipe import ZOOM, batches, turns

    made = turns(np.random.default_rng(0), 200)
    zoom = np.sqrt(np.abs(np.linalg.det(made)))
    assert np.abs(np.log(zoom)).max() <= ZOOM
    assert np.abs(np.log(zoom)).max() > 0.9 * ZOOM
    assert 70 < (np.linalg.det(made) < 0).sum() < 130
    for turn, z in zip(made, zoom, strict=True):
        assert turn @ turn.T == pytest.approx(z**2 * np.eye(2), abs=1e-12)
    make = batches(cases, Crop.SCALED)
    one, again, other = (make(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one.views.shape == (10, 1, PIXELS, PIXELS)
    assert torch.equal(one.views, again.views)
    assert not torch.equal(one.views, other.views)
    assert sorted(one.classes.tolist()) == [0] * 5 + [1] * 5  # ten cases: each of them once


def test_the_network_learns_and_its_method_predicts(cases, tmp_path):
    from LungCADLib.training.methods.cnn_2d import KEY, METHOD

    shares = []
    fitted = METHOD.fit(cases, Run(tmp_path, progress=shares.append, scale=0.3))
    said = fitted.predict(cases)
    assert (METHOD.key, KEY, len(shares), shares[-1]) == ("004", "004", 15, 1.0)
    assert said[cases.suspicious].min() > said[~cases.suspicious].max()


def test_packaged_members_are_those_of_the_folds(cases):
    from LungCADLib.malignancy import cnn_2d
    from LungCADLib.training.methods.cnn_2d import METHOD

    every = METHOD.packaged(-1).predict(cases)
    each = [METHOD.packaged(k).predict(cases) for k in range(5)]
    assert every == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    assert len(cnn_2d.networks()) == 5


def test_a_killed_run_goes_on_to_the_same_bits(data, tmp_path, capsys, monkeypatch):
    from LungCADLib.training import cnn_2d_recipe, trainer
    from LungCADLib.weights import read_members

    monkeypatch.setattr(trainer, "SAVED_EVERY", 1)
    calls, loss = [], cnn_2d_recipe.loss

    def dies(network, batch):
        calls.append(batch)
        if len(calls) == 2:
            raise RuntimeError("killed")
        return loss(network, batch)

    with monkeypatch.context() as patch:
        patch.setattr(cnn_2d_recipe, "loss", dies)
        assert train(data, tmp_path / "a", "--epochs", "2") != 0
    assert train(data, tmp_path / "a", "--epochs", "2", "--folds", "0", "3") == 0
    assert "--folds 1 2 4" in capsys.readouterr().out
    assert not (tmp_path / "a" / "out").exists()
    assert train(data, tmp_path / "a", "--epochs", "2", "--folds", "1", "2", "4") == 0
    assert train(data, tmp_path / "b", "--epochs", "2") == 0
    one, other = ((tmp_path / k / "out" / "cnn-2d.safetensors").read_bytes() for k in "ab")
    assert one == other
    members, said = read_members(tmp_path / "a" / "out" / "cnn-2d.safetensors")
    assert (len(members), said["epochs"], said["nodules"], said["crop"]) == (5, 2, 10, "scaled")
    assert [len(curve) for curve in said["curves"]] == [2] * 5

    capsys.readouterr()
    assert train(data, tmp_path / "a", "--epochs", "3", "--folds", "0") == 3
    assert "other settings (steps)" in capsys.readouterr().err


def test_the_last_line_of_a_step_counts_and_an_epoch_is_the_mean_of_its_steps(tmp_path):
    write_step(tmp_path, 1, 0.9, 0.5, None)
    write_step(tmp_path, 2, 0.1, 0.1, HeldOut(9.0, 0.9))
    write_step(tmp_path, 2, 0.7, 0.7, HeldOut(0.8, 0.6))
    write_step(tmp_path, 3, 0.6, 0.8, None)
    assert read_curve(tmp_path) == [Epoch(0.8, 0.6, 0.8, 0.6)]


def test_looking_at_what_is_held_out_leaves_the_training_as_it_was(cases, tmp_path):
    from LungCADLib.training.cnn_2d_recipe import recipe
    from LungCADLib.training.trainer import train as run

    watched = run(recipe(cases, Crop.SCALED, 2, held_out=cases), tmp_path / "a", 0)
    alone = run(recipe(cases, Crop.SCALED, 2), tmp_path / "b", 0)
    for one, other in zip(watched.state_dict().values(), alone.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_papers_split_is_stratified_and_says_whose_nodules_were_learned_from(data, tmp_path, capsys):
    whose = [p for p in patients(2) for _ in range(2)]
    write_slices(tmp_path / "data" / "lidc-slices", whose)
    assert train(tmp_path / "data", tmp_path, "--split", "random", "--epochs", "1") == 0
    assert "--held-out" in capsys.readouterr().out
    with (tmp_path / "runs" / "random" / "held-out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert sum(int(row["suspicious"]) for row in rows) == 3
    assert sum(int(row["learned_from_patient"]) for row in rows) >= 4
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_trained_is_refused(data, tmp_path, capsys):
    def refused(code, *words, where=data):
        if code == 2:
            with pytest.raises(SystemExit) as stopped:
                train(where, tmp_path, *words)
            assert stopped.value.code == 2
        else:
            assert train(where, tmp_path, *words) == code
        return capsys.readouterr().err

    assert "--epochs must be at least 1" in refused(2, "--epochs", "0")
    assert "--folds belongs to --split patients" in refused(2, "--split", "random", "--folds", "1")
    assert "invalid choice: 'square'" in refused(2, "--crop", "square")
    assert "slices.npz is not there" in refused(3, where=tmp_path)
    write_slices(tmp_path / "s" / "lidc-slices", [*patients(2)[:-1], "LIDC-IDRI-0001"])
    assert "LIDC-IDRI-0001, who is in no fold" in refused(3, where=tmp_path / "s")
    first = [p for p, fold in fold_of_patient().items() if fold == 0][:4]
    write_slices(tmp_path / "f" / "lidc-slices", first)
    assert "they must still be of both kinds" in refused(3, where=tmp_path / "f")
    assert not (tmp_path / "runs").exists()
