"""The input section: the CT, what is known of the patient, and what runs where."""

from typing import Any

import qt
from slicer.i18n import tr as _

from LungCADLib.errors import InputError
from LungCADLib.panel import machine
from LungCADLib.panel.parameters import ENGINES, Choice, Parameters, choices

_ASK_AGAIN_MS = 100


class InputSection:
    """Ties the section's widgets to the parameters and says whether the CT can be used.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        boxes = choices()
        self._choices = {name: Choice(getattr(ui, name), boxes[name]) for name in boxes}
        self._choices |= {name: Choice(getattr(ui, name)) for name in (*ENGINES, "device")}
        self._parameters: Parameters | None = None
        self._tags: tuple[int, ...] = ()
        self._gpu: machine.FreeGpuMemory | None = None
        self._timer = qt.QTimer()
        self._timer.interval = _ASK_AGAIN_MS
        self._timer.connect("timeout()", self._ask_gpu)
        ui.advancedBox.connect("toggled(bool)", self._advanced)

    def bind(self, parameters: Parameters | None, widget: Any) -> None:
        """Tie the widgets to parameters, or to none."""
        if self._parameters is not None:
            for tag in self._tags:
                self._parameters.disconnectGui(tag)  # type: ignore[attr-defined]
        self._parameters, self._tags = parameters, ()
        if parameters is not None:
            self._tags = (
                parameters.connectGui(widget),  # type: ignore[attr-defined]
                parameters.connectParametersToGui(self._choices),  # type: ignore[attr-defined]
            )

    def refusal(self) -> str:
        """Why the chosen volume cannot be analyzed; empty if it can. Shown below the selector too."""
        reason = self._reason()
        self._ui.inputMessage.text = reason
        self._ui.inputMessage.visible = bool(reason)
        return reason or ("" if self._chosen() else _("Choose a CT volume first."))

    def _reason(self) -> str:
        if self._chosen() is None:
            return ""
        from LungCADLib.scene.volumes import check_volume

        try:
            check_volume(self._chosen())
        except InputError as error:
            return str(error)
        return ""

    def _chosen(self) -> Any:
        return self._parameters.input_volume if self._parameters is not None else None

    def _advanced(self, shown: bool) -> None:
        """Look for engines and devices when somebody wants to see them."""
        if not shown:
            self._timer.stop()
            return
        for name, names in machine.engines().items():
            self._choices[name].offer(names)
        self._choices["device"].offer(machine.devices(None))
        self._gpu = machine.FreeGpuMemory()
        self._timer.start()

    def _ask_gpu(self) -> None:
        if self._gpu is not None and self._gpu.known:
            self._timer.stop()
            self._choices["device"].offer(machine.devices(self._gpu.answer()))

    def close(self) -> None:
        """Let go of the parameters."""
        self._timer.stop()
        self.bind(None, None)
