"""What became of LIDC patients: the one outcome in LIDC that is not a reader's opinion."""

from pathlib import Path

from LungCADLib.errors import InputError

BENIGN, MALIGNANT = 1, (2, 3)
"""Diagnosis at the patient level: benign; malignant primary or metastatic. 0 is unknown."""


def read_diagnoses(path: Path) -> dict[str, bool]:
    """Whether each patient with a known diagnosis had a malignant disease.

    Parameters
    ----------
    path
        `tcia-diagnosis-data-2012-04-20.xls` of LIDC-IDRI on TCIA: one row per patient, the patient in the first column
        and the diagnosis at the patient level in the second. It rests on biopsy, resection, progression, or two years
        of a stable nodule on images.

    Raises
    ------
    InputError
        If the file is not this table, or the package that reads it is missing.
    """
    try:
        import xlrd
    except ImportError:
        raise InputError(f"{path}: reading .xls needs xlrd; get it with `pip install xlrd`.") from None
    try:
        sheet = xlrd.open_workbook(path).sheet_by_index(0)
        rows = [sheet.row_values(i)[:2] for i in range(1, sheet.nrows)]
        diagnoses = {str(patient).strip(): int(diagnosis) for patient, diagnosis in rows if diagnosis != ""}
    except Exception as error:  # a damaged workbook makes xlrd raise almost anything
        raise InputError(f"{path}: this is not LIDC's table of diagnoses ({error}); get it from TCIA.") from None
    return {
        patient: diagnosis != BENIGN
        for patient, diagnosis in diagnoses.items()
        if diagnosis == BENIGN or diagnosis in MALIGNANT
    }
