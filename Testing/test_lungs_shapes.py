"""Lungs of a chest made of simple shapes, one difficulty at a time, and what the verdict says."""

from dataclasses import replace

import numpy as np
import pytest

from LungCADLib.errors import Cancelled, InputError
from LungCADLib.lungs import ENGINES, segment_lungs
from LungCADLib.lungs.grid import closing, coarse, dilate, erode, finer, opening
from LungCADLib.lungs.verdict import Evidence, judge
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.phantom import small_phantom
from LungCADLib.progress import Progress
from LungCADLib.scan import Geometry, Scan

SPACING = (2.5, 2.0, 2.0)
SHAPE = (112, 150, 190)
LUNG, TISSUE, BONE, AIR = -850, 40, 500, -1000


class Chest:
    """A body with two lungs, a trachea and a spine; positions in mm from its center (x to the left, y back, z up)."""

    def __init__(self) -> None:
        z, y, x = (np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True))
        self.z, self.y, self.x = np.ix_(z - z[-1] / 2, y - y[-1] / 2, x - x[-1] / 2)
        self.hu = np.full(SHAPE, AIR, np.int16)
        self.put((self.x / 165) ** 2 + (self.y / 115) ** 2 + 0 * self.z < 1, TISSUE)
        self.right = self.ball((-75, 0, 0), (60, 85, 115))
        self.left = self.ball((75, 0, 0), (55, 85, 115))
        self.put(self.right | self.left, LUNG)
        self.put((np.hypot(self.x, self.y - 75) < 18) & (self.z > -999), BONE)
        self.trachea = (np.hypot(self.x, self.y - 15) < 9) & (self.z > 10)
        self.put(self.trachea, AIR)

    def ball(self, center: tuple[float, float, float], radii: float | tuple[float, float, float]) -> np.ndarray:
        a, b, c = np.broadcast_to(radii, 3)
        x, y, z = center
        return ((self.x - x) / a) ** 2 + ((self.y - y) / b) ** 2 + ((self.z - z) / c) ** 2 < 1

    def put(self, where: np.ndarray, hu: int) -> None:
        self.hu[np.broadcast_to(where, SHAPE)] = hu

    def scan(self) -> Scan:
        noise = np.random.default_rng(0).normal(0, 20, SHAPE)
        return Scan(
            np.clip(self.hu + noise, -1024, 3000).astype(np.int16), Geometry(SHAPE, SPACING, (5.0, -7.0, 100.0))
        )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def side(lungs: Lungs, label: LungLabel) -> np.ndarray:
    return lungs.labels == label


def test_right_left_and_airway_are_found_and_trusted() -> None:
    chest = Chest()
    lungs = segment_lungs(chest.scan())
    assert dice(side(lungs, LungLabel.RIGHT), chest.right) > 0.97
    assert dice(side(lungs, LungLabel.LEFT), chest.left) > 0.97
    assert dice(side(lungs, LungLabel.AIRWAY), chest.trachea) > 0.85
    assert lungs.info.verdict.status == "ok", lungs.info.verdict.reasons
    assert lungs.info.right_ml == pytest.approx(np.count_nonzero(chest.right) * 0.010, rel=0.03)
    assert not (lungs.region & side(lungs, LungLabel.AIRWAY)).any()


def test_a_phantom_chest_agrees_with_its_truth() -> None:
    phantom = small_phantom()
    lungs = segment_lungs(phantom.scan)
    for label in (LungLabel.RIGHT, LungLabel.LEFT):
        assert dice(side(lungs, label), phantom.masks.lungs == label) > 0.97
    for nodule in phantom.masks.nodules.values():
        assert lungs.region[nodule.box][nodule.mask].mean() > 0.95


def test_vessels_and_a_nodule_inside_belong_to_the_lung() -> None:
    chest = Chest()
    inside = chest.ball((-75, 0, 0), 12) | ((np.hypot(chest.x + 60, chest.y + 20) < 4) & (np.abs(chest.z) < 50))
    chest.put(inside, TISSUE)
    assert side(segment_lungs(chest.scan()), LungLabel.RIGHT)[inside].all()


@pytest.mark.parametrize("diameter", [10, 20, 30, 44])
def test_a_half_ball_on_the_ribs_belongs_to_the_lung(diameter: int) -> None:
    chest = Chest()
    nodule = chest.ball((-134, 0, 0), diameter / 2) & chest.right
    chest.put(nodule, TISSUE)
    assert side(segment_lungs(chest.scan()), LungLabel.RIGHT)[nodule].mean() > 0.75


def test_a_mass_that_fills_the_chest_between_wall_and_mediastinum_is_searched() -> None:
    chest = Chest()
    mass = chest.ball((75, 45, 55), 32) & chest.left
    chest.put(mass, TISSUE)
    assert segment_lungs(chest.scan()).region[mass].mean() > 0.6


def test_the_heart_is_not_searched() -> None:
    chest = Chest()
    heart = chest.ball((40, -20, -40), 45)
    chest.put(heart, TISSUE)
    lungs = segment_lungs(chest.scan())
    assert lungs.region[chest.ball((35, -20, -40), 25)].mean() < 0.05


@pytest.mark.parametrize("y", [-40, 40])
def test_lungs_that_touch_in_front_or_behind_are_told_apart(y: int) -> None:
    chest = Chest()
    bridge = (np.abs(chest.x) < 40) & (np.abs(chest.y - y) < 4) & (np.abs(chest.z) < 40)
    chest.put(bridge & (np.abs(chest.x) > 1), LUNG)
    lungs = segment_lungs(chest.scan())
    assert dice(side(lungs, LungLabel.RIGHT), chest.right) > 0.94
    assert dice(side(lungs, LungLabel.LEFT), chest.left) > 0.94


def test_a_table_a_blanket_and_gas_in_the_stomach_are_no_lung() -> None:
    chest = Chest()
    foam = (np.abs(chest.x) < 150) & (np.abs(chest.y - 132) < 14)
    chest.put(foam & (chest.z > -999), TISSUE)
    chest.put((np.abs(chest.x) < 146) & (np.abs(chest.y - 132) < 10) & (chest.z > -999), -880)
    chest.put((np.abs(chest.y + 122) < 2) & (chest.z > -999), -300)
    stomach = chest.ball((60, -20, -128), (35, 25, 10))
    chest.put(stomach, AIR)
    lungs = segment_lungs(chest.scan())
    assert dice(lungs.region, chest.right | chest.left) > 0.95
    assert not lungs.region[stomach & ~chest.left].any()


def test_gas_in_the_colon_is_no_trachea_where_the_trachea_is_not_in_the_scan() -> None:
    chest = Chest()
    chest.put((np.hypot(chest.x, chest.y + 88) < 8) & (chest.z < -95), AIR)
    scan = chest.scan().crop((slice(0, 60), slice(0, SHAPE[1]), slice(0, SHAPE[2])))
    assert segment_lungs(scan).info.airway_ml == 0


@pytest.mark.parametrize(("part", "words"), [(slice(0, 60), "above the last"), (slice(50, 112), "below the first")])
def test_half_a_chest_is_doubtful_and_says_which_half_is_missing(part: slice, words: str) -> None:
    chest = Chest()
    lungs = segment_lungs(chest.scan().crop((part, slice(0, SHAPE[1]), slice(0, SHAPE[2]))))
    assert dice(side(lungs, LungLabel.RIGHT), chest.right[part]) > 0.95
    assert lungs.info.verdict.status == "doubtful"
    assert words in lungs.info.verdict.reasons[0]


@pytest.mark.parametrize("label", [LungLabel.RIGHT, LungLabel.LEFT])
def test_one_lung_is_given_its_side(label: LungLabel) -> None:
    chest = Chest()
    lost, kept = (chest.left, chest.right) if label == LungLabel.RIGHT else (chest.right, chest.left)
    chest.put(lost, TISSUE)
    lungs = segment_lungs(chest.scan())
    assert dice(side(lungs, label), kept) > 0.97
    assert lungs.info.verdict.reasons == [f"only the {label.name.lower()} lung was found"]


@pytest.mark.parametrize(("part", "label"), [(slice(0, 88), LungLabel.RIGHT), (slice(102, 190), LungLabel.LEFT)])
def test_a_picture_of_half_a_chest_gives_its_lung_its_side(part: slice, label: LungLabel) -> None:
    # No trachea and no spine to go by: the mediastinum is where the picture cuts the body.
    chest = Chest()
    kept = chest.right if label == LungLabel.RIGHT else chest.left
    lungs = segment_lungs(chest.scan().crop((slice(0, SHAPE[0]), slice(0, SHAPE[1]), part)))
    assert dice(side(lungs, label), kept[:, :, part]) > 0.95


def test_a_scan_without_lungs_fails_with_a_reason_and_is_searched_around_its_air() -> None:
    chest = Chest()
    chest.put(chest.right | chest.left, TISSUE)
    gas = chest.ball((60, -20, 0), 18)
    chest.put(gas, AIR)
    lungs = segment_lungs(chest.scan())
    assert lungs.info.verdict.status == "failed"
    assert "may not be a chest CT" in lungs.info.verdict.reasons[0]
    assert lungs.region[gas].all()
    assert lungs.region.mean() < 0.2


@pytest.mark.parametrize("value", [AIR, -1024, TISSUE])
def test_a_uniform_scan_fails_instead_of_crashing(value: int) -> None:
    lungs = segment_lungs(Scan(np.full((20, 40, 40), value, np.int16), Geometry((20, 40, 40), (5.0, 3.0, 3.0))))
    assert lungs.info.verdict.status == "failed"
    assert lungs.labels.shape == lungs.region.shape == (20, 40, 40)


@pytest.mark.parametrize("slices", [(5.0, 0.8, 0.8), (0.6, 1.5, 1.5)])
def test_thick_and_thin_slices_give_the_same_volumes(slices: tuple[float, float, float]) -> None:
    scan = Chest().scan()
    geometry = scan.geometry.resampled((slices[0], *SPACING[1:]))
    other = Scan(scan.geometry.resample(scan.hu, geometry, outside=AIR), geometry)
    expected, found = segment_lungs(scan).info, segment_lungs(other).info
    assert found.right_ml == pytest.approx(expected.right_ml, rel=0.04)
    assert found.left_ml == pytest.approx(expected.left_ml, rel=0.04)


def test_an_oblique_stack_keeps_its_sides() -> None:
    scan = Chest().scan()
    c, s = np.cos(0.3), np.sin(0.3)
    turned = replace(scan.geometry, direction=np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    found, expected = segment_lungs(replace(scan, geometry=turned)), segment_lungs(scan)
    for label in (LungLabel.RIGHT, LungLabel.LEFT, LungLabel.AIRWAY):
        assert dice(side(found, label), side(expected, label)) > 0.999


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no lung engine named 'x'; choose one of classical"):
        segment_lungs(Scan(np.zeros((8, 8, 8), np.int16), Geometry((8, 8, 8), SPACING)), engine="x")
    assert "classical" in ENGINES


def test_it_can_be_stopped() -> None:
    with pytest.raises(Cancelled):
        segment_lungs(Chest().scan(), progress=Progress(cancelled=lambda: True))


GOOD = Evidence(right_ml=2800, left_ml=2400, open_first=False, open_last=False, edge_share=0.0)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({}, "ok", ""),
        ({"left_ml": 1399}, "doubtful", "differ much in size"),
        ({"left_ml": 1401}, "ok", ""),
        ({"left_ml": 0}, "doubtful", "only the right lung"),
        ({"right_ml": 0}, "doubtful", "only the left lung"),
        ({"right_ml": 500, "left_ml": 499}, "doubtful", "small"),
        ({"right_ml": 500, "left_ml": 501}, "ok", ""),
        ({"right_ml": 300, "left_ml": 300, "open_last": True}, "doubtful", "above the last slice"),
        ({"right_ml": 5000, "left_ml": 4001}, "failed", "larger than lungs are"),
        ({"right_ml": 50, "left_ml": 49}, "failed", "hardly any lung"),
        ({"edge_share": 0.03}, "doubtful", "3% of the outline"),
        ({"edge_share": 0.6}, "failed", "60% of the outline"),
        ({"air_hu": -900.0}, "doubtful", "reads -900 HU"),
    ],
)
def test_the_verdict(change: dict, status: str, words: str) -> None:
    verdict = judge(replace(GOOD, **change))
    assert verdict.status == status
    assert words in " ".join(verdict.reasons)
    assert bool(verdict.reasons) == (status != "ok")


def test_morphology_in_mm_on_the_coarse_grid() -> None:
    point = np.zeros((21, 21, 21), bool)
    point[10, 10, 10] = True
    ball = dilate(point, 10.0)
    z, y, x = np.indices(point.shape) - 10
    assert np.array_equal(ball, z**2 + y**2 + x**2 <= 25)
    assert np.array_equal(erode(ball, 10.0), point)
    slit = np.ones_like(point)
    slit[:, :, 9:12] = False
    assert closing(slit, 6.0)[:, 8:13].all()
    assert not closing(slit, 2.0)[:, 8:13].all()
    assert not opening(~slit, 6.0).any()
    assert opening(~slit, 2.0)[10, 10, 10]


def test_the_coarse_grid_keeps_positions() -> None:
    chest = Chest()
    chest.put(chest.ball((-75, 0, 0), 20), 1000)
    scan = chest.scan()
    low = coarse(scan)
    at_low = low.geometry.to_lps(np.argwhere(low.hu > 700).mean(axis=0))
    at_full = scan.geometry.to_lps(np.argwhere(scan.hu > 700).mean(axis=0))
    assert np.abs(at_low - at_full).max() < 0.5


@pytest.mark.parametrize("slices", range(90, 96))
def test_the_last_coarse_slice_is_a_slice_of_the_scan_whatever_their_number(slices: int) -> None:
    hu = np.full((slices, 20, 20), TISSUE, np.int16)
    assert (coarse(Scan(hu, Geometry(hu.shape, (1.5, 1.5, 1.5)))).hu == TISSUE).all()


def test_a_coarse_mask_comes_back_where_it_was() -> None:
    scan = Chest().scan()
    low = coarse(scan)
    mask = low.hu < -500
    box, share = finer(mask, low.geometry, scan.geometry)
    back = np.zeros(scan.hu.shape, bool)
    back[box] = share > 100
    assert dice(back, scan.hu < -500) > 0.98
