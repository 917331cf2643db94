"""Fixtures every test shares. What a session shares must not be changed by a test."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from panel_fixtures import case, reviewed, start, ui, widget  # noqa: F401  the panel's tests share them

from LungCADLib.phantom import Phantom, small_phantom
from LungCADLib.pipeline import SHARES, analyze
from LungCADLib.progress import Progress
from LungCADLib.readers import read_scan
from LungCADLib.scan import Scan
from LungCADLib.study import Study

# The same examples on every run, so that a change is judged by what it changes; HYPOTHESIS_PROFILE=explore tries more.
settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, eq=False)
class Road:
    """A scan, what the road made of it, and how many seconds that took, reading included."""

    scan: Scan
    study: Study
    seconds: float


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT data beside the checkout; tests that need it skip where it is not."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real CT data is not here ({REAL_DATA})")
    return REAL_DATA


@pytest.fixture(scope="session")
def real_road(real_data: Path) -> Callable[[str], Road]:
    """The road of a folder below the real data, walked once."""

    @cache
    def walk(folder: str) -> Road:
        started = time.perf_counter()
        progress = Progress(shares=SHARES)
        with progress.stage("read"):
            scan = read_scan(real_data / folder)
        return Road(scan, analyze(scan, progress=progress), time.perf_counter() - started)

    return walk


@pytest.fixture(scope="session")
def chest() -> Phantom:
    """A whole small chest with one nodule of each kind."""
    return small_phantom(0)
