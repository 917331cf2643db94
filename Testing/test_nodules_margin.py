"""Sharpness, spiculation, lobulation on digital examples."""

import numpy as np
from digital_nodule import LUNG_HU, ball_patch, filled
from scipy import ndimage

from LungCADLib.nodules.margin import describe_margin
from LungCADLib.nodules.patch import Patch
from LungCADLib.nodules.shape import measure_shape

SPACING = (1.0, 0.7, 0.7)


def margin(patch):
    return describe_margin(patch, measure_shape(patch.mask, patch.spacing))


def drawn(share):
    hu = LUNG_HU + share * (30 - LUNG_HU)
    return Patch(hu.astype(np.float32), share >= 0.5, np.ones(share.shape, bool), SPACING)


def star():
    """A ball of 14 mm with spicules of 7 mm in its slices."""
    patch = ball_patch(14, SPACING)[0]
    share = (patch.hu - LUNG_HU) / (30 - LUNG_HU)
    z, y, x = (n // 2 for n in share.shape)
    across = np.linalg.norm((np.indices(share.shape[1:]) - np.array([y, x])[:, None, None]) * 0.7, axis=0)
    angle = np.arctan2(*(np.indices(share.shape[1:]) - np.array([y, x])[:, None, None]))
    spokes = (np.abs(np.sin(4 * angle)) * across < 3.5) & (across < 14)
    for slice_ in range(z - 3, z + 4):
        share[slice_] = np.maximum(share[slice_], spokes)
    return drawn(share)


def clover():
    """Four balls around a middle."""
    shape, share = (30, 44, 44), np.zeros((30, 44, 44))
    middle = np.array(shape) // 2 * np.array(SPACING)
    for dy, dx in ((6, 0), (-6, 0), (0, 6), (0, -6)):
        share = np.maximum(share, filled(shape, SPACING, middle + np.array([0, dy, dx]), (4.2, 4.2, 4.2)))
    return drawn(np.maximum(share, filled(shape, SPACING, middle, (3.5, 3.5, 3.5))))


def test_a_ball_is_neither_spiculated_nor_lobulated():
    found = margin(ball_patch(14, SPACING)[0])
    assert not found.spiculated
    assert not found.lobulated
    assert found.spiculation < 0.3
    assert found.sharpness > 0.8


def test_a_star_is_spiculated():
    assert margin(star()).spiculated


def test_a_clover_is_lobulated():
    assert margin(clover()).lobulated


def test_strands_around_a_nodule_make_its_margin_less_sharp():
    patch = ball_patch(10, SPACING)[0]
    noise = np.random.default_rng(0).standard_normal(patch.hu.shape)
    haze = 500 * np.maximum(ndimage.gaussian_filter(noise, 1), 0) / 0.3
    frayed = Patch((patch.hu + np.where(patch.mask, 0, haze)).astype(np.float32), patch.mask, patch.lung, SPACING)
    assert margin(frayed).sharpness < margin(patch).sharpness - 0.1


def test_mirrored_nodules_have_the_same_margin():
    patch = star()
    mirrored = Patch(patch.hu[:, ::-1, ::-1].copy(), patch.mask[:, ::-1, ::-1].copy(), patch.lung, SPACING)
    one, other = margin(patch), margin(mirrored)
    assert abs(one.spiculation - other.spiculation) < 0.02
    assert abs(one.lobulation - other.lobulation) < 0.02
