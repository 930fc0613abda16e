"""What training needs of Keras 2 beyond its API: batches as its Sequence, and runs that repeat bit by bit."""

from __future__ import annotations

import os
import random

import numpy as np

from softdpu.dataset import array_batches, pipeline
from softdpu.keras2.api import keras, tf

__all__ = ["KerasArrayBatches", "KerasBatches", "keras", "make_repeatable", "tf"]


class KerasBatches(pipeline.Batches, keras.utils.Sequence):
    """The input pipeline as what the calibration of AMD's quantizer takes."""


class KerasArrayBatches(array_batches.ArrayBatches, keras.utils.Sequence):
    """The same of inputs that are no image."""


def make_repeatable(seed: int, threads: int) -> None:
    """Make every run with the same inputs, seed and number of threads give the same bytes; call it first.

    Args:
        seed: of Python, numpy and TensorFlow.
        threads: that TensorFlow computes with. Sums are split over them, so another number gives other last bits.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if hasattr(tf.config.experimental, "enable_op_determinism"):
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(seed)
    else:  # TensorFlow 2.3 to 2.7, the one of Vitis AI 1.4 and 2.0
        os.environ["TF_DETERMINISTIC_OPS"] = "1"
        random.seed(seed)
        np.random.seed(seed)
        tf.random.set_seed(seed)
