"""Where a network looked at the chosen nodule: asked for by a person, answered by another process, laid over the CT."""

from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LungCADLib.engines import networks_can_run
from LungCADLib.explain import Explanation
from LungCADLib.jobs import Failed, Finished, Job, read_explanation
from LungCADLib.masks import BoxMask
from LungCADLib.panel.parameters import Choice, Choices
from LungCADLib.pictures import png
from LungCADLib.scan import Geometry
from LungCADLib.segments import outlines
from LungCADLib.settings import Settings

if TYPE_CHECKING:
    from LungCADLib.panel.session import Session

NOTHING = "nothing"
TICK_MS = 100
_BAR = (96, 10)
"""Width and height in pixels of the bar of colors."""

Answer = tuple[BoxMask, Explanation, Geometry]


def kinds() -> Choices:
    """What can be shown: its name in a request, in the box, and in one sentence."""
    return (
        (NOTHING, _("nothing"), _("The CT alone.")),
        (
            "appearance",
            _("why suspicious"),
            _("Where the appearance network saw evidence for suspicion on the largest slice (Grad-CAM)."),
        ),
        (
            "cnn-2d",
            _("why suspicious, 2D CNN"),
            _("Where the 2D CNN saw evidence for suspicion on the largest slice (Grad-CAM)."),
        ),
        (
            "reduction",
            _("why found"),
            _("Where the detector's network saw evidence for a nodule (Grad-CAM)."),
        ),
    )


class ExplanationSection:
    """Shows a heat map over the CT while its kind is chosen, and takes it away with any other nodule.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    folder
        Where the bar of colors may lie as a file.
    """

    def __init__(self, ui: Any, folder: Path) -> None:
        self._ui, self._folder, self._tip = ui, folder, ui.explainBox.toolTip
        self._choice = Choice(ui.explainBox, kinds())
        self._of: tuple[Session, str, BoxMask | None] | None = None
        self._answers: dict[tuple[str, str], Answer] = {}
        self._overlay: Any = None
        self._job: Job | None = None
        self._ending: list[Job] = []
        self._timer = qt.QTimer()
        self._timer.interval = TICK_MS
        self._timer.connect("timeout()", self._tick)
        ui.explainBox.connect("currentIndexChanged(int)", self._chosen)
        self.show(None, None)

    def show(self, session: "Session | None", nodule: str | None) -> None:
        """Offer explanations of a nodule, or none; what is shown stays until another comes or its outline changes."""
        shown = session is not None and nodule is not None
        # Asked each time, because Setup may have installed them in the meantime.
        can = shown and networks_can_run() and find_spec("monai") is not None
        for name in ("explainLabel", "explainBox"):
            getattr(self._ui, name).visible = shown
            getattr(self._ui, name).enabled = can
        self._ui.explainBox.toolTip = self._tip if can else _("Needs PyTorch and MONAI: see Setup.")
        outline = outlines(session.study).nodules.get(nodule) if session is not None and nodule is not None else None
        of = (session, nodule, outline) if session is not None and nodule is not None else None
        if of == self._of:
            return
        if self._of is None or of is None or of[0] is not self._of[0]:
            self._answers = {}
        self._of = of
        self._ui.explainBox.blockSignals(True)
        self._choice.write(NOTHING)
        self._ui.explainBox.blockSignals(False)
        self._nothing()

    def close(self) -> None:
        """End what still runs and take away what is shown."""
        self.show(None, None)
        self._timer.stop()
        for job in self._ending:
            job.close()
        self._ending = []

    def _chosen(self, index: int) -> None:
        self._nothing()
        kind = self._choice.read()
        if self._of is None or kind == NOTHING:
            return
        session, nodule, outline = self._of
        known = self._answers.get((nodule, kind))
        if known is not None and known[0] is outline:
            self._lay(known[1], known[2])
            return
        with slicer.util.tryWithErrorDisplay(_("The network could not be asked.")):
            from LungCADLib.panel import run

            self._job = run.start_job(session.question(nodule, kind), Settings())  # type: ignore[arg-type]
            self._say(_("Asking the network, some seconds …"))
            self._timer.start()

    def _tick(self) -> None:
        for job in [job for job in self._ending if not job.poll() and not job.running]:
            job.close()
            self._ending.remove(job)
        for event in self._job.poll() if self._job is not None else []:
            if isinstance(event, Finished | Failed):
                self._ended(event)
        if self._job is None and not self._ending:
            self._timer.stop()

    def _ended(self, event: Finished | Failed) -> None:
        job, self._job = self._job, None
        assert job is not None and self._of is not None
        _session, nodule, outline = self._of
        try:
            if isinstance(event, Failed):
                self._say(escape(event.message))
                return
            with slicer.util.tryWithErrorDisplay(_("The answer of the network could not be shown.")):
                found, grid = read_explanation(event.folder)
                if outline is not None:
                    self._answers[nodule, self._choice.read()] = (outline, found, grid)
                self._lay(found, grid)
        finally:
            job.close()

    def _lay(self, found: Explanation, grid: Geometry) -> None:
        from LungCADLib.scene import overlay

        assert self._of is not None
        session, nodule, _outline = self._of
        if not session.alive:
            return
        title = f"{nodule}: {self._ui.explainBox.currentText}"
        self._overlay = overlay.show_overlay(session.nodes, found.grad_cam, grid, title)
        bar = self._folder / "colors.png"
        width, height = _BAR
        bar.write_bytes(png(overlay.colors(session.nodes.volume.GetScene(), width)[None].repeat(height, axis=0)))
        self._ui.explainBar.setPixmap(qt.QPixmap(str(bar)))
        self._ui.explainBar.visible = True
        self._say(explanation_html(self._choice.read(), found))

    def _nothing(self) -> None:
        """Take away what is shown, and end what was asked."""
        if self._job is not None:
            self._job.cancel()
            self._ending.append(self._job)
            self._job = None
            self._timer.start()
        if self._overlay is not None:
            self._overlay.remove()
            self._overlay = None
        self._ui.explainBar.visible = self._ui.explainText.visible = False

    def _say(self, text: str) -> None:
        self._ui.explainText.text = text
        self._ui.explainText.visible = True


def explanation_html(kind: str, found: Explanation) -> str:
    """What the colors mean, and how far to believe them."""
    what = next(tip for name, _label, tip in kinds() if name == kind)  # type: ignore[misc]
    text = _(
        "{what} Red is little, yellow the most. How far to believe it: hiding places from the network shows the same "
        "with a correlation of {agreement} (1 is best), and a network that has learned nothing draws a map alike by "
        "{chance} (0 is best)."
    )
    return escape(text.format(what=what, agreement=f"{found.agreement:.2f}", chance=f"{found.chance:.2f}"))
