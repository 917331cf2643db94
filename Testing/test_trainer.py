"""The training loop: learns, resumes to the same bits, refuses another run's folder."""

import numpy as np
import pytest

from LungCADLib.errors import InputError
from LungCADLib.training import trainer

torch = pytest.importorskip("torch")


class Stop(Exception):
    pass


def recipe(steps=120, **settings):
    def batch(random):
        x = random.normal(size=(16, 3)).astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(x @ np.array([[1.0], [-2.0], [0.5]], np.float32))

    def network():
        return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.1), torch.nn.ReLU(), torch.nn.Linear(8, 1))

    def loss(net, data):
        error = (net(data[0]) - data[1]).square().mean()
        return error, {"error": float(error.detach())}

    return trainer.Recipe(network, batch, loss, steps, 1e-2, settings=settings)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_training_learns(tmp_path):
    data = torch.randn(64, 3)
    truth = data @ torch.tensor([[1.0], [-2.0], [0.5]])
    network = trainer.train(recipe(600), tmp_path, seed=1)
    assert (network(data) - truth).square().mean() < 0.1 * truth.square().mean()


@pytest.mark.parametrize("killed_after", [1, 49, 50, 77, 119])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, killed_after):
    whole = trainer.train(recipe(), tmp_path / "whole", seed=1)

    def kill(done, of):
        if done == killed_after:
            raise Stop

    with pytest.raises(Stop):
        trainer.train(recipe(), tmp_path / "killed", seed=1, step_done=kill)
    steps = []
    resumed = trainer.train(recipe(), tmp_path / "killed", seed=1, step_done=lambda done, of: steps.append(done))
    assert torch.equal(weights(whole), weights(resumed))
    assert steps[0] == killed_after // trainer.SAVED_EVERY * trainer.SAVED_EVERY + 1


def test_a_finished_run_gives_its_network_again(tmp_path):
    first = trainer.train(recipe(), tmp_path, seed=1)
    assert torch.equal(weights(first), weights(trainer.train(recipe(), tmp_path, seed=1)))


def test_another_seed_gives_another_network(tmp_path):
    one = trainer.train(recipe(), tmp_path / "1", seed=1)
    assert not torch.equal(weights(one), weights(trainer.train(recipe(), tmp_path / "2", seed=2)))


def test_a_run_with_other_settings_is_refused(tmp_path):
    trainer.train(recipe(60, width=8), tmp_path, seed=1)
    with pytest.raises(InputError, match="other settings \\(width\\)"):
        trainer.train(recipe(60, width=9), tmp_path, seed=1)


def test_the_log_can_be_read_by_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer.train(recipe(), tmp_path, seed=1)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert {"loss", "rate", "error"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == list(range(10, 121, 10))
