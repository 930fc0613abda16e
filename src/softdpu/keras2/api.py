"""TensorFlow and Keras 2, wherever Keras 2 is: the package tf_keras, or inside TensorFlow 2.3 to 2.15."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any

from softdpu.output.quiet import silence_notices

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow keeps the memory of a step for the next one. Otherwise each tensor may be mapped and unmapped anew: 40,000
# page faults per step of the default network, a third of its processor time.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
if sys.version_info >= (3, 11):  # noqa: UP036 - older ones are those of AMD's containers, which keep TensorFlow's own choice
    # TensorFlow takes oneDNN's kernels by itself only where there is AVX-512; on others they take a quarter off a step.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


with silence_notices():
    import tensorflow as tf

    try:
        import tf_keras as keras
    except ImportError:
        from tensorflow import keras

__all__ = ["import_internal", "keras", "tf"]


def import_internal(name: str) -> Any:
    """Import a module of Keras that its public API does not show, such as engine.functional, by its place in 2.12."""
    if keras.__name__.split(".")[0] == "tf_keras":
        return importlib.import_module("tf_keras.src." + name)
    moved = importlib.util.find_spec("keras.src") is not None  # Keras 2.13 and newer
    return importlib.import_module(("keras.src." if moved else "keras.") + name)
