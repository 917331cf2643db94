"""The WGAN-GP: its penalty by hand, learning, resuming to the same bits, and the gates that judge what it makes."""

import zlib

import numpy as np
import pytest

from LungCADLib.errors import InputError

torch = pytest.importorskip("torch")

from LungCADLib.training import gan  # noqa: E402
from LungCADLib.training.gan import GanRecipe, generate, gradient_penalty, train_gan  # noqa: E402
from LungCADLib.training.gan_gates import frechet_distance, judge, nearest_distances, neighbors_tell_apart  # noqa: E402
from LungCADLib.training.gan_network import Critic, Generator  # noqa: E402
from LungCADLib.training.picture_sheets import GAP, beside, sheet  # noqa: E402


class Stop(Exception):
    pass


def discs(count, seed=0, side=8):
    """Bright discs on dark ground, float32 (count, side, side)."""
    random = np.random.default_rng(seed)
    y, x = np.indices((side, side)) - (side - 1) / 2
    radius = random.uniform(1.5, 3.5, count)[:, None, None]
    noise = random.normal(0, 0.02, (count, side, side))
    return np.clip(np.where(np.hypot(y, x) < radius, 0.8, -0.8) + noise, -1, 1).astype(np.float32)


def recipe(steps, **changes):
    return GanRecipe(discs(64), steps, **{"width": 4, "latent": 8, "batch": 16, **changes})


def weights(network):
    return torch.cat([t.detach().flatten().float() for t in network.state_dict().values()])


def test_the_penalty_of_a_linear_critic_is_its_slope_less_one_squared():
    slope = torch.tensor([3.0, 4.0])  # of length 5
    penalty = gradient_penalty(lambda x: x @ slope, torch.randn(6, 2), torch.randn(6, 2), torch.rand(6))
    assert float(penalty) == pytest.approx((5 - 1) ** 2)


def test_the_penalty_is_measured_between_the_pictures_and_teaches_the_critic():
    factor = torch.tensor(1.0, requires_grad=True)
    real, fake = torch.tensor([[4.0]]), torch.tensor([[0.0]])
    # The critic f x^2 has slope 2 f x; a quarter of the way from 0 to 4 that is 2.
    penalty = gradient_penalty(lambda x: factor * x.square().sum(dim=1), real, fake, torch.tensor([0.25]))
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(1.0)
    assert float(factor.grad) == pytest.approx(4.0)  # d (2 f - 1)^2 / df at 1


def test_networks_have_the_shapes_of_the_specification():
    pictures = Generator(40)(torch.randn(2, 128))
    assert pictures.shape == (2, 1, 40, 40)
    assert Critic(40)(pictures).shape == (2,)
    assert [m.out_channels for m in Critic(40).modules() if isinstance(m, torch.nn.Conv2d)] == [64, 128, 256]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in Critic(40).modules())
    with pytest.raises(ValueError, match="multiple of 8"):
        Generator(36)


@pytest.mark.parametrize("killed_after", [1, 5])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, killed_after):
    monkeypatch.setattr(gan, "SAVED_EVERY", 2)
    whole = train_gan(recipe(6), tmp_path / "whole", seed=1)

    def kill(done, of):
        if done == killed_after:
            raise Stop

    with pytest.raises(Stop):
        train_gan(recipe(6), tmp_path / "killed", seed=1, step_done=kill)
    steps = []
    resumed = train_gan(recipe(6), tmp_path / "killed", seed=1, step_done=lambda done, of: steps.append(done))
    assert torch.equal(weights(whole), weights(resumed))
    assert steps[0] == killed_after // 2 * 2 + 1
    assert np.array_equal(generate(whole, 70, 3), generate(resumed, 70, 3))
    assert not np.array_equal(generate(whole, 2, 3), generate(whole, 2, 4))


def test_what_it_makes_comes_to_look_like_what_it_was_shown(tmp_path):
    made = train_gan(recipe(250, learning_rate=2e-3, averaged_over=10, critic_steps=2), tmp_path, seed=1)
    mean, wanted = generate(made, 64, 0).mean(axis=0), discs(64).mean(axis=0)
    assert np.corrcoef(mean.ravel(), wanted.ravel())[0, 1] > 0.9


def test_augmentation_is_of_both_kinds_and_lets_gradients_through(tmp_path):
    seen = []

    def augment(pictures):
        seen.append(pictures.requires_grad)
        return pictures.flip(2)

    train_gan(recipe(1, augment=augment, critic_steps=2), tmp_path, seed=1)
    assert seen == [False, False, False, False, True]  # real and generated of each critic step, then the generator's


def test_a_folder_of_another_run_is_refused(tmp_path):
    train_gan(recipe(1, settings={"augment": "none"}), tmp_path, seed=1)
    with pytest.raises(InputError, match="other settings \\(augment\\)"):
        train_gan(recipe(1, settings={"augment": "shift"}), tmp_path, seed=1)


def features(pictures):
    return np.column_stack([pictures.mean(axis=(1, 2)), pictures[:, 2:6, 2:6].mean(axis=(1, 2))]).astype(float)


def test_copies_of_the_training_pictures_are_flagged_as_memorized():
    training, unseen = discs(200, 1), discs(200, 2)
    gates = judge(training[:100], training, unseen, features)
    assert gates.memorized
    assert gates.copies == 1.0
    assert gates.nearest_generated == 0.0
    assert not gates.passed


def test_pictures_of_the_same_kind_pass_every_gate():
    gates = judge(discs(200, 3), discs(200, 1), discs(200, 2), features)
    assert gates.passed
    assert gates.told_apart == pytest.approx(0.5, abs=0.12)
    assert gates.frechet < 10 * gates.frechet_real


def test_noise_is_told_apart():
    noise = np.random.default_rng(0).uniform(-1, 1, (200, 8, 8)).astype(np.float32)
    gates = judge(noise, discs(200, 1), discs(200, 2), features)
    assert gates.unlike
    assert not gates.memorized
    assert gates.frechet > 100 * gates.frechet_real


def test_the_nearest_training_picture_by_hand():
    training = np.zeros((2, 2, 2), np.float32)
    training[1] = 1
    # Three pixels at 1 and one at 0.5: root of a quarter of a quarter away from the second.
    picture = np.array([[[1, 1], [1, 0.5]]], np.float32)
    assert nearest_distances(picture, training) == pytest.approx([0.25])


def test_neighbors_by_hand():
    # On a line: real at 0, 1 and 10, generated at 11 and 2.2. Nearest of 0 is 1, of 1 is 0, of 10 is 11, of 11 is 10,
    # of 2.2 is 1.
    real, generated = np.array([[0.0], [1.0], [10.0]]), np.array([[11.0], [2.2]])
    assert neighbors_tell_apart(real, generated).tolist() == [True, True, False, False, False]


def test_the_frechet_distance_of_two_normals_by_hand():
    # On a line it is (difference of means)^2 + (difference of standard deviations)^2.
    one, other = np.array([[-1.0], [1.0]]), np.array([[2.0], [8.0]])
    spread = np.sqrt(18) - np.sqrt(2)
    assert frechet_distance(one, other) == pytest.approx(25 + spread**2)
    random = np.random.default_rng(0).normal(size=(50, 3))
    assert frechet_distance(random, random) == pytest.approx(0, abs=1e-9)


def test_a_sheet_holds_every_picture():
    data = sheet(np.linspace(-1, 1, 3)[:, None, None] * np.ones((3, 4, 4)), columns=2, zoom=1)
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (8 + GAP, 8 + GAP)
    start = data.index(b"IDAT") + 4
    assert len(zlib.decompress(data[start:])) == height * (width + 1)
    assert len(beside(np.zeros((3, 4, 4)), np.ones((3, 4, 4)))) > 0
