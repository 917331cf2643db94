"""Tables of arrays that pandas pickled, read without pandas, without numpy's unpickling, and without running anything.

What pandas 1 and 2 and numpy 1 and 2 write was found by looking at their pickles with `pickletools`: a data frame is a
block manager, its blocks are arrays with the places of their columns, an object array is a list, and the bytes of every
array lie in the file one after the other. Stand-ins for those few names are all this module has.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.training.datasets.pickle_machine import Calls, Name, PickleMachine, StoredBytes

MOST_AXES = 4
LARGEST_ARRAY_BYTES = 1 << 28
"""Of one array in a cell; a slice of 512 x 512 float64 has two million."""

_NUMBERS = re.compile(r"[biuf][1248]")
_TYPE_FORM = "an array type that holds no plain numbers"


@dataclass(eq=False)
class StoredType:
    """Stands in for `numpy.dtype`: of plain numbers, or of objects."""

    code: str
    order: str = "|"

    def build(self, state: Any) -> None:
        """`(version, byte order, subtype, names, fields, size, alignment, flags, ...)`; only the order matters."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ValueError(_TYPE_FORM)
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError("an unknown byte order")
        self.order = state[1]

    @property
    def objects(self) -> bool:
        return self.code in ("O8", "O4", "O")

    @property
    def numbers(self) -> np.dtype:
        """The type of plain numbers.

        Raises
        ------
        ValueError
            If it is another.
        """
        if not _NUMBERS.fullmatch(self.code):
            raise ValueError(_TYPE_FORM)
        return np.dtype(f"{self.order}{self.code}")


@dataclass(eq=False)
class StoredArray:
    """Stands in for `numpy.ndarray`: plain numbers that lie in the file, or a list of objects in C order."""

    shape: tuple[int, ...] = ()
    type: StoredType | None = None
    fortran: bool = False
    data: StoredBytes | bytes = b""
    objects: list[Any] = field(default_factory=list)

    def build(self, state: Any) -> None:
        """`(version, shape, type, whether in Fortran order, data)`."""
        version, shape, type_, fortran, data = state
        if version != 1:
            raise ValueError(f"an array of version {version}")
        self._take(shape, type_, bool(fortran), data)

    def _take(self, shape: Any, type_: Any, fortran: bool, data: Any) -> None:
        if not isinstance(type_, StoredType) or not isinstance(shape, tuple) or len(shape) > MOST_AXES:
            raise ValueError("an array without a shape and a type")
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"an array of shape {shape}")
        count = math.prod(shape)
        if type_.objects:
            if not isinstance(data, list) or len(data) != count:
                raise ValueError("an array of objects without its list")
            self.objects = data
        else:
            if not isinstance(data, StoredBytes | bytes):
                raise ValueError("an array without its bytes")
            size = data.size if isinstance(data, StoredBytes) else len(data)
            if size != count * type_.numbers.itemsize or size > LARGEST_ARRAY_BYTES:
                raise ValueError(f"an array of shape {shape} in {size:,} bytes")
            self.data = data
        self.shape, self.type, self.fortran = shape, type_, fortran

    @property
    def size(self) -> int:
        """Of the numbers, in bytes."""
        return self.data.size if isinstance(self.data, StoredBytes) else len(self.data)

    def read(self, file: BinaryIO) -> NDArray:
        """The numbers, from the file the array was found in."""
        if self.type is None or self.type.objects:
            raise ValueError("an array of objects where numbers should be")
        data = self.data
        if isinstance(data, StoredBytes):
            file.seek(data.offset)
            data = file.read(data.size)
        return np.frombuffer(data, self.type.numbers).reshape(self.shape, order="F" if self.fortran else "C")


@dataclass(eq=False)
class _Block:
    """Columns of one kind: an array (columns, rows), and the columns' places."""

    values: Any
    places: Any

    def build(self, state: Any) -> None:
        raise ValueError("a block with a state")


@dataclass(eq=False)
class _Index:
    """Names of rows or columns."""

    names: list[Any] | None


@dataclass(eq=False)
class _Manager:
    """A frame's blocks and axes."""

    blocks: list[_Block] = field(default_factory=list)
    axes: list[_Index] = field(default_factory=list)

    def build(self, state: Any) -> None:
        """As pandas before 1.3 wrote it: `(axes, values, items, {"0.14.1": {"axes": ..., "blocks": [...]}})`."""
        kept = state[3]["0.14.1"]
        self.blocks = [_Block(block["values"], block["mgr_locs"]) for block in kept["blocks"]]
        self.axes = list(kept["axes"])


@dataclass(eq=False)
class _Frame:
    """Stands in for `pandas.DataFrame`."""

    manager: _Manager | None = None

    def build(self, state: Any) -> None:
        manager = state.get("_mgr", state.get("_data"))
        if not isinstance(manager, _Manager):
            raise ValueError("a data frame without blocks")
        self.manager = manager


def _array(kind: Name, shape: Any, code: Any) -> StoredArray:
    """`_reconstruct`: an empty array, whose state follows."""
    return StoredArray()


def _from_buffer(data: Any, type_: Any, shape: Any, order: Any) -> StoredArray:
    array = StoredArray()
    array._take(shape, type_, order == "F", data)
    return array


def _scalar(type_: Any, data: Any) -> Any:
    return np.frombuffer(data, type_.numbers)[0].item()


def _type(code: Any, align: Any = False, copy: Any = True) -> StoredType:
    if not isinstance(code, str):
        raise ValueError(_TYPE_FORM)
    return StoredType(code)


def _slice(start: Any, stop: Any, step: Any) -> slice:
    if not all(part is None or isinstance(part, int) for part in (start, stop, step)):
        raise ValueError("a slice without numbers")
    return slice(start, stop, step)


def _index(kind: Name, state: Any) -> _Index:
    data = state.get("data")
    return _Index(list(data.objects) if isinstance(data, StoredArray) else None)


def _manager(blocks: Any = (), axes: Any = ()) -> _Manager:
    return _Manager(list(blocks), list(axes))


def _block(values: Any, places: Any, axes: Any) -> _Block:
    return _Block(values, places)


def _kind(*arguments: Any) -> None:
    raise ValueError("a class where a value should be")


_NUMPY = ("numpy.core", "numpy._core")
CALLS: Calls = {
    **{(f"{package}.multiarray", "_reconstruct"): _array for package in _NUMPY},
    **{(f"{package}.multiarray", "scalar"): _scalar for package in _NUMPY},
    **{(f"{package}.numeric", "_frombuffer"): _from_buffer for package in _NUMPY},
    ("numpy", "ndarray"): _kind,
    ("numpy", "dtype"): _type,
    ("builtins", "slice"): _slice,
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _manager,
    ("pandas._libs.internals", "_unpickle_block"): _block,
    ("pandas.core.indexes.base", "_new_Index"): _index,
    ("pandas.core.indexes.base", "Index"): _kind,
    ("pandas.core.indexes.range", "RangeIndex"): _kind,
    ("pandas.core.indexes.numeric", "Int64Index"): _kind,
}
"""Every name such a table needs, and what stands in for it here."""


class PickledTable:
    """A pickled data frame whose cells are texts, numbers, or arrays that stay in the file until they are read.

    Used as a context manager, which holds the file open.

    Parameters
    ----------
    path
        The pickle.

    Raises
    ------
    InputError
        If it is damaged, names anything but what a data frame of arrays needs, or is no data frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None
        try:
            self.columns = self._columns(PickleMachine(self._file, path, CALLS).load())
            self._check_sizes()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "PickledTable":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def array(self, column: str, row: int) -> NDArray:
        """The numbers in a cell.

        Raises
        ------
        InputError
            If the cell holds something else.
        """
        cell = self.columns[column][row]
        if not isinstance(cell, StoredArray):
            raise InputError(
                f"{self.path}: row {row} has no array in column {column!r} but a {type(cell).__name__}; "
                "get the file again."
            )
        try:
            return cell.read(self._file)
        except ValueError as error:
            raise InputError(f"{self.path}: row {row} has {error} in column {column!r}; get the file again.") from None

    def _columns(self, found: Any) -> dict[str, list[Any]]:
        """Cells by column."""
        manager = found.manager if isinstance(found, _Frame) else None
        if manager is None or len(manager.axes) != 2 or not isinstance(manager.axes[0], _Index):
            raise InputError(f"{self.path} holds no pandas data frame; it should be a table with named columns.")
        names = manager.axes[0].names
        if names is None or not all(isinstance(name, str) for name in names):
            raise InputError(f"{self.path} holds a data frame whose columns have no names; it is another table.")
        try:
            return dict(_cells(names, manager.blocks, self._file))
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise InputError(f"{self.path} holds a data frame that cannot be read ({error}); get it again.") from None

    def _check_sizes(self) -> None:
        """Refuse cells that share their bytes: a small file could stand for a huge table."""
        cells = [cell for column in self.columns.values() for cell in column if isinstance(cell, StoredArray)]
        total, there = sum(cell.size for cell in cells), self.path.stat().st_size
        if total > there:
            raise InputError(
                f"{self.path} has {there:,} bytes but stands for arrays of {total:,} bytes; it was not unpacked."
            )
        if len({len(column) for column in self.columns.values()}) > 1:
            raise InputError(f"{self.path} holds columns of different lengths; get it again.")


def _cells(names: list[str], blocks: list[Any], file: BinaryIO) -> Iterator[tuple[str, list[Any]]]:
    """Columns with their cells, in the frame's order."""
    columns: dict[int, list[Any]] = {}
    for block in blocks:
        if not isinstance(block, _Block) or not isinstance(block.values, StoredArray):
            raise ValueError("a block of an extension type")
        values = block.values
        count, rows = values.shape
        places = _places(block.places, len(names), file)
        if len(places) != count:
            raise ValueError("a block with other columns than places")
        plain = values.objects if values.type and values.type.objects else values.read(file).ravel().tolist()
        for i, place in enumerate(places):
            columns[place] = plain[i * rows : (i + 1) * rows]
    for i, name in enumerate(names):
        yield name, columns[i]


def _places(places: Any, columns: int, file: BinaryIO) -> list[int]:
    if isinstance(places, slice):
        return list(range(columns))[places]
    return [int(place) for place in places.read(file)]
