"""CALM's opinion on nodules in a CT."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, lungs_of, scan_of
from slice_factory import star

from LungCADLib.errors import InputError
from LungCADLib.malignancy import rater
from LungCADLib.malignancy.calm import NAME, networks, packaged, rate, view_of
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.masks import BoxMask
from LungCADLib.nodules import measure_nodule

torch = pytest.importorskip("torch")
SIDE = 81


def nodule(radius_mm, rays, spacing=0.7):
    """A scan with a nodule of three slices in its middle, and its outline."""
    share = np.stack([star(SIDE, radius_mm, rays, spacing)] * 3)
    share = np.concatenate([0 * share, share, 0 * share])
    noise = np.random.default_rng(0).normal(0, 20, share.shape)
    scan = scan_of(LUNG_HU + share * (40 - LUNG_HU) + noise, (1.25, spacing, spacing))
    return scan, BoxMask((0, 0, 0), share >= 0.5).trimmed()


def opinion(case):
    scan, outline = case
    measured = measure_nodule(scan, lungs_of(np.ones(scan.hu.shape, np.uint8)), outline, id="N1", score=1.0)
    return rater(NAME)(measured, scan, outline)


def test_a_large_spiculated_nodule_is_more_suspicious_than_a_small_smooth_one():
    small, large = opinion(nodule(2.5, 0.0)), opinion(nodule(10.0, 0.2))
    assert small.value < 0.3
    assert large.value > 0.7


def test_an_opinion_says_what_it_is_of_and_how_it_was_tested():
    said = opinion(nodule(5.0, 0.1))
    assert (said.model, said.meaning) == (NAME, MEANING)
    assert 0 <= said.low <= said.value <= said.high <= 1
    assert "AUC 0." in said.tested
    assert "ruler" in said.tested


def test_the_patch_is_around_the_middle_of_the_largest_slice():
    scan, outline = nodule(5.0, 0.0)
    seen = view_of(scan, outline)
    assert seen.shape == (1, 1, 40, 40)
    y, x = np.argwhere(seen[0, 0].numpy() > 0.5).mean(axis=0)
    assert (y, x) == pytest.approx((20, 20), abs=0.5)


def test_a_nodule_at_the_edge_of_the_scan_is_judged_too():
    scan, _ = nodule(5.0, 0.0)
    corner = BoxMask((4, 1, SIDE - 2), np.ones((1, 1, 1), bool))
    assert torch.isfinite(networks()[0](view_of(scan, corner))).all()


def test_an_engine_that_needs_the_ct_says_so():
    with pytest.raises(InputError, match="needs the scan"):
        rate(None)


def test_five_members_come_along_and_each_has_two_centers():
    assert len(networks()) == 5
    assert {tuple(one.centers.shape) for one in networks()} == {(2, 1250)}
    assert packaged()["figures"]["auc"]["n"] == 591


def test_the_packaged_baselines_see_with_the_same_encoder():
    from LungCADLib.training.methods.calm import PACKAGED, packaged_baselines

    for name in PACKAGED:
        said = packaged_baselines(name)[2](torch.rand(2, 1, 40, 40))
        assert said.shape == (2,)
        same = torch.equal(packaged_baselines(name)[2].encoder.layers[0].weight, networks()[2].encoder.layers[0].weight)
        assert same == (name != "cnn")
