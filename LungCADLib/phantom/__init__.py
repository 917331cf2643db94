"""A synthetic chest CT with known truth: the bundled sample, the fixture of tests, the stress test.

It may show that the code runs end to end, how exact measurements are, and how a stage bears noise, kernel and slice
thickness. It may not stand for patients: sensitivity and false marks on a phantom say nothing about a clinic.
"""

from LungCADLib.phantom.make import Phantom, make_phantom, small_phantom
from LungCADLib.phantom.nodules import NoduleSpec, TrueNodule
from LungCADLib.phantom.sample import DEMO_NODULES, sample_nodules
from LungCADLib.phantom.varied import usual_nodules, varied_phantom
from LungCADLib.phantom.write import write_phantom

__all__ = [
    "DEMO_NODULES",
    "NoduleSpec",
    "Phantom",
    "TrueNodule",
    "make_phantom",
    "sample_nodules",
    "small_phantom",
    "usual_nodules",
    "varied_phantom",
    "write_phantom",
]
