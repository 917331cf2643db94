"""The detector "unet-merge": what its network sees, which members speak, and what it finds."""

from dataclasses import replace

import numpy as np
import pytest

from LungCADLib.detection import detector, unet_merge
from LungCADLib.detection.merging import Chain, SlicePart
from LungCADLib.detection.slice_reader import (
    LEAST_SLICE_MM,
    MARGIN_MM,
    SliceReader,
    Slices,
    centers,
    lung_slices,
    merge,
)
from LungCADLib.detection.slice_unet import DROPPED, multiple, slice_unet
from LungCADLib.detection.unet_merge import radius_mm, slice_reader
from LungCADLib.errors import InputError
from LungCADLib.lungs import segment_lungs
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.phantom import NoduleSpec, small_phantom
from LungCADLib.progress import Progress
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import LungsInfo, LungVerdict

torch = pytest.importorskip("torch")

NODULES = [NoduleSpec(9.0), NoduleSpec(16.0, attachment="juxtapleural"), NoduleSpec(18.0, density="non-solid")]
WIDTHS = (4, 8)


@pytest.fixture(scope="module")
def phantom():
    return small_phantom(4, nodules=NODULES, spacing=(2.5, 1.4, 1.4))


@pytest.fixture(scope="module")
def lungs(phantom):
    return segment_lungs(phantom.scan)


@pytest.fixture(scope="module")
def candidates(phantom, lungs):
    return detector("unet-merge")(phantom.scan, lungs, Progress())


def reader(folds=None, always=None):
    """Five untrained members; with `always`, member k says the logit `always[k]` everywhere."""
    members = []
    for k in range(5):
        torch.manual_seed(k)
        state = slice_unet(WIDTHS).state_dict()
        if always is not None:
            state["answer.weight"] *= 0
            state["answer.bias"][:] = always[k]
        members.append(state)
    return SliceReader(members, {"widths": WIDTHS, "folds": folds or {}})


def some_slices(shape=(11, 50, 60)):
    hu = np.random.default_rng(0).integers(-1000, 200, shape).astype(np.int16)
    region = np.zeros(shape, bool)
    region[1:-1, 10:40, 12:50] = True
    return Slices(hu, region, Geometry(shape, (2.0, 1.0, 1.0)))


def test_the_network_answers_for_every_pixel_and_repeats_on_its_way_up():
    network = slice_unet((4, 8, 16)).eval()
    assert multiple((4, 8, 16)) == 4
    with torch.inference_mode():
        assert network(torch.zeros(2, 24, 36)).shape == (2, 24, 36)
    assert [type(part).__name__ for part in network.contracting[0]].count("Dropout2d") == 1
    assert not any("ConvTranspose" in type(part).__name__ for part in network.modules())
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 22, 36))


def test_training_drops_whole_feature_maps():
    torch.manual_seed(0)
    drop = slice_unet((4, 8)).train().contracting[0][3]
    kept = drop(torch.ones(200, 4, 3, 3)).amax(dim=(2, 3))
    assert drop.p == DROPPED
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / (1 - DROPPED)])
    assert 0.05 < (kept == 0).float().mean() < 0.15


def test_what_is_denser_than_the_window_looks_alike():
    network = slice_unet((4, 8)).eval()
    with torch.inference_mode():
        same = network(torch.full((1, 8, 8), 400.0)), network(torch.full((1, 8, 8), 3000.0))
    assert torch.equal(*same)


def test_nothing_is_likely_outside_the_lungs():
    slices = some_slices()
    seen = reader(always=[3.0] * 5).probabilities(slices, None)
    assert seen.shape == slices.hu.shape
    assert (seen[~slices.region] == 0).all()
    assert seen[slices.region] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-3)


def test_a_patient_who_was_learned_from_is_read_by_one_member():
    shares = [1 / (1 + np.exp(-k)) for k in range(5)]
    seen = reader({"Anne": 3}, always=range(5)).probabilities(some_slices(), "Anne")
    assert seen[5, 20, 20] == pytest.approx(shares[3], abs=1e-3)


def test_others_are_read_by_two_members_in_turn():
    shares = [1 / (1 + np.exp(-k)) for k in range(5)]
    seen = reader(always=range(5)).probabilities(some_slices(), "Bert")
    for z in range(1, 10):
        assert seen[z, 20, 20] == pytest.approx((shares[z % 5] + shares[(z + 1) % 5]) / 2, abs=1e-3)


def test_what_is_large_is_seen_with_larger_pixels_and_what_is_small_is_not():
    slices = some_slices((2, 64, 64))
    slices.region[:] = True
    seen = []

    class Watched(SliceReader):
        def _read(self, hu, region, members):
            seen.append(hu.shape)
            out = np.zeros(hu.shape, np.float32)
            if hu.shape == (32, 32):
                out[4:14, 4:14] = 0.9  # 20 mm
                out[20:23, 20:23] = 0.9  # 6 mm
                out[18:28, 4:14] = 0.9  # 20 mm, of which the other reading knows most
            else:
                out[40:54, 8:26] = 0.6
            return out

    own = reader()
    watched = Watched([n.state_dict() for n in own.networks], own.description)
    found = watched.probabilities(slices, None)
    assert seen[:2] == [(64, 64), (32, 32)]
    assert found[0, 8:28, 8:28] == pytest.approx(0.9, abs=1e-3)
    assert (found > 0).sum() == 2 * (20 * 20 + 14 * 18)


def test_a_frame_may_reach_beyond_the_slice():
    shape = (3, 20, 18)
    slices = Slices(np.zeros(shape, np.int16), np.ones(shape, bool), Geometry(shape, (2.0, 1.0, 1.0)))
    assert (reader(always=[1.0] * 5).probabilities(slices, None) > 0.7).all()


@pytest.mark.parametrize(("slice_mm", "shown_mm"), [(0.5, 1.5), (0.625, 1.25), (1.0, 2.0), (1.25, 1.25), (5.0, 5.0)])
def test_thin_slices_are_taken_together(slice_mm, shown_mm):
    shape = (24, 60, 70)
    scan = Scan(np.full(shape, -850, np.int16), Geometry(shape, (slice_mm, 0.7, 0.7)))
    region = np.zeros(shape, bool)
    region[:, 30:40, 30:40] = True
    shown = lung_slices(scan, region)
    assert shown.slice_mm == shown_mm >= LEAST_SLICE_MM
    assert shown.geometry.spacing[1:] == (1.0, 1.0)
    # 10 pixels of 0.7 mm and the margin on both sides, as far as the scan goes.
    assert shown.hu.shape[1] == round(min(60, 10 + 2 * np.ceil(MARGIN_MM / 0.7)) * 0.7)
    assert shown.region.any()


def test_centers_are_where_the_pixels_are_in_the_patient():
    geometry = Geometry((6, 30, 30), (2.5, 1.0, 1.0), (-10.0, 5.0, 100.0))
    probability = np.zeros(geometry.shape)
    probability[2:4, 10:14, 20:24] = 0.9
    merged = merge(probability, geometry)
    assert (len(merged.parts), len(merged.near), len(merged.chains)) == (2, 2, 1)
    assert centers(merged.chains, geometry)[0] == pytest.approx((-10 + 21.5, 5 + 11.5, 100 + 2.5 * 2.5))


def test_the_radius_is_of_the_ball_of_the_same_volume():
    pixels = np.argwhere(np.ones((4, 4)))
    chain = Chain(tuple(SlicePart(k, (1.5, 1.5), pixels, 0.9, (1.0, 1.0)) for k in range(4)), 1.0)
    assert radius_mm(chain) == pytest.approx((3 * 64 / (4 * np.pi)) ** (1 / 3))


def test_the_nodules_of_a_phantom_come_first(phantom, candidates):
    scores = [c.score for c in candidates]
    assert scores == sorted(scores, reverse=True) and len(candidates) <= 500
    for nodule in phantom.nodules:
        inside = [
            c.score
            for c in candidates
            if np.linalg.norm(np.subtract(c.center_lps_mm, nodule.center_lps_mm)) < nodule.diameter_mm / 2
        ]
        assert max(inside, default=0) >= 0.5, nodule


@pytest.fixture(scope="module")
def part(phantom, lungs):
    """The lungs of the few slices around the first nodule."""
    z = round(float(phantom.scan.geometry.to_index(phantom.nodules[0].center_lps_mm)[0]))
    region = lungs.region.copy()
    region[: z - 5], region[z + 6 :] = False, False
    return replace(lungs, region=region)


def test_the_same_scan_gets_the_same_candidates(phantom, part):
    once, again = (detector("unet-merge")(phantom.scan, part, Progress()) for _ in range(2))
    assert once and once == again


def test_the_member_of_a_patient_speaks_alone(phantom, part):
    assert set(slice_reader().description["folds"].values()) == {0, 1, 2, 3, 4}
    slices = lung_slices(phantom.scan, part.region)
    alone, two = (slice_reader().probabilities(slices, patient) for patient in ("LIDC-IDRI-0003", "nobody's"))
    assert alone.max() > 0.5 and not np.array_equal(alone, two)


def test_empty_lungs_have_no_candidates():
    shape = (8, 40, 40)
    scan = Scan(np.full(shape, -870, np.int16), Geometry(shape, (2.5, 1.0, 1.0)))
    region = np.ones(shape, bool)
    info = LungsInfo("none", LungVerdict("ok"), 0.0, 0.0, 0.0, 0.0)
    labels = np.full(shape, LungLabel.RIGHT, np.uint8)
    assert detector("unet-merge")(scan, Lungs(labels, region, info), Progress()) == []


def test_without_pytorch_it_says_so_and_names_the_way_out(phantom, lungs, monkeypatch):
    slice_reader.cache_clear()
    monkeypatch.setattr(unet_merge, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"'unet-merge' needs PyTorch.*'blobs'"):
        detector("unet-merge")(phantom.scan, lungs, Progress())
