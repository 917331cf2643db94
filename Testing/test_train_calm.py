"""`lungcad train calm`: writes what the engine reads, resumes to the same bits, leaves the fold's patients out."""

import numpy as np
import pytest
from slice_factory import patients, write_slices

from LungCADLib.cli import main

torch = pytest.importorskip("torch")

from LungCADLib.malignancy.calm_network import CalmNetwork, network_of  # noqa: E402
from LungCADLib.training import cae, calm_baselines, calm_loop  # noqa: E402
from LungCADLib.training.calm_baselines import NAMES, OnFeatures, network  # noqa: E402
from LungCADLib.training.calm_fit import CalmSettings, fit_member  # noqa: E402
from LungCADLib.training.calm_gan import enlarged  # noqa: E402
from LungCADLib.training.calm_material import COPIES, Material  # noqa: E402
from LungCADLib.training.methods import Run  # noqa: E402
from LungCADLib.training.methods.calm import METHOD, Baseline, to_package  # noqa: E402
from LungCADLib.training.methods.cases import Cases  # noqa: E402
from LungCADLib.training.slice_sets import read_slices  # noqa: E402
from LungCADLib.weights import read_members  # noqa: E402


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    monkeypatch.setattr(cae, "BATCH", 8)
    monkeypatch.setattr(calm_loop, "BATCH", 16)
    monkeypatch.setattr(calm_baselines, "BATCH", 8)
    monkeypatch.setattr(calm_baselines, "AE_BATCH", 8)
    monkeypatch.setattr(calm_baselines, "CNN_STEPS", 1)
    monkeypatch.setattr(calm_baselines, "PASSES", 1)
    monkeypatch.setattr(calm_baselines, "PENALTIES", {"lr": (1e-2,), "svm": (1e-4,)})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_slices(folder / "lidc-slices", patients(4))
    return folder


@pytest.fixture(scope="module")
def cases(data):
    return Cases.of_slices(read_slices(data / "lidc-slices" / "slices.npz", data / "lidc-slices" / "ratings.csv"))


def train(data, folder, *words):
    command = ["train", "calm", "--data", str(data), "--out", str(folder / "out"), "--runs", str(folder / "runs")]
    return main([*command, "--device", "cpu", "--passes", "1", "--fine-tune", "1", "--rounds", "2", *words])


def test_a_run_writes_both_files_and_a_killed_one_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, capsys):
    def dies(*args, **options):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(calm_baselines, "on_features", dies)
        assert train(data, tmp_path / "killed") != 0
    assert not (tmp_path / "killed" / "out").exists()
    assert train(data, tmp_path / "killed", "--folds", "0") == 0
    assert train(data, tmp_path / "whole") == 0
    for stage in ("cae/joint", "tuned", "loop", "cnn"):
        one, other = (_networks(tmp_path / k / "runs" / "malignancy" / "fold-0" / stage) for k in ("killed", "whole"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    members, said = read_members(tmp_path / "whole" / "out" / "calm.safetensors")
    assert (len(members), said["mode"], said["patches"], said["padding"]) == (5, "malignancy", 20, "same")
    assert network_of(members[0])(torch.rand(3, 1, 40, 40)).shape == (3,)
    assert len(read_members(tmp_path / "whole" / "out" / "calm-baselines.safetensors")[0]) == 5
    assert "lungcad evaluate calm" in capsys.readouterr().out


def _networks(folder):
    """The weights in a stage's checkpoint."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return state["classifier"] if "classifier" in state else state["network"]


def test_without_all_folds_nothing_is_written(data, tmp_path, capsys):
    assert train(data, tmp_path, "--folds", "2", "--padding", "valid", "--noise", "gaussian") == 0
    assert "when all five" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_an_augmentation_of_nothing_is_refused(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train(data, tmp_path, "--gan", "--augmentation", "0")
    assert "--no-gan" in capsys.readouterr().err


def test_the_member_answers_as_the_loop_that_made_it(cases, tmp_path):
    from LungCADLib.training.methods.calm import material_of

    settings = CalmSettings().scaled(lambda usual: 2)
    made, learned, prepared = fit_member(material_of(cases), settings, tmp_path, seed=0)
    assert torch.equal(made.centers, learned.centers)
    rows = made.features(prepared.apart.still())
    assert torch.allclose(rows, prepared.held_out.features[: len(rows)], atol=1e-4)
    assert torch.allclose(made(prepared.apart.still()), made.classify(rows))


def test_fine_tuning_changes_the_encoder_and_not_the_autoencoder(cases, tmp_path):
    from dataclasses import replace

    from LungCADLib.training.methods.calm import material_of

    plain = replace(CalmSettings().scaled(lambda usual: 1), fine_tune=0)
    tuned, _, prepared = fit_member(material_of(cases), replace(plain, fine_tune=2), tmp_path / "tuned", seed=0)
    other, _, _ = fit_member(material_of(cases), plain, tmp_path / "plain", seed=0)
    weights = [one.layers[0].weight for one in (tuned.encoder, other.encoder, prepared.autoencoder.encoder)]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])


@pytest.mark.parametrize("method", [METHOD, *(Baseline(name) for name in NAMES)], ids=lambda m: m.key)
def test_every_method_fits_cases_and_gives_probabilities(method, cases, tmp_path):
    said = method.fit(cases, Run(tmp_path, scale=0.01)).predict(cases)
    assert said.shape == (len(cases),)
    assert ((said >= 0) & (said <= 1)).all()


@pytest.mark.parametrize("name", ["nn", "lr", "svm", "cnn"])
def test_a_baseline_shares_the_encoder_with_calm_in_its_file(name):
    own = to_package(network(name), name)
    parts = {key.split(".")[1] for key in own}
    assert parts == ({"encoder", "head"} if name == "cnn" else {"head"})


def test_a_head_of_one_output_is_a_logistic_regression():
    head = torch.nn.Linear(1250, 1)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(np.log(3.0))
    assert OnFeatures(head)(torch.rand(2, 1, 40, 40)).tolist() == pytest.approx([0.75, 0.75])


def test_generated_positives_come_at_the_rate_asked_for(tmp_path):
    hu = np.full((16, 60, 60), -800, np.int16)
    whole = Material.of(hu, np.arange(16) < 8, np.array([f"P{i}" for i in range(16)]))
    more = enlarged(whole, 0.5, tmp_path, seed=0, steps=1)
    assert len(more.generated) == 0.5 * 8 * (1 + COPIES)
    assert len(more) == 16 + 4
    assert 0 <= more.generated.min() <= more.generated.max() <= 1


def test_an_untrained_member_has_two_clusters():
    member = CalmNetwork()
    member.centers[1] = 1.0
    features = torch.stack([torch.full((1250,), 0.1), torch.full((1250,), 0.8)])
    assert member.clusters(features).tolist() == [0, 1]
