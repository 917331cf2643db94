"""Study -> files a person or a program reads without Slicer: JSON, CSV, segmentation, HTML."""

from pathlib import Path

from LungCADLib.scan import Scan
from LungCADLib.study import Study


def write_results(study: Study, scan: Scan, out: Path) -> dict[str, Path]:
    """Write every result file into a folder.

    Parameters
    ----------
    study
        What was found, with its masks.
    scan
        The scan it was found in.
    out
        An existing folder; files of the same names are replaced.

    Returns
    -------
    The files by kind: `study`, `nodules`, `segmentation`, `report`.

    Raises
    ------
    InputError
        If the study carries no masks.
    """
    from LungCADLib.report.page import write_page
    from LungCADLib.report.segmentation import write_segmentation
    from LungCADLib.report.tables import write_csv

    files = {
        "study": out / "study.json",
        "nodules": out / "nodules.csv",
        "segmentation": out / "segmentation.seg.nrrd",
        "report": out / "report.html",
    }
    study.save(files["study"])
    write_csv(study.nodules, files["nodules"])
    write_segmentation(study, files["segmentation"])
    write_page(study, scan, files["report"])
    return files
