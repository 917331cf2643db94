"""A blob that somebody else found gets the numbers that the search for blobs would have given it."""

import numpy as np
import pytest

from LungCADLib.detection.blobs import LungGrid, find_blobs
from LungCADLib.detection.blobs_at import SIGMAS_MM, blobs_at
from LungCADLib.scan import Geometry


def balls(*places, slice_mm=1.0):
    """Aerated lung of 64 mm with balls: (z, y, x), radius, HU."""
    hu = np.full((64, 64, 64), -870.0)
    z, y, x = np.mgrid[:64, :64, :64]
    for center, radius, value in places:
        away = np.sqrt((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2)
        share = np.clip(radius + 0.5 - away, 0, 1)
        hu = hu * (1 - share) + value * share
    return LungGrid(np.rint(hu).astype(np.int16), np.ones(hu.shape, bool), Geometry(hu.shape, (1.0,) * 3), slice_mm)


@pytest.mark.parametrize("slice_mm", [1.0, 2.5])
def test_the_numbers_are_those_of_the_search(slice_mm):
    grid = balls(((20, 20, 20), 3.0, 30), ((20, 44, 24), 6.0, 60), ((44, 30, 40), 9.0, -600), slice_mm=slice_mm)
    found = find_blobs(grid)
    assert len(found) >= 3
    again = blobs_at(grid, found.index, np.sqrt(3) * found.sigma_mm, found.hazy)
    same = again.sigma_mm == found.sigma_mm
    assert same[:2].all()
    assert again.response[same] == pytest.approx(found.response[same], rel=0.02)
    assert again.roundness[same] == pytest.approx(found.roundness[same], abs=0.02)


def test_of_the_scales_near_the_radius_the_one_that_answers_most_is_taken():
    grid = balls(((32, 32, 32), 4.9, 30))
    for said in (3.5, 4.9, 7.0):
        (sigma,) = blobs_at(grid, np.full((1, 3), 32.0), np.array([said]), np.array([False])).sigma_mm
        assert sigma == 2.8
    assert {sigma for sigma, _ in SIGMAS_MM} >= {1.0, 2.8, 16.0}


def test_a_place_at_the_edge_has_numbers_too():
    grid = balls(((1, 62, 32), 4.0, 30))
    (blob,) = blobs_at(grid, np.array([[0.0, 63.0, 32.0]]), np.array([4.0]), np.array([False])).response
    assert np.isfinite(blob)


def test_no_places_give_no_blobs():
    assert len(blobs_at(balls(), np.zeros((0, 3)), np.zeros(0), np.zeros(0, bool))) == 0
