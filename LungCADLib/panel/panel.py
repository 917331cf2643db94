"""The whole panel: its sections, and a timer that follows a run."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LungCADLib.panel.input import InputSection
from LungCADLib.panel.output import OutputSection
from LungCADLib.panel.parameters import Parameters
from LungCADLib.panel.results import ResultsSection
from LungCADLib.panel.setup import SetupSection

TICK_MS = 100
_STEPS = 1000


class Panel:
    """What `LungCAD.ui` shows.

    Parameters
    ----------
    widget
        The widget loaded from `LungCAD.ui`.
    logic
        A `LungCADLogic`: `start`, `open`, `studies`, `reopen`.
    """

    def __init__(self, widget: Any, logic: Any) -> None:
        self._widget, self._logic = widget, logic
        self.ui = slicer.util.childWidgetVariables(widget)
        self.run: Any = None
        self._parameters: Parameters | None = None
        self.input = InputSection(self.ui)
        self.results = ResultsSection(self.ui, self._show_output)
        self.output = OutputSection(self.ui)
        self.setup = SetupSection(self.ui, self.refresh)
        self._shown_log = ""
        self._timer = qt.QTimer()
        self._timer.interval = TICK_MS
        self._timer.connect("timeout()", self._tick)
        self.ui.applyButton.connect("clicked()", self._apply)
        self.ui.cancelButton.connect("clicked()", self._cancel)
        self.ui.reopenButton.connect("clicked()", self._reopen)
        self.ui.studyBox.connect("activated(int)", self._reopen_chosen)
        self.ui.logBox.connect("toggled(bool)", self._show_log)

    def bind(self, parameters: Parameters | None) -> None:
        """Tie the panel to a scene's parameters, or to none."""
        self._parameters = parameters
        self.input.bind(parameters, self._widget)
        self.refresh()

    def refresh(self) -> None:
        """Say what can be done now, and why not what cannot."""
        running = self.run is not None
        refusal = self.input.refusal()
        if self.setup.blocking:
            refusal = _("Install {names} first: see Setup.").format(names=", ".join(self.setup.blocking))
        self.ui.applyButton.enabled = not running and not refusal
        self.ui.applyButton.toolTip = refusal or _("Finds, outlines, measures and rates the nodules of this CT.")
        self.ui.cancelButton.enabled = running
        self.ui.inputSection.enabled = not running
        self._offer_studies(running)

    def show_session(self, session: Any) -> None:
        """Show results, or none."""
        if session is not None:
            from LungCADLib.scene.earlier import show_alone

            show_alone(session.nodes)
        self.results.show(session)
        self._show_output()
        self.refresh()

    def scene_closing(self) -> None:
        """Let go of every node before the scene goes."""
        if self.run is not None:
            self.run.cancel()
        self.bind(None)
        self.show_session(None)

    def reopen_quietly(self) -> None:
        """Show the results a scene brought with it, if there are any."""
        shown = self.results.session
        if self.run is None and self._logic.studies() and not (shown and shown.alive and shown.latest):
            self._reopen()
        self.refresh()

    def close(self) -> None:
        """The application or the module goes."""
        self._timer.stop()
        if self.run is not None:
            self.run.close()
        self.input.close()
        self.results.close()

    def _apply(self) -> None:
        if self.run is not None or self._parameters is None:
            return
        self._message("")
        with slicer.util.tryWithErrorDisplay(_("The analysis could not start."), waitCursor=True):
            self.run = self._logic.start(self._parameters)
        self.ui.progressBar.value = 0
        self.ui.progressText.text = _("Handing over the CT …")
        self._set_running(True)
        self._timer.start()

    def _cancel(self) -> None:
        if self.run is not None:
            self.ui.cancelButton.enabled = False
            self.ui.progressText.text = _("Stopping …")
            self.run.cancel()

    def _tick(self) -> None:
        run = self.run
        try:
            with slicer.util.tryWithErrorDisplay(_("The results could not be brought into the scene.")):
                if run.tick():
                    self._show_progress(run)
        except Exception:
            self._timer.stop()
            run.close()
            self.run = None
            self._set_running(False)
            raise
        if self.ui.logBox.checked:
            self._show_log(True)
        if not run.running:
            self._ended(run)

    def _show_progress(self, run: Any) -> None:
        step = run.progress
        if step is not None and self.ui.cancelButton.enabled:
            self.ui.progressBar.value = round(_STEPS * step.fraction)
            self.ui.progressText.text = progress_text(step)
        if run.study is not None and not run.complete:
            self.results.show_lungs(run.study)

    def _ended(self, run: Any) -> None:
        self._timer.stop()
        self._show_log(True)
        self.run = None
        self._set_running(False)
        if run.failure is not None:
            self._message("" if run.failure.kind == "cancelled" else run.failure.message)
        elif run.kept:
            self._message(_("Your earlier review of this CT is kept, hidden: choose it under Output to see it again."))
        if run.nodes is not None:
            self.show_session(self._logic.open(run.nodes, run.study))
        elif self.results.session is None:
            self.results.show(None)
        else:
            self.show_session(self.results.session if self.results.session.alive else None)

    def _set_running(self, running: bool) -> None:
        self.ui.progressBar.visible = self.ui.progressText.visible = running
        self.ui.logBox.visible = True
        self.refresh()

    def _message(self, text: str) -> None:
        self.ui.runMessage.text = text
        self.ui.runMessage.visible = bool(text)

    def _show_log(self, shown: bool) -> None:
        if shown and self.run is not None and self.run.log != self._shown_log:
            self._shown_log = self.run.log
            self.ui.logText.plainText = self._shown_log

    def _offer_studies(self, running: bool) -> None:
        """Let the person reopen results, and choose which where the scene holds several."""
        found, box = self._logic.studies(), self.ui.studyBox
        self.ui.reopenButton.enabled = box.enabled = not running and bool(found)
        box.visible = len(found) > 1
        box.clear()
        if len(found) < 2:
            return
        from LungCADLib.scene.earlier import label

        for nodes in found:
            box.addItem(label(nodes), nodes.text.GetID())
            if self.results.session is not None and self.results.session.nodes.text is nodes.text:
                box.setCurrentIndex(box.count - 1)

    def _reopen(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The results could not be opened."), waitCursor=True):
            self.show_session(self._logic.reopen())

    def _reopen_chosen(self, index: int) -> None:
        with slicer.util.tryWithErrorDisplay(_("The results could not be opened."), waitCursor=True):
            self.show_session(self._logic.reopen(self._logic.studies()[index]))

    def _show_output(self) -> None:
        self.output.show(self.results.session)


def progress_text(step: Any) -> str:
    """A stage in words, how far the whole is, and about how long it will still take."""
    stages = {
        "read": _("Reading the CT"),
        "lungs": _("Outlining the lungs"),
        "candidates": _("Looking for nodules"),
        "nodules": _("Outlining and measuring nodules"),
        "opinions": _("Rating nodules"),
        "write": _("Writing the results"),
    }
    text = f"{stages.get(step.stage, step.stage)}: {round(100 * step.fraction)}%"
    if step.seconds_left is None:
        return text
    return text + _(", about {seconds} s left").format(seconds=max(1, round(step.seconds_left)))
