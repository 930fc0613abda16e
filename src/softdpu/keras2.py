"""TensorFlow and Keras 2, wherever Keras 2 is: the package tf_keras, or inside TensorFlow 2.3 to 2.15."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from typing import Any, Iterator  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Keep what TensorFlow's C++ part prints while it is loaded off the screen; errors come as exceptions."""
    screen = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(silence)
        os.close(screen)


with _without_notices():
    import tensorflow as tf

    try:
        import tf_keras as keras
    except ImportError:
        from tensorflow import keras

__all__ = ["internal", "keras", "tf"]


def internal(name: str) -> Any:
    """Import a module of Keras that its public API does not show, such as engine.functional, by its place in 2.12."""
    if keras.__name__.split(".")[0] == "tf_keras":
        return importlib.import_module("tf_keras.src." + name)
    moved = importlib.util.find_spec("keras.src") is not None  # Keras 2.13 and newer
    return importlib.import_module(("keras.src." if moved else "keras.") + name)
