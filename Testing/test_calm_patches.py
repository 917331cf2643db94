"""What CALM learns from: patches of nodules and of other places, cut alike, and their altered copies."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU
from slice_factory import patients, write_crops, write_slices

from LungCADLib.malignancy.calm import patch, pictures
from LungCADLib.scan import Geometry, Scan
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.lung_patches import (
    SOURCES,
    STORED_SIDE,
    LungPatches,
    largest_usual_mm,
    middles,
    of_crops,
    of_slices,
    shifted,
)
from LungCADLib.training.slice_sets import Slices, read_slices

torch = pytest.importorskip("torch")

from LungCADLib.training.calm_material import COPIES, Material, parted, stored_patches  # noqa: E402
from LungCADLib.training.scan_patches import LESION_SHARE, _away, lesion_rows  # noqa: E402


def slices_with_sides(sides):
    """Slices of 71 pixels of 1 mm whose outlines have these sides along y and x."""
    n = len(sides)
    mask = np.zeros((n, 71, 71), bool)
    for one, (y, x) in zip(mask, sides, strict=True):
        one[20 : 20 + y, 20 : 20 + x] = True
    whose = np.array(patients(-(-n // 5))[:n])
    return Slices(np.full((n, 71, 71), -850, np.int16), mask, np.ones(n), whose, np.full(n, "GE"), {})


def test_the_size_rule_is_the_third_quartile_and_one_and_a_half_ranges():
    # Quartiles of 4, 6, 8, 10, 30 are 6 and 10: the limit is 10 + 1.5 * 4 = 16.
    slices = slices_with_sides([(k, 5) for k in (4, 6, 8, 10, 30)])
    assert largest_usual_mm(slices).tolist() == [16.0, 5.0]
    assert len(of_slices(slices)) == 4


def test_a_nodule_of_the_slices_is_in_the_middle_of_its_patch(tmp_path):
    whose = patients(2)
    slices = read_slices(write_slices(tmp_path, whose), tmp_path / "ratings.csv")
    patches = of_slices(slices)
    assert patches.hu.shape[1:] == (STORED_SIDE, STORED_SIDE)
    assert middles(patches.hu)[:, 18:22, 18:22].mean() > -100
    assert patches.fold.tolist() == [fold_of_patient()[p] for p in patches.patient.tolist()]


def test_crops_give_as_many_slices_away_from_the_nodule_as_through_it(tmp_path):
    from slice_factory import change

    path = write_crops(tmp_path, patients(1)[:2])
    with np.load(path) as file:
        hu, mask = file["hu"], file["mask"]
    tall = np.full((2, 51, 51, 51), LUNG_HU, hu.dtype)
    outline = np.zeros(tall.shape, mask.dtype)
    tall[:, 24:27], outline[:, 24:27] = hu, mask
    tall[:, :, 22:25, 26:29] = np.maximum(tall[:, :, 22:25, 26:29], -200)  # a vessel along z
    change(path, hu=tall, mask=outline)
    patches = of_crops(path, np.array([100.0, 100.0]))
    assert patches.nodule.tolist() == [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3
    away = middles(patches.hu[~patches.nodule])
    assert away[:, 18:23, 18:23].max() > -300  # the vessel, which stands out, is in the middle
    assert away.mean() < -800
    assert len(of_crops(path, np.array([5.0, 5.0]))) == 0


def test_copies_are_moved_by_no_more_than_asked_and_lie_within_what_is_stored():
    hu = np.zeros((200, STORED_SIDE, STORED_SIDE), np.int16)
    hu[:, 30, 30] = 100
    where = np.argwhere(shifted(hu, np.random.default_rng(0), 3) == 100)[:, 1:]
    assert len(where) == 200
    assert (where.min(axis=0).tolist(), where.max(axis=0).tolist()) == ([17, 17], [23, 23])


def test_a_patch_at_the_edge_of_a_scan_is_mirrored_not_padded():
    image = np.arange(50 * 60).reshape(50, 60)
    assert np.array_equal(patch(image, (25, 30)), image[5:45, 10:50])
    edge = patch(image, (2, 30))
    assert edge.shape == (40, 40)
    assert np.array_equal(edge[:18], edge[18:36][::-1])


def test_small_pictures_are_mirrored_and_large_ones_cut_around_the_same_middle():
    large = np.zeros((1, 71, 71), np.int16)
    small = np.zeros((1, 32, 32), np.int16)
    large[0, 35, 35] = small[0, 16, 16] = 7
    for stored in (stored_patches(large), stored_patches(small)):
        assert stored.shape == (1, STORED_SIDE, STORED_SIDE)
        assert middles(stored)[0, 20, 20] == 7


def test_the_lung_window_becomes_zero_to_one():
    assert pictures(np.array([[[-1100, -1000, -300, 400, 900]]])).flatten().tolist() == [0, 0, 0.5, 1, 1]


def material(n=40):
    hu = np.random.default_rng(0).integers(-900, 0, (n, STORED_SIDE, STORED_SIDE)).astype(np.int16)
    positive = np.arange(n) < n // 2
    # Two patches of each patient; the last ten are of one CT without a nodule.
    whose = np.array([f"P{i // 2 % (n // 4)}" if i < n - 10 else "CT" for i in range(n)])
    return Material.of(hu, positive, whose)


def test_generated_pictures_are_balanced_by_real_negatives_again():
    whole = material()
    made = np.full((20 * (1 + COPIES) // 2, 1, 40, 40), 0.5, np.float32)
    more = whole.more(made, seed=0)
    assert len(more) == len(whole) + 10
    assert not more.positive[len(whole) :].any()
    seen, labels = more.examples(seed=0)
    assert len(seen) == len(labels) == 50 * (1 + COPIES) + len(made)
    assert labels.mean() == pytest.approx(0.5)
    drawn, truth = more.drawn(np.random.default_rng(0), 600)
    flat = (drawn == 0.5).all(dim=3).all(dim=2)[:, 0]
    assert float(flat.float().mean()) == pytest.approx(1 / 6, abs=0.05)
    assert truth[flat].all()


def test_patients_held_out_are_not_learned_from_and_of_a_whole_ct_only_some_places_are(monkeypatch):
    monkeypatch.setattr("LungCADLib.training.calm_material.MANY", 9)
    learned, apart = parted(material(), 0.3, seed=0)
    assert set(learned.patient) & set(apart.patient) == {"CT"}
    assert len(learned) + len(apart) == 40
    assert set(apart.positive.tolist()) == {True, False}
    assert not len(apart.generated)


def test_one_patient_of_each_kind_is_held_out_at_least():
    hu = np.zeros((6, STORED_SIDE, STORED_SIDE), np.int16)
    six = Material.of(hu, np.arange(6) < 3, np.array(list("ABCDEF")))
    assert sorted(parted(six, 0.01, seed=0)[1].positive.tolist()) == [False, True]


def test_patches_are_kept_and_read_again(tmp_path):
    hu = np.zeros((1, STORED_SIDE, STORED_SIDE), np.int16)
    one = LungPatches(hu, np.array([True]), np.array([1], np.int8), np.array([0.7]), np.array(["A"]), np.array([2]))
    one.save(tmp_path / "p.npz")
    again = LungPatches.load(tmp_path / "p.npz")
    assert (again.patient.tolist(), again.fold.tolist()) == (["A"], [2])


class Ground:
    scan = Scan(np.zeros((40, 200, 200), np.int16), Geometry((40, 200, 200), (2.0, 1.0, 1.0)))


def entry(diameter):
    return {"patient": "A", "fold": 3, "lesions": [{"lps_mm": [100.0, 90.0, 40.0], "diameter_mm": diameter}]}


def test_a_lesion_of_a_ct_gives_the_slices_that_show_most_of_it():
    rows = lesion_rows(Ground(), entry(20.0), np.array([25.0, 25.0]))
    assert len(rows) == 2 * int(LESION_SHARE * 20.0 / 2.0) + 1
    assert {row[1:3] for row in rows} == {(True, SOURCES.index("scan lesions"))}
    assert lesion_rows(Ground(), entry(30.0), np.array([25.0, 25.0])) == []


def test_a_place_is_away_from_lesions_when_its_patch_shows_none():
    # 10 mm of lesion and the half diagonal of 60 pixels, 42.4 mm.
    near, far = [20, 90, 151], [20, 90, 153]
    assert _away(Ground.scan, np.array([near, far]), entry(20.0)).tolist() == [False, True]
