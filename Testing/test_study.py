"""study.json: a versioned schema, published, and a way back to an equal object."""

import json
from dataclasses import replace

import jsonschema
import pytest
from study_factory import make_scan, make_study

from LungCADLib.errors import InputError
from LungCADLib.resources import resource
from LungCADLib.study import Study, json_schema


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study(make_scan())


def test_the_published_schema_is_the_one_in_the_code():
    published = json.loads(resource("study.schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(json_schema())), (
        "the Study changed: write json_schema() to Resources/study.schema.json and think of SCHEMA_VERSION"
    )


def test_a_study_obeys_the_published_schema(study):
    schema = json.loads(resource("study.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(study.to_json()))


def test_the_schema_refuses_what_is_no_study(study):
    validator = jsonschema.Draft202012Validator(json_schema())
    broken = json.loads(study.to_json())
    broken["nodules"][0]["density"] = "fluffy"
    assert not validator.is_valid(broken)
    missing = json.loads(study.to_json())
    del missing["lungs"]["verdict"]
    assert not validator.is_valid(missing)


def test_the_json_names_what_the_issue_promises(study):
    data = json.loads(study.to_json())
    assert {"scan", "lungs", "nodules", "warnings", "timing_s", "provenance", "schema_version"} <= data.keys()
    assert {"verdict", "volume_ml", "right_ml", "left_ml"} <= data["lungs"].keys()
    nodule = {
        "id", "score", "center_lps_mm", "long_axis_mm", "short_axis_mm", "mean_diameter_mm", "volume_mm3", "density",
        "location", "suspicion", "risk", "lung_rads", "warnings",
    }  # fmt: skip
    assert nodule <= data["nodules"][0].keys()
    assert data["nodules"][0]["center_lps_mm"] == list(study.nodules[0].center_lps_mm)
    assert {"versions", "weights", "settings"} <= data["provenance"].keys()


def test_a_study_comes_back_equal(study):
    assert Study.from_json(study.to_json()) == study


def test_the_masks_are_not_part_of_the_json_nor_of_equality(study):
    back = Study.from_json(study.to_json())
    assert back.masks is None
    assert study.masks is not None
    assert "masks" not in json.loads(study.to_json())


def test_a_file_round_trip(study, tmp_path):
    study.save(tmp_path / "study.json")
    assert Study.load(tmp_path / "study.json") == study


def test_what_is_no_study_is_refused_in_one_sentence(study):
    with pytest.raises(InputError, match="not a LungCAD study: scan"):
        Study.from_json('{"nodules": []}')
    with pytest.raises(InputError, match=r"schema 2\.0"):
        Study.from_json(replace(study, schema_version="2.0").to_json())
