"""The phantom is a chest: lungs of human size and HU, airways, bones, and nodules where and as their truth says."""

import numpy as np
import pytest
from scipy import ndimage

from LungCADLib.errors import Cancelled
from LungCADLib.masks import LungLabel
from LungCADLib.phantom import NoduleSpec, make_phantom, small_phantom
from LungCADLib.progress import Progress

LOWER_LUNGS = {
    "spacing": (1.5, 1.0, 1.0),
    "extent_mm": (120.0, 280.0, 350.0),
    "noise_hu": 0,
    "kernel": "sharp",
}
QUICK = {"nodules": [], "spacing": (4.0, 2.0, 2.0)}
RIGHT, LEFT, AIRWAY = LungLabel.RIGHT, LungLabel.LEFT, LungLabel.AIRWAY


@pytest.fixture(scope="module")
def phantom():
    return small_phantom(0)


@pytest.fixture(scope="module")
def quiet():
    """The lower lungs only, without noise, on finer voxels, with one solid nodule of each attachment."""
    specs = [
        NoduleSpec((12.0, 10.0, 9.0)),
        NoduleSpec(12.0, attachment="juxtapleural"),
        NoduleSpec(9.0, attachment="juxtavascular"),
    ]
    return make_phantom(2, nodules=specs, **LOWER_LUNGS)


def index_of(phantom, nodule):
    return tuple(round(v) for v in phantom.scan.geometry.to_index(nodule.center_lps_mm))


def test_the_same_seed_gives_the_same_voxels_and_another_seed_another_patient(phantom):
    again = small_phantom(0)
    assert (again.scan.hu == phantom.scan.hu).all()
    assert again.nodules == phantom.nodules
    one, other = small_phantom(0, **QUICK), small_phantom(1, **QUICK)
    assert (one.masks.lungs != other.masks.lungs).mean() > 0.003


def test_nodules_leave_the_patient_as_he_is(phantom):
    without = small_phantom(0, [])
    assert ((without.masks.lungs > 0) == (phantom.masks.lungs > 0)).mean() > 0.9999


@pytest.mark.parametrize("seed", [0, 3, 4, 5])
def test_lungs_are_of_human_size_and_whole(seed, phantom):
    masks = phantom.masks if seed == 0 else small_phantom(seed, **QUICK).masks
    liters = np.bincount(masks.lungs.ravel()) * masks.geometry.voxel_mm3 / 1e6
    assert 2 < liters[RIGHT] + liters[LEFT] < 6
    assert 0.65 * liters[RIGHT] < liters[LEFT] < 0.95 * liters[RIGHT]
    for label in (RIGHT, LEFT, AIRWAY):
        parts, _ = ndimage.label(masks.lungs == label, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        assert sizes.max() > (0.999 if label != AIRWAY else 0.9) * sizes.sum()
    edges = [masks.lungs[0], masks.lungs[:, 0], masks.lungs[:, -1], masks.lungs[:, :, 0], masks.lungs[:, :, -1]]
    assert not any(((edge == RIGHT) | (edge == LEFT)).any() for edge in edges)
    assert not np.isin(masks.lungs[-1], (RIGHT, LEFT)).any()


def test_right_is_the_patients_right(phantom):
    for label, sign in ((RIGHT, -1), (LEFT, 1)):
        x = phantom.scan.geometry.to_lps(np.argwhere(phantom.masks.lungs == label))[:, 0]
        assert (sign * x > 0).mean() > 0.98


def test_hu_are_those_of_a_chest(phantom):
    hu, lungs = phantom.scan.hu, phantom.masks.lungs
    lung = hu[np.isin(lungs, (RIGHT, LEFT))]
    assert -900 < np.median(lung) < -800
    assert np.percentile(lung, 1) > -960
    assert hu.dtype == np.int16
    assert hu.min() >= -1024
    airway = ndimage.binary_erosion(lungs == AIRWAY)
    assert np.median(hu[airway]) < -950
    assert np.median(hu[:, :8]) == pytest.approx(-1000, abs=10)
    body = hu[~np.isin(lungs, (RIGHT, LEFT, AIRWAY)) & (hu > -300)]
    assert 0.03 < (body > 250).mean() < 0.2
    assert 0.15 < ((body > -150) & (body < -50)).mean() < 0.6


def test_the_lower_lung_is_denser_toward_the_back(phantom):
    lungs, y = np.isin(phantom.masks.lungs, (RIGHT, LEFT)), np.arange(phantom.scan.hu.shape[1])
    front, back = lungs & (y < 100)[:, None], lungs & (y > 140)[:, None]
    assert np.median(phantom.scan.hu[back]) > np.median(phantom.scan.hu[front]) + 10


def test_vessels_taper_from_the_hila(phantom):
    """Soft-tissue voxels are common near the middle of the lungs and rare under the pleura."""
    lung = np.isin(phantom.masks.lungs, (RIGHT, LEFT))
    depth = ndimage.distance_transform_edt(lung, phantom.scan.spacing)
    dense = phantom.scan.hu > -500
    assert dense[lung & (depth > 25)].mean() > 1.5 * dense[lung & (depth > 4) & (depth < 12)].mean() > 0


def test_contrast_shows_in_the_aorta():
    plain, enhanced = (small_phantom(0, **QUICK, contrast=c, noise_hu=0) for c in (False, True))
    brighter = enhanced.scan.hu.astype(int) - plain.scan.hu
    assert (brighter > 150).sum() * plain.scan.geometry.voxel_mm3 > 100_000
    assert np.median(brighter[np.isin(plain.masks.lungs, (RIGHT, LEFT))]) == 0


def test_every_nodule_lies_in_its_lung_and_apart_from_the_others(phantom):
    lungs = phantom.masks.lungs
    count = np.zeros(lungs.shape, np.uint8)
    for nodule in phantom.nodules:
        mask = phantom.masks.nodules[nodule.id]
        assert set(np.unique(lungs[mask.box][mask.mask])) == {RIGHT if nodule.side == "right" else LEFT}
        assert mask.full(lungs.shape)[index_of(phantom, nodule)]
        count += mask.full(lungs.shape)
    assert [n.id for n in phantom.nodules] == [f"N{i}" for i in range(1, 10)] == list(phantom.masks.nodules)
    assert count.max() == 1


def test_masks_have_the_true_volume_up_to_voxel_size(phantom):
    for nodule in phantom.nodules:
        volume = phantom.masks.nodules[nodule.id].mask.sum() * phantom.scan.geometry.voxel_mm3
        surface_voxels = np.pi * nodule.diameter_mm**2 / phantom.scan.geometry.voxel_mm3 ** (2 / 3)
        assert abs(volume - nodule.volume_mm3) < 0.75 * np.sqrt(surface_voxels) * phantom.scan.geometry.voxel_mm3


def test_hu_gained_over_the_lung_add_up_to_the_true_volume(quiet):
    nodule = quiet.nodules[0]
    box = quiet.scan.geometry.box_around(nodule.center_lps_mm, 9.0)
    hu = quiet.scan.hu[box].astype(float)
    # The same place with a nodule as dark as the lung tells what the lung is there.
    dark = NoduleSpec(12.0, center_lps_mm=nodule.center_lps_mm, hu=-860)
    lung = make_phantom(2, nodules=[dark], **LOWER_LUNGS).scan.hu[box]
    gained = (hu - lung).sum() / (nodule.hu + 860) * quiet.scan.geometry.voxel_mm3
    assert gained == pytest.approx(nodule.volume_mm3, rel=0.04)


def shell(phantom, nodule, thickness=2):
    inside = phantom.masks.nodules[nodule.id].full(phantom.scan.hu.shape)
    grown = ndimage.binary_dilation(inside, iterations=thickness + 1)
    return grown & ~ndimage.binary_dilation(inside, iterations=thickness)


def test_attachment_is_what_the_truth_says(quiet):
    isolated, pleural, vascular = quiet.nodules
    lungs, hu = np.isin(quiet.masks.lungs, (RIGHT, LEFT)), quiet.scan.hu
    assert hu[shell(quiet, isolated)].max() < -500
    assert not lungs[shell(quiet, pleural)].all()
    assert lungs[shell(quiet, vascular)].all()
    assert hu[shell(quiet, vascular)].max() > -400
    assert isolated.volume_mm3 == pytest.approx(np.pi / 6 * 12 * 10 * 9)
    assert 0.7 * np.pi / 6 * 12**3 < pleural.volume_mm3 < 0.99 * np.pi / 6 * 12**3


def test_a_nodule_stays_where_it_is_put(phantom):
    place = phantom.nodules[0].center_lps_mm
    made = small_phantom(0, [NoduleSpec(10.0, center_lps_mm=place, hu=60)], noise_hu=0)
    assert made.nodules[0].center_lps_mm == place
    assert made.scan.hu[index_of(made, made.nodules[0])] == pytest.approx(60, abs=5)


def test_padding_hides_what_lies_outside_the_circle():
    tight = small_phantom(0, [], extent_mm=(60.0, 220.0, 220.0), padding=True)
    hidden = tight.scan.hu[10] == -1024
    assert hidden[0, 0] and not hidden[90, 90]
    assert (tight.masks.lungs[:, hidden] == LungLabel.BACKGROUND).all()
    assert (tight.masks.lungs[:, ~hidden] != LungLabel.BACKGROUND).any()


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="no place in the lungs for a nodule of 150 mm"):
        small_phantom(0, [NoduleSpec(150.0)])
    with pytest.raises(ValueError, match="unknown kernel 'B99'"):
        small_phantom(0, kernel="B99")


def test_progress_moves_on_and_can_stop_the_making():
    steps = []
    small_phantom(0, **QUICK, progress=Progress(report=steps.append, shares={"": 1.0}))
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    with pytest.raises(Cancelled):
        small_phantom(0, **QUICK, progress=Progress(cancelled=lambda: True))
