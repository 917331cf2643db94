"""The whole road on four real chest CTs: what a reader would not forgive missing, and how much else is marked."""

import json
import logging

import numpy as np
import pytest
import SimpleITK as sitk

from LungCADLib.evaluation.detection_road import listed_scans
from LungCADLib.masks import LungLabel

REPORTED_MM = 4.0
SEEN_BY_EYE = {
    "cptac-lscc-c3n-00247/dicom": ((-83.4, -192.4, -195.0), 23.0),
    "lungfcp-01-0001/dicom": ((-52.4, -147.6, 60.5), 17.0),
    "lung-pet-ct-dx-a0001/dicom_l": ((44.0, 200.0, -209.0), 45.0),
}
"""One lesion each: LPS and about how wide, mm."""

LIDC = "lidc-idri-0003"

log = logging.getLogger(__name__)


def tell_time(folder, road):
    """Seen with `pytest --log-level=INFO -rA`; not asserted, because other work may share the machine."""
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in road.study.timing_s.items())
    log.info("%s: %.1f s (%s)", folder, road.seconds, stages)


def full(study, nodule):
    return study.masks.nodules[nodule.id].full(study.masks.geometry.shape)


def holds(study, nodule, lps):
    """Whether the voxel at a position lies in the nodule's outline."""
    z, y, x = np.round(study.masks.geometry.to_index(lps)).astype(int)
    return bool(full(study, nodule)[z, y, x])


def distance(nodule, lps):
    return float(np.linalg.norm(np.subtract(nodule.center_lps_mm, lps)))


@pytest.mark.parametrize("folder", SEEN_BY_EYE)
def test_the_lesion_is_among_the_first_two_nodules(real_road, folder):
    road = real_road(folder)
    tell_time(folder, road)
    lps, width = SEEN_BY_EYE[folder]
    assert any(distance(n, lps) < width / 2 and holds(road.study, n, lps) for n in road.study.nodules[:2])


@pytest.mark.parametrize("folder", [*SEEN_BY_EYE, f"{LIDC}/dicom"])
def test_at_most_two_marks_are_false(real_road, folder):
    (listed,) = (entry for entry in listed_scans() if entry["folder"] == folder)
    places = [*listed["lesions"], *listed.get("doubtful", [])]
    others = [
        n
        for n in real_road(folder).study.nodules
        if all(distance(n, place["lps_mm"]) > place["diameter_mm"] / 2 for place in places)
    ]
    assert sum(n.mean_diameter_mm >= REPORTED_MM for n in others) <= 2


@pytest.fixture(scope="module")
def readers(real_data):
    """What all four readers marked, the largest first: table, and their consensus as masks."""
    folder = real_data / LIDC
    table = json.loads((folder / "nodules_readers.json").read_text(encoding="utf-8"))["nodules"]
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "nodule_consensus_2of4.nii.gz")))
    return sorted((n for n in table if n["readers"] == 4), key=lambda n: -n["diameter_mm"]), labels


@pytest.fixture(scope="module")
def lidc(real_road):
    return real_road(f"{LIDC}/dicom")


@pytest.fixture(scope="module")
def pairs(lidc, readers):
    """Each of the readers' nodules with ours that is nearest."""
    table, _ = readers
    return [(known, min(lidc.study.nodules, key=lambda n: distance(n, known["lps"]))) for known in table]


def test_all_three_of_the_readers_nodules_are_found_before_any_other_mark(lidc, pairs):
    tell_time(LIDC, lidc)
    assert len(pairs) == 3
    assert all(distance(n, known["lps"]) < known["diameter_mm"] / 2 for known, n in pairs)
    assert len({n.id for _, n in pairs}) == 3
    assert {n.id for _, n in pairs} == {n.id for n in lidc.study.nodules[:3]}


def test_outlines_agree_with_the_readers_consensus(lidc, readers, pairs):
    _, labels = readers
    for i, (known, nodule) in enumerate(pairs):
        z, y, x = np.round(lidc.scan.geometry.to_index(known["lps"])).astype(int)
        around = labels[z - 1 : z + 2, y - 2 : y + 3, x - 2 : x + 3]
        truth = labels == np.bincount(around[around > 0]).argmax()
        ours = full(lidc.study, nodule)
        dice = 2 * (ours & truth).sum() / (ours.sum() + truth.sum())
        log.info("%s mm: Dice %.3f", known["diameter_mm"], dice)
        assert dice >= (0.75 if i == 0 else 0.6), known["diameter_mm"]


def test_long_axes_lie_within_3_mm_of_what_the_readers_measured(pairs):
    for known, nodule in pairs:
        measured = known["max_inplane_mm"]
        assert min(measured) - 3 <= nodule.long_axis_mm <= max(measured) + 3, known["diameter_mm"]


@pytest.mark.parametrize("folder", [*SEEN_BY_EYE, f"{LIDC}/dicom"])
def test_every_nodule_lies_in_its_sides_lung_or_at_least_reaches_into_it(real_road, folder):
    """A mass that has grown into the wall or the mediastinum has less than half of itself in the lung mask."""
    study = real_road(folder).study
    assert study.lungs.verdict.status != "failed"
    for nodule in study.nodules:
        mask = study.masks.nodules[nodule.id]
        inside = study.masks.lungs[mask.box][mask.mask]
        assert np.isin(inside, (LungLabel.RIGHT, LungLabel.LEFT)).mean() > (
            0.5 if nodule.mean_diameter_mm < 30 else 0.3
        )
        if nodule.location.side != "unknown":
            assert np.bincount(inside, minlength=4)[1:3].argmax() == ("right", "left").index(nodule.location.side)
