"""The results: the exam's category, the table of nodules, and the details of the chosen one."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LungCADLib.panel import details
from LungCADLib.panel.explanation import ExplanationSection
from LungCADLib.scene import views
from LungCADLib.study import Nodule, Study

if TYPE_CHECKING:
    from LungCADLib.panel.session import Session

Cell = str | float
_EDIT_SETTLES_MS = 1500
"""A stroke in Segment Editor is a burst of events; the nodule is measured once they have stopped."""


def columns() -> tuple[tuple[str, str, int, Callable[[Nodule], Cell]], ...]:
    """Title, tooltip, width in pixels that the title needs, and cell of each column of the table."""
    return (
        (_("ID"), _("Lesion ID, the same in segments, markers and reports"), 26, lambda n: n.id),
        (_("Place"), _("Lung and lobe; the lobe is an estimate"), 38, details.short_place),
        (_("Type"), _("Solid, part-solid, non-solid, calcified or fat-containing"), 38, _type),
        (_("mm"), _("Mean of long and short axis, mm"), 30, lambda n: round(n.mean_diameter_mm, 1)),
        (_("mm³"), _("Volume, mm³"), 36, lambda n: float(round(n.volume_mm3))),
        (_("Susp."), _("Suspicion, 0 to 1; the details say whose opinion it is"), 40, _suspicion),
        (_("Risk"), _("Risk of cancer by the Brock equation with spiculation (2b), %"), 32, _brock),
        (_("RADS"), _("Lung-RADS v2022 category of this nodule"), 40, _category),
        (_("Score"), _("Detection score, 0 to 1: how sure the detector is"), 39, lambda n: round(n.score, 2)),
        (_("Status"), _("Found by LungCAD; accepted, rejected or added by a person"), 48, lambda n: n.status),
    )


def _type(nodule: Nodule) -> Cell:
    return "fat" if nodule.density == "fat-containing" else nodule.density


def _category(nodule: Nodule) -> Cell:
    return nodule.lung_rads.category if nodule.lung_rads else ""


def _suspicion(nodule: Nodule) -> Cell:
    return round(nodule.suspicion.value, 2) if nodule.suspicion else ""


def _brock(nodule: Nodule) -> Cell:
    risk = nodule.risk.get("brock_2b")
    return "" if risk is None or risk.value is None else round(100 * risk.value, 1)


class ResultsSection:
    """Shows a session and lets a person work on it.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    changed
        Called after every change of the study.
    """

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self._ui, self._changed = ui, changed
        self.session: Session | None = None
        self._observed: list[tuple[Any, int]] = []
        self._filling = False
        self._placement: views.Placement | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="lungcad-panel-")
        # What a node's event starts is done after the event, when the node may be changed or removed again.
        self._soon = {name: self._timer(call, ms) for name, call, ms in (
            ("placed", self._placed, 0), ("edited", self._edited, _EDIT_SETTLES_MS), ("clicked", self._show_clicked, 0),
        )}  # fmt: skip
        self._clicked = ""
        self._explanation = ExplanationSection(ui, Path(self._folder.name))
        ui.noduleTable.connect("itemSelectionChanged()", self._selected)
        for name, slot in (
            ("accept", self._accept),
            ("reject", self._reject),
            ("undo", self._undo),
            ("remeasure", self._measure_again),
        ):
            getattr(ui, f"{name}Button").connect("clicked()", slot)
        ui.addButton.connect("toggled(bool)", self._place)
        self._set_columns()
        self.show(None)

    def show(self, session: "Session | None") -> None:
        """Show a session, or none."""
        self._forget()
        self.session = session
        self._ui.show3DButton.setSegmentationNode(session.nodes.segmentation if session else None)
        if session is None:
            self._ui.examText.text = f"<p>{_('No results yet.')}</p>"
            self._ui.warningsText.visible = False
            self._fill([])
        else:
            self._observe(session)
            self._refresh()
        self._selected()

    def show_lungs(self, study: Study) -> None:
        """Say what is known while nodules are still looked for."""
        self._ui.examText.text = details.lungs_html(study)

    @property
    def chosen(self) -> str | None:
        """The lesion ID of the chosen row."""
        items = self._ui.noduleTable.selectedItems()
        return items[0].data(qt.Qt.UserRole) if items else None

    def choose(self, id_: str) -> None:
        """Choose the row of a nodule."""
        table = self._ui.noduleTable
        for row in range(table.rowCount):
            if table.item(row, 0).data(qt.Qt.UserRole) == id_:
                table.selectRow(row)

    def close(self) -> None:
        """Let go of nodes and files."""
        self.show(None)
        self._explanation.close()
        self._folder.cleanup()

    def _set_columns(self) -> None:
        table, described = self._ui.noduleTable, columns()
        table.setColumnCount(len(described))
        for index, (title, tip, width, _cell) in enumerate(described):
            item = qt.QTableWidgetItem(title)
            item.setToolTip(tip)
            table.setHorizontalHeaderItem(index, item)
            table.setColumnWidth(index, width)
        header = table.horizontalHeader()
        header.setMinimumSectionSize(24)
        header.setStretchLastSection(True)
        header.setHighlightSections(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(22)

    def _refresh(self) -> None:
        session = self.session
        assert session is not None
        self._ui.examText.text = details.exam_html(session.study)
        warnings = details.warnings_html(session.study)
        self._ui.warningsText.text = warnings
        self._ui.warningsText.visible = bool(warnings)
        chosen = self.chosen
        self._fill(session.study.nodules)
        if chosen is not None:
            self._filling = True
            self.choose(chosen)
            self._filling = False

    def _fill(self, nodules: list[Nodule]) -> None:
        table, described = self._ui.noduleTable, columns()
        self._filling = True
        table.setSortingEnabled(False)
        table.setRowCount(len(nodules))
        for row, nodule in enumerate(nodules):
            for index, (_title, _tip, _width, cell) in enumerate(described):
                value = cell(nodule)
                item = qt.QTableWidgetItem()
                item.setData(qt.Qt.DisplayRole, value)
                # Rows move when they are sorted; the lesion ID does not.
                item.setData(qt.Qt.UserRole, nodule.id)
                item.setToolTip(f"{nodule.id}: {nodule.location.description}, {nodule.density}, {nodule.status}")
                if nodule.status == "rejected":
                    font = item.font()
                    font.setStrikeOut(True)
                    item.setFont(font)
                if not isinstance(value, str):
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, index, item)
        for index, (_title, _tip, width, _cell) in enumerate(described):
            table.setColumnWidth(index, max(width, table.sizeHintForColumn(index)))
        table.setSortingEnabled(True)
        self._filling = False

    def _selected(self) -> None:
        if self._filling:
            return
        session, chosen = self.session, self.chosen
        shown = session is not None and chosen is not None
        for name in ("acceptButton", "rejectButton", "remeasureButton"):
            getattr(self._ui, name).enabled = shown
        self._ui.undoButton.enabled = session is not None and session.review.can_undo
        self._ui.addButton.enabled = session is not None
        self._ui.detailsText.visible = self._ui.pictures.visible = shown
        self._explanation.show(session, chosen)
        if session is None or chosen is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The nodule could not be shown.")):
            session.show(chosen)
            self._show_details(session, chosen)

    def _show_details(self, session: "Session", chosen: str) -> None:
        self._ui.detailsText.setHtml(details.nodule_html(session.nodule(chosen), session.study))
        for plane, picture in session.pictures(chosen).items():
            path = Path(self._folder.name) / f"{plane}.png"
            path.write_bytes(picture)
            getattr(self._ui, f"{plane}Picture").setPixmap(qt.QPixmap(str(path)))

    def _accept(self) -> None:
        self._change(lambda session, chosen: session.accept(chosen))

    def _reject(self) -> None:
        self._change(lambda session, chosen: session.reject(chosen))

    def _measure_again(self) -> None:
        self._change(lambda session, chosen: session.measure_again(chosen))

    def _change(self, change: Callable[["Session", str], object]) -> None:
        session, chosen = self.session, self.chosen
        if session is None or chosen is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The change was not made."), waitCursor=True):
            change(session, chosen)
        self._after(chosen)

    def _undo(self) -> None:
        session = self.session
        if session is not None and session.review.can_undo:
            with slicer.util.tryWithErrorDisplay(_("The change could not be undone.")):
                self._after(session.undo())

    def _after(self, chosen: str) -> None:
        self._refresh()
        self._filling = True
        self.choose(chosen)
        self._filling = False
        self._selected()
        self._changed()

    def _place(self, on: bool) -> None:
        if not on:
            self._end_placing()
        elif self.session is not None:
            self._ui.addButton.text = _("Click the nodule …")
            scene = self.session.nodes.volume.GetScene()
            self._placement = views.ask_for_point(scene, self._soon["placed"].start)

    def _placed(self) -> None:
        point = self._placement.point if self._placement else None
        self._ui.addButton.checked = False
        session = self.session
        if point is None or session is None:
            return
        with slicer.util.tryWithErrorDisplay(_("No nodule was added."), waitCursor=True):
            added = session.add(point)
            self._after(added)

    def _end_placing(self) -> None:
        self._ui.addButton.text = _("Add a nodule")
        if self._placement is not None:
            self._placement.end()
            self._placement = None

    def _edited(self) -> None:
        session = self.session
        if session is None or not session.alive:
            return
        with slicer.util.tryWithErrorDisplay(_("The edited nodule could not be measured."), waitCursor=True):
            for id_ in session.edited():
                session.measure_again(id_)
                self._after(id_)

    def _marker_clicked(self, id_: str) -> None:
        self._clicked = id_
        self._soon["clicked"].start()

    def _show_clicked(self) -> None:
        self.choose(self._clicked)

    def _observe(self, session: "Session") -> None:
        segmentation = session.nodes.segmentation.GetSegmentation()
        event = slicer.vtkSegmentation.SourceRepresentationModified
        self._observed = [
            (session.nodes.centers, views.on_marker(session.nodes, self._marker_clicked)),
            (segmentation, segmentation.AddObserver(event, lambda *_: self._soon["edited"].start())),
        ]

    def _forget(self) -> None:
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        for timer in self._soon.values():
            timer.stop()
        self._ui.addButton.checked = False

    def _timer(self, call: Callable[[], None], milliseconds: int) -> Any:
        timer = qt.QTimer()
        timer.singleShot = True
        timer.interval = milliseconds
        timer.connect("timeout()", call)
        return timer
