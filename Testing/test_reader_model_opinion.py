"""The reader-suspicion model at run time: its features, its opinion, and that training sees the very same numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest
from study_factory import geometry, make_nodule, make_nodules

from LungCADLib import malignancy
from LungCADLib.errors import InputError
from LungCADLib.malignancy import reader_model
from LungCADLib.malignancy.reader_model import ReaderModel, Signs, features
from LungCADLib.nodules.shape import measure_shape
from LungCADLib.resources import resource
from LungCADLib.study import Nodule, Shape
from LungCADLib.training.lidc_nodules import signs_of_shape

CALM = Signs(10.0, 0.8, 0.95, False, "solid")


def nodule_with(**changes) -> Nodule:
    grid = geometry()
    return replace(make_nodule("L1", make_nodules(grid)["L1"], grid), **changes)


def model(**changes) -> ReaderModel:
    """One feature x: log odds 1 + 2 (x - 3) / 4, seen from 0 to 10."""
    usual = ReaderModel(
        "0",
        ("x",),
        np.array([3.0]),
        np.array([4.0]),
        np.array([0.0]),
        np.array([10.0]),
        np.array([1.0, 2.0]),
        np.zeros((2, 2)),
    )
    return replace(usual, **changes)


def test_the_features_by_hand():
    signs = Signs(np.e**2, 0.8, 0.95, True, "part-solid")
    assert features(signs) == pytest.approx([2, 0.8, 0.95, 1, 0, 1])
    assert features(replace(signs, density="non-solid", benign_calcification=False))[3:].tolist() == [0, 1, 0]


@pytest.mark.parametrize("density", ["solid", "calcified", "fat-containing"])
def test_calcified_and_fat_count_as_solid(density):
    assert features(replace(CALM, density=density)).tolist() == features(CALM).tolist()


@pytest.mark.parametrize(
    ("pattern", "benign"),
    [("none", 0), ("eccentric", 0), ("central", 1), ("diffuse", 1), ("laminated", 1), ("popcorn", 1)],
)
def test_only_benign_patterns_of_calcification_count(pattern, benign):
    assert reader_model.suspicion_features(nodule_with(calcification=pattern))[3] == benign


def test_training_and_run_time_measure_the_same_numbers_on_real_outlines(real_data):
    """Every outline of the crops, once as training reads it and once as a nodule of a study."""
    masks = np.load(real_data / "lidc-crops" / "crops.npz")["mask"].astype(bool)
    assert len(masks) == 93
    for mask in masks:
        shape = measure_shape(mask, (1.0, 1.0, 1.0))
        form = Shape(
            shape.surface_mm2,
            shape.sphericity,
            shape.solidity,
            shape.elongation,
            shape.z_extent_mm,
            shape.area_mm2,
            shape.circularity,
        )
        nodule = nodule_with(mean_diameter_mm=shape.mean_diameter_mm, shape=form, calcification="none", density="solid")
        trained = features(signs_of_shape(shape, False, "solid"))
        assert (reader_model.suspicion_features(nodule) == trained).all()


def test_suspicion_by_hand():
    value, low, high = model().suspicion(np.array([5.0]))
    assert value == pytest.approx(1 / (1 + np.exp(-2)))
    assert low == value == high


def test_the_interval_is_the_delta_method_on_the_log_odds():
    # At x = 7 the row is (1, 1): variance 0.04 + 0.09 + 2 * 0.01 = 0.15 around log odds 3.
    value, low, high = model(covariance=np.array([[0.04, 0.01], [0.01, 0.09]])).suspicion(np.array([7.0]))
    log_odds = [np.log(p / (1 - p)) for p in (low, value, high)]
    assert log_odds == pytest.approx([3 - 1.96 * 0.15**0.5, 3, 3 + 1.96 * 0.15**0.5], abs=1e-4)


def test_values_beyond_the_training_range_enter_as_the_nearest_seen():
    values = model().suspicion(np.array([[-50.0], [0.0], [10.0], [1e9]]))[0]
    assert values[0] == values[1] and values[2] == values[3]


def test_the_packaged_file_comes_back_as_it_was_written():
    data = reader_model.packaged()
    again = ReaderModel.from_json(data).to_json()
    assert again == {key: data[key] for key in again}
    assert [term["name"] for term in data["terms"]] == [term.name for term in reader_model.TERMS]


def test_the_opinion_says_what_it_is_and_how_it_was_tested():
    opinion = malignancy.rater("reader-model")(nodule_with())
    figures = reader_model.packaged()["figures"]
    assert opinion.model == "reader-model"
    assert opinion.meaning.startswith("agreement with radiologists' suspicion")
    assert "not a probability of cancer" in opinion.meaning
    assert 0 <= opinion.low < opinion.value < opinion.high <= 1
    for name in ("auc", "auc_ruler", "auc_8_15_mm", "auc_ruler_8_15_mm"):
        figure = figures[name]
        assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in opinion.tested


def test_an_untested_model_says_so():
    assert "not tested yet" in reader_model.tested({"version": "0"})


def test_bigger_and_rougher_is_more_suspicious_and_benign_calcium_less():
    packaged = ReaderModel.from_json(reader_model.packaged())

    def suspicion(signs: Signs) -> float:
        return float(packaged.suspicion(features(signs))[0])

    by_size = [suspicion(replace(CALM, mean_diameter_mm=d)) for d in (4, 6, 8, 12, 20, 35)]
    assert by_size == sorted(by_size) and by_size[0] < 0.05 and by_size[-1] > 0.95
    assert (
        suspicion(replace(CALM, solidity=0.7)) > suspicion(CALM) > suspicion(replace(CALM, benign_calcification=True))
    )


def test_an_unknown_engine_is_refused_by_name():
    expected = f"There is no malignancy engine named 'oracle'; choose one of {', '.join(sorted(malignancy.ENGINES))}"
    with pytest.raises(InputError, match=expected):
        malignancy.rater("oracle")


def test_the_card_says_what_the_file_says():
    card = resource("Models", "reader-model.md").read_text(encoding="utf-8")
    data = reader_model.packaged()
    assert f"{data['training']['nodules']} nodules" in card
    for name in ("auc", "auc_shape", "brier", "auc_apparent"):
        figure = data["figures"][name]
        assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in card
    assert json.dumps(data)  # no NaN: plain JSON
    assert "NaN" not in json.dumps(data)
