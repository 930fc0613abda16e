"""The classes of a quantized model, by the names that files give them."""

from __future__ import annotations

from typing import Any

from softdpu.keras2.api import keras
from softdpu.quantizer import configs, conv_bn, quantizers, wrappers
from softdpu.quantizer.layers import bfloat16, dpu

_CLASSES = (
    configs.QuantizeAwareActivation,
    configs.NoQuantizeActivation,
    configs.VitisQuantizeConfig,
    configs.NoQuantizeConfig,
    wrappers.QuantizeWrapper,
    wrappers.CustomOpWrapper,
    wrappers.VitisQuantize,
    quantizers.Pof2SQuantizer,
    quantizers.TQTQuantizer,
    quantizers.LastValueQuantPosQuantizer,
    quantizers.LastValueLogThQuantizer,
    dpu.VitisSigmoid,
    dpu.VitisAveragePooling2D,
    dpu.VitisGlobalAveragePooling2D,
    bfloat16.VitisSoftmax,
    bfloat16.VitisLayernorm,
    conv_bn.VitisConvBN,
    conv_bn.VitisConvBNQuantize,
    conv_bn.VitisDepthwiseConvBN,
    conv_bn.VitisDepthwiseConvBNQuantize,
)
_ALIASES = {"Vitis8BitQuantizeConfig": configs.VitisQuantizeConfig, "QuantizeLayer": wrappers.VitisQuantize}


def quantize_scope(*args: dict[str, Any]) -> Any:
    """Return a Keras custom-object scope with all classes of a quantized model, and those of the given dicts."""
    known = {cls.__name__: cls for cls in _CLASSES}
    return keras.utils.custom_object_scope({**known, **_ALIASES, **{k: v for d in args for k, v in d.items()}})


def own_classes(model: keras.Model) -> dict[str, Any]:
    """Return {name: class} of the user's own layers in a model."""
    classes = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    return {
        name: kind
        for name, kind in classes.items()
        if kind.__module__.split(".")[0] not in ("tf_keras", "keras", "softdpu")
    }
