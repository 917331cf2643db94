"""A person's work on a study: recorded, re-assessed, undone."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from LungCADLib.errors import InputError
from LungCADLib.masks import BoxMask
from LungCADLib.panel.review import Review
from LungCADLib.pipeline import analyze
from LungCADLib.settings import Settings
from LungCADLib.study import Study


@pytest.fixture(scope="module")
def found(chest):
    """A scan and its study; tests take their own copy."""
    return chest.scan, analyze(chest.scan, Settings(detector="blobs", outliner="classical"))


@pytest.fixture
def case(found):
    scan, study = found
    copy = Study.from_json(study.to_json())
    copy.masks = replace(study.masks, nodules=dict(study.masks.nodules))
    return scan, Review(copy, "Dr. No")


def test_a_rejected_nodule_stays_in_the_study_and_no_longer_counts(case):
    _, review = case
    worst = max(review.study.nodules, key=lambda nodule: nodule.mean_diameter_mm).id
    before = review.study.exam.lung_rads.category
    review.reject(worst)
    assert review.nodule(worst).status == "rejected"
    assert worst not in [nodule.id for nodule in review.study.counted]
    for nodule in list(review.study.counted):
        review.reject(nodule.id)
    assert review.study.exam.lung_rads.category == "1" != before


def test_who_changed_what_and_when_is_in_the_study_and_its_json(case):
    _, review = case
    review.accept("N1")
    review.reject("N2")
    changes = Study.from_json(review.study.to_json()).changes
    assert [(c.who, c.nodule, c.action) for c in changes] == [
        ("Dr. No", "N1", "accepted"),
        ("Dr. No", "N2", "rejected"),
    ]
    assert all(change.when.endswith("+00:00") for change in changes)


def test_undo_brings_back_the_state_before_and_is_recorded_too(case):
    _, review = case
    nodules, exam = deepcopy(review.study.nodules), review.study.exam
    review.reject("N1")
    review.accept("N2")
    assert review.undo() == "N2"
    assert review.undo() == "N1"
    assert review.study.nodules == nodules
    assert review.study.exam == exam
    assert not review.can_undo
    assert [c.action for c in review.study.changes] == ["rejected", "accepted", "undone", "undone"]


def test_a_nodule_added_by_a_point_gets_the_outline_and_numbers_of_the_one_found_there(case):
    scan, review = case
    first = review.study.nodules.pop(0)
    mask = review.study.masks.nodules.pop(first.id)
    id_ = review.add(scan, first.center_lps_mm)
    added = review.nodule(id_)
    assert added.status == "added"
    assert added.mean_diameter_mm == pytest.approx(first.mean_diameter_mm, rel=0.15)
    assert added.lung_rads is not None
    assert added.suspicion is not None
    new = review.study.masks.nodules[id_]
    assert (new.full(scan.hu.shape) & mask.full(scan.hu.shape)).sum() > 0.7 * mask.mask.sum()
    review.undo()
    assert id_ not in review.study.masks.nodules


def test_a_point_in_a_nodule_of_the_table_or_outside_the_scan_is_refused(case):
    scan, review = case
    with pytest.raises(InputError, match="in N1"):
        review.add(scan, review.nodule("N1").center_lps_mm)
    with pytest.raises(InputError, match="outside"):
        review.add(scan, (9999.0, 0.0, 0.0))
    assert not review.study.changes


def test_an_edited_outline_is_measured_again(case):
    scan, review = case
    before = review.nodule("N1")
    mask = review.study.masks.nodules["N1"].trimmed()
    half = mask.mask.copy()
    half[:, :, half.shape[2] // 2 :] = False
    review.outline(scan, "N1", BoxMask(mask.start, half))
    assert review.nodule("N1").volume_mm3 < 0.8 * before.volume_mm3
    assert review.nodule("N1").lung_rads is not None
    with pytest.raises(InputError, match="N1 is empty"):
        review.outline(scan, "N1", BoxMask(mask.start, np.zeros_like(half)))
