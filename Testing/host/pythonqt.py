"""PythonQt's manners over PySide6: properties are attributes, signals are connected by their signature."""

# ruff: noqa: N802  Qt's and Slicer's own names.

import enum
import inspect
import json
import sys
import traceback
import types
from functools import cache
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

API: dict[str, dict[str, frozenset[str]]] = {
    name: {kind: frozenset(names) for kind, names in entry.items()}
    for name, entry in json.loads(Path(__file__).with_name("slicer-api.json").read_text(encoding="utf-8")).items()
}

ERRORS: list[BaseException] = []
"""What slots raised; the application would print it and go on, a test fails on it."""

STAND_INS: dict[str, dict[str, type]] = {"qt": {}, "ctk": {}, "slicer": {}}
"""Per module: class name to the class that wraps it."""


@cache
def _kinds(cls: type, kind: str) -> frozenset[str]:
    return frozenset().union(*(API[base.api][kind] for base in cls.__mro__ if "api" in vars(base)))


class _Class(type):
    """A wrapped Qt class: its enums and static methods are reached through it."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(cls.qt, name, None)
        if isinstance(value, enum.Enum | enum.EnumType):
            return value
        if name in _kinds(cls, "methods") and callable(value):
            return _method(value)
        raise AttributeError(f"{cls.api} has no {name} in Slicer")


class Wrapped(metaclass=_Class):
    """A Qt object as PythonQt shows it."""

    def __init__(self, *args: Any) -> None:
        self._hold(type(self).qt(*map(unwrap, args)))

    def _hold(self, qt_object: Any) -> None:
        object.__setattr__(self, "_qt", qt_object)
        if isinstance(qt_object, QtCore.QObject):
            qt_object.__dict__["_wrapped"] = self

    def __getattr__(self, name: str) -> Any:
        cls, qt_object = type(self), self.__dict__["_qt"]
        if name == "name" and isinstance(qt_object, QtCore.QObject):
            return qt_object.objectName()
        if name in _kinds(cls, "properties"):
            return wrap(qt_object.property(name))
        if name in _kinds(cls, "signals"):
            return Signal(qt_object, name)
        if name in _kinds(cls, "methods"):
            return _method(getattr(qt_object, name))
        raise AttributeError(f"{cls.api} has no {name} in Slicer")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _kinds(type(self), "properties"):
            raise AttributeError(f"{type(self).api} has no property {name} in Slicer")
        qt_value = unwrap(list(value) if isinstance(value, tuple) else value)
        if not self._qt.setProperty(name, qt_value):
            raise TypeError(f"{type(self).api}.{name} cannot be {value!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wrapped) and self._qt is other._qt

    def __hash__(self) -> int:
        return id(self._qt)

    def connect(self, signature: str, slot: Any) -> bool:
        """Call `slot` with the arguments that the signature names."""
        return Signal(self._qt, *_split(self, signature)).connect(slot)

    def disconnect(self, signature: str, slot: Any) -> bool:
        return Signal(self._qt, *_split(self, signature)).disconnect(slot)

    def className(self) -> str:
        return type(self).__name__

    def inherits(self, name: str) -> bool:
        return any(base.__name__ == name for base in type(self).__mro__)

    def isWidgetType(self) -> bool:
        return isinstance(self._qt, QtWidgets.QWidget)


class Signal:
    """A signal of one object; `arguments` of them reach the slot, all where None."""

    def __init__(self, qt_object: Any, name: str, arguments: int | None = None, signature: str | None = None) -> None:
        signal = getattr(qt_object, name)
        if signature and signature in getattr(type(qt_object), "overloads", ()):
            signature = None
        self._signal = signal[signature[len(name) :].strip("()")] if signature and arguments else signal
        self._arguments = arguments
        self._known = qt_object.__dict__.setdefault("_connections", {})
        self._key = name, arguments

    def connect(self, slot: Any) -> bool:
        taken = self._arguments if self._arguments is not None else _positional(slot)

        def call(*args: Any) -> None:
            try:
                slot(*[wrap(argument) for argument in args[:taken]])
            except BaseException as error:
                ERRORS.append(error)
                traceback.print_exc(file=sys.stderr)

        self._known[(*self._key, slot)] = call
        self._signal.connect(call)
        return True

    def disconnect(self, slot: Any) -> bool:
        call = self._known.pop((*self._key, slot), None)
        return call is not None and bool(self._signal.disconnect(call))

    def emit(self, *args: Any) -> None:
        self._signal.emit(*map(unwrap, args))


def _positional(slot: Any) -> int | None:
    """How many arguments a slot takes, as PythonQt counts them where no signature names them; None for any."""
    parameters = inspect.signature(slot).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _split(wrapped: Wrapped, signature: str) -> tuple[str, int, str]:
    """Name and number of arguments of a signature that the object's class has, or a ValueError."""
    name, _, rest = signature.partition("(")
    if name not in _kinds(type(wrapped), "signals"):
        raise ValueError(f"{type(wrapped).api} has no signal {name} in Slicer")
    arguments = [part for part in rest.rstrip(")").split(",") if part]
    declared = getattr(type(wrapped._qt), "overloads", ())
    meta = wrapped._qt.metaObject()
    if signature not in declared and meta.indexOfSignal(signature) < 0:
        raise ValueError(f"{type(wrapped).api} has no signal {signature}")
    return name, len(arguments), signature


def wrap(value: Any) -> Any:
    """A Qt value as PythonQt gives it to Python."""
    if isinstance(value, list | tuple):
        return type(value)(map(wrap, value))
    if isinstance(value, QtCore.QObject):
        known = value.__dict__.get("_wrapped")
        return known if known is not None else _wrapper(value)
    if type(value).__module__.startswith("PySide6") and not isinstance(value, enum.Enum):
        return _wrapper(value)
    return value


def unwrap(value: Any) -> Any:
    if isinstance(value, Wrapped):
        return value._qt
    if isinstance(value, type) and issubclass(value, Wrapped):
        return value.qt
    if isinstance(value, list | tuple):
        return type(value)(map(unwrap, value))
    return value


def _wrapper(value: Any) -> Any:
    cls = _wrapping(type(value))
    if cls is None:
        return value
    wrapped = cls.__new__(cls)
    wrapped._hold(value)
    return wrapped


@cache
def _wrapping(qt_class: type) -> Any:
    """The nearest class that wraps a Qt class; asked only once all are defined."""
    known = {cls.qt: cls for classes in STAND_INS.values() for cls in classes.values()}
    return next((known[base] for base in qt_class.__mro__ if base in known), None)


def _method(function: Any) -> Any:
    def call(*args: Any) -> Any:
        return wrap(function(*map(unwrap, args)))

    return call


def define(module: str, name: str, qt_class: type) -> type:
    """The wrapping class of a Qt class; bases follow the Qt classes that are already defined."""
    known = {cls.qt: cls for classes in STAND_INS.values() for cls in classes.values()}
    base = next((known[parent] for parent in qt_class.__mro__[1:] if parent in known), Wrapped)
    cls = _Class(name, (base,), {"api": f"{module}.{name}", "qt": qt_class, "__module__": module})
    STAND_INS[module][name] = cls
    return cls


class Module(types.ModuleType):
    """`qt` or `ctk`: refuses what it does not have with a sentence."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"{self.__name__}.{name} is not in this host; add it to excerpt.py if Slicer has it")


def define_qt() -> None:
    """Wrap the plain Qt classes of the excerpt, bases before what derives from them."""
    names = [name.removeprefix("qt.") for name in API if name.startswith("qt.")]
    classes = {name: next(getattr(m, name) for m in (QtCore, QtGui, QtWidgets) if hasattr(m, name)) for name in names}
    for name, qt_class in sorted(classes.items(), key=lambda item: len(item[1].__mro__)):
        define("qt", name, qt_class)
