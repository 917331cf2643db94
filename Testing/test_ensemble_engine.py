"""The ensemble's opinion of a nodule: made of the other engines', and of nothing else."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, lungs_of, scan_of
from slice_factory import star

from LungCADLib import malignancy
from LungCADLib.malignancy import ensemble
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.masks import BoxMask
from LungCADLib.nodules import measure_nodule
from LungCADLib.study import Opinion

pytest.importorskip("torch")


def said(values):
    """Opinions of all members."""
    return [Opinion(name, "1", value, 0.0, 1.0, "", "") for name, value in zip(ensemble.members(), values, strict=True)]


def test_every_member_is_an_engine_with_an_opinion_of_its_own():
    assert set(ensemble.members()) <= malignancy.ENGINES.keys() - {ensemble.NAME, "fusion"}
    assert "reader-model" in ensemble.members()


def test_by_hand():
    # The regression of the file on log odds of 1/2, which are 0, and on a member at 0.9.
    data = ensemble.packaged()
    n = len(ensemble.members())
    for values in ([0.5] * n, [0.9] + [0.5] * (n - 1)):
        odds = [np.log(v / (1 - v)) for v in values]
        each = [t["coefficient"] * (x - t["mean"]) / t["scale"] for t, x in zip(data["terms"], odds, strict=True)]
        logit = data["intercept"] + sum(each)
        opinion = ensemble.combine(said(values))
        assert opinion.value == pytest.approx(1 / (1 + np.exp(-logit)))
        assert opinion.low <= opinion.value <= opinion.high


def test_it_says_what_it_is_of_and_how_it_was_tested_with_the_ruler_beside_it():
    opinion = ensemble.combine(said([0.3] * len(ensemble.members())))
    assert (opinion.model, opinion.meaning) == ("ensemble", MEANING)
    assert "AUC 0." in opinion.tested and "the ruler" in opinion.tested and "8 to 15 mm" in opinion.tested


def test_it_asks_its_members():
    share = np.stack([star(81, 8.0, 0.1)] * 9)
    scan = scan_of(LUNG_HU + share * (40 - LUNG_HU), (1.25, 0.7, 0.7))
    outline = BoxMask((0, 0, 0), share >= 0.5).trimmed()
    nodule = measure_nodule(scan, lungs_of(np.ones(scan.hu.shape, np.uint8)), outline, id="N1", score=1.0)
    given = [malignancy.ENGINES[name](nodule, scan, outline) for name in ensemble.members()]
    assert malignancy.rater("ensemble")(nodule, scan, outline) == ensemble.combine(given)
