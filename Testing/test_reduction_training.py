"""How the reduction network is taught: what it sees, that it resumes to the same bits, what is written."""

import argparse

import numpy as np
import pytest

from LungCADLib.detection.blobs import LungGrid, find_blobs
from LungCADLib.detection.features import NAMES
from LungCADLib.detection.views import NO_DATA, SIDE
from LungCADLib.scan import Geometry
from LungCADLib.training import reduction
from LungCADLib.training.candidates import STORED_SIDE, Candidates, like
from LungCADLib.training.folds import FOLDS
from LungCADLib.training.insertions import LUNG_HU, Nodule, blend
from LungCADLib.training.reduction_recipe import altered
from LungCADLib.weights import read_members

pytest.importorskip("torch")


def bright_and_dark(n=40, seed=0):
    """Nodules are bright in the middle; everything else is noise."""
    rng = np.random.default_rng(seed)
    views = rng.integers(20, 60, (n, 2, STORED_SIDE, STORED_SIDE, STORED_SIDE), np.uint8)
    nodule = np.arange(n) % 2 == 0
    middle = slice(STORED_SIDE // 2 - 3, STORED_SIDE // 2 + 3)
    views[nodule, :, middle, middle, middle] = 220
    return Candidates(
        views,
        rng.standard_normal((n, len(NAMES))).astype(np.float32),
        nodule,
        np.zeros(n, np.int8),
        np.stack([np.arange(n) // 2 % FOLDS, np.full(n, -1)], 1).astype(np.int8),
        np.where(nodule, np.arange(n), -1).astype(np.int32),
        np.full(n, 0.5, np.float32),
    )


@pytest.fixture(scope="module")
def candidates():
    return bright_and_dark()


def bits(network):
    return b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())


def test_a_run_killed_in_either_round_goes_on_to_the_same_bits(candidates, tmp_path):
    whole = reduction.train_member(candidates, 0, tmp_path / "whole", 4, seed=1)

    class Killed(Exception):
        pass

    def kill_at(step):
        def done(steps):
            if steps == step:
                raise Killed

        return done

    for step in (2, 3):
        with pytest.raises(Killed):
            reduction.train_member(candidates, 0, tmp_path / "killed", 4, 1, done=kill_at(step))
    assert bits(reduction.train_member(candidates, 0, tmp_path / "killed", 4, seed=1)) == bits(whole)


def test_a_member_sees_nothing_of_its_fold(candidates, tmp_path, monkeypatch):
    class Taught(Exception):
        pass

    taught = []

    def look(mine, *rest, **settings):
        taught.append(mine)
        raise Taught

    monkeypatch.setattr(reduction, "recipe", look)
    with pytest.raises(Taught):
        reduction.train_member(candidates, 3, tmp_path, 4, 0)
    assert len(taught[0]) == len(candidates) - (candidates.folds[:, 0] == 3).sum()
    assert not (taught[0].folds == 3).any()


def test_a_member_that_is_taught_on_starts_where_it_was_in_one_round_at_a_lower_rate(candidates, tmp_path, monkeypatch):
    before = reduction.train_member(candidates, 0, tmp_path / "before", 2, seed=1)
    started, train = [], reduction.train

    def note(recipe, folder, *more):
        started.append((bits(recipe.network()), recipe.learning_rate, recipe.steps, folder.name))
        return train(recipe, folder, *more)

    monkeypatch.setattr(reduction, "train", note)
    after = reduction.train_member(candidates, 0, tmp_path / "after", 2, seed=1, before=before.state_dict())
    assert started == [(bits(before), reduction.FURTHER_RATE, 2, "2")]
    assert bits(after) != bits(before)
    assert reduction.is_finished(tmp_path / "after", 2, further=True)


def test_the_command_writes_five_members_once_all_are_trained(candidates, tmp_path, capsys):
    runs = tmp_path / "runs"
    runs.mkdir()
    candidates.save(runs / "candidates-0.npz")

    def train(*folds):
        parser = argparse.ArgumentParser()
        reduction.add_arguments(parser)
        words = ["--runs", str(runs), "--out", str(tmp_path), "--steps", "2", "--device", "cpu", "--folds", *folds]
        assert reduction.run(parser.parse_args(words)) == 0
        return capsys.readouterr().out

    assert "--folds 2 3 4" in train("0", "1")
    path = tmp_path / "reduction.safetensors"
    assert not path.exists()
    train("2", "3", "4")
    members, description = read_members(path)
    assert len(members) == FOLDS
    assert description["folds"]["LIDC-IDRI-0003"] == 0
    assert description["features"] == list(NAMES)


def test_what_is_altered_stays_a_view_of_the_same_place(candidates):
    rng = np.random.default_rng(0)
    for _ in range(20):
        out = altered(candidates.views[0], rng)
        assert out.shape == (2, SIDE, SIDE, SIDE) and out.dtype == np.uint8
        middle = out[0, SIDE // 2 - 1 : SIDE // 2 + 1, SIDE // 2 - 1 : SIDE // 2 + 1, SIDE // 2 - 1 : SIDE // 2 + 1]
        assert middle.min() > 128


def test_what_was_not_scanned_stays_empty_and_nothing_else_becomes_so_but_by_a_cut(candidates):
    views = np.full((2, STORED_SIDE, STORED_SIDE, STORED_SIDE), 3, np.uint8)
    views[:, :10] = NO_DATA
    shares = [(altered(views, np.random.default_rng(k))[0] == NO_DATA).mean() for k in range(30)]
    assert min(shares) >= 6 / SIDE and max(shares) < 0.9


def test_a_nodule_set_into_a_lung_is_itself_and_leaves_the_wall_alone():
    share = np.zeros((11, 11, 11), np.float32)
    share[3:8, 3:8, 3:8] = 1
    hu = np.full(share.shape, 300, np.float32)  # bright around: it hung on a bone
    hu[share > 0.5] = 40
    lung = np.full(share.shape, LUNG_HU, np.float32)
    lung[:, :, 10] = 60
    out = blend(lung, Nodule("", hu, share))
    assert (out[share > 0.5] == 40).all()
    assert (out[:, :, 10] == 60).all()
    assert out[0, 0, 0] == LUNG_HU
    assert LUNG_HU < out[5, 5, 2] < 40, "the edge fades, and brings nothing of the bone along"


def test_a_nodule_is_stood_for_by_blobs_of_its_size():
    z, y, x = np.ogrid[:60, :60, :60]
    outline = (z - 30) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 <= 7**2
    hu = np.where(outline, 30, -870).astype(np.int16)
    blobs = find_blobs(LungGrid(hu, np.ones(hu.shape, bool), Geometry(hu.shape, (1.0, 1.0, 1.0)), 1.0))
    rows = like(blobs, outline)
    assert len(rows)
    assert np.linalg.norm(blobs.index[rows[0]] - 30) < 2
    assert not len(like(blobs, np.roll(outline, 20, axis=2)))
