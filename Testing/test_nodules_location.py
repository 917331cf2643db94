"""Side, lobe by geometry, distance to the pleura."""

import numpy as np
import pytest
from digital_nodule import lungs_of

from LungCADLib.masks import BoxMask, LungLabel
from LungCADLib.nodules.location import locate
from LungCADLib.nodules.shape import measure_shape
from LungCADLib.scan import Geometry
from LungCADLib.study import Margin

SPACING = (2.5, 1.0, 1.0)
GEOMETRY = Geometry((110, 220, 300), SPACING)
SMOOTH = Margin(1.0, 0.0, 0.0, False, False)


def boxy_lungs(low=5, high=105):
    """Two block lungs: x 20-130 right, 170-280 left; y 20-200; 250 mm tall."""
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[low:high, 20:200, 20:130] = LungLabel.RIGHT
    labels[low:high, 20:200, 170:280] = LungLabel.LEFT
    return lungs_of(labels)


def nodule_at(z, y, x, half=2):
    return BoxMask((z - 1, y - half, x - half), np.ones((3, 2 * half + 1, 2 * half + 1), bool))


def place(z, y, x, lungs=None, density="solid", margin=SMOOTH, half=2):
    outline = nodule_at(z, y, x, half)
    return locate(lungs or boxy_lungs(), GEOMETRY, outline, measure_shape(outline.mask, SPACING), density, margin)


@pytest.mark.parametrize(
    ("at", "side", "lobe"),
    [
        ((95, 110, 70), "right", "upper"),
        ((35, 45, 70), "right", "middle"),
        ((20, 180, 70), "right", "lower"),
        ((95, 110, 220), "left", "upper"),
        ((35, 45, 220), "left", "upper"),
        ((20, 180, 220), "left", "lower"),
        ((60, 190, 220), "left", "lower"),
    ],
)
def test_side_and_lobe(at, side, lobe):
    found = place(*at)
    assert (found.side, found.lobe) == (side, lobe)
    assert found.description.startswith(f"{side} {lobe} lobe (estimate)")


def test_confidence_falls_toward_the_modelled_fissure():
    heights = [place(z, 110, 220).lobe_confidence for z in range(45, 100, 10)]
    assert min(heights) < 0.65
    assert max(heights) == 0.9


def test_a_scan_of_the_upper_lungs_alone_still_says_upper_with_less_confidence():
    cut = boxy_lungs(low=0, high=40)
    found = place(25, 110, 70, cut)
    assert found.lobe == "upper"
    assert found.lobe_confidence < place(90, 110, 70).lobe_confidence


@pytest.mark.parametrize("gap", [0, 3, 10, 40])
def test_wall_distance_is_from_edge_to_edge(gap):
    # The lung starts at x = 20; the nodule's first column lies `gap` columns farther in.
    found = place(50, 110, 20 + gap + 2)
    assert found.wall_distance_mm == pytest.approx(gap, abs=1.01 if gap > 15 else 1e-6)
    assert found.juxtapleural == (gap == 0)
    assert ("juxtapleural" in found.description) == (gap == 0)


@pytest.mark.parametrize("slices", [0, 2])
def test_wall_distance_across_thick_slices_is_from_edge_to_edge(slices):
    # The lung's floor is slice 5; slices are 2.5 mm apart, so that neighbors' centers are, and yet they touch.
    found = place(5 + slices + 1, 110, 70)
    assert found.wall_distance_mm == pytest.approx(2.5 * slices)
    assert found.juxtapleural == (slices == 0)


def test_a_nodule_outside_the_lung_mask_but_touching_it_belongs_to_that_side():
    found = place(50, 110, 14)
    assert found.side == "right"
    assert found.juxtapleural


def test_without_lungs_the_place_is_not_known():
    nothing = lungs_of(np.zeros(GEOMETRY.shape, np.uint8))
    nothing.region[:] = True
    found = place(50, 110, 70, nothing)
    assert (found.side, found.lobe, found.lobe_confidence) == ("unknown", "unknown", 0.0)
    assert found.description == "place in the lung not known"


def test_perifissural_candidates_are_small_solid_smooth_and_near_the_fissure():
    # The plane passes the middle of the depth (y 110, depth 0.5) at height 0.1 + 0.765 x 0.35 = 0.37: z = 5 + 37.
    at = (42, 110, 220)
    assert place(*at).perifissural_candidate
    assert not place(*at, density="part-solid").perifissural_candidate
    assert not place(*at, margin=Margin(0.5, 0.9, 0.0, True, False)).perifissural_candidate
    assert not place(*at, half=8).perifissural_candidate
    assert not place(90, 110, 220).perifissural_candidate


def test_left_and_right_in_the_picture_do_not_matter_the_labels_do():
    lungs = boxy_lungs()
    mirrored = lungs_of(lungs.labels[:, :, ::-1].copy())
    assert place(90, 110, 70, lungs) == place(90, 110, 299 - 70, mirrored)
