"""The setup section: shown only while something is missing, installs it when asked."""

from collections.abc import Callable
from html import escape
from typing import Any

import slicer
from slicer.i18n import tr as _

from LungCADLib.panel import requirements


class SetupSection:
    """Says what is missing and what works without it.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    changed
        Called when something was installed.
    confirm
        Asks the person a question; True for yes.

    Attributes
    ----------
    blocking
        Names of missing packages without which no scan can be analyzed.
    """

    def __init__(
        self,
        ui: Any,
        changed: Callable[[], None],
        confirm: Callable[[str], bool] = slicer.util.confirmOkCancelDisplay,
    ) -> None:
        self._ui, self._changed, self._confirm = ui, changed, confirm
        self._restart = False
        self.blocking: list[str] = []
        ui.installButton.connect("clicked()", self._install)
        ui.restartButton.connect("clicked()", slicer.util.restart)
        self.refresh()

    def refresh(self) -> None:
        """Look again for what is missing."""
        missing = requirements.missing()
        self.blocking = requirements.blocking(missing)
        self._ui.setupSection.visible = bool(missing) or self._restart
        self._ui.installButton.visible = bool(missing)
        self._ui.restartButton.visible = self._restart
        texts = [_missing_text(missing, self.blocking)] if missing else []
        if self._restart:
            texts.append(_("Restart Slicer to use what was installed, then come back here."))
        self._ui.setupText.text = " ".join(texts)

    def _install(self) -> None:
        missing = requirements.missing()
        with slicer.util.tryWithErrorDisplay(_("Not everything was installed."), waitCursor=True):
            try:
                if requirements.installable(missing) != missing:
                    self._offer_extension()
                wanted = requirements.installable(missing)
                if wanted and self._confirm(_packages_question(wanted)):
                    self._restart |= requirements.install(wanted)
            finally:
                self.refresh()
                self._changed()

    def _offer_extension(self) -> None:
        question = _(
            'PyTorch is installed by the Slicer extension "PyTorch", which picks the right build for your GPU. '
            "Download and install that extension? Slicer has to be restarted afterwards. Without it LungCAD works "
            "without networks, less well."
        )
        if self._confirm(question):
            requirements.install_pytorch_extension()
            self._restart = True


def _missing_text(missing: list[str], blocking: list[str]) -> str:
    names = [requirements.name_of(line) for line in missing]
    text = _("Missing: <b>{names}</b>.").format(names=escape(", ".join(names)))
    if blocking:
        text += " " + _("No scan can be analyzed without {names}.").format(names=escape(", ".join(blocking)))
    networks = [name for name in names if name not in blocking]
    if networks:
        without = _("Without {names}: nodules are found, outlined and rated by simpler engines, less well.")
        text += " " + without.format(names=escape(", ".join(networks)))
    return text


def _packages_question(lines: list[str]) -> str:
    question = _("Download these packages from the Python Package Index and install them into Slicer?\n\n{names}")
    text = question.format(names="\n".join(lines))
    if requirements.TORCH in map(requirements.name_of, lines):
        text += "\n\n" + _("PyTorch is up to 3 GB and takes some minutes.")
    return text
