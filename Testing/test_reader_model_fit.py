"""The fit can be repeated, keeps patients apart, and reaches what the package claims."""

import argparse
import json

import numpy as np
import pytest

from LungCADLib.errors import InputError
from LungCADLib.evaluation import classification, reader_card, reader_figures, reader_model
from LungCADLib.evaluation.pathology import read_diagnoses
from LungCADLib.malignancy.reader_model import Signs, packaged
from LungCADLib.training import reader_fit
from LungCADLib.training import reader_model as trainer
from LungCADLib.training.lidc_database import find_database
from LungCADLib.training.lidc_nodules import NoduleTable, ReadNodule, collect, independent_patients
from LungCADLib.training.reader_fit import fit, fit_reader_model, in_protocol, out_of_fold, suspicious

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def lidc() -> NoduleTable:
    """Every nodule of LIDC's development patients."""
    try:
        database = find_database()
    except InputError as missing:
        pytest.skip(str(missing))
    return collect(database, independent_patients())


@pytest.fixture
def few_rounds(monkeypatch):
    """Intervals from a handful of draws: their width is not what these tests are about."""
    monkeypatch.setattr(
        reader_figures, "Resamples", lambda patients, seed: classification.Resamples(patients, rounds=10, seed=seed)
    )
    monkeypatch.setattr(reader_fit, "REFITS", 10)


def made_up(count: int = 200, seed: int = 0) -> NoduleTable:
    """Nodules two to a patient whose readers rate by size with noise."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        diameter = float(np.exp(rng.normal(2.2, 0.5)))
        ratings = tuple(int(r) for r in np.clip(np.round(3 + 3 * (np.log(diameter) - 2.2) + rng.normal(size=4)), 1, 5))
        signs = Signs(diameter, rng.uniform(0.5, 1), rng.uniform(0.8, 1), bool(rng.random() < 0.1), "solid")
        found.append(ReadNodule(f"P{i // 2}", ratings, diameter * 1.2, signs))
    return NoduleTable(tuple(found))


def test_the_protocol_wants_three_readers_and_a_median_that_is_not_three():
    readings = [(1, 2, 2), (3, 3, 4), (4, 5), (2, 4, 4, 5), (2, 3, 3, 4), (2, 3, 4, 4)]
    table = NoduleTable(tuple(ReadNodule("P", r, 5.0, Signs(5.0, 1.0, 1.0, False, "solid")) for r in readings))
    assert in_protocol(table).tolist() == [True, False, False, True, False, True]
    assert suspicious(table)[in_protocol(table)].tolist() == [False, True, True]


def test_fitting_twice_gives_the_same_file(few_rounds):
    first, second = (trainer.description(t, fit_reader_model(t, 3), 3) for t in (made_up(), made_up()))
    assert json.dumps(first) == json.dumps(second)


def test_a_term_that_never_varies_does_no_harm():
    values = np.column_stack([np.arange(20.0), np.ones(20)])
    fitted = fit(values, np.arange(20) >= 10, ("size", "constant"))
    assert fitted.coefficients[2] == pytest.approx(0)
    assert np.isfinite(fitted.suspicion(values)[0]).all()


def test_no_patient_is_rated_by_a_model_fitted_on_it():
    """A feature that names the patient tells all in sample and nothing out of fold."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(50), 4)
    labels = np.repeat(rng.random(50) < 0.5, 4)
    values = np.eye(50)[patients]
    everyone = np.ones(200, bool)
    assert classification.auc(labels, fit(values, labels, ("p",) * 50).suspicion(values)[0]) == 1
    assert abs(classification.auc(labels, out_of_fold(values, labels, everyone, patients, 0)) - 0.5) < 0.25


def test_nodules_outside_the_protocol_are_not_fitted_on_but_get_their_patients_fold():
    table = made_up()
    used = in_protocol(table)
    labels = suspicious(table)
    flipped = np.where(used, labels, ~labels)
    kept, changed = (out_of_fold(table.features, y, used, table.patient, 0) for y in (labels, flipped))
    assert (kept == changed).all()


def test_pathology_takes_each_patients_greatest_suspicion(few_rounds):
    table = made_up(12)
    ones = np.linspace(0.1, 0.9, 12)
    scores = reader_figures.OutOfFold(ones, ones, ones, ones)
    diagnoses = {"P0": False, "P1": False, "P4": True, "P5": True, "unknown": True}
    figures = reader_figures.pathology_figures(table, scores, diagnoses, 0)
    assert figures["auc_pathology"].value == 1
    assert (figures["auc_pathology"].n, figures["auc_pathology"].positive) == (4, 2)


def test_one_reader_against_the_rest_by_hand(few_rounds):
    signs = Signs(5.0, 1.0, 1.0, False, "solid")
    # Whoever is left out, the others' median is 1 for the first and 5 for the second; the third lacks a fourth reader.
    nodules = [ReadNodule("A", (1, 1, 2, 1), 5.0, signs), ReadNodule("B", (5, 5, 4, 5), 5.0, signs)]
    nodules += [ReadNodule("C", (1, 1, 1), 5.0, signs)]
    figure = reader_figures._one_reader(NoduleTable(tuple(nodules)), 0)
    assert (figure.value, figure.n, figure.positive) == (1, 8, 4)


def test_every_row_of_the_card_has_its_figures(few_rounds):
    table = made_up()
    used, labels = in_protocol(table), suspicious(table)
    scores = reader_figures.out_of_fold_scores(table, labels, used, 0)
    found = reader_figures.figures(table, fit_reader_model(table, 0), scores, 0)
    found |= reader_figures.pathology_figures(table, scores, {f"P{i}": i % 2 == 0 for i in range(100)}, 0)
    named = {name for row in reader_card.ROWS for name in (row.model, row.ruler, row.difference)} - {""}
    assert named <= found.keys()
    assert len(reader_card.table(found)) == len(reader_card.ROWS)


def test_the_packaged_coefficients_are_what_fitting_gives(lidc):
    shipped = packaged()
    refit = trainer.description(lidc, fit_reader_model(lidc, shipped["training"]["seed"]), shipped["training"]["seed"])
    assert reader_model.largest_difference({key: shipped[key] for key in refit}, refit) <= reader_model.SAME


def test_cross_validation_reaches_the_packaged_figures_and_the_aims(lidc):
    used, labels = in_protocol(lidc), suspicious(lidc)
    scores = reader_figures.out_of_fold_scores(lidc, labels, used, packaged()["training"]["seed"])
    found = {
        "auc": scores.model,
        "auc_shape": scores.shape,
        "auc_shape_calcification": scores.shape_calcification,
        "auc_ruler": lidc.long_axis_mm,
    }
    found = {name: classification.auc(labels[used], score[used]) for name, score in found.items()}
    for name, value in found.items():
        assert value == pytest.approx(packaged()["figures"][name]["value"], abs=1e-4)
    assert found["auc_shape"] >= 0.94
    assert found["auc_shape_calcification"] >= 0.955
    assert found["auc"] >= 0.955


def test_a_difference_between_models_is_found_wherever_it_is():
    shipped = packaged()
    other = json.loads(json.dumps(shipped))
    assert reader_model.largest_difference(shipped, other) == 0
    other["covariance"][2][3] += 0.5
    assert reader_model.largest_difference(shipped, other) == pytest.approx(0.5)
    other["terms"][1]["unit"] = "mm"
    assert reader_model.largest_difference(shipped, other) == float("inf")


def test_diagnoses_of_the_real_table(real_data):
    pytest.importorskip("xlrd")
    diagnoses = read_diagnoses(real_data / "tables" / "tcia-diagnosis-data-2012-04-20.xls")
    assert diagnoses["LIDC-IDRI-0068"] is True
    assert 100 < len(diagnoses) < 157


def test_another_file_is_not_the_table_of_diagnoses(tmp_path):
    pytest.importorskip("xlrd")
    path = tmp_path / "diagnoses.xls"
    path.write_text("patient,diagnosis\n")
    with pytest.raises(InputError, match=r"diagnoses\.xls: this is not LIDC's table of diagnoses"):
        read_diagnoses(path)


@pytest.mark.parametrize("module", [trainer, reader_model])
def test_the_commands_say_in_one_sentence_that_the_database_is_missing(module, tmp_path):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    args = parser.parse_args(["--database", str(tmp_path / "none.sqlite"), "--out", str(tmp_path / "out")])
    with pytest.raises(InputError, match=r"none\.sqlite: there is no such file"):
        module.run(args)
    assert not (tmp_path / "out").exists()
