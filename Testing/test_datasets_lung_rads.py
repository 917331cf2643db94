"""The Lung-RADS slice set: checked row by row, converted without unpickling; npz files never unpacked unseen."""

import csv
import zipfile

import numpy as np
import pytest
from dataset_factory import lung_rads_rows, pickled_table, write_lung_rads
from pandas_pickles import real_pickle

from LungCADLib.cli import main
from LungCADLib.errors import Cancelled, InputError
from LungCADLib.progress import Progress
from LungCADLib.training import arrays
from LungCADLib.training.arrays import read_arrays
from LungCADLib.training.datasets import recognize
from LungCADLib.training.datasets.convert import convert
from LungCADLib.training.datasets.lung_rads import SET, open_table, read_slice_set, row_of, without_zeros


def write(path, rows):
    path.write_bytes(pickled_table(rows))
    return path


def test_zero_and_minus_zero_outside_become_air_and_a_nodules_own_zero_stays():
    hu = np.array([[-850.0, 0.0, 40.0, 0.0]])
    lung = np.array([[-850.0, -0.0, 0.0, 0.0]])
    mask = np.array([[False, False, False, True]])
    assert without_zeros(lung, hu, mask).tolist() == [[-850.0, -1024.0, -1024.0, 0.0]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int16])
def test_rows_are_alike_whatever_their_number_types_and_axes(tmp_path, dtype):
    rows = lung_rads_rows(2)
    other = {name: list(cells) for name, cells in rows.items()}
    for name in ("hu_array", "hu_array_old"):
        other[name] = [cell.astype(dtype)[0] for cell in rows[name]]
    other["mask"] = [cell.astype(np.uint8)[None, :, :, None] for cell in rows["mask"]]
    with open_table(write(tmp_path / "a.pkl", rows)) as one, open_table(write(tmp_path / "b.pkl", other)) as two:
        for i in range(2):
            a, b = row_of(one, i), row_of(two, i)
            assert (a.hu == b.hu).all()
            assert (a.lung_hu == b.lung_hu).all()
            assert (a.mask == b.mask).all()
            assert a.hu.dtype == np.int16


@pytest.mark.parametrize(
    ("column", "cell", "what"),
    [
        ("mask", np.zeros((32, 32), np.int64), "empty mask"),
        ("mask", np.ones((16, 32), np.int64), "must be alike"),
        ("mask", None, "no array in column 'mask'"),
        ("mask", "[[0, 1]]", "no array in column 'mask'"),
        ("label1", "LR9", "label 'LR9'; it must be one of LR2, LR3, LR4A, LR4B, LR4X"),
        ("hu_array_old", np.full((1, 32, 32), np.nan), "no HU"),
        ("hu_array_old", np.full((1, 32, 32), 1e6), "no HU"),
        ("hu_array_old", np.zeros((2, 32, 32)), "must be one slice"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(tmp_path, column, cell, what):
    rows = lung_rads_rows(3)
    rows[column][1] = cell
    path = write(tmp_path / "lung_cancer_train.pkl", rows)
    with pytest.raises(InputError, match=what) as error:
        convert(path, tmp_path / "out.npz", Progress())
    assert "row 1" in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lung_cancer_train.pkl"], "nothing half-written"
    report = SET.check(tmp_path, Progress())
    (wrong,) = [case for case in report.cases if case.problems]
    assert wrong.case == "lung_cancer_train-1"
    assert wrong.state == ("missing" if what == "empty mask" else "broken")
    written, left_out = convert(path, tmp_path / "out.npz", Progress(), leave_out_broken=True)
    assert (written, len(left_out)) == (2, 1)


def test_another_table_says_which_column_it_lacks(tmp_path):
    rows = lung_rads_rows(2)
    rows["image"] = rows.pop("hu_array_old")
    with pytest.raises(InputError, match="no column 'hu_array_old'; the Lung-RADS set's table has label1, mask"):
        open_table(write(tmp_path / "x.pkl", rows))


def test_the_folder_is_recognized_and_read_slice_by_slice(tmp_path):
    folder = write_lung_rads(tmp_path)
    assert recognize(folder) is SET
    report = SET.check(folder, Progress())
    assert (len(report.cases), report.complete) == (20, True)
    assert "never test on LIDC what has seen this set" in report.notes[-1]
    case = next(iter(SET.cases(folder)))
    assert case.scan.hu.shape == (1, 32, 32)
    assert case.nodules[0].label == "LR2"
    assert "pixel" in case.scan.warnings[0]


def test_a_pickle_becomes_an_npz_with_its_labels_beside_it(tmp_path, capsys):
    path = tmp_path / "test.pkl"
    path.write_bytes(real_pickle("2.2.3", 4))
    assert main(["data", "convert", str(path), "--out", str(tmp_path / "new" / "test.npz")]) == 0
    assert "2 slices" in capsys.readouterr().out
    with np.load(tmp_path / "new" / "test.npz", allow_pickle=False) as file:
        assert file["label"].tolist() == ["LR2", "LR4B"]
        assert file["hu"].dtype == file["lung_hu"].dtype == np.int16
        assert file["lung_hu"][0].tolist() == [
            [-1024, -900, -30, 0],  # the nodule has 0 HU there
            [40, -700, -650, -1024],
            [-1024, -1024, -20, 10],
        ]
    slices = read_slice_set(tmp_path / "new" / "test.npz")
    assert slices.suspicious.tolist() == [False, True]
    with (tmp_path / "new" / "test.csv").open() as file:
        assert list(csv.reader(file)) == [["row", "label", "mask_pixels"], ["0", "LR2", "3"], ["1", "LR4B", "3"]]


def test_a_cancelled_conversion_leaves_nothing(tmp_path):
    path, steps = write(tmp_path / "a.pkl", lung_rads_rows(4)), []
    progress = Progress(report=lambda step: steps.append(step), cancelled=lambda: len(steps) > 6)
    with pytest.raises(Cancelled):
        convert(path, tmp_path / "out.npz", progress)
    assert [p.name for p in tmp_path.iterdir()] == ["a.pkl"]


def test_the_command_refuses_a_malicious_pickle(tmp_path, capsys):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04cposix\nsystem\n\x8c\x0ctouch owned\x85R.")
    assert main(["data", "convert", str(tmp_path / "a.pkl"), "--out", str(tmp_path / "a.npz")]) == 3
    assert "asks for posix.system" in capsys.readouterr().err
    assert not (tmp_path / "a.npz").exists()


def test_a_pickle_is_no_converted_set(tmp_path):
    with pytest.raises(InputError, match="lungcad data convert"):
        read_slice_set(write(tmp_path / "a.pkl", lung_rads_rows(1)))


def test_a_converted_set_is_looked_at_before_it_is_used(tmp_path):
    hu, mask = np.zeros((2, 8, 8), np.int16), np.ones((2, 8, 8), np.uint8)
    path = tmp_path / "set.npz"
    for changed, what in (
        ({"label": np.array(["LR2", "LR5"])}, "label 'LR5'"),
        ({"mask": mask * np.array([1, 0])[:, None, None]}, "the mask of slice 1 is empty"),
        ({"mask": mask[:, :4]}, "a converted Lung-RADS set has"),
        ({"hu": hu.astype(float)}, "a converted Lung-RADS set has"),
    ):
        np.savez(path, **({"hu": hu, "mask": mask, "label": np.array(["LR2", "LR3"])} | changed))
        with pytest.raises(InputError, match=what):
            read_slice_set(path)


def bomb(path, shape, count, dtype="|u1"):
    """An npz whose array `hu` says that it has a shape, and holds that many zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("hu.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": dtype, "fortran_order": False, "shape": shape})
        member.write(bytes(count))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    bomb(path, (4_000_000,), 4_000_000)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(arrays, "LARGEST_BYTES", 1_000_000)
    monkeypatch.setattr(np, "load", lambda *a, **k: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match=r"unpacks to 4 MB, more than any set of nodules needs; it was not unpacked"):
        read_arrays(path, "hu")


def test_a_header_that_asks_for_more_memory_than_there_are_numbers_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    bomb(path, (1 << 40,), 1000)
    monkeypatch.setattr(np, "load", lambda *a, **k: pytest.fail("memory was asked for"))
    with pytest.raises(InputError, match="holds fewer numbers"):
        read_arrays(path, "hu")


def test_objects_in_an_npz_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", hu=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="cannot be read as an"):
        read_arrays(tmp_path / "a.npz", "hu")
