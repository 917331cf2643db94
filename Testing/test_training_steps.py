"""`lungcad train detection` on two crops, two masses and a scan made of phantoms: it runs, and what it writes loads."""

import json

import numpy as np
import pytest

from LungCADLib.cli import main
from LungCADLib.detection.features import NAMES
from LungCADLib.detection.score import BlobScore
from LungCADLib.errors import InputError
from LungCADLib.nodules.accept import NAMES as IMPRESSIONS
from LungCADLib.nodules.accept import NoduleScore
from LungCADLib.phantom import NoduleSpec, small_phantom, write_phantom
from LungCADLib.training.arrays import read_arrays
from LungCADLib.training.detection_fit import fit_blob_score, fit_nodule_score
from LungCADLib.training.detection_grounds import NEITHER, NOT_A_NODULE, Rows, crop_grounds, scan_grounds

CROP = 51


def nothing(message):
    """Whoever follows the work, here nobody."""


def crop_around(phantom, nodule):
    """HU and outline at 1 mm, 5 cm wide, around a true nodule."""
    geometry = phantom.scan.geometry
    onto = geometry.resampled((1.0, 1.0, 1.0))
    at = np.round(onto.to_index(nodule.center_lps_mm)).astype(int) - CROP // 2
    grid = onto.crop(tuple(slice(int(a), int(a) + CROP) for a in at))
    mask = phantom.masks.nodules[nodule.id].full(geometry.shape).astype(np.uint8)
    return geometry.resample(phantom.scan.hu, grid, outside=-1000), geometry.resample(mask, grid, nearest=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder in the layout the command reads."""
    folder = tmp_path_factory.mktemp("data")
    specs = [NoduleSpec(10.0), NoduleSpec(14.0, attachment="juxtapleural")]
    phantom = small_phantom(0, specs, extent_mm=(100.0, 288.0, 360.0))
    crops = [crop_around(phantom, nodule) for nodule in phantom.nodules]
    for name, count in (("lidc-crops/crops.npz", CROP), ("lidc-stamps/stamps.npz", 32)):
        path = folder / name
        path.parent.mkdir()
        cut = slice((CROP - count) // 2, (CROP - count) // 2 + count)
        hu, mask = (np.stack([crop[k][cut, cut, cut] for crop in crops]) for k in (0, 1))
        np.savez(path, hu=hu, mask=mask, patient=np.array(["A", "B"]))
    scan = small_phantom(1, [NoduleSpec(12.0)], extent_mm=(60.0, 288.0, 360.0))
    write_phantom(folder / "scan.nrrd", scan)
    known = {"lps_mm": scan.nodules[0].center_lps_mm, "diameter_mm": 12.0}
    doubtful = {"lps_mm": phantom.nodules[0].center_lps_mm, "diameter_mm": 10.0}
    manifest = {"scans": [{"folder": "scan.nrrd", "lesions": [known], "doubtful": [doubtful]}]}
    (folder / "scans.json").write_text(json.dumps(manifest), encoding="utf-8")
    write_phantom(folder / "other.nrrd", small_phantom(2, 0, extent_mm=(60.0, 288.0, 360.0)))
    manifest["scans"].append({"folder": "other.nrrd", "lesions": []})
    (folder / "two.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_scans_blobs_are_lesion_or_neither_or_no_nodule_by_their_distance(data):
    (ground,) = scan_grounds(data, data / "scans.json", nothing)
    entry = json.loads((data / "scans.json").read_text(encoding="utf-8"))["scans"][0]
    lps = ground.grid.geometry.to_lps(ground.blobs.index)
    known, doubtful = (
        np.linalg.norm(lps - np.array(place["lps_mm"]), axis=1) for place in (entry["lesions"][0], entry["doubtful"][0])
    )
    assert ground.whole
    assert ground.lesions == 1
    assert (ground.lesion[known < 6] == 0).all()
    assert (known < 6).any()
    assert (ground.lesion[(known > 6) & (known < 12)] == NEITHER).all()
    assert (ground.lesion[(doubtful < 11) & (known > 6)] == NEITHER).all()
    assert (ground.lesion[(doubtful > 11) & (known > 12)] == NOT_A_NODULE).all()
    rows = ground.rows
    assert rows.nodule.sum() == 1
    assert set(rows.patient) == set(rows.background) == {"scan.nrrd"}


def test_a_crop_has_one_nodule_and_it_lies_in_the_readers_outline(data):
    grounds = list(crop_grounds(data / "lidc-crops" / "crops.npz", nothing))
    masks = np.load(data / "lidc-crops" / "crops.npz")["mask"].astype(bool)
    assert [ground.patient for ground in grounds] == ["A", "B"]
    for ground, mask in zip(grounds, masks, strict=True):
        (nodule,) = np.flatnonzero(ground.lesion == 0)
        assert mask[tuple(np.round(ground.blobs.index[nodule]).astype(int))]
        assert not ground.whole


def test_the_command_writes_two_scores_that_load_and_prefer_nodules(data, tmp_path, capsys):
    words = ["train", "detection", "--data", str(data), "--scans", str(data / "two.json"), "--out", str(tmp_path)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "scan.nrrd, left out" in shown
    assert '"patients": 4' in shown
    blob = BlobScore.from_json(json.loads((tmp_path / "blob-score.json").read_text()))
    grounds = [
        *scan_grounds(data, data / "two.json", nothing),
        *crop_grounds(data / "lidc-crops" / "crops.npz", nothing),
    ]
    rows = Rows.join([ground.rows for ground in grounds])
    scores = blob.predict(rows.features)
    assert scores[rows.nodule].min() > np.median(scores[~rows.nodule])
    nodule = NoduleScore.from_json(json.loads((tmp_path / "nodule-score.json").read_text()))
    assert len(nodule.coefficients) == len(IMPRESSIONS)
    assert 0 < nodule.operating_point < 1
    for name in ("blob-score", "nodule-score"):
        written = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert written["name"] == name
        assert written["training"]["patients"] == 4
        assert written["tested"]


def test_data_that_is_not_there_ends_with_3_and_names_the_file(data, tmp_path, capsys):
    (tmp_path / "scan.nrrd").symlink_to(data / "scan.nrrd")
    words = ["train", "detection", "--data", str(tmp_path), "--scans", str(data / "scans.json"), "--out", str(tmp_path)]
    assert main(words) == 3
    assert "crops.npz is not there; check the path" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nrrd"]


def test_a_file_without_the_array_is_refused(tmp_path):
    np.savez(tmp_path / "crops.npz", hu=np.zeros(3))
    with pytest.raises(InputError, match=r"crops\.npz has no array 'mask'"):
        read_arrays(tmp_path / "crops.npz", "hu", "mask")


def separable(columns, count=200):
    """Rows in which the first column alone tells nodules."""
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (count, columns))
    return features, features[:, 0] > 0.8


def test_a_fit_finds_what_separates_and_is_the_same_each_time():
    features, nodule = separable(len(NAMES))
    names = np.array([f"P{i % 20}" for i in range(len(nodule))])
    rows = Rows(features, nodule, names, names)
    one, again = fit_blob_score(rows, seed=0), fit_blob_score(rows, seed=0)
    scores = one.predict(features)
    assert scores[nodule].min() > scores[~nodule].max() - 0.2
    assert np.mean(scores[nodule]) > 0.9 > 0.2 > np.mean(scores[~nodule])
    assert np.array_equal(scores, again.predict(features))


def test_the_trees_are_those_of_the_library_that_grew_them():
    """The boosted half of the score equals scikit-learn's own decision function."""
    from sklearn.ensemble import GradientBoostingClassifier

    from LungCADLib.training.detection_fit import BOOSTING, NODULE_WEIGHT

    features, nodule = separable(len(NAMES))
    names = np.full(len(nodule), "P")
    ours = fit_blob_score(Rows(features, nodule, names, names), seed=0)
    weight = np.where(nodule, NODULE_WEIGHT, 1.0)
    theirs = GradientBoostingClassifier(random_state=0, **BOOSTING).fit(features, nodule, weight)
    boosted = ours.start + sum(tree.predict(features) for tree in ours.trees)
    # scikit-learn compares in single precision.
    assert np.median(np.abs(boosted - theirs.decision_function(features))) < 1e-6


def test_the_second_score_is_a_regression_on_impressions():
    impressions, nodule = separable(len(IMPRESSIONS))
    score = fit_nodule_score(impressions, nodule, operating_point=0.4)
    assert score.operating_point == 0.4
    assert np.argmax(np.abs(score.coefficients)) == 0
    assert score.predict(impressions)[nodule].mean() > 0.7 > 0.2 > score.predict(impressions)[~nodule].mean()


def test_rows_of_a_patient_left_out_are_gone_with_all_that_was_set_into_his_lung():
    patient, background = np.array(["A", "B", "C"]), np.array(["A", "A", "C"])
    rows = Rows(np.arange(3.0)[:, None], np.array([True, False, True]), patient, background)
    assert rows.without({"A"}).features.ravel().tolist() == [2.0]
    assert rows.without({"B"}).features.ravel().tolist() == [0.0, 2.0]
