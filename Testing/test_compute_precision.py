"""Half precision changes nothing that matters: the packaged networks say the same of a chest's nodules."""

import pickle
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from LungCADLib.masks import in_plane_diameter_mm
from LungCADLib.weights import bundled_files

torch = pytest.importorskip("torch")


def _outlines(chest):
    from LungCADLib.nodules.outline_network import outline_all_by_network
    from LungCADLib.study import Candidate

    candidates = [Candidate(nodule.center_lps_mm, nodule.diameter_mm / 2, "solid", 1.0) for nodule in chest.nodules]
    found = outline_all_by_network(chest.scan, chest.masks.lungs > 0, candidates)
    voxels = np.zeros((len(found), *chest.scan.hu.shape), bool)
    for one, mask in zip(voxels, found, strict=True):
        one[mask.box] = mask.mask
    return voxels


def _same_outlines(full, half):
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(full, half, strict=True)]
    assert min(dice) > 0.95
    assert np.mean(dice) > 0.98


def _scores(chest):
    from LungCADLib.detection.blobs import lung_grid
    from LungCADLib.detection.reduction import reduction_model
    from LungCADLib.detection.views import pyramid, views

    model = reduction_model()
    grid = lung_grid(chest.scan, chest.masks.lungs > 0)
    nodules = grid.geometry.to_index([nodule.center_lps_mm for nodule in chest.nodules])
    elsewhere = np.argwhere(grid.region)[:: grid.region.sum() // 10].astype(float)
    index = np.concatenate([nodules, elsewhere])
    numbers = np.tile(model.description["mean"], (len(index), 1))
    log_odds = model.log_odds(views(pyramid(grid.hu), index, np.full(len(index), 4.0)), numbers, range(5))
    return 1 / (1 + np.exp(-log_odds))


def _suspicions(engine, chest):
    from LungCADLib.malignancy import ENGINES

    def one(outline):
        nodule = SimpleNamespace(long_axis_mm=in_plane_diameter_mm(outline.mask, chest.scan.spacing))
        return ENGINES[engine](nodule, chest.scan, outline).value

    return np.array([one(outline) for outline in chest.masks.nodules.values()])


def _slices_seen(chest):
    from LungCADLib.detection.slice_reader import lung_slices
    from LungCADLib.detection.unet_merge import slice_reader

    slices = lung_slices(chest.scan, chest.masks.lungs > 0)
    probability = slice_reader().probabilities(slices, None)
    return (probability >= 0.5)[None]


def _grades(chest):
    from LungCADLib.malignancy.attributes import rate_attributes

    rated = [rate_attributes(chest.scan, outline) for outline in chest.masks.nodules.values()]
    return np.array([[attribute.probabilities for attribute in one.values()] for one in rated])


def _within_two_percent(full, half):
    assert np.abs(full - half).max() < 0.02


CHECKS = {
    "outline": (_outlines, _same_outlines),
    "reduction": (_scores, _within_two_percent),
    "unet-merge": (_slices_seen, _same_outlines),
    "attributes": (_grades, _within_two_percent),
    **{
        engine: (partial(_suspicions, engine), _within_two_percent)
        for engine in ("appearance", "calm", "cnn-2d", "lung-rads-cnn", "membership")
    },
}

NO_ENGINE = {"calm-baselines"}
"""What only `lungcad compare` asks."""

NAMES = {file.name.partition(".")[0] for file in bundled_files() if file.name.endswith(".safetensors")}
PACKAGED = sorted(NAMES - NO_ENGINE)


@pytest.mark.parametrize("name", PACKAGED)
def test_bfloat16_changes_nothing_that_matters(chest, name):
    answers, same = CHECKS[name]
    full = answers(chest)
    with torch.autocast("cpu", torch.bfloat16):
        half = answers(chest)
    assert pickle.dumps(full) != pickle.dumps(half)  # so the precision did change
    same(full, half)
