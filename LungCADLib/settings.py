"""What a run can be told."""

from dataclasses import dataclass, field
from typing import Literal

Sex = Literal["female", "male"]
PetUptake = Literal["none", "faint", "moderate", "intense"]
Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Patient:
    """What is known about the patient; None means nobody said, and whatever uses it gives a range.

    Parameters
    ----------
    age_years
        Age on the day of the scan.
    sex
        As the risk equations use it.
    ever_smoker, years_since_quit
        `years_since_quit` is 0 for a current smoker.
    family_history_lung_cancer, family_history_cancer
        In a first-degree relative; the first for Brock, the second (any cancer) for PKU.
    emphysema
        On this or an earlier CT.
    extrathoracic_cancer
        Diagnosed more than five years ago (Mayo).
    pet_uptake
        FDG uptake of the most suspicious nodule on the BTS scale (Herder).
    known_cancer, immunosuppressed
        Fleischner 2017 does not apply to these patients.
    high_risk
        The reader's own judgement for Fleischner 2017; None derives it from age and smoking where known.
    """

    age_years: float | None = None
    sex: Sex | None = None
    ever_smoker: bool | None = None
    years_since_quit: float | None = None
    family_history_lung_cancer: bool | None = None
    family_history_cancer: bool | None = None
    emphysema: bool | None = None
    extrathoracic_cancer: bool | None = None
    pet_uptake: PetUptake | None = None
    known_cancer: bool | None = None
    immunosuppressed: bool | None = None
    high_risk: bool | None = None


@dataclass(frozen=True)
class Settings:
    """How a scan is analyzed.

    Parameters
    ----------
    device
        Where networks run; "auto" takes CUDA, then MPS, then CPU.
    lung_engine, detector, outliner, malignancy
        Names of engines, which `lungcad models` lists; "auto" is the network where PyTorch is installed, and the
        engine that needs none where it is not.
    detection_threshold
        Marks scored below this are not reported, 0 to 1; None takes the detector's own operating point.
    min_diameter_mm
        Marks with a smaller mean diameter are not reported.
    max_nodules
        At most this many nodules are reported, the highest scores first.
    patient
        Factors for the risk equations and guidelines; where None, the scan's header fills age and sex.
    """

    device: Device = "auto"
    lung_engine: str = "classical"
    detector: str = "auto"
    outliner: str = "auto"
    malignancy: str = "reader-model"
    detection_threshold: float | None = None
    min_diameter_mm: float = 4.0
    max_nodules: int = 50
    patient: Patient = field(default_factory=Patient)
