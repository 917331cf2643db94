"""Opinions of the membership engine on nodules in a CT, and method 000 as the comparison loads it."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, lungs_of, scan_of
from slice_factory import patients, star, write_slices

from LungCADLib.errors import InputError
from LungCADLib.malignancy import ENGINES, rater
from LungCADLib.malignancy.appearance import view_of as appearance_view
from LungCADLib.malignancy.membership import NAME, answers, features_of, networks, packaged, patterns, steps, view_of
from LungCADLib.malignancy.membership import tested as how_tested
from LungCADLib.malignancy.preprocessing import Step, inverted
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.masks import BoxMask
from LungCADLib.nodules import measure_nodule

torch = pytest.importorskip("torch")
SIDE = 81


def nodule(radius_mm, rays, spacing=0.7, dz=1.25):
    """A scan with a nodule of some slices, and its outline."""
    z = np.arange(-int(radius_mm // dz), int(radius_mm // dz) + 1) * dz
    radii = np.maximum(np.sqrt(radius_mm**2 - z**2), 1.0)
    share = np.stack([star(SIDE, r, rays, spacing) for r in radii])
    share = np.pad(share, ((4, 4), (0, 0), (0, 0)))
    noise = np.random.default_rng(0).normal(0, 20, share.shape)
    scan = scan_of(LUNG_HU + share * (40 - LUNG_HU) + noise, (dz, spacing, spacing))
    return scan, BoxMask((0, 0, 0), share >= 0.5).trimmed()


def opinion(case):
    scan, outline = case
    lungs = lungs_of(np.ones(scan.hu.shape, np.uint8))
    return rater(NAME)(measure_nodule(scan, lungs, outline, id="N1", score=1.0), scan, outline)


def test_a_large_spiculated_nodule_is_more_suspicious_than_a_small_smooth_one():
    small, large = opinion(nodule(2.5, 0.0)), opinion(nodule(10.0, 0.2))
    assert small.value < 0.25
    assert large.value > 0.75


def test_an_opinion_says_what_it_is_of_and_how_it_was_tested():
    said = opinion(nodule(5.0, 0.1))
    assert (said.model, said.meaning, said.version) == (NAME, MEANING, packaged()["version"])
    assert 0 <= said.low <= said.value <= said.high <= 1
    assert said.low < said.high
    assert "AUC 0." in said.tested
    assert "ruler" in said.tested


def test_before_it_is_tested_an_opinion_says_that():
    assert "not tested" in how_tested({key: value for key, value in packaged().items() if key != "figures"})


def test_turning_the_scan_by_a_quarter_does_not_change_the_opinion():
    scan, outline = nodule(5.0, 0.15)
    straight = opinion((scan, outline)).value
    turned = scan_of(np.rot90(scan.hu, 1, (1, 2)), scan.spacing)
    mask = BoxMask((0, 0, 0), np.ascontiguousarray(np.rot90(outline.full(scan.hu.shape), 1, (1, 2))))
    assert opinion((turned, mask)).value == pytest.approx(straight, abs=0.05)


def test_preprocessing_is_of_the_slice_that_is_looked_at():
    scan, outline = nodule(5.0, 0.15)
    assert torch.equal(view_of(scan, outline), appearance_view(scan, outline))
    seen = view_of(scan, outline, (Step.INVERT,))
    assert torch.equal(seen, appearance_view(scan_of(inverted(scan.hu), scan.spacing), outline))


def test_every_network_has_its_patterns_and_two_to_five_of_each_class():
    assert len(networks()) == len(patterns()) == 5
    assert steps() == ()
    for one in patterns():
        assert 2 <= len(one.benign) <= 5 and 2 <= len(one.malignant) <= 5
        assert one.groups.shape == (2, 32)
        assert (one.calibration[:, 0] > 0).all()


def test_all_three_answers_follow_suspicion():
    said = []
    for case in (nodule(2.5, 0.0), nodule(10.0, 0.2)):
        found, odds = features_of(networks(), view_of(*case))
        of = answers(found, patterns())
        said.append([np.mean([one.nearest[0] for one in of]), np.mean([one.membership[0] for one in of]), odds.mean()])
    assert (np.array(said[1]) > np.array(said[0])).all()


def test_an_engine_that_needs_the_ct_says_so():
    scan, outline = nodule(5.0, 0.0)
    lungs = lungs_of(np.ones(scan.hu.shape, np.uint8))
    with pytest.raises(InputError, match="needs the scan"):
        ENGINES[NAME](measure_nodule(scan, lungs, outline, id="N1", score=1.0))


def test_the_comparison_loads_the_member_of_a_fold_or_all_five(tmp_path):
    from LungCADLib.training.methods import method
    from LungCADLib.training.methods.cases import Cases
    from LungCADLib.training.slice_sets import read_slices

    path = write_slices(tmp_path, patients(2))
    cases = Cases.of_slices(read_slices(path, path.with_name("ratings.csv")))
    found = method("000")
    every, each = found.packaged(-1), [found.packaged(k) for k in range(5)]
    assert len(every.networks) == 5
    odds = [np.log(p / (1 - p)) for p in (one.predict(cases) for one in each)]
    said = every.predict(cases)
    assert np.log(said / (1 - said)) == pytest.approx(np.mean(odds, axis=0), abs=1e-6)
    assert ((said > 0.5) == cases.suspicious).all()


def test_the_packaged_networks_have_not_seen_a_patient_kept_for_independent_tests():
    from LungCADLib.training.folds import fold_of_patient
    from LungCADLib.training.lidc_nodules import independent_patients

    assert packaged()["training"]["patients"] <= len(fold_of_patient())
    assert not independent_patients(None) & fold_of_patient().keys()
