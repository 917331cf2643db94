"""The convolutional autoencoder of CALM: its shapes, layer by layer, noise, resuming."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from LungCADLib.errors import InputError  # noqa: E402
from LungCADLib.malignancy.calm_network import Encoder, features_of  # noqa: E402
from LungCADLib.training import cae, trainer  # noqa: E402
from LungCADLib.training.cae import CaeSettings, corrupted, train_autoencoder  # noqa: E402
from LungCADLib.training.cae_network import Autoencoder  # noqa: E402

QUICK = CaeSettings(layer_steps=3, joint_steps=3)


class Stop(Exception):
    pass


def draw(random, count):
    """Bright squares at random places on dark ground."""
    out = np.full((count, 1, 40, 40), 0.1, np.float32)
    for picture in out[:, 0]:
        y, x = random.integers(5, 25, 2)
        picture[y : y + 10, x : x + 10] = 0.9
    return torch.from_numpy(out)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(cae, "BATCH", 8)


@pytest.mark.parametrize(("padding", "features"), [("same", 1250), ("valid", 450)])
def test_the_encoder_makes_as_many_features_as_the_specification_says(padding, features):
    assert features_of(padding) == features
    pictures = torch.rand(2, 1, 40, 40)
    assert Encoder(padding)(pictures).shape == (2, features)
    network = Autoencoder(padding)
    assert network(pictures).shape == pictures.shape
    for index in range(3):
        maps = network.encoder.pooled(pictures, index)
        assert network.layer(maps, index).shape == maps.shape
    assert [tuple(layer.weight.shape) for layer in network.encoder.layers] == [
        (50, 1, 5, 5), (50, 50, 3, 3), (50, 50, 3, 3)
    ]  # fmt: skip


def test_a_layer_learns_alone(tmp_path):
    torch.manual_seed(0)
    before = Autoencoder()
    recipe = cae._recipe(draw, QUICK, before, 1, 3, {})
    after = trainer.train(recipe, tmp_path, seed=0)
    same = [
        torch.equal(a, b) for a, b in zip(before.encoder.layers, after.encoder.layers, strict=True)
        for a, b in [(a.weight, b.weight)]
    ]  # fmt: skip
    assert same == [True, False, True]


def test_pictures_come_to_be_rebuilt(tmp_path):
    network = train_autoencoder(draw, CaeSettings(layer_steps=25, joint_steps=40), tmp_path, seed=0)
    pictures = draw(np.random.default_rng(1), 16)
    with torch.inference_mode():
        error = (network(pictures) - pictures).square().mean()
    assert error < 0.5 * pictures.var()


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "SAVED_EVERY", 2)
    whole = train_autoencoder(draw, QUICK, tmp_path / "whole", seed=0)

    def kill(done, of):
        assert of == 12
        if done == 8:
            raise Stop

    with pytest.raises(Stop):
        train_autoencoder(draw, QUICK, tmp_path / "killed", seed=0, step_done=kill)
    resumed = train_autoencoder(draw, QUICK, tmp_path / "killed", seed=0)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_noise_is_of_the_kind_and_amount_asked_for():
    torch.manual_seed(0)
    maps = torch.ones(1, 1, 200, 200)
    assert torch.equal(corrupted(maps, "none", 0.3), maps)
    assert float(corrupted(maps, "gaussian", 0.3).std()) == pytest.approx(0.3, abs=0.01)
    off = corrupted(maps, "binomial", 0.3)
    assert set(off.unique().tolist()) == {0.0, 1.0}
    assert float((off == 0).float().mean()) == pytest.approx(0.3, abs=0.01)


def test_the_papers_passes_become_steps():
    # 150 passes over the 8,676 patches of the paper, in batches of the 8 that these tests take.
    assert CaeSettings.of_passes(150, 8676).layer_steps == 162675


def test_checkpoints_of_other_pictures_are_refused(tmp_path):
    train_autoencoder(draw, QUICK, tmp_path, seed=0, data={"shift": 2})
    with pytest.raises(InputError, match="other settings \\(data\\)"):
        train_autoencoder(draw, QUICK, tmp_path, seed=0, data={"shift": 10})
