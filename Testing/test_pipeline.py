"""The whole road on phantoms: what is there is found, outlined and measured, and a run does as it is told."""

from dataclasses import replace

import numpy as np
import pytest

from LungCADLib import pipeline
from LungCADLib.errors import Cancelled, InputError
from LungCADLib.masks import LungLabel
from LungCADLib.phantom import NoduleSpec, small_phantom
from LungCADLib.pipeline import analyze
from LungCADLib.progress import Progress
from LungCADLib.settings import Patient, Settings
from LungCADLib.study import Study

STAGES = ["lungs", "candidates", "nodules", "opinions"]
SURE_FROM_MM = 6.0


@pytest.fixture(scope="module")
def whole(chest):
    """A whole chest: one nodule of each kind."""
    return chest, analyze(chest.scan)


@pytest.fixture(scope="module")
def slab():
    """The lower lungs with three solid nodules: quick, for what needs several runs."""
    specs = [NoduleSpec(8.0), NoduleSpec(12.0, attachment="juxtapleural"), NoduleSpec((18.0, 16.0, 15.0))]
    return small_phantom(0, specs, extent_mm=(60.0, 288.0, 360.0), spacing=(2.5, 1.4, 1.4))


@pytest.fixture(scope="module")
def slab_study(slab):
    return analyze(slab.scan)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def matches(phantom, study):
    """True nodules with the found one whose center lies within 3 mm, or None."""
    for true in phantom.nodules:
        distance = [np.linalg.norm(np.subtract(true.center_lps_mm, n.center_lps_mm)) for n in study.nodules]
        best = int(np.argmin(distance))
        yield true, study.nodules[best] if distance[best] <= 3 else None


def overlap(phantom, study, true, nodule):
    shape = phantom.scan.geometry.shape
    return dice(phantom.masks.nodules[true.id].full(shape), study.masks.nodules[nodule.id].full(shape))


def comparable(study):
    """Everything but what no two runs share."""
    return replace(study, timing_s={}, provenance=replace(study.provenance, created=""))


def test_solid_nodules_of_6_mm_and_more_are_found_and_nearly_nothing_else(whole):
    """Solid here is all that is not ground glass. Every one is found; at most two marks are nothing."""
    phantom, study = whole
    found = list(matches(phantom, study))
    for true, nodule in found:
        if true.density in ("solid", "calcified", "fat-containing") and true.diameter_mm >= SURE_FROM_MM:
            assert nodule is not None, true
    assert len(study.nodules) - sum(nodule is not None for _, nodule in found) <= 2


def test_outlines_overlap_the_truth(whole, slab, slab_study):
    """Mean Dice at least 0.7 on voxels of 2.5 x 1.2 x 1.2 mm, part-solid nodules and the 4.5 mm one included."""
    pairs = [
        overlap(phantom, study, true, nodule)
        for phantom, study in (whole, (slab, slab_study))
        for true, nodule in matches(phantom, study)
        if nodule is not None
    ]
    assert len(pairs) >= 9
    assert np.mean(pairs) >= 0.7
    assert min(pairs) > 0.3


def test_sizes_of_solid_nodules_are_near_the_truth(whole, slab, slab_study):
    for phantom, study in (whole, (slab, slab_study)):
        for true, nodule in matches(phantom, study):
            if nodule is not None and true.density != "part-solid" and true.diameter_mm >= SURE_FROM_MM:
                assert 0.7 * true.volume_mm3 < nodule.volume_mm3 < 1.5 * true.volume_mm3, true
                assert nodule.mean_diameter_mm == pytest.approx(true.diameter_mm, abs=2.5), true


def test_sides_and_benign_tissue_are_recognized(whole):
    phantom, study = whole
    for true, nodule in matches(phantom, study):
        if nodule is not None:
            assert nodule.location.side == true.side
            if true.density in ("calcified", "fat-containing"):
                assert nodule.density == true.density


def test_nodules_come_named_in_the_order_of_their_scores(whole):
    _, study = whole
    scores = [n.score for n in study.nodules]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert [n.id for n in study.nodules] == [f"N{i}" for i in range(1, len(scores) + 1)]


def test_every_nodule_is_rated_and_categorized(whole):
    _, study = whole
    for nodule in study.nodules:
        assert nodule.suspicion is not None
        assert nodule.suspicion.low <= nodule.suspicion.value <= nodule.suspicion.high
        assert nodule.opinions
        assert nodule.risk
        assert None not in (nodule.lung_rads, nodule.fleischner, nodule.bts)
    assert study.exam.lung_rads.category


def test_the_study_comes_back_equal_from_its_json(whole):
    _, study = whole
    assert Study.from_json(study.to_json()) == study


def test_masks_and_numbers_are_of_the_same_nodules(whole):
    phantom, study = whole
    geometry = phantom.scan.geometry
    assert study.masks.geometry is geometry
    assert list(study.masks.nodules) == [n.id for n in study.nodules]
    for nodule in study.nodules:
        mask = study.masks.nodules[nodule.id]
        middle = geometry.to_lps(np.argwhere(mask.mask).mean(axis=0) + mask.start)
        assert np.linalg.norm(middle - nodule.center_lps_mm) < max(geometry.spacing)
        # Volumes are finer than voxels: they may differ by half the outermost layer.
        voxels, surface = mask.mask.sum() * geometry.voxel_mm3, nodule.shape.surface_mm2
        assert abs(voxels - nodule.volume_mm3) < surface * max(geometry.spacing) / 2


def test_outlines_do_not_share_voxels_to_speak_of(whole):
    phantom, study = whole
    count = np.zeros(phantom.scan.geometry.shape, np.uint8)
    for mask in study.masks.nodules.values():
        count[mask.box] += mask.mask
    assert (count > 1).sum() < 0.05 * (count > 0).sum()


def test_lungs_are_the_truths(whole):
    phantom, study = whole
    assert study.lungs.verdict.status == "ok"
    for label in (LungLabel.RIGHT, LungLabel.LEFT):
        assert dice(study.masks.lungs == label, phantom.masks.lungs == label) > 0.97
    counts = np.bincount(study.masks.lungs.ravel(), minlength=4) * phantom.scan.geometry.voxel_mm3 / 1000
    assert study.lungs.right_ml == pytest.approx(counts[LungLabel.RIGHT], rel=1e-3)
    assert study.lungs.left_ml == pytest.approx(counts[LungLabel.LEFT], rel=1e-3)


def test_the_study_tells_where_the_scan_was_and_what_made_it(whole):
    phantom, study = whole
    assert study.scan.shape == phantom.scan.hu.shape
    assert study.scan.spacing_mm == phantom.scan.spacing
    assert study.scan.origin_lps_mm == phantom.scan.geometry.origin
    assert study.scan.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert {"python", "numpy", "scipy", "SimpleITK", "pydicom"} <= study.provenance.versions.keys()
    assert study.provenance.weights
    assert all(len(digest) == 64 for digest in study.provenance.weights.values())


def test_two_runs_give_the_same(slab, slab_study):
    assert comparable(analyze(slab.scan)) == comparable(slab_study)


@pytest.fixture(scope="module")
def told(slab):
    """A run for one nodule on a scan with a warning, and every step of progress it told."""
    steps = []
    progress = Progress(report=steps.append, shares=pipeline.SHARES)
    scan = replace(slab.scan, warnings=("Slice 7 was missing.",))
    return analyze(scan, Settings(max_nodules=1), progress), steps


def test_each_stage_is_timed_and_told_in_order(told):
    study, steps = told
    assert list(study.timing_s) == STAGES
    assert all(seconds >= 0 for seconds in study.timing_s.values())
    assert list(dict.fromkeys(step.stage for step in steps)) == STAGES
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1


def test_no_more_than_the_asked_number_is_reported_the_best_of_them(told, slab_study):
    study, _ = told
    assert len(slab_study.nodules) > 1
    assert [n.center_lps_mm for n in study.nodules] == [slab_study.nodules[0].center_lps_mm]


def test_warnings_of_the_scan_and_the_lungs_travel_with_the_study(told):
    study, _ = told
    assert study.warnings[0] == "Slice 7 was missing."
    assert study.lungs.verdict.reasons
    assert study.warnings[1:] == [f"Lungs: {reason}" for reason in study.lungs.verdict.reasons]


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_stops_in_whatever_stage_it_is_told_to(slab, stage):
    reached = []
    progress = Progress(report=lambda step: reached.append(step.stage), cancelled=lambda: stage in reached)
    with pytest.raises(Cancelled, match=f"stopped during {stage}"):
        analyze(slab.scan, progress=progress)
    assert reached[-1] == stage


def test_what_is_too_small_is_not_reported(slab, slab_study):
    large = analyze(slab.scan, Settings(min_diameter_mm=10.0))
    expected = [n.center_lps_mm for n in slab_study.nodules if n.mean_diameter_mm >= 10.0]
    assert [n.center_lps_mm for n in large.nodules] == expected
    assert 0 < len(expected) < len(slab_study.nodules)


def test_a_threshold_moves_what_counts_as_found(slab, slab_study):
    sure = [n.center_lps_mm for n in slab_study.nodules]
    lenient = analyze(slab.scan, Settings(detection_threshold=0.0, max_nodules=len(sure) + 2))
    assert len(lenient.nodules) == len(sure) + 2
    assert [n.center_lps_mm for n in lenient.nodules[: len(sure)]] == sure
    assert analyze(slab.scan, Settings(detection_threshold=1.0)).nodules == []


@pytest.mark.parametrize("engine", ["lung_engine", "detector", "outliner", "malignancy"])
def test_an_engine_that_does_not_exist_is_refused_by_name(slab, engine):
    with pytest.raises(InputError, match="'unheard-of'"):
        analyze(slab.scan, Settings(**{engine: "unheard-of"}))


def used(scan, settings=None):
    """The patient and the inputs of a risk equation that a run used."""
    study = analyze(scan, settings)
    return study.provenance.settings.patient, study.nodules[0].risk["brock_2b"]


@pytest.fixture(scope="module")
def small_scan():
    small = small_phantom(0, [NoduleSpec(14.0)], extent_mm=(60.0, 288.0, 360.0), spacing=(3.0, 1.6, 1.6)).scan
    return replace(small, header=replace(small.header, patient_age_years=71, patient_sex="female"))


def test_the_headers_age_and_sex_are_used(small_scan):
    patient, brock = used(small_scan)
    assert (patient.age_years, patient.sex) == (71, "female")
    assert (brock.inputs["age_years"], brock.inputs["sex"]) == (71, "female")
    assert not {"age_years", "sex"} & set(brock.assumed)
    assert "emphysema" in brock.assumed


def test_what_somebody_said_about_the_patient_stands(small_scan):
    patient, brock = used(small_scan, Settings(patient=Patient(age_years=50.0, sex="male", emphysema=True)))
    assert (patient.age_years, patient.sex) == (50.0, "male")
    assert brock.inputs["age_years"] == 50.0
    assert "emphysema" not in brock.assumed


def test_what_neither_the_header_nor_anybody_says_is_assumed(small_scan):
    header = replace(small_scan.header, patient_age_years=None, patient_sex="other")
    patient, brock = used(replace(small_scan, header=header))
    assert (patient.age_years, patient.sex) == (None, None)
    assert {"age_years", "sex"} <= set(brock.assumed)
    assert brock.low <= brock.value <= brock.high


def test_a_scan_without_lungs_gives_a_study_that_says_so():
    empty = small_phantom(0, [], extent_mm=(40.0, 200.0, 200.0), spacing=(4.0, 2.0, 2.0)).scan
    study = analyze(replace(empty, hu=np.full_like(empty.hu, 40)))
    assert study.nodules == []
    assert study.lungs.verdict.status == "failed"
    assert any(warning.startswith("Lungs: ") for warning in study.warnings)
    assert Study.from_json(study.to_json()) == study
