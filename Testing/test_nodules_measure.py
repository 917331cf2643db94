"""A whole nodule measured on a digital scan."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU, filled, lungs_of, scan_of

from LungCADLib.masks import BoxMask, LungLabel
from LungCADLib.nodules import measure_nodule


def chest(diameter=12.0, spacing=(1.25, 0.7, 0.7), hu=30.0, core=None, center=None):
    """A scan all of lung with one nodule, its lungs and its outline."""
    shape = tuple(int(60 / s) for s in spacing)
    middle = np.array(shape) // 2 * np.array(spacing) if center is None else np.array(center)
    share = filled(shape, spacing, middle, (diameter / 2,) * 3)
    image = LUNG_HU + share * (hu - LUNG_HU)
    if core is not None:
        inner = filled(shape, spacing, middle, (core / 2,) * 3)
        image = image * (1 - inner) + 20 * inner
    labels = np.full(shape, LungLabel.RIGHT, np.uint8)
    labels[:, -3:] = 0
    return scan_of(image, spacing), lungs_of(labels), BoxMask((0, 0, 0), share >= 0.5)


def measured(**kinds):
    return measure_nodule(*chest(**kinds), id="n1", score=0.7)


def test_a_solid_ball():
    nodule = measured()
    assert (nodule.id, nodule.score, nodule.density, nodule.calcification) == ("n1", 0.7, "solid", "none")
    assert nodule.volume_mm3 == pytest.approx(np.pi / 6 * 12**3, rel=0.02)
    assert nodule.long_axis_mm == pytest.approx(12, abs=0.4)
    assert nodule.mean_diameter_mm == pytest.approx((nodule.long_axis_mm + nodule.short_axis_mm) / 2)
    assert nodule.attenuation_hu.median == pytest.approx(30, abs=1)
    assert nodule.mass_mg == pytest.approx(np.pi / 6 * 12**3 * 1.03, rel=0.05)
    assert nodule.warnings == []


def test_all_of_a_solid_nodule_is_its_solid_component():
    nodule = measured()
    assert nodule.solid.long_axis_mm == nodule.long_axis_mm
    assert nodule.solid.volume_mm3 == nodule.volume_mm3
    assert nodule.solid.fraction == 1


def test_a_non_solid_nodule_has_no_solid_component():
    nodule = measured(hu=-600)
    assert nodule.density == "non-solid"
    assert nodule.solid.volume_mm3 == nodule.solid.long_axis_mm == nodule.solid.fraction == 0


def test_the_core_of_a_part_solid_nodule_is_measured():
    nodule = measured(diameter=16, hu=-600, core=9.0)
    assert nodule.density == "part-solid"
    assert nodule.solid.long_axis_mm == pytest.approx(9, abs=1)
    assert nodule.solid.volume_mm3 == pytest.approx(np.pi / 6 * 9**3, rel=0.2)


def test_ends_of_the_axes_are_as_far_apart_as_the_axes_are_long_and_around_the_center():
    nodule = measured()
    a, b, c, d = np.array(nodule.axes_lps_mm)
    assert np.linalg.norm(a - b) == pytest.approx(nodule.long_axis_mm)
    assert np.linalg.norm(c - d) == pytest.approx(nodule.short_axis_mm)
    assert np.linalg.norm((a + b) / 2 - np.array(nodule.center_lps_mm)) < 2


def test_a_small_nodule_in_thick_slices_is_warned_of():
    assert any("thick" in w for w in measured(diameter=6, spacing=(2.5, 0.7, 0.7)).warnings)
    assert not any("thick" in w for w in measured(diameter=10, spacing=(2.5, 0.7, 0.7)).warnings)


def test_a_nodule_at_the_edge_of_the_scan_is_warned_of():
    assert any("edge" in w for w in measured(center=(3.0, 30.0, 30.0)).warnings)


def test_an_outline_against_the_wall_is_warned_of():
    scan, lungs, outline = chest()
    lungs.labels[:, 42:] = 0
    assert any("wall" in w for w in measure_nodule(scan, lungs, outline, id="a", score=1).warnings)


def test_a_single_voxel_can_be_measured():
    scan, lungs, _ = chest()
    nodule = measure_nodule(scan, lungs, BoxMask((20, 40, 40), np.ones((1, 1, 1), bool)), id="a", score=1)
    assert nodule.volume_mm3 > 0
    assert nodule.long_axis_mm > 0


def test_everything_in_the_answer_is_plain_numbers():
    from dataclasses import asdict

    def leaves(thing):
        if isinstance(thing, dict):
            thing = list(thing.values())
        if isinstance(thing, list | tuple):
            return [leaf for part in thing for leaf in leaves(part)]
        return [thing]

    kinds = {type(leaf) for leaf in leaves(asdict(measured()))}
    assert kinds <= {float, int, str, bool, type(None)}
