from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "vai_q"


@pytest.fixture(scope="session")
def golden() -> Path:
    if not GOLDEN.is_dir():
        pytest.skip(f"AMD's golden models are not at {GOLDEN}")
    return GOLDEN


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    import tf_keras as keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
