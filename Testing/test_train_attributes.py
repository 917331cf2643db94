"""`lungcad train attributes` on a few digital nodules: it learns, and goes on after a kill to the same file."""

import numpy as np
import pytest
from slice_factory import write_data

from LungCADLib.cli import main
from LungCADLib.malignancy.attributes import WORDS
from LungCADLib.training import attributes, trainer
from LungCADLib.training.attribute_examples import Bank, read_examples
from LungCADLib.training.folds import FOLDS, fold_of_patient

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two patients of each fold: the first has a small smooth nodule, the second a large spiculated one."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(attributes, "BATCH", 8)
    monkeypatch.setattr(attributes, "VERSIONS", 2)
    monkeypatch.setattr(trainer, "SAVED_EVERY", 2)


def words(data, folder, *more):
    return [
        "train", "attributes", "--data", str(data), "--out", str(folder), "--runs", str(folder / "runs"),
        "--device", "cpu", "--steps", "5", *more,
    ]  # fmt: skip


def test_a_killed_training_goes_on_to_the_same_file(data, tmp_path, monkeypatch):
    from LungCADLib.weights import read_members

    assert main(words(data, tmp_path / "whole")) == 0
    learn, calls = attributes.loss, []

    def killed(network, batch):
        calls.append(0)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return learn(network, batch)

    with monkeypatch.context() as patch:
        patch.setattr(attributes, "loss", killed)
        assert main(words(data, tmp_path / "killed")) == 130
    assert not (tmp_path / "killed" / "attributes.safetensors").exists()
    assert main(words(data, tmp_path / "killed")) == 0
    one, other = (tmp_path / name / "attributes.safetensors" for name in ("whole", "killed"))
    assert one.read_bytes() == other.read_bytes()
    members, said = read_members(one)
    assert len(members) == FOLDS
    assert (said["nodules"], said["patients"], said["steps"]) == (30, 10, 5)
    assert np.array(said["thresholds"]).shape == (FOLDS + 1, len(WORDS), 4)


def test_folds_can_be_trained_one_by_one_and_the_last_one_writes_the_file(data, tmp_path, capsys):
    assert main(words(data, tmp_path, "--folds", "0", "2", "3", "4")) == 0
    assert "--folds 1" in capsys.readouterr().out
    assert not (tmp_path / "attributes.safetensors").exists()
    assert main(words(data, tmp_path, "--folds", "1")) == 0
    assert "5 networks" in capsys.readouterr().out
    assert (tmp_path / "attributes.safetensors").is_file()


def test_a_member_never_draws_its_own_folds_patients(data):
    bank = Bank(read_examples(data), 1, 0)
    left_out = {p for p, fold in fold_of_patient().items() if fold == 3}
    mine = [i for i, example in enumerate(bank.examples) if example.patient in left_out]
    assert len(mine) == 6
    bank.views[mine] = np.nan
    batch = attributes.recipe(bank, left_out, 5).batch(np.random.default_rng(0))
    assert np.isfinite(batch.views).all()


def test_it_learns_what_tells_the_nodules_apart(data):
    bank = Bank(read_examples(data), 4, 0)
    recipe = attributes.recipe(bank, (), 40)
    torch.manual_seed(0)
    network = recipe.network()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    losses = []
    for step in range(recipe.steps):
        loss, parts = recipe.loss(network, recipe.batch(np.random.default_rng(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:5])
    assert set(parts) == set(WORDS)


def test_a_batch_holds_what_the_readers_said(data):
    """Four readers said 2 of the small nodules of the slices, and 5 of their texture."""
    examples = read_examples(data)
    small, large = examples[0], examples[9]
    texture = list(WORDS).index("texture")
    assert (np.delete(small.above, texture, axis=0) == [1, 0, 0, 0]).all()
    assert (np.delete(large.above, texture, axis=0) == [1, 1, 1, 0]).all()
    assert (small.readers == 4).all()
    box = examples[10]
    rated = {name: bool(count) for name, count in zip(WORDS, box.readers, strict=True)}
    assert {name for name, was in rated.items() if was} == {"texture", "malignancy"}
    assert (box.above[list(WORDS).index("texture")] == 1).all()


def test_thresholds_make_grades_as_frequent_as_ratings():
    """Half of the ratings are 1, a quarter 2, a quarter 3: the upper half is above the first threshold, and so on."""
    value = np.linspace(1.4, 1.6, 400)
    above = np.tile(np.float32([[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]), (100, 1))
    thresholds = attributes._matching(value, above, np.ones(400, np.float32))
    assert np.allclose(thresholds[:2], [1.5, 1.55], atol=0.001)
    assert thresholds[2] >= value.max() - 1e-3


def test_data_that_is_not_there_ends_with_one_sentence(tmp_path, capsys):
    assert main(words(tmp_path, tmp_path)) == 3
    assert "slices.npz is not there" in capsys.readouterr().err
