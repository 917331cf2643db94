"""The reduction network on nodules cut out of scans: which of a reader's nodules score enough to be reported."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection import detector
from LungCADLib.lungs.crop import crop_region
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.progress import Progress
from LungCADLib.study import LungsInfo, LungVerdict
from LungCADLib.training.nodule_sets import read_crops


def best_scores(path: Path, engine: str) -> NDArray[np.float64]:
    """(n,) the best score of a candidate whose center lies in the reader's outline, for each crop; 0 without one.

    What the crop's patient taught is left to the member that never saw the patient.
    """
    detect = detector(engine)
    no_lungs = LungsInfo("crop", LungVerdict("ok", complete=False), 0.0, 0.0, 0.0, 0.0)
    best = []
    for case in read_crops(path, None):
        scan = replace(case.scan, header=replace(case.scan.header, patient_id=case.patient))
        region = crop_region(scan)
        labels = np.where(region, LungLabel.RIGHT, LungLabel.BACKGROUND).astype(np.uint8)
        found = [0.0]
        for candidate in detect(scan, Lungs(labels, region, no_lungs), Progress()):
            at = tuple(np.round(scan.geometry.to_index(candidate.center_lps_mm)).astype(int))
            if case.truth[at]:
                found.append(candidate.score)
        best.append(max(found))
    return np.array(best)
