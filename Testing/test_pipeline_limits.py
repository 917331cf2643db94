"""What the road says where there is no lung, or not all of it, and what it refuses before it starts."""

import numpy as np
import pytest

from LungCADLib.errors import InputError
from LungCADLib.phantom import small_phantom
from LungCADLib.pipeline import analyze
from LungCADLib.progress import Progress
from LungCADLib.scan import Geometry, Scan
from LungCADLib.settings import Settings


def test_a_scan_that_ends_within_the_lungs_is_lung_rads_0_whatever_it_shows():
    whole = small_phantom(0, nodules=0).scan
    middle = whole.crop((slice(40, 80), slice(None), slice(None)))

    study = analyze(middle)

    assert not study.lungs.verdict.complete
    assert study.exam.lung_rads.category == "0"


def test_a_whole_chest_without_nodules_is_lung_rads_1():
    study = analyze(small_phantom(0, nodules=0).scan, Settings(detection_threshold=1.0))

    assert study.lungs.verdict.complete
    assert study.nodules == []
    assert study.exam.lung_rads.category == "1"


def test_where_no_lung_is_nothing_is_looked_for():
    rng = np.random.default_rng(0)
    hu = np.full((40, 120, 120), -1000, np.int16)
    z, y, x = np.ogrid[:40, :120, :120]
    inside = ((y - 60) / 45) ** 2 + ((x - 60) / 50) ** 2 + 0 * z < 1
    hu[inside] = 40 + rng.normal(0, 15, int(inside.sum())).astype(np.int16)

    study = analyze(Scan(hu, Geometry(hu.shape, (3.0, 2.0, 2.0))))

    assert study.lungs.verdict.status == "failed"
    assert study.nodules == []
    assert study.exam.lung_rads.category == "0"


@pytest.mark.parametrize("field", ["lung_engine", "detector", "outliner", "malignancy"])
def test_an_engine_that_does_not_exist_is_refused_before_any_work(field):
    stages = []
    progress = Progress(report=lambda step: stages.append(step.stage))
    scan = Scan(np.zeros((8, 8, 8), np.int16), Geometry((8, 8, 8), (1.0, 1.0, 1.0)))

    with pytest.raises(InputError, match="nonsense"):
        analyze(scan, Settings(**{field: "nonsense"}), progress)

    assert stages == []
