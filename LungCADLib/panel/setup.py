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
    confirm
        Asks the person a question; True for yes.
    """

    def __init__(self, ui: Any, confirm: Callable[[str], bool] = slicer.util.confirmOkCancelDisplay) -> None:
        self._ui, self._confirm = ui, confirm
        ui.installButton.connect("clicked()", self._install)
        ui.restartButton.connect("clicked()", slicer.util.restart)
        self.refresh(installed=False)

    def refresh(self, *, installed: bool) -> None:
        """Look again; `installed` says that something was just installed, so that a restart is offered."""
        missing = requirements.missing()
        self._ui.setupSection.visible = bool(missing) or installed
        self._ui.installButton.visible = bool(missing)
        self._ui.restartButton.visible = installed
        if missing:
            names = ", ".join(map(requirements.name_of, missing))
            text = _("Missing: <b>{names}</b>. Engines that need them cannot run; everything else works.")
            self._ui.setupText.text = text.format(names=escape(names))
        else:
            self._ui.setupText.text = _("Everything is installed. Restart Slicer to use it.")

    def _install(self) -> None:
        missing = requirements.missing()
        needs_torch = any(requirements.name_of(line) == requirements.TORCH for line in missing)
        with slicer.util.tryWithErrorDisplay(_("The packages were not installed."), waitCursor=True):
            if needs_torch and not requirements.has_pytorch_extension():
                question = _(
                    'PyTorch is installed by the Slicer extension "PyTorch", which picks the right build for your GPU. '
                    "Download and install that extension? Slicer has to be restarted afterwards."
                )
                if self._confirm(question):
                    requirements.install_pytorch_extension()
                    self.refresh(installed=True)
                return
            question = _(
                "Download these packages from the Python Package Index and install them into Slicer?\n\n{names}\n\n"
                "PyTorch is up to 3 GB and takes some minutes."
            )
            if self._confirm(question.format(names="\n".join(missing))):
                requirements.install(missing)
                self.refresh(installed=True)
