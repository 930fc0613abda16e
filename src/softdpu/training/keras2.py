"""Keras 2, wherever it is: the package tf_keras, or inside the TensorFlow of AMD's container."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

from softdpu.dataset import pipeline

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

__all__ = ["KerasBatches", "deterministic", "keras", "tf"]


class KerasBatches(pipeline.Batches, keras.utils.Sequence):
    """The input pipeline as what Keras' fit, predict and AMD's quantizer take."""


def deterministic(seed: int, threads: int) -> None:
    """Make every run with the same inputs, seed and number of threads give the same bytes; call it first.

    Args:
        seed: of Python, numpy and TensorFlow.
        threads: that TensorFlow computes with. Sums are split over them, so another number gives other last bits.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)
