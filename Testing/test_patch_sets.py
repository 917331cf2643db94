"""Files of patches: what is read from them, and one sentence for every kind that cannot be."""

import numpy as np
import pytest
from slice_factory import SPACING, change, write_patches

from LungCADLib.errors import InputError
from LungCADLib.training.patch_sets import read_patches

WHOSE = ["A", "B", "C", "C"]


@pytest.fixture
def path(tmp_path):
    return write_patches(tmp_path, WHOSE)


def read(path):
    return read_patches(path, path.with_name("patches.csv"))


def test_patches_are_columns_of_equal_length(path):
    patches = read(path)
    assert len(patches) == 4
    assert patches.patch.shape == (4, 32, 32)
    assert patches.patch.dtype == np.float32
    assert patches.patient.tolist() == WHOSE
    assert patches.spacing_mm.tolist() == [SPACING] * 4
    assert patches.malignant.tolist() == [False, False, True, True]
    assert (patches.diameter_mm[2:] > 2 * patches.diameter_mm[:2].max()).all()


BAD = {
    "no patches": ({"patch": None}, "'patch'"),
    "one patch instead of many": ({"patch": np.zeros((32, 32))}, r"\(n, y, x\)"),
    "none at all": ({"patch": np.zeros((0, 32, 32))}, r"\(n, y, x\)"),
    "words": ({"patch": np.full((4, 3, 3), "a")}, r"\(n, y, x\)"),
    "holes": ({"patch": np.full((4, 3, 3), np.nan)}, r"\(n, y, x\)"),
    "more than the table": ({"patch": np.zeros((5, 3, 3))}, "4 rows, but .* holds 5 patches"),
}


@pytest.mark.parametrize(("arrays", "word"), BAD.values(), ids=BAD)
def test_files_of_another_layout_are_refused(path, arrays, word):
    change(path, **arrays)
    with pytest.raises(InputError, match=word):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("diameter_mm", "diameter", "'diameter_mm'"),
        ("A,0.7", "A,none", "row 1 has ElementSpacingX 'none'"),
        ("A,0.7", "A,0", "row 1 has ElementSpacingX '0'"),
        ("A,0.7", "A,nan", "row 1 has ElementSpacingX 'nan'"),
    ],
)
def test_tables_with_other_columns_or_words_are_refused(path, old, new, word):
    table = path.with_name("patches.csv")
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=word):
        read(path)


def test_files_that_are_missing_or_damaged_are_refused(path, tmp_path):
    with pytest.raises(InputError, match="not there"):
        read_patches(tmp_path / "none.npz", path.with_name("patches.csv"))
    with pytest.raises(InputError, match="not there"):
        read_patches(path, tmp_path / "none.csv")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read"):
        read(path)


def test_the_real_patches(real_data):
    patches = read(real_data / "luna16-patches" / "patches.npz")
    assert (len(patches), int(patches.malignant.sum())) == (708, 328)
    assert patches.patch.min() == 0
    assert patches.patch.max() == 1
