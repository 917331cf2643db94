"""From nodules to a patient's number, by hand."""

from dataclasses import replace

import pytest
from study_factory import geometry, make_nodule, make_nodules

from LungCADLib.malignancy.patient_score import LEAK, contributions, noisy_or, patient_score


def nodule(score, suspicion):
    grid = geometry()
    one = make_nodule("N1", make_nodules(grid)["L1"], grid, score)
    assert one.suspicion
    one.suspicion = None if suspicion is None else replace(one.suspicion, value=suspicion)
    return one


def test_the_noisy_or_is_the_chance_of_at_least_one():
    assert noisy_or([0.5, 0.5]) == pytest.approx(0.75)
    assert noisy_or([0.9, 0.2, 0.1]) == pytest.approx(1 - 0.1 * 0.8 * 0.9)
    assert noisy_or([]) == 0.0
    assert noisy_or([1.0, 0.3]) == 1.0


def test_a_leak_is_one_more_cause():
    assert noisy_or([], leak=0.01) == pytest.approx(0.01)
    assert noisy_or([0.5, 0.5], leak=0.2) == pytest.approx(1 - 0.8 * 0.25)


def test_a_nodule_brings_score_times_suspicion_and_the_five_best_count():
    nodules = [nodule(1.0, s) for s in (0.1, 0.2, 0.3, 0.4, 0.5)] + [nodule(0.5, 0.9), nodule(0.9, None)]
    assert contributions(nodules) == pytest.approx([0.5, 0.45, 0.4, 0.3, 0.2])


def test_the_patients_number():
    nodules = [nodule(0.8, 0.5), nodule(0.5, 0.2)]
    assert patient_score(nodules, leak=0.0) == pytest.approx(1 - 0.6 * 0.9)
    assert patient_score(nodules) == pytest.approx(1 - (1 - LEAK) * 0.6 * 0.9)
    assert patient_score([]) == pytest.approx(LEAK)
