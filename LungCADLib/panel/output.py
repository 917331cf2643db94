"""The output section: files for whom this scene is not open."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LungCADLib.study import Study

if TYPE_CHECKING:
    from LungCADLib.panel.session import Session

AskPath = Callable[[str, str, str], str]
"""Title, file name and filter to a path; empty if the person gave up."""


def ask_path(title: str, name: str, kinds: str) -> str:
    """Ask the person where to save."""
    return str(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, kinds) or "")


class OutputSection:
    """Saves what a session holds.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    ask
        Asks for a path.
    """

    def __init__(self, ui: Any, ask: AskPath = ask_path) -> None:
        self._ui, self._ask = ui, ask
        self._session: Session | None = None
        ui.saveSceneButton.connect("clicked()", self._save_scene)
        ui.saveTableButton.connect("clicked()", self._save_table)
        ui.saveReportButton.connect("clicked()", self._save_report)

    def show(self, session: "Session | None") -> None:
        """Offer what a session can be saved as."""
        self._session = session
        for name in ("saveSceneButton", "saveTableButton", "saveReportButton"):
            getattr(self._ui, name).enabled = session is not None

    def _save_scene(self) -> None:
        path = self._ask(_("Save scene"), "LungCAD.mrb", _("Medical Reality Bundle (*.mrb)"))
        if path:
            with slicer.util.tryWithErrorDisplay(_("The scene was not saved."), waitCursor=True):
                # With a dictionary of its own: the default one of saveScene is shared by all its calls.
                if not slicer.util.saveScene(path, {}):
                    raise RuntimeError(_("Slicer could not write {path} (is the disk full?).").format(path=path))

    def _save_table(self) -> None:
        path = self._ask(_("Save table"), "nodules.csv", _("Table (*.csv)"))
        if path and self._session is not None:
            with slicer.util.tryWithErrorDisplay(_("The table was not saved.")):
                from LungCADLib.report.tables import write_csv

                write_csv(self._session.study.counted, Path(path))

    def _save_report(self) -> None:
        path = self._ask(_("Save report"), "report.html", _("Web page (*.html)"))
        if path and self._session is not None:
            with slicer.util.tryWithErrorDisplay(_("The report was not saved."), waitCursor=True):
                from LungCADLib.report.page import write_page

                write_page(_reported(self._session.study), self._session.scan, Path(path))


def _reported(study: Study) -> Study:
    """The study without what a person rejected; the changes stay in it."""
    part = replace(study, nodules=study.counted)
    part.masks = study.masks
    return part
