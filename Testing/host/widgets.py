"""The ctk and qMRML widgets that LungCAD's panel uses, as simple as can be, with their properties and signals."""

# ruff: noqa: N801, N802, N815  Qt's and Slicer's own names.

from typing import Any

from PySide6.QtCore import Property, QEvent, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QStyle,
    QStyleOptionButton,
    QWidget,
)


def _show_children(parent: QWidget, shown: bool) -> None:
    """Hide what is in a collapsing widget; what was hidden by itself stays so when it opens again, as in ctk."""
    for child in parent.findChildren(QWidget, options=Qt.FindDirectChildrenOnly):
        if not shown:
            child.setProperty("_hidden", child.isHidden())
        child.setVisible(shown and not child.property("_hidden"))


class ctkCollapsibleButton(QAbstractButton):
    """A wide button whose children are shown below it while it is not collapsed."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._header(), 0, 0)
        self.toggled.connect(self._show)

    def _header(self) -> int:
        return self.fontMetrics().height() + 10

    def _show(self, shown: bool) -> None:
        _show_children(self, shown)
        self.setMaximumHeight(16777215 if shown else self._header())
        self.updateGeometry()
        self.contentsCollapsed.emit(not shown)

    def childEvent(self, event: Any) -> None:
        if event.type() == QEvent.Type.ChildAdded and isinstance(event.child(), QWidget) and not self.isChecked():
            event.child().hide()
        super().childEvent(event)

    def sizeHint(self) -> QSize:
        return self._with_contents("sizeHint")

    def minimumSizeHint(self) -> QSize:
        return self._with_contents("minimumSize")

    def _with_contents(self, of_layout: str) -> QSize:
        size = QSize(self.fontMetrics().horizontalAdvance(self.text()) + 40, self._header())
        if self.isChecked() and self.layout() is not None:
            inner = getattr(self.layout(), of_layout)()
            size = size.expandedTo(QSize(inner.width(), inner.height() + self._header()))
        return size

    def hasHeightForWidth(self) -> bool:
        return self.layout() is not None and self.layout().hasHeightForWidth()

    def heightForWidth(self, width: int) -> int:
        return self._header() + (self.layout().heightForWidth(width) if self.isChecked() else 0)

    def hitButton(self, position: Any) -> bool:
        return position.y() < self._header()

    def paintEvent(self, event: Any) -> None:
        painter, option = QPainter(self), QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._header())
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        arrow = "PE_IndicatorArrowDown" if self.isChecked() else "PE_IndicatorArrowRight"
        option.rect.adjust(8, 6, 0, -6)
        option.rect.setWidth(option.rect.height())
        self.style().drawPrimitive(getattr(QStyle.PrimitiveElement, arrow), option, painter, self)
        text = self.rect().adjusted(option.rect.right() + 8, 0, 0, 0)
        text.setHeight(self._header())
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, self.text())

    def _collapsed(self) -> bool:
        return not self.isChecked()

    def _collapse(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _collapsed, _collapse)


class ctkCollapsibleGroupBox(QGroupBox):
    """A group box that shows its children while it is checked."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.toggled.connect(self._show)

    def minimumSizeHint(self) -> QSize:
        return super().minimumSizeHint() if self.isChecked() else QSize(0, self.fontMetrics().height() + 6)

    sizeHint = minimumSizeHint

    def _show(self, shown: bool) -> None:
        _show_children(self, shown)
        self.setMaximumHeight(16777215 if shown else self.fontMetrics().height() + 6)
        self.setFlat(not shown)

    def _collapsed(self) -> bool:
        return not self.isChecked()

    def _collapse(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _collapsed, _collapse)


class qMRMLWidget(QWidget):
    """Tells its children of the scene."""

    mrmlSceneChanged = Signal(object)
    overloads = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return getattr(self, "_scene", None)


class qMRMLNodeComboBox(QWidget):
    """Lists the scene's nodes of some classes by name."""

    currentNodeChanged = Signal(object)
    overloads = ("currentNodeChanged(vtkMRMLNode*)",)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box, self._scene, self._types, self._none, self._ids = QComboBox(self), None, [], True, []
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.currentIndexChanged.connect(lambda: self.currentNodeChanged.emit(self.currentNode()))
        for name in ("addEnabled", "removeEnabled", "renameEnabled", "editEnabled", "selectNodeUponCreation"):
            self.setProperty("_" + name, False)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
            tags = [scene.AddObserver(event, lambda *_: self._fill()) for event in events]
            self.destroyed.connect(lambda: [scene.RemoveObserver(tag) for tag in tags])
        self._fill()

    def mrmlScene(self) -> Any:
        return self._scene

    def _fill(self) -> None:
        import slicer

        if self._scene is None or self._scene.IsBatchProcessing():
            return
        before = self.currentNodeID()
        nodes = [node for kind in self._types for node in slicer.util.getNodesByClass(kind, self._scene)]
        nodes = [node for node in nodes if not node.GetHideFromEditors()]
        self._box.blockSignals(True)
        self._box.clear()
        self._ids = [None] * self._none + [node.GetID() for node in nodes]
        self._box.addItems(["None"] * self._none + [node.GetName() for node in nodes])
        self._box.setCurrentIndex(self._ids.index(before) if before in self._ids else 0)
        self._box.blockSignals(False)
        if self.currentNodeID() != before:
            self.currentNodeChanged.emit(self.currentNode())

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self.currentNodeID()) if self._scene and self.currentNodeID() else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node else None)

    def setCurrentNodeID(self, id_: Any) -> None:
        self._box.setCurrentIndex(self._ids.index(id_) if id_ in self._ids else 0 if self._none else -1)

    def currentNodeID(self) -> Any:
        index = self._box.currentIndex()
        return self._ids[index] if 0 <= index < len(self._ids) else None

    def _get_types(self) -> list[str]:
        return self._types

    def _set_types(self, types: list[str]) -> None:
        self._types = list(types)
        self._fill()

    def _get_none(self) -> bool:
        return self._none

    def _set_none(self, enabled: bool) -> None:
        self._none = enabled
        self._fill()

    def _flag(name: str) -> Any:  # noqa: N805
        return Property(bool, lambda self: self.property("_" + name), lambda self, on: self.setProperty("_" + name, on))

    nodeTypes = Property("QStringList", _get_types, _set_types)
    noneEnabled = Property(bool, _get_none, _set_none)
    addEnabled = _flag("addEnabled")
    removeEnabled = _flag("removeEnabled")
    renameEnabled = _flag("renameEnabled")
    editEnabled = _flag("editEnabled")
    selectNodeUponCreation = _flag("selectNodeUponCreation")


class qMRMLSegmentationShow3DButton(QPushButton):
    """Shows a segmentation's surfaces in 3D."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__("Show 3D", parent)
        self._node = None
        self.setCheckable(True)
        self.toggled.connect(self._show)

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self.setEnabled(node is not None)

    def segmentationNode(self) -> Any:
        return self._node

    def _show(self, shown: bool) -> None:
        if self._node is not None and shown:
            self._node.CreateClosedSurfaceRepresentation()


CTK = (ctkCollapsibleButton, ctkCollapsibleGroupBox)
SLICER = (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentationShow3DButton)
