"""Where a network looked: a question through the real worker, and back on the grid it was asked on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from study_factory import make_scan, make_study
from test_jobs_client import follow

from LungCADLib.errors import InputError
from LungCADLib.explain import Explanation, HeatMap
from LungCADLib.jobs import Failed, Finished, Job, Question, Request, read_explanation
from LungCADLib.jobs.question import _write_explanation, read_question
from LungCADLib.jobs.request import ExplainRequest, read_request
from LungCADLib.masks import BoxMask, LungLabel, Lungs


@pytest.fixture(scope="module")
def question():
    """One about the first nodule of the handmade scan, near its surroundings."""
    scan = make_scan()
    study = make_study(scan)
    box = scan.geometry.box_around(study.nodules[0].center_lps_mm, 40.0)
    labels = study.masks.lungs[box]
    mask = study.masks.nodules["L1"]
    start = tuple(a - s.start for a, s in zip(mask.start, box, strict=True))
    lungs = Lungs(labels, (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT), study.lungs)
    return Question("appearance", scan.crop(box), lungs, BoxMask(start, mask.mask), study.nodules[0].center_lps_mm)


def test_a_question_comes_back_from_its_file_and_request(question, tmp_path):
    path = tmp_path / question.file_name
    for _ in question.write(path):
        pass
    request = question.request(path, tmp_path / "out")
    assert read_request(request.to_json()) == request
    read = read_question(request)
    assert (read.network, read.center_lps_mm) == (question.network, question.center_lps_mm)
    assert read.scan.header == question.scan.header and read.lungs.info == question.lungs.info
    assert np.array_equal(read.scan.hu, question.scan.hu) and np.array_equal(read.lungs.region, question.lungs.region)
    assert read.outline.start == question.outline.start and np.array_equal(read.outline.mask, question.outline.mask)
    assert np.allclose(read.scan.geometry.to_lps((1, 2, 3)), question.scan.geometry.to_lps((1, 2, 3)))


def test_a_request_without_a_question_is_one_for_an_analysis(question, tmp_path):
    assert isinstance(read_request('{"input": "a", "out": "b"}'), Request)
    request = question.request(tmp_path / "q", tmp_path / "o")
    assert isinstance(read_request(request.to_json()), ExplainRequest)
    with pytest.raises(InputError, match="network: Input should be 'appearance'"):
        read_request(json.dumps({**json.loads(request.to_json()), "network": "other"}))
    with pytest.raises(InputError, match="no field nodule"):
        read_request(json.dumps({**json.loads(request.to_json()), "nodule": "N1"}))


def test_an_explanation_comes_back_from_its_folder(question, tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    cam = HeatMap("grad-cam", "evidence", (1, 2, 3), values)
    found = Explanation("appearance", 1.5, cam, replace(cam, name="occlusion", values=-values), 0.7, 0.2)
    _write_explanation(found, question.scan.geometry, tmp_path)
    read, grid = read_explanation(tmp_path)
    assert (read.network, read.log_odds, read.agreement, read.chance) == ("appearance", 1.5, 0.7, 0.2)
    assert read.grad_cam.start == (1, 2, 3) and np.array_equal(read.grad_cam.values, values)
    assert (read.occlusion.name, read.occlusion.values.min()) == ("occlusion", -23)
    assert grid.shape == question.scan.geometry.shape
    assert np.allclose(grid.to_lps((5, 6, 7)), question.scan.geometry.to_lps((5, 6, 7)))


def test_the_real_worker_says_where_the_appearance_network_looked(question, tmp_path):
    pytest.importorskip("monai", reason="MONAI is not installed")
    with Job(question, temporary=tmp_path) as job:
        (*_, last) = follow(job, seconds=100)
        assert isinstance(last, Finished), f"{last} {job.log}"
        found, grid = read_explanation(last.folder)
    assert list(tmp_path.iterdir()) == []
    assert found.network == "appearance" and found.grad_cam.values.min() >= 0 < found.grad_cam.values.max()
    hottest = grid.to_lps(found.grad_cam.hottest)
    assert np.linalg.norm(hottest - question.center_lps_mm) < 25, "the map lies on the nodule it was asked about"


def test_a_place_where_the_detector_sees_nothing_is_said(question, tmp_path):
    pytest.importorskip("monai", reason="MONAI is not installed")
    away = tuple(float(v) for v in question.scan.geometry.to_lps((0, 0, 0)))
    with Job(replace(question, network="reduction", center_lps_mm=away), temporary=tmp_path) as job:
        (*_, last) = follow(job, seconds=100)
    assert isinstance(last, Failed) and last.kind == "input" and "nothing round" in last.message
