"""`lungcad train appearance`: learns, resumes to the same bits, writes both files, never learns from strangers."""

import json

import numpy as np
import pytest
from digital_nodule import LUNG_HU
from slice_factory import SPACING, patients, star, write_data, write_patches, write_slices

from LungCADLib.cli import main
from LungCADLib.errors import InputError
from LungCADLib.malignancy.slice_view import PIXEL_MM, SIDE_PIXELS, square
from LungCADLib.training.appearance_data import SHARES, SIDE, TRAITS, gather, patch_hu
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.patch_sets import read_patches

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pictures(data):
    return gather(data)


def test_every_file_has_its_share_of_what_is_learned_from(pictures):
    ends = np.cumsum([10, 10, 30, 30])  # boxes and crops of the factory give three slices of each nodule
    weights = [part.sum() for part in np.split(pictures.weight, ends[:-1])]
    assert dict(zip(("slices", "patches", "vois", "crops"), weights, strict=True)) == pytest.approx(SHARES)
    assert pictures.hu.shape == (ends[-1], SIDE, SIDE)


def test_a_nodule_comes_to_the_middle_of_its_picture_whatever_file_it_is_from(pictures):
    for mask in pictures.mask[pictures.outlined]:
        assert np.argwhere(mask).mean(axis=0) == pytest.approx([SIDE // 2] * 2, abs=1)


def test_what_the_readers_said_becomes_shares(pictures):
    assert set(pictures.suspicion.tolist()) == {0.0, 1.0}
    slices = pictures.traits[:10]
    # All readers of the factory say 2, or 4, of 1 to 5.
    assert slices[:5, TRAITS.index("spiculation")] == pytest.approx([0.25] * 5)
    assert slices[5:, TRAITS.index("spiculation")] == pytest.approx([0.75] * 5)
    assert (slices[:, TRAITS.index("calcification")] == 0).all()
    patches = pictures.traits[10:20]
    assert np.isnan(patches[:, :-1]).all()
    assert np.isfinite(patches[:, -1]).all()


def test_patches_come_back_to_hu(tmp_path):
    path = write_patches(tmp_path, ["A", "B"])
    patches = read_patches(path, path.with_name("patches.csv"))
    middle = patch_hu(patches)[:, 14:18, 14:18]
    assert middle.mean() == pytest.approx(40, abs=15)


def test_the_real_patches_are_cut_from_the_real_slices(real_data):
    # The same nodule of the same CT stands in both files: only with the right window do their HU agree.
    from LungCADLib.training.slice_sets import read_slices

    patches = read_patches(real_data / "luna16-patches" / "patches.npz", real_data / "luna16-patches" / "patches.csv")
    slices = read_slices(real_data / "lidc-slices" / "slices.npz", real_data / "lidc-slices" / "ratings.csv")
    # Patch 1 and slice 683 (found by correlation over all pairs of one series); the patch's corner lies at (20, 19).
    assert patches.patient[1] == slices.patient[683]
    hu = np.clip(slices.hu[683, 20:52, 19:51], -1000, 400)
    assert np.abs(patch_hu(patches)[1].astype(int) - hu).max() <= 2


def test_a_patient_of_no_fold_is_refused(tmp_path):
    write_data(tmp_path)
    write_slices(tmp_path / "lidc-slices", [*patients(2)[:-1], "LIDC-IDRI-0001"])
    with pytest.raises(InputError, match="LIDC-IDRI-0001, who is in no fold"):
        gather(tmp_path)


def test_no_patient_kept_for_independent_tests_has_a_fold():
    from LungCADLib.training.lidc_nodules import independent_patients

    assert not independent_patients(None) & fold_of_patient().keys()


def test_a_square_is_cut_around_a_pixel_and_filled_beyond_the_edge():
    image = np.arange(20.0).reshape(4, 5)
    assert square(image, (1, 2), 3).tolist() == [[1, 2, 3], [6, 7, 8], [11, 12, 13]]
    assert square(image, (0, 4), 3, -1).tolist() == [[-1, -1, -1], [3, 4, -1], [8, 9, -1]]
    assert (square(image, (50, 50), 3) == 0).all()


def batch_of(pictures, seed=0, size=12):
    from LungCADLib.training.appearance_recipe import batches

    return batches(pictures, np.arange(len(pictures)), size)(np.random.default_rng(seed))


def test_a_batch_shows_nodules_altered_with_their_outlines(pictures):
    batch = batch_of(pictures, size=64)
    assert batch.views.shape == (64, 3, SIDE_PIXELS, SIDE_PIXELS)
    assert batch.views.abs().max() <= 1
    known = batch.views[:, 2]
    assert set(known.unique().tolist()) <= {0.0, 1.0}
    assert (batch.views[:, :2] * (1 - known[:, None])).abs().max() == 0
    # Where an outline says "inside", the picture is bright; the lung around it is dark.
    gray = torch.nn.functional.avg_pool2d(batch.views[:, :1], 2)[:, 0]
    outline = batch.outline[:, 0]
    for one, inside, outlined in zip(gray, outline, batch.outlined, strict=True):
        assert outlined or inside.max() == 0
        if (inside == 1).sum() > 4:
            assert one[inside == 1].mean() > one[inside == 0].mean() + 0.5


def test_the_same_step_makes_the_same_batch(pictures):
    for one, other in zip(batch_of(pictures, 3), batch_of(pictures, 3), strict=True):
        assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


def test_size_hardly_changes_and_turns_keep_angles(pictures):
    from LungCADLib.training.appearance_recipe import STRETCH, turns

    turned = turns(np.random.default_rng(0), 200)
    size = np.sqrt(np.abs(np.linalg.det(turned)))
    assert np.abs(np.log(size)).max() <= STRETCH
    for turn, s in zip(turned, size, strict=True):
        assert turn @ turn.T == pytest.approx(s**2 * np.eye(2), abs=1e-12)
    assert 60 < (np.linalg.det(turned) < 0).sum() < 140


def test_a_view_has_the_same_millimeters_whatever_the_pixels():
    from LungCADLib.malignancy.slice_view import views

    seen = []
    for spacing in (0.5, 0.9):
        side = 81
        hu = torch.from_numpy(LUNG_HU + star(side, 6.0, 0.0, spacing).astype(np.float32) * (40 - LUNG_HU))[None]
        middle = torch.full((1, 2), float(side // 2))
        seen.append(views(hu, torch.ones_like(hu), middle, torch.full((1, 2), spacing)))
        half = (seen[-1][0, 0].min() + seen[-1][0, 0].max()) / 2
        area = float((seen[-1][0, 0] > half).sum()) * PIXEL_MM**2
        assert area == pytest.approx(np.pi * 36, rel=0.06)
    assert (seen[0] - seen[1]).abs().mean() < 0.05


def test_what_is_not_known_does_not_bleed_into_what_is():
    from LungCADLib.malignancy.slice_view import views

    hu, known = torch.full((1, 41, 41), -860.0), torch.ones(1, 41, 41)
    known[:, :, 30:] = 0
    middle, spacing = torch.full((1, 2), 20.0), torch.full((1, 2), SPACING)
    one, other = (views(torch.where(known > 0, hu, filling), known, middle, spacing) for filling in (0.0, 3000.0))
    assert torch.equal(one, other)
    assert one[0, 2].any() and not one[0, 2].all()
    assert one[0, 0][one[0, 2] > 0].std() < 1e-6


def train(data, tmp_path, *words):
    return main(["train", "appearance", "--data", str(data), "--out", str(tmp_path / "out"),
                 "--runs", str(tmp_path / "runs"), "--device", "cpu", *words])  # fmt: skip


def test_a_killed_run_goes_on_to_the_same_bits_and_writes_both_files(data, tmp_path, capsys, monkeypatch):
    from LungCADLib.malignancy.appearance import MODELS
    from LungCADLib.training import appearance_recipe, trainer
    from LungCADLib.weights import read_members

    monkeypatch.setattr(trainer, "SAVED_EVERY", 1)
    calls, loss = [], appearance_recipe.loss

    def dies(network, batch):
        calls.append(batch)
        if len(calls) == 4:
            raise RuntimeError("killed")
        return loss(network, batch)

    with monkeypatch.context() as patch:
        patch.setattr(appearance_recipe, "loss", dies)
        assert train(data, tmp_path / "a", "--steps", "2", "--folds", "0", "3", "4") != 0
    assert train(data, tmp_path / "a", "--steps", "2", "--folds", "3", "4") == 0
    assert "--folds 1 2" in capsys.readouterr().out
    assert not (tmp_path / "a" / "out").exists()
    assert train(data, tmp_path / "a", "--steps", "2", "--folds", "1", "2") == 0
    assert train(data, tmp_path / "b", "--steps", "2") == 0
    one, other = ((tmp_path / k / "out" / "appearance.safetensors").read_bytes() for k in "ab")
    assert one == other
    members, said = read_members(tmp_path / "a" / "out" / "appearance.safetensors")
    assert (len(members), said["steps"], said["pictures"]) == (5, 2, 80)

    found = json.loads((tmp_path / "a" / "out" / "appearance.json").read_text())
    assert found["training"]["nodules"] == 10
    assert {name: tuple(t["name"] for t in found["models"][name]["terms"]) for name in MODELS} == MODELS
    assert all(len(models) == 5 for models in found["left_out"].values())


def test_the_network_learns_size(data, pictures):
    from LungCADLib.training.appearance_recipe import loss, recipe

    torch.manual_seed(0)
    made = recipe(pictures, (), 40, size=12)
    network = made.network()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for step in range(25):
        value, parts = loss(network, made.batch(np.random.default_rng(step)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(parts["suspicion"])
    assert np.mean(losses[-5:]) < 0.35 < 0.6 < losses[0]


def test_a_member_never_learns_from_its_fold(pictures):
    from LungCADLib.training.appearance_recipe import recipe

    left_out = {p for p, fold in fold_of_patient().items() if fold == 2}
    made = recipe(pictures, left_out, 1, size=16)
    assert made.settings["pictures"] == 64
