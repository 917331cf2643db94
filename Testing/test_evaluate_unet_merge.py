"""`lungcad evaluate unet-merge`: slices by the member that never saw them, counts after each step, card, pictures."""

import json

import numpy as np
import pytest
import slice_factory
from test_evaluate_detection import walked

from LungCADLib.cli import main
from LungCADLib.detection.slice_reader import SliceReader, Slices, merge
from LungCADLib.detection.slice_unet import slice_unet
from LungCADLib.detection.unet_merge import slice_reader
from LungCADLib.evaluation import unet_merge
from LungCADLib.evaluation.classification import Estimate
from LungCADLib.evaluation.detection_figures import figures
from LungCADLib.evaluation.detection_truth import Truth
from LungCADLib.evaluation.kept import Kept
from LungCADLib.evaluation.merging_steps import Read, Steps, steps
from LungCADLib.evaluation.slice_dice import outlined
from LungCADLib.evaluation.unet_merge_card import Measured, card
from LungCADLib.scan import Geometry

torch = pytest.importorskip("torch")


@pytest.fixture
def seen():
    """A nodule at (row 20, column 30) of three slices 2 mm apart, and something else."""
    geometry = Geometry((6, 50, 60), (2.0, 1.0, 1.0), (-30.0, -20.0, 100.0))
    probability = np.zeros(geometry.shape, np.float16)
    probability[1:4, 17:24, 27:34] = 0.9
    probability[1:3, 40:44, 10:14] = 0.7
    hu = np.full(geometry.shape, -860, np.int16)
    return Read(Slices(hu, np.ones(hu.shape, bool), geometry), probability, merge(probability, geometry))


@pytest.fixture
def measured(seen):
    scans = [walked([(0, 10), (50, 12)], [(1, 0.9, 9), (80, 0.7, 5)])]
    return Measured(
        {"slice_dice": Estimate(0.7, 0.6, 0.8, 12)},
        [Steps("a scan", 6, 5, 5, 2, 1, 2)],
        np.array([0.0, 0.3, 0.9, 0.8]),
        scans,
        scans,
    )


def test_slices_are_outlined_by_the_member_that_has_not_seen_the_patient(tmp_path):
    whose = slice_factory.patients(2)
    slice_factory.write_slices(tmp_path, [*whose, "nobody's"])
    members = []
    for k in range(5):
        torch.manual_seed(0)
        state = slice_unet((4, 8)).state_dict()
        state["answer.weight"] *= 0
        # Only the member of fold 2 takes everything for a nodule.
        state["answer.bias"][:] = 5.0 if k == 2 else -5.0
        members.append(state)
    found = outlined(SliceReader(members, {"widths": (4, 8), "folds": {}}), tmp_path)
    assert sorted(found.patient) == sorted(whose)
    second = np.isin(found.patient, whose[2::5])
    assert found.found.tolist() == second.tolist()
    assert (found.dice[~second] == 0).all() and (found.dice[second] > 0).all()
    means = found.figures()
    assert means["slices_found"].value == pytest.approx(0.2) and means["slices_found"].n == 10
    assert {"slice_dice_0_to_6_mm", "slice_dice_from_10_mm"} <= set(means)


def test_the_packaged_members_outline_digital_nodules(tmp_path):
    slice_factory.write_slices(tmp_path, slice_factory.patients(2))
    assert outlined(slice_reader(), tmp_path).figures()["slice_dice"].value > 0.6


def test_steps_are_counted_and_a_lesion_is_found_within_its_radius(seen):
    # The center: x = -30 + 30, y = -20 + 20, z = 100 + 2 * 2.
    near, far = ((1.0, 0.0, 104.0), 6.0), ((0.0, 8.0, 104.0), 12.0)
    assert steps("a scan", seen, Truth.of([near, far], [])) == Steps("a scan", 6, 5, 5, 2, 1, 2)
    assert seen.near((0.0, 0.0, 104.0)) is seen.merged.chains[0]


def test_the_card_holds_every_figure(measured):
    text = card(slice_reader().description, measured, 0.6)
    for words in ("0.700 (0.600 to 0.800)", "| a scan | 6 | 5 | 5 | 2 | 1 of 2 |", "75% of 4", "50% of 4", "16, 32"):
        assert words in text
    assert "{" not in text


def test_the_command_prints_and_writes(measured, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(unet_merge, "_measured", lambda data, phantoms, runs: measured)
    assert main(["evaluate", "unet-merge", "--json", "--card", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["slice_dice"] == {"value": 0.7, "low": 0.6, "high": 0.8, "n": 12}
    assert found["crops_with_candidate"] == 0.75 and found["crops_found"] == 0.5
    assert found["road"]["sensitivity"]["value"] == 0.5
    assert (tmp_path / "unet-merge.md").read_text().startswith("# Slice U-Net")
    assert main(["evaluate", "unet-merge"]) == 0
    assert "a candidate in 75% of 4 nodules" in capsys.readouterr().out


def test_the_command_draws_what_each_step_does(seen, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(unet_merge, "read", lambda path, patient: seen)
    words = ["evaluate", "unet-merge", "--pictures", str(tmp_path / "pictures"), "--scan", "somewhere"]
    assert main(words) == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "scan-1-candidate-1.png",
        "scan-1-candidate-2.png",
    ]
    assert "somewhere, 10 mm wide, 6 mm high, score 0.90" in capsys.readouterr().out


def test_what_was_measured_is_kept_for_the_same_weights(measured, tmp_path):
    calls = []

    def make():
        calls.append(1)
        return measured.scans[0]

    def twice(of):
        kept = Kept(tmp_path, of)
        return [kept.walked("scan", make) for _ in range(2)]

    one, other = twice({"weights": "a"})
    assert len(calls) == 1
    assert figures([one], 0.5, 4.0) == figures([other], 0.5, 4.0)
    assert other.truth.excluded_mm.shape == (0, 3)
    twice({"weights": "b"})
    assert len(calls) == 2


def test_a_scan_without_pictures_is_refused(capsys):
    assert main(["evaluate", "unet-merge", "--scan", "somewhere"]) == 3
    assert "--pictures" in capsys.readouterr().err
