"""Method 000's training: what it starts from, what it is shown, how it resumes, and whom it leaves out."""

import json

import numpy as np
import pytest
from slice_factory import patients, write_slices

from LungCADLib.cli import main
from LungCADLib.errors import InputError
from LungCADLib.malignancy.preprocessing import Step
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.label_rules import LabelRule
from LungCADLib.training.slice_sets import read_slices

torch = pytest.importorskip("torch")

from LungCADLib.malignancy import appearance  # noqa: E402
from LungCADLib.malignancy.membership_network import MembershipNetwork  # noqa: E402
from LungCADLib.training.membership_recipe import Batch, Choices, batches, loss, of_window, recipe  # noqa: E402
from LungCADLib.training.methods import Run  # noqa: E402
from LungCADLib.training.methods.cases import Cases  # noqa: E402
from LungCADLib.training.methods.membership import METHOD, held_out, unseen_start  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_slices(folder / "lidc-slices", patients(4))
    return folder


@pytest.fixture(scope="module")
def cases(data):
    folder = data / "lidc-slices"
    return Cases.of_slices(read_slices(folder / "slices.npz", folder / "ratings.csv"))


def batch_of(cases, size=16, seed=0, **choices):
    return batches(cases, Choices(**choices), size)(np.random.default_rng(seed))


def test_the_network_begins_with_the_layers_of_the_appearance_network():
    start = appearance.networks()[0]
    network = MembershipNetwork()
    network.begin_with(start)
    assert torch.equal(network.stem[0].weight, start.stem[0].weight)
    assert torch.equal(network.down[2].second.weight, start.down[2].second.weight)
    with pytest.raises(ValueError, match="another width"):
        MembershipNetwork(8).begin_with(start)


def test_layers_taken_over_learn_more_slowly(cases):
    made = recipe(cases, 1, Choices(start=appearance.networks()[0]))
    rates = [group["lr"] for group in made.optimizer(made.network()).param_groups]
    assert rates[0] < rates[1]
    made = recipe(cases, 1, Choices())
    rates = [group["lr"] for group in made.optimizer(made.network()).param_groups]
    assert rates[0] == rates[1]


def test_a_batch_shows_turned_and_altered_nodules_with_their_labels(cases):
    batch = batch_of(cases, 32)
    assert batch.views.shape == (32, 3, 40, 40)
    assert batch.views.abs().max() <= 1
    # In the factory suspicious nodules are large: the bright part of the picture says which they are.
    bright = (batch.views[:, 0] > 0).float().mean(dim=(1, 2))
    assert bright[batch.suspicious > 0.5].min() > bright[batch.suspicious < 0.5].max()


def test_the_same_step_makes_the_same_batch(cases):
    for one, other in zip(batch_of(cases, seed=3), batch_of(cases, seed=3), strict=True):
        assert torch.equal(one, other)


def test_preprocessing_is_of_every_picture(cases):
    plain, inverted = (batch_of(cases, steps_on_all=steps).views[:, 0] for steps in ((), (Step.INVERT,)))
    assert plain[:, :3, :3].mean() < 0 < inverted[:, :3, :3].mean()


def test_generated_pictures_are_a_share_of_each_batch_and_suspicious(cases):
    made = np.full((5, 40, 40), 0.25, np.float32)
    batch = batch_of(cases, 16, generated=made, generated_share=0.25)
    assert (batch.views[-4:, 0] == 0.25).all()
    assert (batch.suspicious[-4:] == 1).all()
    assert not (batch.views[:12, 0] == 0.25).all(dim=(1, 2)).any()


def test_the_soft_tissue_window_is_read_off_the_lung_window():
    # -1..1 is -1000..400 HU; -100 HU lies at 2 * 900 / 1400 - 1, and 150 HU is the middle of -100..400.
    hu = torch.tensor([-1000.0, -100, 150, 400])
    seen = of_window(((hu + 1000) / 1400 * 2 - 1).reshape(1, 1, 4))[0]
    assert seen[1, 0].tolist() == pytest.approx([-1, -1, 0, 1], abs=1e-5)
    assert (seen[2] == 1).all()


def test_views_of_pictures_and_of_hu_agree(cases):
    from LungCADLib.training.appearance_data import still_views

    seen = still_views(cases.hu[:3], cases.spacing_mm[:3])
    assert of_window(seen[:, 0]) == pytest.approx(seen, abs=1e-5)


def test_the_loss_is_cross_entropy():
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.odds = torch.nn.Parameter(torch.tensor([2.0, -1.0]))

        def forward(self, views):
            from LungCADLib.malignancy.membership_network import Seen

            return Seen(torch.zeros(2, 1), self.odds)

    found, parts = loss(Fixed(), Batch(torch.zeros(2, 3, 8, 8), torch.tensor([1.0, 1.0])))
    assert float(found.detach()) == pytest.approx((np.log1p(np.exp(-2)) + np.log1p(np.exp(1))) / 2, abs=1e-5)
    assert parts["accuracy"] == 0.5


def test_whole_patients_of_both_kinds_are_held_out_and_the_seed_says_which(cases):
    twice = cases.only(np.repeat(np.arange(len(cases)), 2))
    held = held_out(twice, 0)
    # Of ten patients of each kind two, each with two cases.
    assert (held[twice.suspicious].sum(), held[~twice.suspicious].sum()) == (4, 4)
    assert not set(twice.patient[held].tolist()) & set(twice.patient[~held].tolist())
    assert (held == held_out(twice, 0)).all()
    assert (held != held_out(twice, 1)).any()


def test_too_few_patients_are_refused_in_one_sentence(cases):
    one_of_them = ~cases.suspicious | (np.cumsum(cases.suspicious) == 1)
    with pytest.raises(InputError, match="two patients with a suspicious nodule"):
        held_out(cases.only(one_of_them), 0)


def test_training_begins_with_the_member_of_the_fold_that_is_left_out():
    fold_of = fold_of_patient()
    without = np.array([p for p, fold in fold_of.items() if fold != 3])
    assert unseen_start(without) == 3
    assert unseen_start(np.concatenate([without, ["stranger"]])) == 3


def test_any_other_split_starts_from_scratch():
    fold_of = fold_of_patient()
    everyone = np.array(list(fold_of))
    assert unseen_start(everyone) is None  # who is tested then?
    assert unseen_start(np.array(["stranger"])) is None
    assert unseen_start(np.array([p for p, fold in fold_of.items() if fold < 3])) is None
    # The rest of these four folds may be tested, whom a member knows.
    assert unseen_start(np.array([p for p in patients(5) if fold_of[p] < 4])) is None


def test_the_method_learns_what_is_easy(cases, tmp_path):
    told = []
    fitted = METHOD.fit(cases, Run(tmp_path, scale=0.03, progress=told.append))
    said = fitted.predict(cases)
    assert ((said > 0.5) == cases.suspicious).mean() >= 0.9
    assert told[-1] == 1
    again = METHOD.fit(cases, Run(tmp_path, scale=0.03)).predict(cases)
    assert (said == again).all()


def train(data, folder, *words):
    return main(["train", "membership", "--data", str(data), "--out", str(folder / "out"),
                 "--runs", str(folder / "runs"), "--device", "cpu", *words])  # fmt: skip


def test_a_killed_run_goes_on_to_the_same_bits_and_writes_both_files(data, tmp_path, capsys, monkeypatch):
    from LungCADLib.training import membership_recipe, trainer

    monkeypatch.setattr(trainer, "SAVED_EVERY", 1)
    calls, right = [], membership_recipe.loss

    def dies(network, batch):
        calls.append(batch)
        if len(calls) == 4:
            raise RuntimeError("killed")
        return right(network, batch)

    with monkeypatch.context() as patch:
        patch.setattr(membership_recipe, "loss", dies)
        assert train(data, tmp_path / "a", "--steps", "2", "--folds", "0", "3", "4") != 0
    assert train(data, tmp_path / "a", "--steps", "2", "--folds", "0", "3", "4") == 0
    assert "--folds 1 2" in capsys.readouterr().out
    assert not (tmp_path / "a" / "out").exists()
    assert train(data, tmp_path / "a", "--steps", "2", "--folds", "1", "2") == 0
    assert train(data, tmp_path / "b", "--steps", "2") == 0
    for name in ("membership.safetensors", "membership.json"):
        assert (tmp_path / "a" / "out" / name).read_bytes() == (tmp_path / "b" / "out" / name).read_bytes()
    found = json.loads((tmp_path / "a" / "out" / "membership.json").read_text())
    assert found["training"] == {"label_rule": "median!=3", "nodules": 20, "suspicious": 10, "patients": 20}
    assert len(found["patterns"]) == 5


def test_the_papers_letter_and_a_gan_are_flags(data, tmp_path, capsys):
    from LungCADLib.weights import read_members

    words = ("--label-rule", "median>=3", "--preprocess", "erode", "--gan-share", "0.25", "--gan-steps", "1")
    assert train(data, tmp_path, "--steps", "1", "--start", "scratch", *words) == 0
    said = read_members(tmp_path / "out" / "membership.safetensors")[1]
    assert (said["label_rule"], said["preprocess"], said["start"]) == ("median>=3", ["erode"], "scratch")
    assert (said["gan_share"], said["gan_steps"]) == (0.25, 1)
    runs = {path.name for path in (tmp_path / "runs").iterdir()}
    assert runs == {f"{kind}-{k}" for kind in ("fold", "gan") for k in range(5)}


def test_an_undecided_nodule_counts_as_the_rule_says(data, tmp_path):
    source = data / "lidc-slices"
    header, *lines = (source / "ratings.csv").read_text().splitlines()
    names = header.split(",")
    cells = [line.split(",") for line in lines]
    for k in range(1, 5):
        cells[0][names.index(f"Malignancy_{k}")] = "3"
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")
    slices = read_slices(source / "slices.npz", ratings)
    assert len(Cases.of_slices(slices)) == 19
    strict, mild = (Cases.of_slices(slices, rule) for rule in (LabelRule.SUSPICIOUS, LabelRule.BENIGN))
    assert (len(strict), strict.suspicious[0], len(mild), mild.suspicious[0]) == (20, True, 20, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--label-rule", "mean>2"), "median>=3"),
        (("--preprocess", "segment"), "segment"),
        (("--gan-share", "1.5"), "no share"),
    ],
)
def test_a_choice_that_does_not_exist_is_told_so(data, tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as end:
        train(data, tmp_path, *words)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_start_is_refused_in_one_sentence(data, tmp_path, capsys):
    assert train(data, tmp_path, "--start", str(tmp_path / "none.safetensors")) == 3
    assert "none.safetensors cannot be read" in capsys.readouterr().err
