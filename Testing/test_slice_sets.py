"""Files of slices: what is read from them, and one sentence for every kind that cannot be."""

import numpy as np
import pytest
from slice_factory import SPACING, change, write_slices

from LungCADLib.errors import InputError
from LungCADLib.training.slice_sets import read_slices

WHOSE = ["A", "B", "C", "C"]


@pytest.fixture
def path(tmp_path):
    return write_slices(tmp_path, WHOSE, side=41)


def read(path):
    return read_slices(path, path.with_name("ratings.csv"))


def edit(path, old, new):
    ratings = path.with_name("ratings.csv")
    text = ratings.read_text()
    assert old in text
    ratings.write_text(text.replace(old, new, 1))


def test_slices_are_columns_of_equal_length(path):
    slices = read(path)
    assert len(slices) == 4
    assert slices.hu.shape == slices.mask.shape == (4, 41, 41)
    assert slices.patient.tolist() == WHOSE
    assert slices.vendor.tolist() == ["GE", "Siemens", "GE", "Siemens"]
    assert slices.spacing_mm.tolist() == [SPACING] * 4
    assert slices.area_mm2 == pytest.approx([m.sum() * SPACING**2 for m in slices.mask])


def test_a_rating_of_zero_or_none_is_a_reader_who_did_not_mark_it(path):
    header, first, *rest = path.with_name("ratings.csv").read_text().splitlines()
    names, row = header.split(","), first.split(",")
    for name, value in (("Malignancy_1", "5"), ("Malignancy_2", "1"), ("Malignancy_3", "0"), ("Malignancy_4", "")):
        row[names.index(name)] = value
    path.with_name("ratings.csv").write_text("\n".join([header, ",".join(row), *rest]) + "\n")
    slices = read(path)
    assert slices.readers.tolist() == [2, 4, 4, 4]
    assert slices.median("malignancy").tolist() == [3, 2, 4, 4]
    assert slices.mean("malignancy")[0] == 3


def test_nobody_s_rating_is_no_number(path):
    header, first, *rest = path.with_name("ratings.csv").read_text().splitlines()
    row = [
        "" if name.startswith("Texture_") else v for name, v in zip(header.split(","), first.split(","), strict=True)
    ]
    path.with_name("ratings.csv").write_text("\n".join([header, ",".join(row), *rest]) + "\n")
    assert np.isnan(read(path).median("texture")).tolist() == [True, False, False, False]


def test_some_of_the_slices_keep_their_order(path):
    some = read(path).only(np.array([False, True, False, True]))
    assert some.patient.tolist() == ["B", "C"]
    assert some.ratings["malignancy"][:, 0].tolist() == [2, 4]
    assert len(some.hu) == len(some.mask) == len(some.vendor) == len(some.spacing_mm) == 2


BAD = {
    "no outline": ({"mask": None}, "'mask'"),
    "no patients": ({"patient": None}, "'patient'"),
    "one slice instead of many": ({"hu": np.zeros((5, 5), np.int16)}, r"\(n, y, x\)"),
    "outlines of another size": ({"mask": np.zeros((4, 5, 5), np.uint8)}, r"\(n, y, x\)"),
    "no slices": ({"hu": np.zeros((0, 5, 5)), "mask": np.zeros((0, 5, 5))}, r"\(n, y, x\)"),
    "spacing of one": ({"spacing": np.array([0.7])}, "4 positive pixel sizes"),
    "spacing of zero": ({"spacing": np.zeros(4)}, "4 positive pixel sizes"),
    "spacing of nothing": ({"spacing": np.full(4, np.nan)}, "4 positive pixel sizes"),
    "too few patients": ({"patient": ["A"]}, "4 slices"),
    "other patients": ({"patient": ["A", "X", "C", "C"]}, "row 2 is of 'B', but slice 1"),
}


@pytest.mark.parametrize(("arrays", "word"), BAD.values(), ids=BAD)
def test_files_of_another_layout_are_refused(path, arrays, word):
    change(path, **arrays)
    with pytest.raises(InputError, match=word):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("manufacturer", "maker", "'manufacturer'"),
        ("Malignancy_4", "Malignancy", "'Malignancy_4'"),
        ("GE MEDICAL SYSTEMS,2", "GE MEDICAL SYSTEMS,high", "row 1 has Subtlety_1 'high'"),
        ("GE MEDICAL SYSTEMS,2", "GE MEDICAL SYSTEMS,7", "row 1 has Subtlety_1 '7'"),
    ],
)
def test_ratings_with_other_columns_or_words_are_refused(path, old, new, word):
    edit(path, old, new)
    with pytest.raises(InputError, match=word):
        read(path)


def test_ratings_of_another_number_of_slices_are_refused(path):
    ratings = path.with_name("ratings.csv")
    ratings.write_text("\n".join(ratings.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match=r"3 rows, but .* holds 4 slices"):
        read(path)


def test_files_that_are_missing_or_damaged_are_refused(path, tmp_path):
    with pytest.raises(InputError, match="not there"):
        read_slices(tmp_path / "none.npz", path.with_name("ratings.csv"))
    with pytest.raises(InputError, match="not there"):
        read_slices(path, tmp_path / "none.csv")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="cannot be read"):
        read(path)


def test_the_real_slices(real_data):
    slices = read(real_data / "lidc-slices" / "slices.npz")
    assert len(slices) == 2018
    assert set(slices.vendor.tolist()) == {"GE", "Philips", "Siemens", "Toshiba"}
    assert int(((slices.readers >= 3) & (slices.median("malignancy") != 3)).sum()) == 591
