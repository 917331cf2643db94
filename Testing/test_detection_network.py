"""The detector that ships: the network finds a phantom's nodules, and says clearly what it lacks."""

from dataclasses import replace

import numpy as np
import pytest

from LungCADLib.detection import detector, reduction
from LungCADLib.detection.reduction import ReductionModel, detect_with, reduction_model
from LungCADLib.detection.reduction_network import reduction_network
from LungCADLib.detection.views import SIDE
from LungCADLib.errors import InputError
from LungCADLib.lungs import segment_lungs
from LungCADLib.phantom import NoduleSpec, small_phantom
from LungCADLib.progress import Progress

torch = pytest.importorskip("torch")

NODULES = [NoduleSpec(9.0), NoduleSpec(16.0, attachment="juxtapleural"), NoduleSpec(18.0, density="non-solid")]


@pytest.fixture(scope="module")
def phantom():
    return small_phantom(4, nodules=NODULES, spacing=(2.5, 1.4, 1.4))


@pytest.fixture(scope="module")
def lungs(phantom):
    return segment_lungs(phantom.scan)


@pytest.fixture(scope="module")
def candidates(phantom, lungs):
    return detector("network")(phantom.scan, lungs, Progress())


def test_the_nodules_of_a_phantom_come_first(phantom, candidates):
    scores = [c.score for c in candidates]
    assert scores == sorted(scores, reverse=True) and scores[-1] >= 0 and scores[0] <= 1
    assert len(candidates) <= reduction.LOOKED_AT
    for nodule in phantom.nodules:
        inside = [
            c.score
            for c in candidates
            if np.linalg.norm(np.subtract(c.center_lps_mm, nodule.center_lps_mm)) < nodule.diameter_mm / 2
        ]
        assert max(inside, default=0) >= 0.5, nodule


def test_the_same_scan_gets_the_same_scores(phantom, lungs, candidates):
    assert detector("network")(phantom.scan, lungs, Progress()) == candidates


def test_only_the_member_that_never_saw_a_patient_speaks_of_the_patient(phantom, lungs, candidates):
    packaged = reduction_model()
    assert packaged.members_for("LIDC-IDRI-0003") == [0]
    assert packaged.members_for("nobody's") == packaged.members_for(None) == [0, 1, 2, 3, 4]
    known = replace(phantom.scan, header=replace(phantom.scan.header, patient_id="LIDC-IDRI-0003"))
    alone = detect_with(packaged, known, lungs, Progress())
    assert [c.score for c in alone] != [c.score for c in candidates]


def test_members_are_averaged_in_log_odds():
    packaged = reduction_model()
    looked = np.random.default_rng(0).integers(1, 255, (3, 2, SIDE, SIDE, SIDE), np.uint8)
    numbers = np.zeros((3, len(packaged.description["mean"])))
    each = [packaged.log_odds(looked, numbers, [k]) for k in range(5)]
    assert packaged.log_odds(looked, numbers, range(5)) == pytest.approx(np.mean(each, axis=0), abs=1e-4)


def test_the_sides_are_eight_and_each_shows_every_voxel_once():
    looked = np.arange(2 * SIDE**3, dtype=np.uint32).reshape(1, 2, SIDE, SIDE, SIDE)
    sides = [reduction.seen_from(looked, *side) for side in reduction.SIDES]
    assert np.array_equal(sides[0], looked)
    assert len({side.tobytes() for side in sides}) == 8
    for side in sides:
        assert (np.sort(side[:, 0], axis=None) == np.sort(looked[:, 0], axis=None)).all()


def test_a_mirrored_candidate_is_looked_at_from_the_same_sides():
    packaged = reduction_model()
    looked = np.random.default_rng(0).integers(1, 255, (3, 2, SIDE, SIDE, SIDE), np.uint8)
    numbers = np.zeros((3, len(packaged.description["mean"])))
    straight, mirrored = (packaged.log_odds_from_all_sides(one, numbers, [0]) for one in (looked, looked[..., ::-1]))
    assert straight == pytest.approx(mirrored, abs=1e-4)
    assert packaged.log_odds(looked, numbers, [0]) != pytest.approx(straight, abs=1e-2)


def test_what_was_not_scanned_is_neither_dark_nor_bright():
    network = reduction_network().eval()
    seen = []
    network.towers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        views = torch.zeros((1, 2, SIDE, SIDE, SIDE), dtype=torch.uint8)
        views[..., 12:] = 255
        network(views, torch.zeros((1, network.numbers[0].in_features)))
    assert seen[0][..., 0].abs().max() == 0
    assert seen[0][..., -1].min() > 1.9


def test_without_pytorch_it_says_so_and_names_the_way_out(phantom, lungs, monkeypatch):
    reduction_model.cache_clear()
    monkeypatch.setattr(reduction, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"needs PyTorch.*'blobs'"):
        detector("network")(phantom.scan, lungs, Progress())


def test_a_model_of_another_shape_is_refused():
    with pytest.raises(RuntimeError):
        ReductionModel([{}], {"widths": [16, 16, 32, 40], "folds": {}})
