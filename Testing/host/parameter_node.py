"""Of Slicer's `parameterNodeWrapper` what LungCAD uses: nodes, text, yes or no, and numbers within a range.

Values are kept as there: nodes as references of the parameter's name, everything else as text under that name.
"""

# ruff: noqa: N802  Qt's and Slicer's own names.

import typing
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from host.pythonqt import STAND_INS


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float


class GuiConnector:
    """Ties a widget to a parameter; a module may derive its own."""

    def __init__(self) -> None:
        self._callback: Any = None

    def onChanged(self, callback: Any) -> None:
        self._callback = callback
        self._connect() if callback else self._disconnect()

    def changed(self) -> None:
        if self._callback:
            self._callback()


class _Attribute(GuiConnector):
    """One property of the widget, and the signal that tells of its change."""

    def __init__(self, widget: Any, name: str, signal: str, kind: type) -> None:
        super().__init__()
        self._widget, self._name, self._signal, self._kind = widget, name, signal, kind

    def _connect(self) -> None:
        getattr(self._widget, self._signal).connect(self.changed)

    def _disconnect(self) -> None:
        getattr(self._widget, self._signal).disconnect(self.changed)

    def read(self) -> Any:
        return self._kind(getattr(self._widget, self._name))

    def write(self, value: Any) -> None:
        setattr(self._widget, self._name, value)


class _NodeBox(GuiConnector):
    def __init__(self, widget: Any) -> None:
        super().__init__()
        self._widget = widget

    def _connect(self) -> None:
        self._widget.connect("currentNodeChanged(vtkMRMLNode*)", self._changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentNodeChanged(vtkMRMLNode*)", self._changed)

    def _changed(self, node: Any) -> None:
        self.changed()

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


def _connector(widget: Any, hint: Any) -> GuiConnector:
    kind, limits = _split(hint)
    qt = STAND_INS["qt"]
    if kind is bool and type(widget) is qt["QCheckBox"]:
        return _Attribute(widget, "checked", "stateChanged", bool)
    if kind in (int, float) and type(widget) in (qt["QSpinBox"], qt["QDoubleSpinBox"]):
        if limits is None:
            raise RuntimeError("give the parameter a WithinRange, or the widget loses its own range")
        widget.setRange(kind(limits.minimum), kind(limits.maximum))
        return _Attribute(widget, "value", "valueChanged", kind)
    if kind is str and type(widget) is qt.get("QLineEdit"):
        return _Attribute(widget, "text", "textChanged", str)
    if _is_node(kind) and type(widget) is STAND_INS["slicer"]["qMRMLNodeComboBox"]:
        return _NodeBox(widget)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{hint}' to widget type '{type(widget)}'.")


def _split(hint: Any) -> tuple[type, WithinRange | None]:
    if typing.get_origin(hint) is typing.Annotated:
        kind, *rest = typing.get_args(hint)
        return kind, next((note for note in rest if isinstance(note, WithinRange)), None)
    return hint, None


def _is_node(kind: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def _property(name: str, hint: Any, default: Any) -> property:
    kind, limits = _split(hint)

    def get(self: Any) -> Any:
        if _is_node(kind):
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        if not text and default is not None and kind is not str:
            return default
        return text == "True" if kind is bool else kind(text)

    def set_(self: Any, value: Any) -> None:
        if _is_node(kind):
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value else None)
            return
        if not isinstance(value, kind | int if kind is float else kind):
            raise TypeError(f"{name} must be {kind.__name__}, not {value!r}")
        if limits and not limits.minimum <= value <= limits.maximum:
            raise ValueError(f"{name} must be within {limits.minimum} and {limits.maximum}, not {value!r}")
        self.parameterNode.SetParameter(name, str(value))

    return property(get, set_)


def parameterNodeWrapper(cls: type) -> type:
    """The class decorator."""
    hints = typing.get_type_hints(cls, include_extras=True)
    defaults = {name: getattr(cls, name, None) for name in hints}

    def init(self: Any, node: Any, prefix: Any = None) -> None:
        self.parameterNode, self._connectors, self._writing = node, {}, False
        for name, value in defaults.items():
            if value is not None and not node.GetParameter(name):
                node.SetParameter(name, str(value))

    def connect_gui(self: Any, gui: Any) -> int:
        widgets = gui.findChildren(STAND_INS["qt"]["QWidget"])
        named = {widget.property("SlicerParameterName"): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connect_parameters(self: Any, mapping: dict[str, Any]) -> int:
        connectors = {
            name: widget if isinstance(widget, GuiConnector) else _connector(widget, hints[name])
            for name, widget in mapping.items()
        }
        for name, connector in connectors.items():
            connector.write(getattr(self, name))
            connector.onChanged(lambda name=name, connector=connector: from_gui(self, name, connector))
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: to_gui(self, connectors))
        self._connectors[tag] = connectors
        return tag

    def from_gui(self: Any, name: str, connector: Any) -> None:
        if not self._writing:
            setattr(self, name, connector.read())

    def to_gui(self: Any, connectors: dict[str, Any]) -> None:
        if self._writing:
            return
        self._writing = True
        try:
            for name, connector in connectors.items():
                connector.write(getattr(self, name))
        finally:
            self._writing = False

    def disconnect(self: Any, tag: int) -> None:
        for connector in self._connectors.pop(tag, {}).values():
            connector.onChanged(None)
        self.RemoveObserver(tag)

    for name, hint in hints.items():
        setattr(cls, name, _property(name, hint, defaults[name]))
    cls.__init__ = init
    cls.connectGui, cls.connectParametersToGui, cls.disconnectGui = connect_gui, connect_parameters, disconnect
    cls.AddObserver = lambda self, event, call: self.parameterNode.AddObserver(event, call)
    cls.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    cls.StartModify = lambda self: self.parameterNode.StartModify()
    cls.EndModify = lambda self, was: self.parameterNode.EndModify(was)
    return cls
