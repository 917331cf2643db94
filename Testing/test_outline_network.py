"""The outline network: what it sees, and what the packaged one draws on digital nodules."""

from dataclasses import replace

import numpy as np
import pytest
from digital_nodule import LUNG_HU, filled
from hypothesis import given
from hypothesis import strategies as st

from LungCADLib.masks import BoxMask, in_plane_diameter_mm
from LungCADLib.nodules import ENGINES, outline_network
from LungCADLib.nodules.field import CHANNELS, LEAST_MM, PIXELS, Field, side_mm
from LungCADLib.nodules.outline import outline_nodule
from LungCADLib.nodules.outline_network import OutlineNetwork, outline_candidates, packaged
from LungCADLib.nodules.unet import Stack, slice_unet
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import Candidate

torch = pytest.importorskip("torch")

SPACING = (2.0, 0.7, 0.7)
SHAPE = (24, 80, 80)


def scan_with(*balls, shape=SHAPE, spacing=SPACING, noise=15.0, origin=(10.0, -50.0, 30.0)):
    """A scan of lung with balls (center in mm from the first voxel's center (z, y, x), diameter), and their truths."""
    hu, truths = np.full(shape, LUNG_HU), []
    for center, diameter in balls:
        share = filled(shape, spacing, center, (diameter / 2,) * 3)
        hu = hu + share * (30 - LUNG_HU)
        truths.append(share >= 0.5)
    hu = hu + noise * np.random.default_rng(0).standard_normal(shape)
    return Scan(np.round(hu).astype(np.int16), Geometry(shape, spacing, origin)), truths


def candidate(scan, center_mm, diameter):
    x, y, z = (float(v) for v in scan.geometry.to_lps(np.array(center_mm) / scan.spacing))
    return Candidate((x, y, z), diameter / 2, "solid", 1.0)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def everywhere(scan):
    return np.ones(scan.hu.shape, bool)


def outlined(scan, *candidates):
    masks = outline_candidates(packaged("cpu"), scan, everywhere(scan), candidates)
    return [mask.full(scan.geometry.shape) for mask in masks]


@pytest.mark.parametrize("diameter", [5.0, 8.0, 14.0, 25.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (0.625, 0.5, 0.5)], ids=str)
def test_a_ball_is_outlined_at_its_volume(diameter, spacing):
    shape = tuple(int(44 / s) for s in spacing)
    scan, (truth,) = scan_with(((22.0, 22.0, 22.0), diameter), shape=shape, spacing=spacing)
    (found,) = outlined(scan, candidate(scan, (22.0, 22.0, 22.0), diameter))
    # Two or three slices hold a nodule of 5 mm where they are 2.5 mm apart.
    assert dice(found, truth) > (0.6 if diameter < 2.5 * spacing[0] else 0.8)
    # Readers draw outside the steepest edge, by about a pixel.
    assert -0.5 < np.cbrt(found.sum() / truth.sum()) * diameter - diameter < 2


@pytest.mark.parametrize("guess", [0.6, 0.8, 1.25, 1.6])
def test_a_wrong_guess_of_the_size_is_put_right(guess):
    center = (24.0, 28.0, 28.0)
    scan, (truth,) = scan_with((center, 12.0))
    right, wrong = (outlined(scan, candidate(scan, center, 12.0 * factor))[0] for factor in (1.0, guess))
    assert dice(wrong, right) > 0.9
    assert dice(wrong, truth) > 0.8


def test_a_click_beside_the_center_outlines_the_same_nodule():
    center = (24.0, 28.0, 28.0)
    scan, _ = scan_with((center, 10.0))
    middle, beside = outlined(scan, candidate(scan, center, 10.0), candidate(scan, (24.0, 30.0, 26.5), 10.0))
    assert dice(middle, beside) > 0.9


def test_several_candidates_at_once_get_what_each_gets_alone():
    places = (((20.0, 14.0, 16.0), 6.0), ((24.0, 34.0, 38.0), 15.0), ((40.0, 20.0, 42.0), 9.0))
    scan, _ = scan_with(*places)
    candidates = [candidate(scan, *place) for place in places]
    together = outlined(scan, *candidates)
    for one, alone in zip(together, (outlined(scan, c)[0] for c in candidates), strict=True):
        assert (one == alone).mean() > 0.9999
        assert dice(one, alone) > 0.99


def test_a_mirrored_scan_gets_the_mirrored_outline_nearly():
    center = (24.0, 28.0, 30.0)
    scan, _ = scan_with((center, 10.0))
    (found,) = outlined(scan, candidate(scan, center, 10.0))
    flipped = replace(scan, hu=np.ascontiguousarray(scan.hu[:, :, ::-1]))
    other = candidate(flipped, (24.0, 28.0, 0.7 * 79 - 30.0), 10.0)
    assert dice(outlined(flipped, other)[0][:, :, ::-1], found) > 0.93


@pytest.mark.parametrize("center", [(0.0, 28.0, 28.0), (24.0, 0.0, 28.0), (46.0, 55.3, 55.3)])
def test_a_nodule_at_the_scans_border_is_outlined_as_far_as_it_is_seen(center):
    scan, (truth,) = scan_with((center, 12.0))
    (found,) = outlined(scan, candidate(scan, center, 12.0))
    assert dice(found, truth) > 0.75


def test_a_scan_of_one_slice_is_no_special_case():
    scan, (truth,) = scan_with(((0.0, 28.0, 28.0), 12.0), shape=(1, 80, 80))
    (found,) = outlined(scan, candidate(scan, (0.0, 28.0, 28.0), 12.0))
    assert dice(found, truth) > 0.85


def test_a_fainter_ground_glass_ball_is_outlined_too():
    center = (24.0, 28.0, 28.0)
    scan, (truth,) = scan_with((center, 14.0))
    faint = np.round(LUNG_HU + (scan.hu - LUNG_HU) * (260 / (30 - LUNG_HU))).astype(np.int16)
    (found,) = outlined(replace(scan, hu=faint), candidate(scan, center, 14.0))
    assert dice(found, truth) > 0.75


def test_one_call_per_candidate_is_the_engine_of_that_name():
    center = (24.0, 28.0, 28.0)
    scan, _ = scan_with((center, 10.0))
    mask = ENGINES["network"](scan, everywhere(scan), candidate(scan, center, 10.0))
    assert (mask.full(scan.geometry.shape) == outlined(scan, candidate(scan, center, 10.0))[0]).all()
    assert mask.mask.any(axis=(1, 2)).all()  # trimmed


def test_where_the_network_sees_nothing_the_classical_outline_stands(monkeypatch):
    center = (24.0, 28.0, 28.0)
    scan, _ = scan_with((center, 10.0))
    at = candidate(scan, center, 10.0)
    monkeypatch.setattr(outline_network, "SURE_LOGIT", 1e9)
    (found,) = outlined(scan, at)
    assert (found == outline_nodule(scan, everywhere(scan), at).full(scan.geometry.shape)).all()


def test_an_outline_that_follows_a_vessel_ends_near_the_classical_one():
    scan, (ball,) = scan_with(((24.0, 28.0, 28.0), 8.0))
    classical = BoxMask((0, 0, 0), ball)
    strayed = ball.copy()
    strayed[12, 38:42, 20:60] = True
    kept = outline_network._kept_near(BoxMask((0, 0, 0), strayed), classical, scan).full(SHAPE)
    reach = outline_network.STRAY_MM + outline_network.STRAY_DIAMETERS * in_plane_diameter_mm(ball, SPACING)
    assert (kept & ball).sum() == ball.sum()
    beyond = 0.7 * (np.flatnonzero(kept[12, 40])[-1] - np.flatnonzero(ball[12, 40])[-1])
    assert reach - 0.7 < beyond <= reach
    # What the network draws elsewhere is nothing of this nodule's.
    elsewhere = BoxMask((20, 0, 0), np.ones((2, 5, 5), bool))
    assert outline_network._kept_near(elsewhere, classical, scan) is classical


def test_what_lies_away_from_the_candidate_is_not_its_outline():
    scan, _ = scan_with(((24.0, 28.0, 40.0), 8.0))
    network = packaged("cpu")
    nothing = network.outline([scan.hu], [scan.spacing], [(12.0, 40.0, 34.0)], [5.0])[0]
    assert not nothing.mask.mask.any()
    assert nothing.expected_dice == 0


def test_one_member_alone_can_be_asked():
    center = (24.0, 28.0, 28.0)
    scan, (truth,) = scan_with((center, 10.0))
    masks = [
        packaged("cpu", member).outline([scan.hu], [scan.spacing], [(12.0, 40.0, 40.0)], [10.0])[0].mask.full(SHAPE)
        for member in range(5)
    ]
    assert all(dice(mask, truth) > 0.75 for mask in masks)
    assert any((mask != masks[0]).any() for mask in masks[1:])


def test_members_look_from_several_sides_and_are_averaged():
    torch.manual_seed(0)
    networks = [slice_unet(CHANNELS).eval() for _ in range(2)]
    states = [network.state_dict() for network in networks]
    inputs = torch.randn(3, CHANNELS, PIXELS, PIXELS)
    with torch.inference_mode():
        plain = networks[0](inputs, Stack.of([3]))
        mirrored = networks[1](inputs.flip(3), Stack.of([3])).flip(2)
        alone = [
            networks[0](inputs.flip(a), Stack.of([3])).flip(b) for a, b in (((), ()), (3, 2), (2, 1), ((2, 3), (1, 2)))
        ]
    together = OutlineNetwork(states)
    assert torch.allclose(together.logits([inputs])[0], (plain + mirrored) / 2, atol=1e-4)
    assert torch.allclose(together.logits([inputs], 1)[0], plain, atol=1e-4)
    assert torch.allclose(OutlineNetwork(states[:1]).logits([inputs])[0], sum(alone) / 4, atol=1e-4)


def test_the_dice_that_the_network_expects_follows_from_its_chances():
    where = Field((0.0, 23.5, 23.5), (1.0, 1.0, 1.0), 1.0, np.zeros(1))
    logits = torch.full((1, PIXELS, PIXELS), -30.0)
    logits[0, 20:30, 20:30] = 30.0
    sure = outline_network._drawn(where, logits, (1, 48, 48), 10.0)
    assert sure.expected_dice == pytest.approx(1, abs=0.01)
    # A chance of 0.75 for each of n voxels: 2 * 0.75 n / (0.75 n + n).
    logits[0, 20:30, 20:30] = np.log(3)
    assert outline_network._drawn(where, logits, (1, 48, 48), 10.0).expected_dice == pytest.approx(6 / 7, abs=0.03)


def test_volumes_in_one_stack_do_not_see_each_other():
    torch.manual_seed(0)
    network = slice_unet(CHANNELS).eval()
    volumes = [torch.randn(n, CHANNELS, PIXELS, PIXELS) for n in (4, 1, 3)]
    with torch.inference_mode():
        together = network(torch.cat(volumes), Stack.of([4, 1, 3])).split([4, 1, 3])
        for one, alone in zip(volumes, together, strict=True):
            assert torch.allclose(network(one, Stack.of([len(one)])), alone, atol=1e-4)


def test_slices_of_one_volume_do_see_each_other():
    torch.manual_seed(0)
    network = slice_unet(CHANNELS).eval()
    volume = torch.randn(3, CHANNELS, PIXELS, PIXELS)
    changed = volume.clone()
    changed[2] += 1
    with torch.inference_mode():
        before, after = (network(one, Stack.of([3]))[0] for one in (volume, changed))
    assert not torch.allclose(before, after)


@given(
    st.floats(3, 45),
    st.tuples(st.floats(0, 19), st.floats(0, 59), st.floats(0, 49)),
    st.sampled_from([(0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (1.25, 0.7, 0.7), (5.0, 0.9, 0.9)]),
)
def test_a_field_gives_the_scans_voxels_back_where_they_are(diameter, center, spacing):
    shape = (20, 60, 50)
    where = Field.around(center, spacing, shape, diameter)
    z, y, x = np.indices(shape).astype(np.float32)
    # What is linear in the index survives linear interpolation there and back, but beyond the volume's edges.
    voxels = where.voxels(shape)
    low, high = voxels.start[0], voxels.start[0] + len(voxels.part)
    reach = where.slices[(where.slices >= 0) & (where.slices <= shape[0] - 1)]
    inner = (
        slice(max(0, int(np.ceil(reach[0])) - low), min(high, int(reach[-1]) + 1) - low),
        slice(2, -2),
        slice(2, -2),
    )
    for volume in (z, y, x):
        back = voxels.values(where.sample(volume)[0]).numpy()
        step = where.pixel_mm / spacing[1] if volume is not z else 1e-3
        assert np.abs(back - volume[voxels.box])[inner].max(initial=0) < 0.02 + step


@given(st.floats(3, 45), st.floats(0, 19))
def test_a_field_reaches_as_far_as_it_is_wide(diameter, middle):
    spacing, shape = (1.25, 0.7, 0.7), (20, 60, 50)
    where = Field.around((middle, 30.0, 25.0), spacing, shape, diameter)
    box = where.voxels(shape).box
    reach = side_mm(diameter) / 2 / spacing[0]
    assert where.pixel_mm * PIXELS == pytest.approx(side_mm(diameter))
    assert box[0].start <= max(0, middle - reach + 1.5)
    assert box[0].stop >= min(20, middle + reach - 0.5)


def test_the_field_of_a_small_nodule_has_the_scans_own_slices():
    where = Field.around((7.3, 40.0, 40.0), SPACING, SHAPE, 5.0)
    assert side_mm(5.0) == LEAST_MM
    assert (where.slices == np.round(where.slices)).all()
    hu = np.random.default_rng(0).integers(-1000, 400, SHAPE).astype(np.int16)
    assert where.inputs(hu).shape == (len(where.slices), CHANNELS, PIXELS, PIXELS)


def test_the_diameter_is_that_of_the_largest_slice():
    mask = np.zeros((3, 40, 40), bool)
    mask[1, 10:20, 10:30] = True
    mask[2, 10:12, 10:12] = True
    assert in_plane_diameter_mm(mask, (2.5, 0.5, 0.5)) == pytest.approx(2 * np.sqrt(200 * 0.25 / np.pi))
