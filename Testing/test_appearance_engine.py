"""Opinions of the appearance engines on nodules in a CT."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, lungs_of, scan_of
from slice_factory import star

from LungCADLib.errors import InputError
from LungCADLib.malignancy import ENGINES, rater
from LungCADLib.malignancy.appearance import FUSION, NAME, answers, networks, packaged
from LungCADLib.malignancy.appearance import tested as how_tested
from LungCADLib.malignancy.appearance import view_of as view
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.masks import BoxMask
from LungCADLib.nodules import measure_nodule

torch = pytest.importorskip("torch")
SIDE = 81


def nodule(radius_mm, rays, spacing=0.7, dz=1.25, at=None, hu=40.0):
    """A scan with a nodule of some slices, and its outline; `at` moves its middle (y, x) off the scan's, in pixels."""
    share = np.stack([star(SIDE, r, rays, spacing) for r in tapering(radius_mm, dz)])
    if at:
        share = np.roll(share, at, (1, 2))
    pad = np.zeros((4, SIDE, SIDE))
    share = np.concatenate([pad, share, pad])
    noise = np.random.default_rng(0).normal(0, 20, share.shape)
    scan = scan_of(LUNG_HU + share * (hu - LUNG_HU) + noise, (dz, spacing, spacing))
    return scan, BoxMask((0, 0, 0), share >= 0.5).trimmed()


def tapering(radius_mm, dz):
    """Radii of the slices of a ball, no slice thinner than a pixel."""
    z = np.arange(-int(radius_mm // dz), int(radius_mm // dz) + 1) * dz
    return np.maximum(np.sqrt(radius_mm**2 - z**2), 1.0)


def measured(scan, outline):
    lungs = lungs_of(np.ones(scan.hu.shape, np.uint8))
    return measure_nodule(scan, lungs, outline, id="N1", score=1.0)


def opinion(engine, case):
    scan, outline = case
    return rater(engine)(measured(scan, outline), scan, outline)


@pytest.mark.parametrize("engine", [NAME, FUSION])
def test_a_large_spiculated_nodule_is_more_suspicious_than_a_small_smooth_one(engine):
    small, large = opinion(engine, nodule(2.5, 0.0)), opinion(engine, nodule(10.0, 0.2))
    assert small.value < 0.2
    assert large.value > 0.8


@pytest.mark.parametrize("engine", [NAME, FUSION])
def test_an_opinion_says_what_it_is_of_and_how_it_was_tested(engine):
    said = opinion(engine, nodule(5.0, 0.1))
    assert (said.model, said.meaning, said.version) == (engine, MEANING, packaged()["version"])
    assert 0 <= said.low <= said.value <= said.high <= 1
    assert said.low < said.high
    assert "AUC 0." in said.tested
    assert "ruler" in said.tested


def test_turning_the_scan_does_not_change_the_opinion():
    scan, outline = nodule(5.0, 0.15)
    straight = opinion(NAME, (scan, outline)).value
    for turn in (lambda a: a[:, ::-1], lambda a: a[:, :, ::-1], lambda a: np.rot90(a, 1, (1, 2)), lambda a: a[::-1]):
        turned = scan_of(turn(scan.hu), scan.spacing)
        mask = BoxMask((0, 0, 0), np.ascontiguousarray(turn(outline.full(scan.hu.shape))))
        # The middle of an outline falls on one pixel or its neighbor; nothing else differs.
        assert opinion(NAME, (turned, mask)).value == pytest.approx(straight, abs=0.05)


def test_the_outline_says_only_where_to_look():
    scan, outline = nodule(5.0, 0.15)
    z, y, x = (int(v) for v in np.argwhere(outline.full(scan.hu.shape)).mean(axis=0).round())
    dot = BoxMask((z, y, x), np.ones((1, 1, 1), bool))
    assert torch.equal(view(scan, outline), view(scan, dot))


def test_the_largest_slice_is_looked_at():
    scan, outline = nodule(6.0, 0.0)
    middle = outline.start[0] + int(outline.mask.sum(axis=(1, 2)).argmax())
    hu = np.full_like(scan.hu, -1000)
    hu[middle] = scan.hu[middle]
    assert torch.equal(view(scan_of(hu, scan.spacing), outline), view(scan, outline))


@pytest.mark.parametrize("at", [(-38, 0), (0, 39), (38, -38)])
def test_at_the_edge_of_the_scan_what_is_not_there_is_not_known(at):
    scan, _ = nodule(5.0, 0.1)
    y, x = SIDE // 2 + at[0], SIDE // 2 + at[1]
    dot = BoxMask((4, y, x), np.ones((1, 1, 1), bool))
    seen = view(scan, dot)
    assert 0.1 < seen[0, 2].mean() < 0.9
    assert np.isfinite(answers(networks(), seen)).all()


@pytest.mark.parametrize("dz", [0.6, 2.5, 5.0])
def test_thick_slices_change_little(dz):
    assert opinion(NAME, nodule(9.0, 0.2, dz=dz)).value > 0.7
    assert opinion(NAME, nodule(2.5, 0.0, dz=dz)).value < 0.3


@pytest.mark.parametrize("spacing", [0.5, 0.98])
def test_the_opinion_is_of_millimeters_not_pixels(spacing):
    assert opinion(NAME, nodule(9.0, 0.2, spacing)).value > 0.7
    assert opinion(NAME, nodule(2.5, 0.0, spacing)).value < 0.3


def test_a_benign_calcification_makes_the_fusion_less_suspicious():
    soft, calcified = (opinion(FUSION, nodule(5.0, 0.0, hu=hu)).value for hu in (40.0, 600.0))
    assert calcified < soft - 0.2


def test_an_engine_that_needs_the_ct_says_so():
    scan, outline = nodule(5.0, 0.0)
    with pytest.raises(InputError, match="need the scan"):
        ENGINES[NAME](measured(scan, outline))


def test_an_empty_outline_is_refused():
    scan, _ = nodule(5.0, 0.0)
    with pytest.raises(ValueError, match="without voxels"):
        view(scan, BoxMask((0, 0, 0), np.zeros((2, 2, 2), bool)))


def test_before_it_is_tested_an_opinion_says_that():
    data = {key: value for key, value in packaged().items() if key != "figures"}
    assert "not tested" in how_tested(data, "fusion")


def test_other_weights_give_another_opinion():
    from LungCADLib.malignancy.appearance_network import AppearanceNetwork

    seen = view(*nodule(9.0, 0.2))
    torch.manual_seed(0)
    strangers = answers([AppearanceNetwork().eval()], seen)
    assert np.abs(strangers[0, 0] - answers(networks(), seen)[:, 0].mean(axis=0)).max() > 0.5
