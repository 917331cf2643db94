"""The Lung-RADS slice set's pipeline: its networks, how it learns, and what it may never be tested on."""

import json
from functools import partial

import numpy as np
import pytest
from dataset_factory import lung_rads_rows, pickled_table
from slice_factory import patients, write_patches, write_slices

from LungCADLib.cli import main
from LungCADLib.errors import InputError
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.methods import METHODS, Run, method
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.patch_sets import read_patches
from LungCADLib.training.slice_sets import read_slices

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_slices(folder / "lidc-slices", patients(2))
    write_patches(folder / "luna16-patches", patients(2))
    return folder


@pytest.fixture(scope="module")
def cases(data):
    return Cases.of_slices(read_slices(data / "lidc-slices" / "slices.npz", data / "lidc-slices" / "ratings.csv"))


@pytest.fixture(scope="module")
def patches(data):
    return Cases.of_patches(
        read_patches(data / "luna16-patches" / "patches.npz", data / "luna16-patches" / "patches.csv")
    )


# The networks


def test_the_encoder_is_mobilenet_v2():
    from LungCADLib.malignancy.lung_rads_cnn_network import MobileUNet

    features = MobileUNet(1.0).features
    # torchvision's mobilenet_v2 has 3,504,872 parameters: 1,281,000 of its classifier and 412,160 of `features.18`.
    assert sum(p.numel() for p in features.parameters()) == 3_504_872 - 1_281_000 - 412_160
    assert features.state_dict()["17.conv.2.weight"].shape == (320, 960, 1, 1)


def test_channels_are_multiples_of_eight_and_never_much_fewer_than_asked_for():
    from LungCADLib.malignancy.lung_rads_cnn_network import channels_at

    # Sandler et al. at width 0.35, as the authors' code rounds: 32 * 0.35 = 11.2, nearest 8, which is less than 90 %.
    assert [channels_at(c, 0.35) for c in (32, 16, 24, 64, 96, 160, 320)] == [16, 8, 8, 24, 32, 56, 112]


@pytest.mark.parametrize("side", [64, 96])
def test_outline_and_classes_come_from_images_of_any_side_that_32_divides(side):
    from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork, network_of

    network = LungRadsNetwork(5, 0.35).eval()
    answer = network(torch.zeros(2, 4, side, side))
    assert answer.outline.shape == (2, 1, side, side)
    assert answer.segmented.shape == answer.whole.shape == (2, 5)
    again = network_of(network.state_dict())
    assert torch.equal(again(torch.zeros(2, 4, side, side)).whole, answer.whole)


def test_the_segmented_image_holds_nothing_that_was_not_outlined():
    from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork

    torch.manual_seed(0)
    network = LungRadsNetwork(2, 0.35).eval()
    network.segment.forward = lambda x: torch.full_like(x[:, :1], -100.0)
    one, other = (network(torch.cat([torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64)], 1)) for _ in range(2))
    assert torch.equal(one.segmented, other.segmented)
    assert not torch.equal(one.whole, other.whole)


def generated_state(width=1.0, seed=0):
    """A state dict in torchvision's layout, its classifier included."""
    from LungCADLib.malignancy.lung_rads_cnn_network import MobileUNet

    torch.manual_seed(seed)
    state = {
        f"features.{name}": torch.rand_like(t.float()) for name, t in MobileUNet(width).features.state_dict().items()
    }
    return state | {"features.18.0.weight": torch.rand(1280, 320, 1, 1), "classifier.1.bias": torch.rand(1000)}


def test_pretrained_weights_come_into_the_encoder_and_nowhere_else():
    from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork, load_encoder

    network, state = LungRadsNetwork(2, 1.0), generated_state()
    before = network.segment.up[0][0][0].weight.clone()
    assert load_encoder(network, state) == 306
    assert torch.equal(network.segment.features[5].conv[1][0].weight, state["features.5.conv.1.0.weight"])
    assert torch.equal(network.segment.features[0][1].running_var, state["features.0.1.running_var"])
    assert torch.equal(network.segment.up[0][0][0].weight, before)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: s.pop("features.7.conv.1.0.weight"), "no features.7.conv.1.0.weight"),
        (lambda s: s.update({"features.0.0.weight": torch.rand(16, 3, 3, 3)}), "--width 1"),
    ],
)
def test_other_pretrained_weights_are_refused(change, what):
    from LungCADLib.malignancy.lung_rads_cnn_network import LungRadsNetwork, load_encoder

    state = generated_state()
    change(state)
    with pytest.raises(InputError, match=what):
        load_encoder(LungRadsNetwork(2, 1.0), state)


# Learning


def test_a_batch_shows_nodules_with_their_outlines(cases):
    from LungCADLib.training.lung_rads_cnn_recipe import batches

    batch = batches(cases, 24)(np.random.default_rng(0))
    assert batch.views.shape == (24, 4, 64, 64)
    assert set(batch.label.tolist()) == {0, 1}
    for seen, outline in zip(batch.views[:, 0], batch.outline[:, 0], strict=True):
        assert seen[outline == 1].mean() > seen[outline == 0].mean() + 0.3
    again = batches(cases, 24)(np.random.default_rng(0))
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))


def test_without_outlines_a_disc_of_the_stated_diameter_stands_for_one(patches):
    from LungCADLib.training.lung_rads_cnn_recipe import discs

    area = discs(patches).sum(axis=(1, 2)) * patches.spacing_mm**2
    assert np.sqrt(4 / np.pi * area) == pytest.approx(patches.diameter_mm, rel=0.1)


def test_the_network_learns_to_outline_and_to_classify(cases):
    from LungCADLib.training.lung_rads_cnn_recipe import loss, recipe

    torch.manual_seed(0)
    made = recipe(cases, 25, width=0.35, size=8)
    network = made.network()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    parts = []
    for step in range(25):
        value, said = loss(network, made.batch(np.random.default_rng(step)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        parts.append(said)
    for name, share in (("outline", 0.6), ("segmented", 0.7), ("whole", 0.7)):
        assert np.mean([said[name] for said in parts[-5:]]) < share * parts[0][name], name


def train(data, place, *words):
    return main(["train", "lung-rads-cnn", "--data", str(data), "--out", str(place / "out"), "--width", "0.35",
                 "--runs", str(place / "runs"), "--device", "cpu", *words])  # fmt: skip


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A step of each member, in two goes."""
    place = tmp_path_factory.mktemp("trained")
    assert train(data, place, "--steps", "1", "--folds", "0", "3") == 0
    assert train(data, place, "--steps", "1", "--folds", "1", "2", "4") == 0
    return place


def test_five_members_and_their_coefficients_are_written(trained):
    from LungCADLib.weights import read_members

    members, said = read_members(trained / "out" / "lung-rads-cnn.safetensors")
    assert (len(members), said["slices"], said["steps"], said["width"]) == (5, 10, 1, 0.35)
    assert "LIDC" in said["data"]
    table = json.loads((trained / "out" / "lung-rads-cnn.json").read_text())
    assert table["training"]["nodules"] == 10
    assert [len(table["left_out"][name]) for name in ("segmented", "whole")] == [5, 5]


def test_the_same_seed_gives_the_same_bits(data, trained, tmp_path):
    assert train(data, tmp_path, "--steps", "1", "--folds", "3") == 0
    one, other = (
        torch.load(place / "runs" / "fold-3" / "checkpoint.pt", weights_only=True)["average"]
        for place in (trained, tmp_path)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_member_never_learns_from_its_fold(cases):
    from LungCADLib.training.lung_rads_cnn_recipe import recipe

    left_out = [p for p, fold in fold_of_patient().items() if fold == 2]
    assert recipe(cases.only(~np.isin(cases.patient, left_out)), 1).settings["cases"] == 8


def test_a_patient_of_no_fold_is_refused(data, tmp_path, capsys):
    write_slices(tmp_path / "lidc-slices", [*patients(2)[:-1], "LIDC-IDRI-0001"])
    assert train(tmp_path, tmp_path, "--steps", "1") == 3
    assert "LIDC-IDRI-0001, who is in no fold" in capsys.readouterr().err


def test_pretrained_weights_are_read_from_a_file_without_running_it(data, tmp_path, capsys):
    torch.save(generated_state(), tmp_path / "mobilenet.pth")
    words = ("--steps", "1", "--folds", "0", "--pretrained", str(tmp_path / "mobilenet.pth"))
    assert train(data, tmp_path, *words) == 3
    assert "--width 1" in capsys.readouterr().err
    assert train(data, tmp_path, *words, "--width", "1.0") == 0
    (tmp_path / "mobilenet.pth").write_bytes(b"\x80\x04cposix\nsystem\n.")
    assert train(data, tmp_path, *words, "--width", "1.0") == 3


def test_it_is_method_001_and_judges_slices_and_patches(cases, patches, tmp_path):
    assert "001" in METHODS
    one = method("001")
    assert (one.key, one.needs_outlines) == ("001", False)
    for i, some in enumerate((cases, patches)):
        moved = []
        run = Run(tmp_path / str(i), scale=0.002, progress=moved.append)
        said = one.fit(some, run).predict(some)
        assert said.shape == (10,)
        assert ((said > 0) & (said < 1)).all()
        assert moved[-1] == 1.0


# The set itself, and the test


@pytest.fixture(scope="module")
def of_set(tmp_path_factory):
    """A network of a Lung-RADS set, and the set's test file."""
    place = tmp_path_factory.mktemp("set")
    for seed, name in enumerate(("train", "test")):
        (place / f"{name}.pkl").write_bytes(pickled_table(lung_rads_rows(10, seed=seed)))
        assert main(["data", "convert", str(place / f"{name}.pkl"), "--out", str(place / f"{name}.npz")]) == 0
    assert train(place, place, "--set", str(place / "train.npz"), "--side", "32", "--steps", "2") == 0
    return place / "out" / "lung-rads-set.safetensors", place / "test.npz"


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    from LungCADLib.evaluation import lung_rads_cnn

    monkeypatch.setattr(lung_rads_cnn, "figures", partial(lung_rads_cnn.figures, rounds=50))


def evaluate(*words):
    return main(["evaluate", "lung-rads-cnn", *map(str, words)])


def test_a_network_of_the_set_is_tested_on_its_test_file(of_set, capsys):
    weights, test = of_set
    assert evaluate("--set", test, "--weights", weights, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["auc_ruler"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 10, "positive": 6}
    assert 0 <= found["dice"]["value"] <= 1
    assert set(found["classes"]) >= {"LR2", "LR3", "LR4A", "LR4B", "LR4X"}
    assert "Nobody knows which slices are of one patient" in found["notes"][1]
    assert evaluate("--set", test, "--weights", weights) == 0
    shown = capsys.readouterr().out
    assert "AUC, segmented image less ruler" in shown
    assert "LR4X" in shown


def test_neither_is_tested_on_the_others_data(data, trained, of_set, capsys):
    weights, test = of_set
    assert evaluate("--data", data, "--weights", weights) == 3
    assert "cannot be tested on LIDC" in capsys.readouterr().err
    assert evaluate("--set", test, "--weights", trained / "out" / "lung-rads-cnn.safetensors") == 3
    assert "the set cannot test it" in capsys.readouterr().err


def test_a_class_that_was_not_learned_is_refused(of_set, tmp_path, capsys):
    _, test = of_set
    with np.load(test) as file:
        arrays = dict(file)
    some = np.isin(arrays["label"], ["LR2", "LR4B"])
    np.savez(tmp_path / "two.npz", **{name: of[some] for name, of in arrays.items()})
    assert train(tmp_path, tmp_path, "--set", str(tmp_path / "two.npz"), "--side", "32", "--steps", "1") == 0
    assert evaluate("--set", test, "--weights", tmp_path / "out" / "lung-rads-set.safetensors") == 3
    assert "LR3, which was not in the set" in capsys.readouterr().err


def test_on_slices_every_figure_has_the_ruler_beside_it(data, trained, capsys):
    weights = trained / "out" / "lung-rads-cnn.safetensors"
    assert evaluate("--data", data, "--weights", weights, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"auc", "auc_whole", "auc_ruler", "auc_minus_ruler", "accuracy", "dice", "missed"} <= found.keys()
    assert found["auc"]["n"] == 10
    assert found["auc_ruler"]["value"] == 1.0, "large nodules are the suspicious ones in these slices"
    assert set(found["classes"]) >= {"benign", "suspicious"}


def test_dice_by_hand():
    from LungCADLib.evaluation.lung_rads_cnn_figures import dice

    one = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 0]]], bool)
    other = np.array([[[0, 1, 1, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 1]]], bool)
    assert dice(one, other).tolist() == [0.5, 1.0, 0.0]
