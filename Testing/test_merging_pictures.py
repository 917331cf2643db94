"""Pictures of both merges: what is drawn where, and the command that writes them."""

import numpy as np
import pytest

from LungCADLib.detection.slice_reader import Slices, merge
from LungCADLib.evaluation.merging_pictures import CHAIN, LINK, OTHER, SIDE_MM, TILE_MM, TILES, ZOOM, picture
from LungCADLib.scan import Geometry


@pytest.fixture
def seen():
    """Three slices with a nodule in two parts in the middle one, and something else beside it."""
    shape = (5, 90, 100)
    probability = np.zeros(shape)
    probability[1, 40:46, 40:46] = 0.8
    probability[2, 40:43, 40:46] = 0.9
    probability[2, 44:47, 40:46] = 0.9
    probability[3, 40:46, 40:46] = 0.7
    probability[1:3, 55:59, 50:54] = 0.6
    hu = np.where(probability > 0, 30, -860).astype(np.int16)
    return Slices(hu, np.ones(shape, bool), Geometry(shape, (2.0, 1.0, 1.0))), probability


def test_all_steps_are_drawn(seen):
    slices, probability = seen
    merged = merge(probability, slices.geometry)
    assert (len(merged.parts), len(merged.near), len(merged.chains)) == (6, 5, 2)
    rgb = picture(slices, probability, merged, merged.chains[0])
    side, tile = SIDE_MM * ZOOM, TILE_MM * ZOOM
    assert rgb.dtype == np.uint8 and rgb.shape[0] >= side + tile

    panels = [rgb[:side, k * (side + 6) : k * (side + 6) + side] for k in range(4)]
    colored = [(panel.max(axis=2) != panel.min(axis=2)).sum() for panel in panels]
    assert colored[0] == 0 and min(colored[1:]) > 100
    # The slice with the nodule in two parts: three colors before distance merging, two after.
    assert [count_colors(panel) for panel in panels[2:]] == [3, 2]

    front = rgb[side + 6 :, :side]
    assert (front == LINK).all(axis=2).sum() > 8
    strip = rgb[side + 6 :, side + 6 :]
    assert (strip == CHAIN).all(axis=2).any() and (strip == OTHER).all(axis=2).any()


def count_colors(panel):
    colors, counts = np.unique(panel[panel.max(axis=2) != panel.min(axis=2)], axis=0, return_counts=True)
    return int((counts > 50).sum()) if len(colors) else 0


def test_of_a_long_candidate_some_slices_are_shown():
    shape = (30, 60, 60)
    probability = np.zeros(shape)
    probability[2:28, 28:33, 28:33] = 0.9
    slices = Slices(np.full(shape, -860, np.int16), np.ones(shape, bool), Geometry(shape, (1.0, 1.0, 1.0)))
    merged = merge(probability, slices.geometry)
    rgb = picture(slices, probability, merged, merged.chains[0])
    assert rgb.shape[1] == SIDE_MM * ZOOM + TILES * (TILE_MM * ZOOM + 6)
