"""The quantizer: AMD's vai_q_tensorflow2 API and file format on tf_keras.

>>> import numpy as np
>>> from softdpu.keras2.api import keras
>>> from softdpu.quantizer import positions_report, vitis_quantize
>>> image = keras.Input((8, 8, 3))
>>> float_model = keras.Model(image, keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image))
>>> images = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32)
>>> quantized = vitis_quantize.VitisQuantizer(float_model).quantize_model(calib_dataset=images)
>>> positions_report(quantized)["quant_conv"]["input_pos"]  # 2**-6 is the smallest step of the images' int8 numbers
6
>>> quantized.save("quant_model.h5")  # doctest: +SKIP

Importing it registers the classes of quantized models with Keras, so that `load_model` reads their files, and lets
AMD's names for the quantizer's modules be imported too (amd_names).
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from softdpu.quantizer import amd_names, vitis_quantize
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.export import save_h5
from softdpu.quantizer.report import positions_report

__all__ = ["QuantizerError", "positions_report", "save_h5", "vitis_quantize"]

amd_names.install()
