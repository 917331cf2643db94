"""What the detector measures on a blob: the same for the same form at any size, and each number what its name says."""

import numpy as np
import pytest

from LungCADLib.detection.blobs import Blobs, LungGrid, find_blobs
from LungCADLib.detection.features import NAMES, SHELLS, describe
from LungCADLib.scan import Geometry

LUNG_HU, TISSUE_HU = -860.0, 30.0
RADIUS = 2 * np.sqrt(3)
"""mm; the ball for which a scale of 2 mm answers most."""

SIZED = ("log_radius", "vessels_6mm", "vessels_12mm")
"""What is in mm on purpose."""


def grid_of(share, region=None, hu=TISSUE_HU):
    region = np.ones(share.shape, bool) if region is None else region
    values = np.round(LUNG_HU + share * (hu - LUNG_HU)).astype(np.int16)
    return LungGrid(values, region, Geometry(share.shape, (1.0, 1.0, 1.0)), 1.0)


def offsets(scale):
    """(n, n, n, 3) offsets from the middle voxel in units of `scale` mm."""
    n = int(18 * scale) * 2 + 1
    return (np.moveaxis(np.indices((n, n, n)), 0, -1) - n // 2) / scale


def ball(scale=1.0):
    return np.clip((RADIUS - np.linalg.norm(offsets(scale), axis=-1)) * scale + 0.5, 0, 1)


def tube(scale=1.0, radius=2.0, half=False):
    """Through the middle along y, or only toward greater y."""
    at = offsets(scale)
    share = np.clip((radius - np.hypot(at[..., 0], at[..., 2])) * scale + 0.5, 0, 1)
    return share * (at[..., 1] >= 0) if half else share


def blob_in_the_middle(grid, sigma=2.0, hazy=False):
    """As the detector would give it, with a ball's own curvatures."""
    middle = np.array([[n // 2 for n in grid.hu.shape]], float)
    return Blobs(middle, np.array([sigma]), np.array([700.0]), np.full((1, 3), -230.0), np.array([hazy]))


def named(grid, blobs):
    (row,) = describe(grid, blobs)
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_there_is_one_column_per_name_and_one_row_per_blob():
    grid = grid_of(ball())
    blobs = find_blobs(grid)
    assert len(blobs) > 0
    assert describe(grid, blobs).shape == (len(blobs), len(NAMES))
    assert len(set(NAMES)) == len(NAMES)
    assert describe(grid, blobs.take(np.arange(0))).shape == (0, len(NAMES))


def test_a_row_does_not_depend_on_the_other_rows():
    grid = grid_of(np.maximum(ball(), tube()))
    blobs = find_blobs(grid)
    alone = describe(grid, blobs.take(np.array([1])))
    assert np.allclose(describe(grid, blobs)[1], alone[0])


FORMS = {
    "ball": ball,
    "ball on a vessel": lambda scale: np.maximum(ball(scale), tube(scale)),
    "ball at a vessel's end": lambda scale: np.maximum(ball(scale), tube(scale, half=True)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_form_at_twice_the_size_has_the_same_features(form):
    one, two = (grid_of(FORMS[form](scale)) for scale in (1.0, 2.0))
    small, large = (named(grid, find_blobs(grid).take(np.arange(1))) for grid in (one, two))
    assert large["log_radius"] - small["log_radius"] == pytest.approx(np.log(2), abs=0.01)
    for name in NAMES:
        if name not in SIZED:
            assert large[name] == pytest.approx(small[name], abs=0.2), name


def test_a_ball_alone_ends_everywhere():
    seen = named(grid_of(ball()), blob_in_the_middle(grid_of(ball())))
    assert seen["log_radius"] == pytest.approx(np.log(RADIUS))
    assert seen["contrast"] == pytest.approx((TISSUE_HU - LUNG_HU) / 500, abs=0.01)
    assert seen["peak_hu"] == seen["brightest_hu"] == pytest.approx(TISSUE_HU / 500)
    assert seen["background_hu"] == pytest.approx(LUNG_HU / 500, abs=0.01)
    assert seen["mean_1.0"] == pytest.approx(0.5, abs=0.1)  # the sphere of its own radius runs along its border
    for radius in SHELLS[2:]:
        for what in ("mean", "bright", "outside", "through", "branch"):
            assert seen[f"{what}_{radius}"] == pytest.approx(0, abs=0.05)
    assert seen["vessels_6mm"] == seen["vessels_12mm"] == 0


def test_a_tube_goes_through_and_a_ball_at_a_vessels_end_only_branches():
    for_tube = named(grid_of(tube(radius=RADIUS)), blob_in_the_middle(grid_of(ball())))
    at_end = named(grid_of(np.maximum(ball(), tube(half=True))), blob_in_the_middle(grid_of(ball())))
    for radius in SHELLS[1:4]:
        assert for_tube[f"through_{radius}"] > 0.9
        assert at_end[f"branch_{radius}"] > 0.9
    for radius in SHELLS[2:]:
        assert at_end[f"through_{radius}"] < 0.05
    assert for_tube["vessels_6mm"] > 0.1 > at_end["vessels_6mm"] > 0


def test_wall_contact_is_the_share_of_the_sphere_outside_the_lung():
    """A plane at the ball's border cuts (1 - 1 / k) / 2 off a sphere of k radii: Archimedes."""
    grid = grid_of(ball(), region=offsets(1.0)[..., 2] < RADIUS)
    seen = named(grid, blob_in_the_middle(grid))
    for radius in SHELLS[1:]:
        assert seen[f"outside_{radius}"] == pytest.approx((1 - 1 / radius) / 2, abs=0.05)
    assert named(grid_of(ball()), blob_in_the_middle(grid))["outside_3.0"] == 0


def test_what_lies_outside_the_lung_counts_neither_as_branch_nor_as_background():
    """A bright wall beside the ball changes nothing but `outside`; a voxel of lung density lies between."""
    x = offsets(1.0)[..., 2]
    bare = named(grid_of(ball()), blob_in_the_middle(grid_of(ball())))
    walled_grid = grid_of(np.maximum(ball(), x > RADIUS + 3), region=x < RADIUS + 2)
    walled = named(walled_grid, blob_in_the_middle(walled_grid))
    for name in NAMES:
        if not name.startswith("outside"):
            assert walled[name] == pytest.approx(bare[name], abs=0.1), name


def test_calcium_is_brighter_than_tissue_only_where_brightness_itself_is_asked():
    grid, calcified = grid_of(ball()), grid_of(ball(), hu=600.0)
    tissue, calcium = (named(g, blob_in_the_middle(grid)) for g in (grid, calcified))
    assert calcium["brightest_hu"] > tissue["brightest_hu"] + 0.5
    assert calcium["peak_hu"] == pytest.approx(150 / 500)


def test_the_branch_that_saw_it_is_told():
    grid = grid_of(ball())
    assert named(grid, blob_in_the_middle(grid))["hazy"] == 0
    assert named(grid, blob_in_the_middle(grid, hazy=True))["hazy"] == 1


def test_a_blob_far_outside_the_lung_still_gets_numbers():
    grid = grid_of(ball(), region=np.zeros(ball().shape, bool))
    assert np.isfinite(describe(grid, blob_in_the_middle(grid))).all()
