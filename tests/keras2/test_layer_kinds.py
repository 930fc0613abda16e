"""The one table of what is known of layers by their names: free of TensorFlow, and true of the layers that exist."""

from __future__ import annotations

import subprocess
import sys

from softdpu.keras2 import kinds
from softdpu.keras2.api import keras
from softdpu.quantizer import wrappers  # noqa: F401 - registers the layers of the quantizer's own


def test_the_table_needs_no_tensorflow() -> None:
    program = "import sys, softdpu.keras2.kinds; sys.exit('tensorflow' in sys.modules or 'tf_keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_every_name_is_a_layer_with_those_variables() -> None:
    for name in (*kinds.DROPOUTS, *kinds.NOISES, *kinds.AUGMENTATIONS, *kinds.SCALING_LAYERS):
        assert issubclass(getattr(keras.layers, name), keras.layers.Layer), name
    for name, kind in kinds.QUANTIZED.items():
        if not kind.module:
            assert issubclass(getattr(keras.layers, name), keras.layers.Layer), name
        assert {kinds.strip_quantize(taken) for taken in kind.takes_in} <= {*kinds.ACTIVATION_LAYERS, "VitisSigmoid"}
    for name, kernel in kinds.KERNELS.items():
        arguments = {"units": 2} if name == "Dense" else {"kernel_size": 1}
        if name in ("Conv2D", "Conv2DTranspose"):
            arguments["filters"] = 2
        layer = getattr(keras.layers, name)(**arguments)
        layer.build((None, 3) if name == "Dense" else (None, 4, 4, 3))
        assert [weight.name.split("/")[-1].split(":")[0] for weight in layer.weights] == [kernel, "bias"], name


def test_activations_are_quantized_on_one_side() -> None:
    assert not kinds.PRE_ACTIVATIONS & kinds.POST_ACTIVATIONS
    for name in kinds.PRE_ACTIVATIONS:
        assert callable(getattr(keras.activations, name)), name
