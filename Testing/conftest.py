"""Fixtures every test shares."""

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT data beside the checkout; tests that need it skip where it is not."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real CT data is not here ({REAL_DATA})")
    return REAL_DATA
