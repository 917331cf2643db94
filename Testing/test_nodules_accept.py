"""The second look at a candidate: each number what its name says on hand-made outlines, and the score by hand."""

import json

import numpy as np
import pytest
from digital_nodule import LUNG_HU, scan_of
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.masks import BoxMask
from LungCADLib.nodules.accept import NAMES, NoduleScore, impression, nodule_score
from LungCADLib.study import Candidate

SPACING = (1.0, 1.0, 1.0)
AT = np.moveaxis(np.indices((41, 41, 41)), 0, -1) - 20.0
RADIUS = 6.0
BALL = np.linalg.norm(AT, axis=-1) <= RADIUS


def look(tissue=BALL, region=None, mask=BALL, *, hu=30, score=0.5, radius=RADIUS):
    """The impression of an outline (bool) in lung with tissue (bool)."""
    scan = scan_of(np.where(tissue, hu, LUNG_HU), SPACING)
    region = np.ones(mask.shape, bool) if region is None else region
    outline = BoxMask((0, 0, 0), mask).trimmed()
    candidate = Candidate((20.0, 20.0, 20.0), radius, "solid", score)
    values = impression(scan, region, outline, candidate)
    assert values.shape == (len(NAMES),)
    return dict(zip(NAMES, values.tolist(), strict=True))


def test_a_ball_alone_ends_where_lung_begins():
    seen = look()
    for layer in ("near", "far"):
        assert seen[f"tissue_{layer}"] == seen[f"wall_{layer}"] == seen[f"dense_{layer}"] == 0
    assert seen["log_odds"] == pytest.approx(0)
    assert np.exp(seen["log_diameter"]) == pytest.approx(2 * RADIUS, abs=0.7)
    assert seen["growth"] == pytest.approx(0, abs=0.06)
    assert seen["length"] == pytest.approx(1, abs=0.1)
    assert seen["height"] == pytest.approx(1, abs=0.1)
    assert seen["elongation"] > 0.95
    assert seen["sphericity"] > 0.9
    assert seen["median_hu"] == seen["brightest_hu"] == pytest.approx(30 / 500)
    assert seen["outside"] == 0


def test_a_vessel_that_goes_on_is_tissue_in_the_layers_but_no_wall():
    vessel = np.hypot(AT[..., 0], AT[..., 1]) <= 2
    seen = look(BALL | vessel)
    assert 0.02 < seen["tissue_near"] < 0.2
    assert 0 < seen["tissue_far"] < seen["tissue_near"]  # the same two places on a wider layer
    assert seen["tissue_near"] == seen["dense_near"]
    assert seen["wall_near"] == 0


def test_a_wall_is_no_tissue_of_the_lung():
    wall = AT[..., 2] > 4
    seen = look(BALL | wall, region=~wall, mask=BALL & ~wall)
    assert seen["wall_near"] > 0.1
    assert seen["tissue_near"] == 0
    assert seen["dense_near"] == seen["wall_near"]
    assert seen["outside"] == 0


def test_the_share_of_the_outline_outside_the_lung():
    wall = AT[..., 2] > 0
    share = (BALL & wall).sum() / BALL.sum()
    assert look(BALL | wall, region=~wall)["outside"] == pytest.approx(share)


def test_an_outline_larger_than_the_candidate_has_grown():
    assert look(radius=RADIUS / 2)["growth"] == pytest.approx(look()["growth"] + np.log(2))


def test_a_flat_outline_is_low_and_long():
    flat = (np.abs(AT[..., 0]) <= 1) & (np.linalg.norm(AT, axis=-1) <= 10)
    seen = look(flat, mask=flat)
    assert seen["height"] < 0.25
    assert seen["sphericity"] < look()["sphericity"]


def test_calcium_is_bright_up_to_the_ceiling():
    assert look(hu=1200)["brightest_hu"] == pytest.approx(400 / 500)


@settings(max_examples=20, deadline=None)
@given(score=st.floats(0, 1))
def test_the_detectors_log_odds_are_finite_and_its_own(score):
    value = look(score=score)["log_odds"]
    assert np.isfinite(value)
    if 1e-3 < score < 1 - 1e-3:
        assert 1 / (1 + np.exp(-value)) == pytest.approx(score)


def test_an_outline_at_the_scans_corner_has_an_impression():
    corner = np.zeros((41, 41, 41), bool)
    corner[:5, :5, :5] = True
    assert all(np.isfinite(value) for value in look(corner, mask=corner).values())


def hand_score():
    """Log-odds 2 (diameter - 3) / 4 - 1, of the diameter alone."""
    count = len(NAMES)
    mean, scale, coefficients = np.zeros(count), np.ones(count), np.zeros(count)
    k = NAMES.index("log_diameter")
    mean[k], scale[k], coefficients[k] = 3.0, 4.0, 2.0
    return NoduleScore(mean, scale, coefficients, -1.0, 0.4)


def test_the_score_is_the_regression_one_can_work_out_by_hand():
    row = np.zeros((2, len(NAMES)))
    row[:, NAMES.index("log_diameter")] = (5.0, 1e6)
    low, high = hand_score().predict(row)
    assert low == pytest.approx(0.5)  # 2 (5 - 3) / 4 - 1 = 0
    assert high == pytest.approx(1)


def test_a_score_comes_back_from_json_and_other_terms_are_refused():
    data = json.loads(json.dumps({"score": hand_score().to_dict()}))
    back, rows = NoduleScore.from_json(data), np.random.default_rng(0).normal(2, 3, (20, len(NAMES)))
    assert np.array_equal(back.predict(rows), hand_score().predict(rows))
    assert back.operating_point == 0.4
    data["score"]["terms"].reverse()
    with pytest.raises(ValueError, match="nodule score was trained on other features"):
        NoduleScore.from_json(data)


def test_the_packaged_score_loads_and_likes_a_ball_better_than_a_piece_of_vessel():
    score = nodule_score()
    assert 0 < score.operating_point < 1
    vessel = np.hypot(AT[..., 0], AT[..., 1]) <= 3
    piece = vessel & (np.abs(AT[..., 2]) <= 6)
    ball, junction = (np.array([list(seen.values())]) for seen in (look(), look(vessel, mask=piece)))
    assert score.predict(ball)[0] > score.predict(junction)[0]


def test_a_wider_box_holds_the_same_mask_and_stops_at_the_grid():
    one = BoxMask((0, 3, 8), np.ones((2, 2, 2), bool))
    wider = one.padded((1, 2, 3), (10, 10, 10))
    assert wider.start == (0, 1, 5)
    assert wider.mask.shape == (3, 6, 5)
    assert np.array_equal(wider.full((10, 10, 10)), one.full((10, 10, 10)))
