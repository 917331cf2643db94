"""What the descriptors have in common with the radiologists' ratings, on patients no weight was fitted to.

These patients were seen while features and levels were chosen, so the numbers are a little kind.

Run with `--log-cli-level=INFO` to see the numbers.
"""

import logging

import numpy as np
import pytest
from scipy.stats import spearmanr

from LungCADLib.nodules import margin as weights
from LungCADLib.nodules.density import read_density
from LungCADLib.nodules.margin import describe_margin
from LungCADLib.nodules.shape import measure_shape
from LungCADLib.training.margin import fit_margin, read_rated

CLASSES = ("non-solid", "part-solid", "solid")
NO_CALCIUM = 6

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def rated(real_data):
    return read_rated(real_data / "lidc-vois")


@pytest.fixture(scope="module")
def even(rated):
    """Nodules of patients with even numbers: ratings, and what the readers' outline and our own give."""
    out = []
    for nodule in (n for n in rated if n.patient % 2 == 0):
        both = []
        for patch in (nodule.readers_patch(), nodule.own_patch()):
            if patch is None:
                both.append(None)
                continue
            shape = measure_shape(patch.mask, patch.spacing)
            both.append((read_density(patch, shape.solidity, shape.mean_diameter_mm), describe_margin(patch, shape)))
        out.append((nodule.ratings, *both))
    return out


def texture_class(rating):
    return 0 if rating <= 2 else 1 if rating <= 4 else 2


def density_class(density):
    return CLASSES.index(density) if density in CLASSES else 2


def weighted_kappa(table):
    """Linear weighted kappa of a square table of counts (Cohen, Psychol Bull 1968;70:213)."""
    n = len(table)
    cost = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return 1 - (cost * table).sum() / (cost * expected).sum()


def test_density_class_agrees_with_the_readers_texture(even):
    table = np.zeros((3, 3), int)
    for ratings, (density, _), _ in even:
        table[texture_class(ratings["texture"]), density_class(density.density)] += 1
    log.info(f"texture (rows) and density (columns) {CLASSES}\n{table}\nweighted kappa {weighted_kappa(table):.3f}")
    assert weighted_kappa(table) > 0.65
    assert table[0, 0] / table[0].sum() > 0.75
    assert table[2, 2] / table[2].sum() > 0.9


def test_calcification_agrees_with_the_readers(even):
    said = np.array([ratings["calcification"] != NO_CALCIUM for ratings, _, _ in even])
    found = np.array([density.calcification != "none" for _, (density, _), _ in even])
    hits, right = np.count_nonzero(found & said), np.count_nonzero(~found & ~said)
    log.info(f"calcification: sensitivity {hits}/{said.sum()}, specificity {right}/{(~said).sum()}")
    assert hits / said.sum() > 0.85
    assert right / (~said).sum() > 0.97


@pytest.mark.parametrize("trait", ["spiculation", "lobulation"])
def test_spiculated_and_lobulated_are_specific(even, trait):
    seen = [(ratings[trait] >= 4, own[1]) for ratings, _, own in even if own is not None]
    marked = np.array([m for m, _ in seen])
    value = np.array([getattr(margin, trait) for _, margin in seen])
    found = np.array([getattr(margin, trait[:-3] + "ed") for _, margin in seen])
    hits, right = np.count_nonzero(found & marked), np.count_nonzero(~found & ~marked)
    above = (value[marked][:, None] > value[~marked]).mean()
    log.info(f"{trait}: sensitivity {hits}/{marked.sum()}, specificity {right}/{(~marked).sum()}, AUC {above:.3f}")
    assert right / (~marked).sum() >= 0.9
    assert above > 0.7


def test_margin_descriptors_rise_with_the_readers_ratings(even):
    least = {"spiculation": 0.2, "lobulation": 0.2, "sharpness": 0.35}
    for name, rating in (("spiculation", "spiculation"), ("lobulation", "lobulation"), ("sharpness", "margin")):
        for outlines in (1, 2):
            pairs = [(entry[0][rating], getattr(entry[outlines][1], name)) for entry in even if entry[outlines]]
            rho = spearmanr(*zip(*pairs, strict=True)).statistic
            log.info(f"{name}: rank correlation {rho:.2f} on {('the readers', 'our own')[outlines - 1]} outlines")
            assert rho > least[name]


def test_the_packaged_weights_are_what_the_fit_gives(rated):
    fitted = fit_margin(rated)
    for name, packaged in (
        ("spiculation", weights.SPICULATION),
        ("lobulation", weights.LOBULATION),
        ("sharpness", weights.SHARPNESS),
    ):
        assert packaged == pytest.approx(fitted[name], rel=0.1, abs=0.1), name
