"""From the nodules of a scan to one number for the patient: noisy-or, and noisy-or with a leak.

A patient is taken to be free of cancer when every nodule, each on its own, is (noisy-or; Pearl, Probabilistic Reasoning
in Intelligent Systems, 1988). The leak is the chance of a cancer that no nodule explains (Henrion, UAI 1987; for lung
nodules Liao et al., IEEE Trans Neural Netw Learn Syst 2019;30:3484, who also take five nodules).

What a nodule brings is the detector's score times the suspicion: how likely it is a nodule at all, and how likely
radiologists call it suspicious. The suspicion is calibrated on LIDC's readers, the score on LungCAD's own candidates,
neither on cancers. So the result orders patients; as a probability of cancer it holds only after it was calibrated on
patients like those it is used on (`lungcad evaluate dsb` does so where there are labels).
"""

from collections.abc import Sequence

import numpy as np

from LungCADLib.study import Nodule

MOST_NODULES = 5

LEAK = 0.01
"""Below 1% of people in Lung-RADS categories 1 and 2, whose scans show nothing to follow up, have a malignancy (ACR,
Lung-RADS Version 1.1 Assessment Categories, 2019, column "probability of malignancy")."""


def noisy_or(probabilities: Sequence[float], leak: float = 0.0) -> float:
    """The chance that at least one of several independent causes, or something unknown, is at work.

    Parameters
    ----------
    probabilities
        Of the causes, 0 to 1.
    leak
        Of what is unknown, 0 to 1; 0 is the plain noisy-or.

    Returns
    -------
    float
        1 - (1 - leak) * product of (1 - p).
    """
    return float(1 - (1 - leak) * np.prod(1 - np.asarray(probabilities, float)))


def contributions(nodules: Sequence[Nodule]) -> list[float]:
    """Detection score times suspicion of the nodules for which it is greatest, at most `MOST_NODULES`, highest first.

    A nodule without a suspicion brings nothing.
    """
    found = sorted((nodule.score * nodule.suspicion.value for nodule in nodules if nodule.suspicion), reverse=True)
    return found[:MOST_NODULES]


def patient_score(nodules: Sequence[Nodule], leak: float = LEAK) -> float:
    """The patient's number, 0 to 1, from all nodules that count."""
    return noisy_or(contributions(nodules), leak)
