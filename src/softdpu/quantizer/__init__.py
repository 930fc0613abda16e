"""The quantizer: AMD's vai_q_tensorflow2 API and file format on tf_keras.

>>> from softdpu.quantizer import vitis_quantize
>>> quantizer = vitis_quantize.VitisQuantizer(float_model)  # doctest: +SKIP
>>> quantizer.quantize_model(calib_dataset=images).save("quant_model.h5")  # doctest: +SKIP

Importing it registers the classes of quantized models with Keras, so that `load_model` reads their files.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from softdpu.quantizer import vitis_quantize
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.export import save_h5
from softdpu.quantizer.report import positions_report

__all__ = ["QuantizerError", "positions_report", "save_h5", "vitis_quantize"]
