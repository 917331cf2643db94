"""Pickled tables are read without running anything: what pandas writes is understood, everything else is refused."""

import os
import pickle
import pickletools
import struct

import numpy as np
import pytest
from dataset_factory import lung_rads_rows, pickled_table
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas_pickles import VERSIONS, real_pickle

from LungCADLib.errors import InputError
from LungCADLib.training.datasets import pickle_machine
from LungCADLib.training.datasets.pandas_pickle import CALLS, PickledTable
from LungCADLib.training.datasets.pickle_machine import PickleMachine, StoredBytes

HU = [
    [[-1024, -900, -30, 0], [40, -700, -650, -1024], [-1000, -1000, -20, 10]],
    [[-1015, -1024, -972, -975], [0, 35, 20, -800], [-1022, -850, -987, 60]],
]
MASK = [[[0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]]


def write(folder, data):
    path = folder / "table.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("version", "protocol"), VERSIONS)
def test_what_pandas_wrote_comes_back(tmp_path, version, protocol):
    with PickledTable(write(tmp_path, real_pickle(version, protocol))) as table:
        assert list(table.columns) == ["label1", "mask", "hu_array", "hu_array_old"]
        assert table.columns["label1"] == ["LR2", "LR4B"]
        for row in range(2):
            assert table.array("hu_array_old", row).tolist() == [HU[row]]
            assert table.array("mask", row).tolist() == MASK[row]
        assert table.array("mask", 0).dtype == (np.int64 if protocol == 5 else np.uint8)
        # Outside the lungs HU were multiplied by zero, so most are minus zero.
        assert np.signbit(table.array("hu_array", 0)[0, 2, 0])


def test_the_tests_own_pickles_name_what_pandas_names():
    def names(data):
        texts = [arg for opcode, arg, _ in pickletools.genops(data) if opcode.name == "SHORT_BINUNICODE"]
        # numpy 1 calls its inner part core, numpy 2 _core.
        return {text.replace("numpy._core", "numpy.core") for text in texts if "." in text}

    assert names(pickled_table(lung_rads_rows(1))) == names(real_pickle("2.0.3", 5))


def test_arrays_stay_in_the_file_until_they_are_read(tmp_path):
    rows = lung_rads_rows(3, side=64)
    path = write(tmp_path, pickled_table(rows))
    with PickledTable(path) as table:
        cell = table.columns["hu_array_old"][2]
        assert isinstance(cell.data, StoredBytes)
        assert np.array_equal(table.array("hu_array_old", 2), rows["hu_array_old"][2])


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def named(module, name):
    """A pickle that does nothing but name something."""
    return f"c{module}\n{name}\n.".encode()


MALICIOUS = {
    "os.system": pickle.dumps(Calls(os.system, "touch /tmp/owned")),
    "builtins.eval": pickle.dumps(Calls(eval, "1")),
    "builtins.getattr": b"\x80\x04" + named("builtins", "getattr"),
    "subprocess.Popen": b"\x80\x04" + named("subprocess", "Popen"),
    "nested pickle": b"\x80\x04" + named("_pickle", "loads"),
    "pickle in pickle": pickle.dumps(Calls(pickle.loads, b"cos\nsystem\n.")),
    "numpy.load": b"\x80\x04" + named("numpy", "load"),
    "numpy runs a string": b"\x80\x04" + named("numpy.testing._private.utils", "runstring"),
    "numpy memory": b"\x80\x04" + named("numpy", "memmap"),
    "numpy's f2py": b"\x80\x04" + named("numpy.f2py.crackfortran", "myeval"),
    "pandas.eval": b"\x80\x04" + named("pandas", "eval"),
    "pandas.read_pickle": b"\x80\x04" + named("pandas.io.pickle", "read_pickle"),
    "a permitted class's attribute": b"\x80\x04\x8c\x11pandas.core.frame\x8c\x14DataFrame.to_pickles\x93.",
    "copyreg": b"\x80\x04" + named("copyreg", "_reconstructor"),
    "functools.partial": b"\x80\x04" + named("functools", "partial"),
    "importlib": b"\x80\x04" + named("importlib", "import_module"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_everything_else_is_refused_by_name_and_nothing_is_run(tmp_path, monkeypatch, name):
    def ran(*arguments):
        raise AssertionError("code of the pickle was run")

    monkeypatch.setattr(os, "system", ran)
    with pytest.raises(InputError, match=r"asks for [\w.]+, which no table of arrays needs; .* was not read further"):
        PickledTable(write(tmp_path, MALICIOUS[name]))


def test_a_malicious_cell_among_good_ones_is_refused(tmp_path):
    rows = lung_rads_rows(2)
    rows["mask"][1] = Calls(os.getcwd)
    with pytest.raises(InputError, match=r"asks for posix\.getcwd|asks for nt\.getcwd"):
        PickledTable(write(tmp_path, pickled_table(rows)))


@pytest.mark.parametrize(
    ("opcodes", "what"),
    [
        (b"Ppersistent\n.", "opcode b'P'"),
        (b"\x82\x01.", "opcode b'\\x82'"),  # EXT1
        (b"(cnumpy\ndtype\no.", "opcode b'o'"),  # OBJ
        (b"(inumpy\ndtype\n.", "opcode b'i'"),  # INST
        (b"cnumpy\ndtype\n)}\x92.", "opcode"),  # NEWOBJ_EX
        (b"cnumpy\ndtype\n}b.", "sets the state of a Global"),  # would change the function itself
        (b"]}b.", "sets the state of a list"),
        (b"K\x01)R.", "calls something that is not a name"),
    ],
)
def test_what_data_never_need_is_refused(tmp_path, opcodes, what):
    with pytest.raises(InputError) as error:
        PickledTable(write(tmp_path, b"\x80\x04" + opcodes))
    assert what in str(error.value)


def test_a_size_that_is_not_in_the_file_takes_no_memory(tmp_path):
    bomb = b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"."
    with pytest.raises(InputError, match="ends too early"):
        PickledTable(write(tmp_path, bomb))
    text = b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"."
    with pytest.raises(InputError, match="longer than any name"):
        PickledTable(write(tmp_path, text))


def test_an_array_larger_than_its_bytes_is_refused(tmp_path):
    good = real_pickle("2.0.3", 4)
    shape = b"K\x03K\x04"  # (3, 4)
    assert shape in good
    with pytest.raises(InputError, match="an array of shape"):
        PickledTable(write(tmp_path, good.replace(shape, b"K\x03K\xff")))


def test_cells_that_share_their_bytes_are_a_bomb(tmp_path):
    rows = lung_rads_rows(1, side=64)
    shared = {name: cells * 50 for name, cells in rows.items()}
    with pytest.raises(InputError, match="but stands for arrays of"):
        PickledTable(write(tmp_path, pickled_table(shared)))


def test_a_pickle_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_machine, "MOST_STEPS", 100)
    with pytest.raises(InputError, match="more than 100 steps"):
        PickledTable(write(tmp_path, b"\x80\x04" + b"N" * 200 + b"."))


@pytest.mark.parametrize("dtype", ["O", "V8", "U4", "M8[ns]", [("a", "f8")]])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, dtype):
    rows = lung_rads_rows(1)
    cell = np.zeros((1, 2, 2), dtype)
    rows["mask"][0] = cell
    with pytest.raises(InputError), PickledTable(write(tmp_path, pickled_table(rows))) as table:
        table.array("mask", 0)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "ends too early"),
        (b"not a pickle at all", "opcode"),
        (pickle.dumps({"label1": ["LR2"]}), "no pandas data frame"),
        (pickle.dumps([1, 2], protocol=2), "protocol 2"),
        (real_pickle("2.2.3", 5)[:-200], "damaged"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path, data, what):
    with pytest.raises(InputError, match=what) as error:
        PickledTable(write(tmp_path, data))
    assert str(tmp_path) in str(error.value)


def test_the_layout_before_pandas_1_3_is_read(tmp_path):
    rows = lung_rads_rows(2)
    with PickledTable(write(tmp_path, pickled_table(rows, older=True))) as table:
        assert table.columns["label1"] == rows["label1"]
        assert np.array_equal(table.array("mask", 1), rows["mask"][1])


@given(st.integers(0, len(real_pickle("2.2.3", 5)) - 1), st.integers(0, 255), st.booleans())
@settings(max_examples=400)
def test_a_damaged_pickle_is_refused_or_still_a_table_and_nothing_else_happens(tmp_path_factory, at, value, cut):
    data = bytearray(real_pickle("2.2.3", 5))
    data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(data[:at] if cut else data)
    try:
        with PickledTable(path) as table:
            for name in ("mask", "hu_array", "hu_array_old"):
                if name in table.columns:
                    [table.array(name, row) for row in range(len(table))]
    except InputError as error:
        assert str(path) in str(error)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda parts: st.lists(parts) | st.tuples(parts, parts) | st.dictionaries(st.text(), parts),
)


@given(plain, st.sampled_from([3, 4, 5]))
def test_plain_data_mean_what_they_mean_to_python(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    with path.open("rb") as file:
        assert PickleMachine(file, path, CALLS).load() == value
