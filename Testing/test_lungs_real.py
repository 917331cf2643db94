"""Lungs on real CTs: against other people's masks, and around the lesions that are known."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LungCADLib.lungs import segment_lungs
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.scan import Geometry, Scan


@cache
def read(path: Path) -> Scan:
    """A volume file or a folder with one DICOM series, read without LungCAD's readers."""
    if path.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        image = reader.Execute()
    else:
        image = sitk.ReadImage(str(path))
    hu = np.clip(sitk.GetArrayFromImage(image), -1024, 32767).astype(np.int16)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return Scan(hu, Geometry(hu.shape, image.GetSpacing()[::-1], image.GetOrigin(), direction))


@cache
def lungs_of(path: Path) -> Lungs:
    return segment_lungs(read(path))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def both(lungs: Lungs) -> np.ndarray:
    return (lungs.labels == LungLabel.RIGHT) | (lungs.labels == LungLabel.LEFT)


def test_agrees_with_the_whole_lung_label_of_a_copd_patient(real_data: Path) -> None:
    folder = real_data / "cip-copdgene-small"
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "wholeLung-64.nrrd"))) > 0
    lungs = lungs_of(folder / "ct-64.nrrd")
    assert dice(both(lungs), truth) > 0.97
    assert lungs.info.verdict.status == "ok"


def test_agrees_with_the_mask_of_a_single_lung_and_knows_that_it_is_the_right_one(real_data: Path) -> None:
    folder = real_data / "elastix-lung"
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "3DCT_lung_baseline_mask.mha"))) > 0
    lungs = lungs_of(folder / "3DCT_lung.mha")
    assert dice(lungs.labels == LungLabel.RIGHT, truth) > 0.97
    assert lungs.info.left_ml == 0
    assert "only the right lung was found" in lungs.info.verdict.reasons


LESIONS = [
    ("cptac-lscc-c3n-00247/dicom", (-83.4, -192.4, -195.0), LungLabel.RIGHT),
    ("lidc-idri-0003/dicom", (72.5, 77.2, -190.4), LungLabel.LEFT),
    ("lidc-idri-0003/dicom", (23.5, -47.6, -172.2), LungLabel.LEFT),
    ("lidc-idri-0003/dicom", (-47.2, -30.1, -169.5), LungLabel.RIGHT),
    ("lidc-idri-0003/dicom", (74.0, 74.5, -213.0), LungLabel.LEFT),
    ("lungfcp-01-0001/dicom", (-52.4, -147.6, 60.5), LungLabel.RIGHT),
]


@pytest.mark.parametrize(("series", "lps", "side"), LESIONS)
def test_a_known_nodule_lies_in_the_lung_of_its_side(
    real_data: Path, series: str, lps: tuple[float, float, float], side: LungLabel
) -> None:
    scan, lungs = read(real_data / series), lungs_of(real_data / series)
    z, y, x = np.rint(scan.geometry.to_index(lps)).astype(int)
    assert lungs.labels[z, y, x] == side
    assert lungs.region[z, y, x]


def test_a_large_mass_against_wall_and_mediastinum_is_searched(real_data: Path) -> None:
    series = real_data / "lung-pet-ct-dx-a0001" / "dicom_l"
    z, y, x = np.rint(read(series).geometry.to_index((44, 200, -209))).astype(int)
    assert lungs_of(series).region[z, y, x]


def test_consensus_outlines_are_inside_the_region(real_data: Path) -> None:
    folder = real_data / "lidc-idri-0003"
    nodules = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "nodule_consensus_2of4.nii.gz")))
    region = lungs_of(folder / "dicom").region
    for label in np.unique(nodules[nodules > 0]):
        assert region[nodules == label].mean() > 0.98


@pytest.mark.parametrize(
    "series", ["cptac-lscc-c3n-00247/dicom", "lidc-idri-0003/dicom", "lung-pet-ct-dx-a0001/dicom_l"]
)
def test_whole_chests_are_trusted_and_their_airways_are_apart(real_data: Path, series: str) -> None:
    info = lungs_of(real_data / series).info
    assert info.verdict.status == "ok", info.verdict.reasons
    assert 15 < info.airway_ml < 100


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ("lungfcp-01-0001/dicom", "below the first slice"),
        ("acrin-flt-breast-001-slab/dicom", "beyond the first and the last slice"),
        ("acrin-flt-breast-013-slab/dicom", "above the last slice"),
        ("cptac-pda-c3l-00189-slab/dicom", "above the last slice"),
    ],
)
def test_a_part_of_the_chest_is_said_to_be_a_part(real_data: Path, series: str, words: str) -> None:
    lungs = lungs_of(real_data / series)
    assert lungs.info.verdict.status == "doubtful"
    assert words in lungs.info.verdict.reasons[0]
    assert 0.5 < lungs.info.left_ml / lungs.info.right_ml < 2


def test_a_head_has_no_lungs(real_data: Path) -> None:
    lungs = lungs_of(real_data / "awkward-dicom" / "ge-head-gantry-tilt-variable-gap")
    assert lungs.info.verdict.status == "failed"
    assert "may not be a chest CT" in lungs.info.verdict.reasons[0]
    assert not lungs.labels.any()
    assert 0 < lungs.region.mean() < 0.5


@pytest.fixture(scope="module")
def chest(real_data: Path) -> tuple[Scan, Lungs]:
    """A real chest at 2.5 mm, to be maltreated."""
    scan = read(real_data / "lidc-idri-0003" / "dicom").resampled(2.5)
    return scan, segment_lungs(scan)


def same_sides(found: Lungs, expected: np.ndarray) -> bool:
    return all(dice(found.labels == side, expected == side) > 0.95 for side in (LungLabel.RIGHT, LungLabel.LEFT))


def test_a_picture_that_cuts_off_the_chest_wall(chest: tuple[Scan, Lungs]) -> None:
    scan, lungs = chest
    _, height, width = scan.hu.shape
    box = (slice(None), slice(height // 5, -height // 5), slice(width // 5, -width // 5))
    box = tuple(slice(*part.indices(n)[:2]) for part, n in zip(box, scan.hu.shape, strict=True))
    found = segment_lungs(scan.crop(box))
    assert same_sides(found, lungs.labels[box])
    assert any("side of the picture" in reason for reason in found.info.verdict.reasons)


def test_a_round_picture_that_cuts_through_the_lungs(chest: tuple[Scan, Lungs]) -> None:
    scan, lungs = chest
    _, height, width = scan.hu.shape
    y, x = np.ogrid[:height, :width]
    circle = np.hypot(y - height / 2, x - width / 2) < 0.36 * width
    found = segment_lungs(replace(scan, hu=np.where(circle, scan.hu, np.int16(-1024))))
    assert same_sides(found, np.where(circle, lungs.labels, 0))


@pytest.mark.parametrize("shift", [-100, 100])
def test_a_scan_whose_air_is_off(chest: tuple[Scan, Lungs], shift: int) -> None:
    scan, lungs = chest
    hu = np.clip(scan.hu.astype(int) + shift, -1024, 3000).astype(np.int16)
    assert same_sides(segment_lungs(replace(scan, hu=hu)), lungs.labels)


def test_a_very_noisy_scan(chest: tuple[Scan, Lungs]) -> None:
    scan, lungs = chest
    noise = np.random.default_rng(0).normal(0, 150, scan.hu.shape)
    hu = np.clip(scan.hu + noise, -1024, 3000).astype(np.int16)
    assert same_sides(segment_lungs(replace(scan, hu=hu)), lungs.labels)


def test_a_patient_seen_in_a_mirror_has_the_other_sides(chest: tuple[Scan, Lungs]) -> None:
    scan, lungs = chest
    swap = np.array([0, 2, 1, 3], np.uint8)
    found = segment_lungs(replace(scan, hu=np.ascontiguousarray(scan.hu[:, :, ::-1])))
    assert same_sides(found, swap[lungs.labels[:, :, ::-1]])
