"""Fixtures of the compiler's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from h5_models import GOLDEN


@pytest.fixture
def golden() -> Path:
    if not GOLDEN.is_dir():
        pytest.skip("needs the golden data in ../shared/golden")
    return GOLDEN
