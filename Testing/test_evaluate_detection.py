"""`lungcad evaluate detection`: what counts as found, as false, and as neither."""

import json

import numpy as np
import pytest

from LungCADLib.cli import main
from LungCADLib.errors import InputError
from LungCADLib.evaluation import detection, detection_road
from LungCADLib.evaluation.detection_card import scan_rows
from LungCADLib.evaluation.detection_figures import figures, found_at, strata
from LungCADLib.evaluation.detection_road import UNSEEN, Walked, listed_scans, truth_of_listed
from LungCADLib.evaluation.detection_truth import Truth, read_truth
from LungCADLib.phantom import NoduleSpec, small_phantom


def walked(nodules, marks, name="a scan", excluded=()):
    """From (x, diameter) of nodules, and (x, score, size) of marks, all on one line."""
    truth = Truth.of([((x, 0, 0), d) for x, d in nodules], [((x, 0, 0), d) for x, d in excluded])
    return Walked(
        name,
        UNSEEN,
        [{"diameter_mm": d, "density": "part-solid"} for _, d in nodules],
        truth,
        np.array([(x, 0, 0) for x, _, _ in marks], float).reshape(-1, 3),
        np.array([score for _, score, _ in marks], float),
        np.array([size for _, _, size in marks], float),
    )


def test_marks_count_from_the_threshold_and_from_4_mm_on():
    scans = [
        walked([(0, 10), (50, 5)], [(1, 0.9, 9), (80, 0.6, 4), (90, 0.6, 3.9), (95, 0.4, 9)]),
        walked([], [(20, 0.7, 8), (60, 0.5, 5)], excluded=[(20, 10)]),
    ]
    found = figures(scans, 0.5, 4.0)
    assert found["sensitivity"]["value"] == 0.5 and found["sensitivity"]["n"] == 2
    assert found["false_marks_per_scan"]["value"] == (1 + 1) / 2 and found["false_marks_per_scan"]["n"] == 2
    assert found["sensitivity_10_to_20_mm"]["value"] == 1
    assert found["sensitivity_0_to_6_mm"]["value"] == 0
    assert found["sensitivity_part_solid"]["n"] == 2
    assert set(found["cpm"]) == {"value", "low", "high", "n"}


def test_marks_on_doubtful_findings_are_told_apart_from_false_ones():
    one = walked([(0, 10)], [(1, 0.9, 9), (20, 0.7, 8), (60, 0.5, 5), (21, 0.2, 8)], excluded=[(20, 10)])
    assert [row[2:] for row in scan_rows([one], 0.4)] == [
        ("10.0 mm part-solid", "found", "0.90, after 0 false"),
        ("1 false marks of 4 mm or more", "", "0.50 (5 mm)"),
        ("1 marks on doubtful findings, counted neither way", "", "0.70 (8 mm)"),
    ]


def test_strata_are_read_at_a_rate_of_false_marks():
    scans = [walked([(0, 10), (50, 5)], [(1, 0.9, 9), (50, 0.2, 5), (80, 0.6, 4)])]
    assert [part.tolist() for part in found_at(scans, 0.5)] == [[True, False]]
    assert strata(scans, 1.0)["part_solid"]["value"] == 1.0


def test_readers_findings_count_from_three_readers_on(tmp_path):
    path = tmp_path / "readers.json"
    nodules = [{"lps": [1, 2, 3], "diameter_mm": 8, "readers": r} for r in (4, 3, 2)]
    path.write_text(json.dumps({"nodules": nodules, "small_marks": [], "non_nodules": [{"lps": [9, 9, 9]}]}))
    truth = read_truth(path)
    assert len(truth.nodules_mm) == 2
    assert truth.excluded_diameters_mm.tolist() == [8, 10]


def test_a_plain_list_counts_whole(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"center_lps_mm": [1, 2, 3], "diameter_mm": 8}]))
    assert read_truth(path).nodules_mm.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"center_lps_mm": [1, 2]}]', "no json"])
def test_another_layout_gets_one_sentence(tmp_path, text):
    path = tmp_path / "nodules.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"nodules\.json"):
        read_truth(path)


def test_the_list_of_scans_says_who_tests_each():
    folds = {entry["patient"]: entry["fold"] for entry in listed_scans()}
    assert folds["LIDC-IDRI-0003"] == 0 and set(folds.values()) == {0, 1, 2, 3, 4}
    lidc = next(entry for entry in listed_scans() if entry["patient"] == "LIDC-IDRI-0003")
    assert len(truth_of_listed(lidc).nodules_mm) == 3 and len(truth_of_listed(lidc).excluded_mm) == 1


@pytest.fixture
def tiny_phantoms(monkeypatch):
    pytest.importorskip("torch")

    def tiny(seed, draw):
        nodules = [NoduleSpec(12.0), NoduleSpec(8.0, attachment="juxtapleural")]
        return small_phantom(seed, nodules=nodules, spacing=(2.5, 1.4, 1.4))

    monkeypatch.setattr(detection_road, "varied_phantom", tiny)

    def here(args):
        return [detection_road.walk_phantom(seed, args.engine) for seed in range(args.phantoms)]

    monkeypatch.setattr(detection, "_walked", here)


def test_the_command_on_a_phantom(tiny_phantoms, capsys, tmp_path):
    words = ["evaluate", "detection", "--phantoms", "1", "--engine", "network", "--json"]
    assert main([*words, "--plot", str(tmp_path / "froc.svg")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sensitivity"]["value"] == 1.0
    assert found["cpm"]["value"] > 0.9
    assert "<polyline" in (tmp_path / "froc.svg").read_text()


def test_scans_and_nodules_come_in_pairs(capsys, tmp_path):
    assert main(["evaluate", "detection", "--scan", str(tmp_path)]) == 3
    assert "each needs the other" in capsys.readouterr().err
