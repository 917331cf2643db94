"""Agreement of ordered categories and of repeated measurements: by hand, and as the library has it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from LungCADLib.evaluation.agreement import linear_kappa, repeatability_percent
from LungCADLib.guidelines.lung_rads import Finding, classify, rank

VIGNETTES = [
    ("a 5 mm solid nodule at baseline", {"density": "solid", "mean_mm": 5.0}, "2"),
    ("a 6 mm solid nodule at baseline", {"density": "solid", "mean_mm": 6.0}, "3"),
    ("a 7.9 mm solid nodule at baseline", {"density": "solid", "mean_mm": 7.9}, "3"),
    ("an 8 mm solid nodule at baseline", {"density": "solid", "mean_mm": 8.0}, "4A"),
    ("a 15 mm solid nodule at baseline", {"density": "solid", "mean_mm": 15.0}, "4B"),
    ("a new 3 mm solid nodule", {"density": "solid", "mean_mm": 3.0, "history": "new"}, "2"),
    ("a new 4 mm solid nodule", {"density": "solid", "mean_mm": 4.0, "history": "new"}, "3"),
    ("a new 8 mm solid nodule", {"density": "solid", "mean_mm": 8.0, "history": "new"}, "4B"),
    ("a growing 7 mm solid nodule", {"density": "solid", "mean_mm": 7.0, "history": "growing"}, "4A"),
    ("a 29 mm ground-glass nodule at baseline", {"density": "non-solid", "mean_mm": 29.0}, "2"),
    ("a 30 mm ground-glass nodule at baseline", {"density": "non-solid", "mean_mm": 30.0}, "3"),
]
"""Read by hand in the table of Lung-RADS v2022 (American College of Radiology, November 2022)."""


def once(one, other):
    one, other = (np.array(column, float) for column in (one, other))
    return float(linear_kappa(one, other, np.ones((1, len(one))))[0])


def test_linear_kappa_by_hand():
    # Differences 0, 0, 1: mean 1/3. By chance (1, 2, 3) against (1, 2, 4): the nine differences add up to
    # (0 + 1 + 3) + (1 + 0 + 2) + (2 + 1 + 1) = 11, mean 11/9. Kappa 1 - (1/3) / (11/9) = 8/11.
    assert once((1, 2, 3), (1, 2, 4)) == pytest.approx(8 / 11)
    assert once((1, 2, 3), (1, 2, 3)) == 1
    assert once((1, 2), (2, 1)) == pytest.approx(-1)
    assert np.isnan(once((2, 2), (2, 2)))


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30))
def test_linear_kappa_is_the_librarys(rows):
    metrics = pytest.importorskip("sklearn.metrics")
    one, other = zip(*rows, strict=True)
    if len({*one, *other}) > 1:
        expected = metrics.cohen_kappa_score(one, other, labels=range(1, 6), weights="linear")
        assert once(one, other) == pytest.approx(expected)


def test_lung_rads_agrees_fully_with_the_table_read_by_hand():
    given = [rank(classify(Finding(**facts)).category) for _, facts, _ in VIGNETTES]
    expected = [rank(category) for *_, category in VIGNETTES]
    assert once(given, expected) == 1
    # One category off in one of them would be seen.
    assert once([*given[:-1], given[-1] + 1], expected) < 1


def test_repeatability_by_hand():
    # Twice 10 and 12, mean 11, variance 2: wCV = sqrt(2) / 11; coefficient 1.96 * sqrt(2) * sqrt(2) / 11 = 35.6 %.
    groups = [np.array([10.0, 12.0]), np.array([20.0, 24.0])]
    assert repeatability_percent(groups) == pytest.approx(100 * 1.959964 * 2 / 11, abs=1e-4)
    assert repeatability_percent([np.array([5.0, 5.0])]) == 0
