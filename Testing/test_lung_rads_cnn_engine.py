"""Opinions of the Lung-RADS slice set's pipeline on nodules in a CT."""

import numpy as np
import pytest
from test_appearance_engine import measured, nodule

from LungCADLib.errors import InputError
from LungCADLib.malignancy import rater
from LungCADLib.malignancy.lung_rads_cnn import NAME, packaged, view_of
from LungCADLib.malignancy.lung_rads_cnn import tested as how_tested
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.masks import BoxMask

torch = pytest.importorskip("torch")


def opinion(case):
    scan, outline = case
    return rater(NAME)(measured(scan, outline), scan, outline)


def test_a_large_spiculated_nodule_is_more_suspicious_than_a_small_smooth_one():
    small, large = opinion(nodule(2.5, 0.0)), opinion(nodule(10.0, 0.2))
    assert small.value < 0.3
    assert large.value > 0.7


def test_an_opinion_says_what_it_is_of_and_how_it_was_tested():
    said = opinion(nodule(5.0, 0.1))
    assert (said.model, said.meaning, said.version) == (NAME, MEANING, packaged()["version"])
    assert 0 <= said.low <= said.value <= said.high <= 1
    assert "AUC 0." in said.tested
    assert "ruler" in said.tested


def test_it_is_not_a_lung_rads_category():
    assert "not a probability of cancer" in opinion(nodule(5.0, 0.1)).meaning


def test_the_outline_says_only_where_to_look():
    scan, outline = nodule(5.0, 0.15)
    z, y, x = (int(v) for v in np.argwhere(outline.full(scan.hu.shape)).mean(axis=0).round())
    assert torch.equal(view_of(scan, outline), view_of(scan, BoxMask((z, y, x), np.ones((1, 1, 1), bool))))


def test_the_packaged_networks_outline_a_nodule():
    from LungCADLib.malignancy.lung_rads_cnn import networks, outlined

    scan, outline = nodule(6.0, 0.0)
    seen = view_of(scan, outline)
    drawn = outlined(networks(), seen)[0] >= 0.5
    y, x = (np.indices(drawn.shape) - (drawn.shape[0] - 1) / 2) * 0.75
    disc = np.hypot(y, x) <= 6.0
    assert 2 * (drawn & disc).sum() / (drawn.sum() + disc.sum()) > 0.8


def test_it_needs_the_ct():
    scan, outline = nodule(5.0, 0.0)
    with pytest.raises(InputError, match="it needs the scan and the nodule's outline"):
        rater(NAME)(measured(scan, outline))


def test_before_a_test_it_says_so():
    assert how_tested({}) == f"not tested yet: run `lungcad evaluate {NAME} --card DIR`"
