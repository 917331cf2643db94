"""DICOM slices become one upright volume: every voxel must show what lies at its place in the patient."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factory import AXIAL, CORONAL, SAGITTAL, at, axial, body, ct_slice, save, stacked
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.errors import InputError
from LungCADLib.readers import read_scan
from LungCADLib.readers.orient import upright
from LungCADLib.scan import Geometry, Scan

OBLIQUE = (0.98, 0.0, -0.199, 0.05, 0.9677, 0.2462)


def places(scan: Scan) -> np.ndarray:
    """LPS positions of every voxel, (z, y, x, 3)."""
    return scan.geometry.to_lps(np.moveaxis(np.indices(scan.hu.shape), 0, -1))


def wrong_part(scan: Scan, tolerance: int = 1) -> float:
    """The part of the voxels that do not show the body at their place."""
    return float(np.mean(np.abs(scan.hu.astype(int) - body(places(scan))) > tolerance))


def assert_upright(scan: Scan) -> None:
    """z headward, y backward, x leftward, as nearly as the axes allow."""
    direction = np.asarray(scan.geometry.direction)
    assert np.argmax(np.abs(direction), axis=0).tolist() == [0, 1, 2]
    assert np.diag(direction).min() > 0
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-6)


@pytest.mark.parametrize(
    ("orientation", "shape"),
    [
        (AXIAL, (30, 40)),
        ((-1, 0, 0, 0, -1, 0), (30, 40)),
        ((1, 0, 0, 0, -1, 0), (30, 40)),
        ((0, 1, 0, 1, 0, 0), (40, 30)),
        (SAGITTAL, (20, 30)),
        ((0, -1, 0, 0, 0, 1), (20, 30)),
        (CORONAL, (20, 40)),
        ((-1, 0, 0, 0, 0, 1), (20, 40)),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_any_orientation_and_file_order_comes_out_upright(
    tmp_path: Path, orientation: tuple, shape: tuple, reverse: bool
) -> None:
    slices = stacked(orientation, 24, shape=shape)
    scan = read_scan(save(tmp_path, slices[::-1] if reverse else slices))
    assert_upright(scan)
    assert sorted(scan.hu.shape) == sorted((24, *shape))
    assert np.allclose(np.asarray(scan.geometry.direction), np.eye(3), atol=1e-9)
    assert wrong_part(scan) == 0


def test_an_oblique_stack_keeps_its_true_direction(tmp_path: Path) -> None:
    row = np.array(OBLIQUE[:3]) / np.linalg.norm(OBLIQUE[:3])
    column = np.array(OBLIQUE[3:]) - row * (row @ OBLIQUE[3:])
    orientation = (*row, *(column / np.linalg.norm(column)))
    scan = read_scan(save(tmp_path, stacked(orientation, 20)))
    assert_upright(scan)
    assert np.allclose(np.asarray(scan.geometry.direction)[:, 0], row, atol=1e-6)
    assert wrong_part(scan) < 1e-3
    assert not any("tilt" in warning for warning in scan.warnings)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE])
def test_positions_agree_with_itk(tmp_path: Path, orientation: tuple) -> None:
    row = np.array(orientation[:3]) / np.linalg.norm(orientation[:3])
    column = np.array(orientation[3:]) - row * (row @ orientation[3:])
    stack = stacked((*row, *(column / np.linalg.norm(column))), 20, shape=(32, 44))
    scan = read_scan(save(tmp_path, stack))
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    theirs = sitk.ReadImage(files)
    for z, y, x in np.random.default_rng(0).integers(0, scan.hu.shape, (50, 3)).tolist():
        lps = scan.geometry.to_lps((z, y, x))
        index = theirs.TransformPhysicalPointToIndex(lps.tolist())
        assert theirs.TransformIndexToPhysicalPoint(index) == pytest.approx(lps, abs=1e-3)
        assert theirs[index] == scan.hu[z, y, x]


def test_slices_are_sorted_by_place_not_by_name_or_number(tmp_path: Path) -> None:
    slices = axial(16)
    order = np.random.default_rng(0).permutation(16)
    for name, k in enumerate(order):
        slices[k].InstanceNumber = 100 - name
    scan = read_scan(save(tmp_path, [slices[k] for k in order]))
    assert wrong_part(scan) == 0
    assert [Path(f).name for f in scan.files] == [f"IM{list(order).index(k):03d}.dcm" for k in range(16)]


def test_a_missing_slice_is_interpolated_with_a_warning(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path, [s for k, s in enumerate(axial(16)) if k != 7]))
    assert scan.hu.shape[0] == 16
    assert scan.spacing[0] == pytest.approx(5)
    assert wrong_part(scan) == 0  # the body changes linearly along z
    assert any("1 slice missing" in warning for warning in scan.warnings)


def test_uneven_steps_are_resampled_onto_even_ones(tmp_path: Path) -> None:
    z = np.cumsum([0, 4, 4, 4, 4, 4, 4, 4, 1.2, 7, 7, 7, 7, 7])
    scan = read_scan(save(tmp_path, at(z)))
    assert scan.geometry.to_lps((scan.hu.shape[0] - 1, 0, 0))[2] == pytest.approx(z[-1])
    assert wrong_part(scan) == 0
    assert any("unevenly spaced" in warning and "interpolated" in warning for warning in scan.warnings)


def test_a_wide_gap_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gap of 50\.0 mm between IM009\.dcm and IM010\.dcm"):
        read_scan(save(tmp_path, at([*range(0, 50, 5), *range(95, 150, 5)])))


def test_positions_rounded_in_the_file_are_even(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path, at(np.round(np.arange(20) * 3.3333, 1))))
    assert scan.hu.shape[0] == 20
    assert scan.warnings == ()


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    save(tmp_path / "a", axial(12))
    save(tmp_path / "b", axial(12))
    scan = read_scan(tmp_path)
    assert scan.hu.shape[0] == 12
    assert any("12 copies" in warning for warning in scan.warnings)


def test_duplicate_slices_are_dropped_with_a_warning(tmp_path: Path) -> None:
    slices = [*axial(12), *axial(3)]
    for k, extra in enumerate(slices[12:]):
        extra.SOPInstanceUID = f"1.2.3.{k}"
    scan = read_scan(save(tmp_path, slices))
    assert scan.hu.shape[0] == 12
    assert any("3 slices at a position already taken" in warning for warning in scan.warnings)


def test_two_different_volumes_at_the_same_places_are_4d(tmp_path: Path) -> None:
    second = [ct_slice(s.ImagePositionPatient, number=50 + k) for k, s in enumerate(axial(12))]
    for s in second:
        s.PixelData = np.roll(np.frombuffer(s.PixelData, np.int16), 3).tobytes()
    with pytest.raises(InputError, match="4D"):
        read_scan(save(tmp_path, [*axial(12), *second]))


def test_two_volumes_with_slices_between_each_others_are_4d(tmp_path: Path) -> None:
    second = at(2.5 + 5.0 * np.arange(12), AcquisitionNumber=2, RescaleType="HU")
    for k, s in enumerate(second):
        s.SOPInstanceUID = f"1.2.4.{k}"
    with pytest.raises(InputError, match="4D"):
        read_scan(save(tmp_path, [*axial(12), *second]))


def test_acquisitions_one_after_the_other_are_one_volume(tmp_path: Path) -> None:
    slices = [*axial(10), *at(50 + 5.0 * np.arange(10), AcquisitionNumber=2)]
    scan = read_scan(save(tmp_path, slices))
    assert scan.hu.shape[0] == 20
    assert scan.warnings == ()


@pytest.mark.parametrize("degrees", [-20, 7, 18.5])
def test_a_tilted_gantry_is_sheared_onto_an_upright_grid(tmp_path: Path, degrees: float) -> None:
    tilt = np.radians(degrees)
    orientation = (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))
    scan = read_scan(save(tmp_path, stacked(orientation, 16, step=3.0, travel=(0, 0, 1), shape=(40, 48))))
    assert any(f"tilted by {abs(degrees):.1f} degrees" in warning for warning in scan.warnings)
    assert_upright(scan)
    assert scan.spacing[0] == pytest.approx(3.0 * np.cos(tilt))
    # In the trunk, away from edges (interpolated) and where slices reach, every voxel shows what is there.
    where = places(scan)
    steady = np.all([np.abs(body(where + np.array([0, dy, 0])) - body(where)) < 5 for dy in (-4, -2, 2, 4)], axis=0)
    known = steady & (scan.hu > -1024) & (body(where) > -1000)
    assert known.mean() > 0.1
    assert np.mean(np.abs(scan.hu.astype(int) - body(where))[known] <= 1) > 0.999


def test_slices_drifting_sideways_by_whole_pixels_are_put_back(tmp_path: Path) -> None:
    slices = [ct_slice((-79 + 4 * (k % 2), -59, 5 * k), number=k + 1) for k in range(12)]
    scan = read_scan(save(tmp_path, slices))
    assert scan.hu.shape == (12, 30, 41)
    known = scan.hu > -1024
    assert np.array_equal(scan.hu[known], body(places(scan))[known])


def test_thin_slices_far_apart_say_that_tissue_between_was_not_imaged(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path, axial(12, step=10.0, SliceThickness=1.0)))
    assert any("1 mm thick but 10.0 mm apart" in warning for warning in scan.warnings)


def test_a_few_slices_of_another_size_are_left_out_with_a_warning(tmp_path: Path) -> None:
    slices = [*axial(20), *at([110, 115], shape=(20, 20), RescaleType="HU")]
    scan = read_scan(save(tmp_path, slices))
    assert scan.hu.shape == (20, 30, 40)
    assert any("2 slices of another matrix size" in warning for warning in scan.warnings)


def test_half_and_half_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mixes slices of different matrix sizes"):
        read_scan(save(tmp_path, [*axial(12), *at(60 + 5.0 * np.arange(12), shape=(20, 20))]))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    st.tuples(*[st.floats(-300, 300)] * 3),
    st.booleans(),
)
def test_turning_a_volume_upright_moves_no_voxel(
    angles: tuple[float, ...], origin: tuple[float, float, float], mirrored: bool
) -> None:
    a, b, c = angles
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn_y = np.array([[np.cos(c), 0, np.sin(c)], [0, 1, 0], [-np.sin(c), 0, np.cos(c)]])
    direction = turn_z @ turn_x @ turn_y * [1, 1, -1 if mirrored else 1]
    before = Geometry((3, 4, 5), (2.5, 0.7, 0.9), origin, direction)
    array = np.arange(60).reshape(3, 4, 5)
    turned, after = upright(array, before)
    old = before.to_lps(np.argwhere(array >= 0))
    new = after.to_lps(np.argwhere(turned >= 0))
    assert turned.shape == after.shape
    assert np.allclose(new[np.argsort(turned.ravel())], old, atol=1e-6)
    assert np.linalg.det(after.direction) > 0
    assert np.trace(after.direction) >= 1 - 1e-9
