"""A reader of pickles that runs nothing: it knows the opcodes that data need, and calls only what it was given.

Python's own unpickler calls whatever the file names, and a subclass that restricts the names still lets a file call
the permitted functions with any arguments, fill the memory, or set attributes of what it was handed. Here a name is
only a key into a table of the caller's own functions; an object made by one of them is the only thing that can be given
a state; and bytes longer than a few kilobytes are not read but noted as a place in the file, so that a pickle larger
than the memory can be read row by row.

The format is that of Python's `pickletools` (protocols 3 to 5, PEP 3154 and 574); opcodes that such data never
need (persistent references, extension codes, class instances of protocol 0) are refused like unknown names.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

from LungCADLib.errors import InputError

INLINE_BYTES = 4096
"""Longer bytes stay in the file."""

LONGEST_TEXT = 1 << 16
MOST_STEPS = 5_000_000
"""Opcodes; the Lung-RADS set has some ten per array, about 40,000 in all."""

Name = tuple[str, str]
"""Module and name of what a pickle calls."""


@dataclass(frozen=True)
class StoredBytes:
    """Bytes that lie in the file from `offset` on."""

    offset: int
    size: int


class Stateful(Protocol):
    """What a table's function may return if the file gives it a state afterwards."""

    def build(self, state: Any) -> None:
        """Take the state, or raise ValueError."""


Calls = Mapping[Name, Callable[..., Any]]
"""By name: what stands in for it. It raises ValueError or TypeError where its arguments are not as they must be."""


@dataclass(frozen=True)
class _Global:
    """A name as a value on the stack; it can only be called through the table or be an argument."""

    name: Name


class _Mark:
    """Where a tuple, list or dict on the stack begins."""


class PickleMachine:
    """Reads one pickle.

    Parameters
    ----------
    file
        Open for reading, at the pickle's start.
    path
        For the messages.
    calls
        Every name the pickle may use.
    """

    def __init__(self, file: BinaryIO, path: Path, calls: Calls) -> None:
        self.file, self.path, self.calls = file, path, calls
        self.end = path.stat().st_size
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object in the pickle.

        Raises
        ------
        InputError
            If it is damaged, names anything that is not in the table, or uses an opcode that data do not need.
        """
        steps = 0
        try:
            while (opcode := self._read(1)) != b".":
                steps += 1
                if steps > MOST_STEPS:
                    self._refuse(f"has more than {MOST_STEPS:,} steps, far more than such a table needs")
                operation = _OPERATIONS.get(opcode)
                if operation is None:
                    self._refuse(f"uses the pickle opcode {opcode!r}, which no table of arrays needs")
                operation(self)
            return self._pop()
        except InputError:
            raise
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, struct.error) as error:
            raise InputError(f"{self.path} is damaged or no pickle of such a table ({error}); get it again.") from None

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(f"{self.path} {what}; it could do harm and was not read further: get it from its publisher.")

    def _read(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) != count:
            raise ValueError("it ends too early")
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _pop(self) -> Any:
        return self.stack.pop()

    def _to_mark(self) -> list[Any]:
        at = max(i for i, value in enumerate(self.stack) if isinstance(value, _Mark))
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def _text(self, form: str) -> str:
        size = self._number(form)
        if size > LONGEST_TEXT:
            self._refuse(f"holds a text of {size:,} bytes, longer than any name or label")
        return self._read(size).decode("utf-8", "strict")

    def _bytes(self, form: str) -> bytes | StoredBytes:
        size = self._number(form)
        if size <= INLINE_BYTES:
            return self._read(size)
        start = self.file.tell()
        if start + size > self.end:
            raise ValueError("it ends too early")
        self.file.seek(size, 1)
        return StoredBytes(start, size)

    def _line(self) -> str:
        line = self.file.readline(LONGEST_TEXT)
        if not line.endswith(b"\n"):
            raise ValueError("it ends too early")
        return line[:-1].decode("utf-8")

    def _global(self, module: Any, name: Any) -> None:
        if (module, name) not in self.calls:
            self._refuse(f"asks for {module}.{name}, which no table of arrays needs")
        self._push(_Global((module, name)))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name is not a text")
        self._global(module, name)

    def _call(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            self._refuse("calls something that is not a name")
        self._push(self.calls[function.name](*(a.name if isinstance(a, _Global) else a for a in arguments)))

    def _build(self) -> None:
        state = self._pop()
        build = getattr(type(self.stack[-1]), "build", None)
        if build is None:
            self._refuse(f"sets the state of a {type(self.stack[-1]).__name__.lstrip('_')}, which has none")
        build(self.stack[-1], state)

    def _items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError("items without a dict")
        target.update(zip(values[::2], values[1::2], strict=True))

    def _append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("an item without a list")
        self.stack[-1].extend(values)

    def _tuple(self, count: int) -> None:
        values = tuple(self.stack[len(self.stack) - count :]) if count <= len(self.stack) else None
        if values is None:
            raise ValueError("a tuple without its items")
        del self.stack[len(self.stack) - count :]
        self._push(values)

    def _long(self) -> int:
        size = self._number("<B")
        if size > 8:
            raise ValueError("a number of more than 64 bits")
        return int.from_bytes(self._read(size), "little", signed=True)

    def _protocol(self) -> None:
        version = self._number("<B")
        if not 3 <= version <= 5:
            raise InputError(
                f"{self.path} is a pickle of protocol {version}, in which arrays are texts; save the table again with "
                "protocol 4 or 5, as pandas does by itself."
            )


def _pushes(value: Callable[[PickleMachine], Any]) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.stack.append(value(machine))


def _remembers(index: Callable[[PickleMachine], int]) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.memo.__setitem__(index(machine), machine.stack[-1])


_OPERATIONS: dict[bytes, Callable[[PickleMachine], Any]] = {
    b"\x80": PickleMachine._protocol,
    b"\x95": lambda m: m._number("<Q"),  # a frame's length: what is in it follows
    b"(": _pushes(lambda m: _Mark()),
    b"N": _pushes(lambda m: None),
    b"\x88": _pushes(lambda m: True),
    b"\x89": _pushes(lambda m: False),
    b"J": _pushes(lambda m: m._number("<i")),
    b"K": _pushes(lambda m: m._number("<B")),
    b"M": _pushes(lambda m: m._number("<H")),
    b"\x8a": _pushes(PickleMachine._long),
    b"G": _pushes(lambda m: m._number(">d")),
    b"X": _pushes(lambda m: m._text("<I")),
    b"\x8c": _pushes(lambda m: m._text("<B")),
    b"\x8d": _pushes(lambda m: m._text("<Q")),
    b"C": _pushes(lambda m: m._bytes("<B")),
    b"B": _pushes(lambda m: m._bytes("<I")),
    b"\x8e": _pushes(lambda m: m._bytes("<Q")),
    b"\x96": _pushes(lambda m: m._bytes("<Q")),
    b"]": _pushes(lambda m: []),
    b"a": lambda m: m._append([m._pop()]),
    b"e": lambda m: m._append(m._to_mark()),
    b")": _pushes(lambda m: ()),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"t": _pushes(lambda m: tuple(m._to_mark())),
    b"}": _pushes(lambda m: {}),
    b"s": lambda m: m._items([m._pop(), m._pop()][::-1]),
    b"u": lambda m: m._items(m._to_mark()),
    b"\x94": _remembers(lambda m: len(m.memo)),
    b"q": _remembers(lambda m: m._number("<B")),
    b"r": _remembers(lambda m: m._number("<I")),
    b"h": _pushes(lambda m: m.memo[m._number("<B")]),
    b"j": _pushes(lambda m: m.memo[m._number("<I")]),
    b"c": lambda m: m._global(m._line(), m._line()),
    b"\x93": PickleMachine._stack_global,
    b"R": PickleMachine._call,
    b"\x81": PickleMachine._call,
    b"b": PickleMachine._build,
}
"""By opcode, as `pickletools.opcodes` describes them."""
