"""What a person sets in the panel, kept in the scene, and the settings a run gets from it."""

from typing import Annotated, Any

import qt
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import GuiConnector, WithinRange, parameterNodeWrapper

from LungCADLib.settings import Patient, Settings

UNKNOWN = "unknown"
NO_YEARS = -1
"""In `years_since_quit`, where 0 is a current smoker; in `age_years` 0 says that nobody knows."""

_DEFAULTS = Settings()

ENGINES = ("lung_engine", "detector", "outliner", "malignancy")
_YES_OR_NO = (
    "ever_smoker",
    "family_history_lung_cancer",
    "family_history_cancer",
    "emphysema",
    "extrathoracic_cancer",
    "known_cancer",
    "immunosuppressed",
    "high_risk",
)

Choices = tuple[tuple[str, str] | tuple[str, str, str], ...]
"""Values with their labels, and a tooltip where the label does not say it all."""


@parameterNodeWrapper
class Parameters:
    """The parameters, by the names of `Settings` and `Patient`, which the panel's widgets have too."""

    input_volume: vtkMRMLScalarVolumeNode
    age_years: Annotated[int, WithinRange(0, 120)] = 0
    sex: str = UNKNOWN
    ever_smoker: str = UNKNOWN
    years_since_quit: Annotated[int, WithinRange(NO_YEARS, 80)] = NO_YEARS
    family_history_lung_cancer: str = UNKNOWN
    family_history_cancer: str = UNKNOWN
    emphysema: str = UNKNOWN
    extrathoracic_cancer: str = UNKNOWN
    pet_uptake: str = UNKNOWN
    known_cancer: str = UNKNOWN
    immunosuppressed: str = UNKNOWN
    high_risk: str = UNKNOWN
    lung_engine: str = _DEFAULTS.lung_engine
    detector: str = _DEFAULTS.detector
    outliner: str = _DEFAULTS.outliner
    malignancy: str = _DEFAULTS.malignancy
    device: str = _DEFAULTS.device
    min_diameter_mm: Annotated[float, WithinRange(2.0, 30.0)] = _DEFAULTS.min_diameter_mm


class Choice(GuiConnector):
    """Ties a combo box, whose items carry their values as data, to a text parameter.

    A value the box does not have (an engine of another installation) is added to it rather than changed.
    """

    def __init__(self, box: Any, choices: Choices = ()) -> None:
        super().__init__()
        self._box = box
        self.offer(choices)

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:  # noqa: N802
        return False  # Made by hand only: a text parameter alone does not say what its choices are.

    @staticmethod
    def create(widget: Any, datatype: Any) -> "Choice":
        return Choice(widget)

    def offer(self, choices: Choices) -> None:
        """Offer these choices; the current one stays."""
        chosen = self.read() if self._box.count else None
        self._box.blockSignals(True)
        self._box.clear()
        for index, (value, label, *tip) in enumerate(choices):
            self._box.addItem(label, value)
            if tip:
                self._box.setItemData(index, tip[0], qt.Qt.ToolTipRole)
        if chosen is not None:
            self.write(chosen)
        self._box.blockSignals(False)

    def widget(self) -> Any:
        return self._box

    def read(self) -> str:
        return str(self._box.currentData)

    def write(self, value: str) -> None:
        if self._box.findData(value) < 0:
            self._box.addItem(value, value)
        self._box.setCurrentIndex(self._box.findData(value))

    def _connect(self) -> None:
        self._box.connect("currentIndexChanged(int)", self._moved)

    def _disconnect(self) -> None:
        self._box.disconnect("currentIndexChanged(int)", self._moved)

    def _moved(self, index: int) -> None:
        self.changed()


def choices() -> dict[str, Choices]:
    """What the patient's boxes offer, by parameter."""
    unknown, no, yes = (UNKNOWN, _("unknown")), ("no", _("no")), ("yes", _("yes"))
    yes_no = (unknown, no, yes)
    return {
        "sex": (unknown, ("female", _("female")), ("male", _("male"))),
        "ever_smoker": (unknown, ("no", _("never")), ("yes", _("current or former"))),
        "family_history_lung_cancer": yes_no,
        "family_history_cancer": yes_no,
        "emphysema": yes_no,
        "extrathoracic_cancer": yes_no,
        "pet_uptake": (
            unknown,
            ("none", _("none")),
            ("faint", _("faint")),
            ("moderate", _("moderate")),
            ("intense", _("intense")),
        ),
        "known_cancer": yes_no,
        "immunosuppressed": yes_no,
        "high_risk": (unknown, ("no", _("low risk")), ("yes", _("high risk"))),
    }


def settings_of(parameters: Parameters) -> Settings:
    """The settings a run gets."""
    patient = Patient(
        age_years=float(parameters.age_years) or None,
        sex=_known(parameters.sex),
        years_since_quit=None if parameters.years_since_quit == NO_YEARS else float(parameters.years_since_quit),
        pet_uptake=_known(parameters.pet_uptake),
        **{name: _yes(getattr(parameters, name)) for name in _YES_OR_NO},
    )
    engines = {name: getattr(parameters, name) for name in (*ENGINES, "device")}
    return Settings(min_diameter_mm=parameters.min_diameter_mm, patient=patient, **engines)


def _known(value: str) -> Any:
    return None if value == UNKNOWN else value


def _yes(value: str) -> bool | None:
    return None if value == UNKNOWN else value == "yes"
