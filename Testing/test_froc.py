"""LUNA16's FROC against curves worked out by hand."""

import numpy as np
import pytest

from LungCADLib.evaluation.froc import RATES, Scored, froc, interval, resampled, score_marks


def marks(*xyz_score):
    return [p[:3] for p in xyz_score], [p[3] for p in xyz_score]


def test_a_mark_on_the_surface_of_a_nodule_misses_it():
    inside, on = (score_marks([[x, 0, 0]], [0.9], [[0, 0, 0]], [10.0]) for x in (4.999, 5.0))
    assert inside.nodules.tolist() == [0.9] and not len(inside.false)
    assert on.nodules.tolist() == [-np.inf] and on.false.tolist() == [0.9]


def test_a_nodule_takes_the_best_of_its_marks_and_none_of_the_others_is_false():
    scored = score_marks(*marks((1, 0, 0, 0.4), (0, 1, 0, 0.7), (0, 0, 40, 0.6)), [[0, 0, 0]], [10.0])
    assert scored.nodules.tolist() == [0.7]
    assert scored.false.tolist() == [0.6]


def test_a_mark_on_an_excluded_finding_is_neither_true_nor_false():
    scored = score_marks(*marks((50, 0, 0, 0.9), (90, 0, 0, 0.8)), [[0, 0, 0]], [10.0], [[52, 0, 0]], [6.0])
    assert scored.false.tolist() == [0.8]
    assert scored.nodules.tolist() == [-np.inf]


def test_a_finding_without_a_diameter_reaches_5_mm():
    scored = score_marks(*marks((4.9, 0, 0, 0.9), (5.1, 0, 0, 0.8)), np.empty((0, 3)), [], [[0, 0, 0]], [-1.0])
    assert scored.false.tolist() == [0.8]


def test_two_scans_by_hand():
    # Strictest first: 0.9 found, 0.8 false, 0.7 found, 0.6 false, 0.5 false; one of three nodules is never found.
    scans = [
        Scored(np.array([0.9, -np.inf]), np.array([0.8, 0.5])),
        Scored(np.array([0.7]), np.array([0.6])),
    ]
    curve = froc(scans)
    # Up to 1/2 false mark per scan one of three, the second at exactly 1/2 (one false mark in two scans) and beyond.
    assert curve.at[:2] == pytest.approx([1 / 3, 1 / 3])
    assert curve.at[2:] == pytest.approx([2 / 3] * 5)
    assert curve.cpm == pytest.approx((2 * 1 / 3 + 5 * 2 / 3) / 7)


def test_between_two_points_the_curve_is_a_straight_line():
    # One scan: at 0.9 one of two nodules and no false mark; at 0.5 a nodule and two false marks alike.
    curve = froc([Scored(np.array([0.9, 0.5]), np.array([0.5, 0.5]))])
    assert curve.at == pytest.approx([0.5 + min(rate, 2) / 2 * 0.5 for rate in RATES], abs=1e-9)


def test_scans_without_nodules_share_the_false_marks():
    with_nodule, without = Scored(np.array([0.5]), np.array([0.8])), Scored(np.array([]), np.array([]))
    assert froc([with_nodule]).at[2] == pytest.approx(0.0)  # one false mark per scan before the nodule
    assert froc([with_nodule, without]).at[2] == pytest.approx(1.0)  # half a false mark per scan


def test_nothing_marked_is_nothing_found_and_no_nodule_is_an_error():
    assert froc([Scored(np.array([-np.inf]), np.array([]))]).cpm == 0
    with pytest.raises(ValueError, match="at least one nodule"):
        froc([Scored(np.array([]), np.array([0.4]))])


def test_scans_are_drawn_whole_and_repeatably():
    good, bad = Scored(np.array([0.9]), np.array([])), Scored(np.array([-np.inf]), np.array([0.9]))
    drawn = resampled([good, bad], seed=3, times=50)
    assert drawn.shape == (50, 1 + len(RATES))
    assert np.array_equal(drawn, resampled([good, bad], seed=3, times=50))
    assert {0.0, 1.0} <= set(drawn[:, 0])
    assert interval(drawn[:, 0]) == (0.0, 1.0)
