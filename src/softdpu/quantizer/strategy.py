"""The quantize strategy: every option of AMD's strategy JSON and its default, and the quantizers of each class."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from softdpu.keras2 import kinds
from softdpu.numbers import fixed_point
from softdpu.quantizer.configs import VitisQuantizeConfig
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.ops import MIN_MSE, NON_OVERFLOW
from softdpu.quantizer.quantizers import Quantizer

_REGISTRY = "quantize_registry_config"
_USER = "user_quantize_config"
PIPELINES: dict[str, dict[str, Any]] = {
    "optimize_pipeline_config": {
        "remove_dropout": True,
        "separate_conv_act": True,
        "fold_conv_bn": True,
        "convert_bn_to_dwconv": True,
        "convert_relu6_to_relu": False,
        "convert_tf_op_to_keras": True,
        "include_cle": True,
        "cle_to_relu6": False,
        "cle_steps": 10,
        "cle_balance_method": "max",
        "cle_weight_threshold": 0.1,
        "train_with_bn": False,
        "separable_conv": True,
    },
    "quantize_pipeline_config": {
        "convert_datatype": "",
        "convert_sigmoid_to_hard_sigmoid": True,
        "convert_hard_sigmoid_to_dpu_version": True,
        "convert_average_pooling2d_to_dpu_version": True,
        "convert_leaky_relu_to_dpu_version": True,
        "convert_softmax_to_dpu_version": False,
        "convert_layernorm_to_dpu_version": False,
        "freeze_bn_delay": -1,
        "quantize_with_xcompiler": True,
    },
    "refine_pipeline_config": {
        "adjust_dpu_sigmoid": True,
        "adjust_dpu_shift_cut": True,
        "adjust_dpu_shift_bias": True,
        "adjust_dpu_shift_bias_leakyrelu": True,
        "adjust_dpu_shift_read": True,
        "adjust_dpu_shift_write": True,
        "adjust_dpu_shift_swish": True,
        "align_concat": True,
        "align_pool": True,
        "include_fast_ft": False,
        "fast_ft_epochs": 10,
        "include_bias_corr": False,
        "convert_to_fs_quantize_strategy": False,
    },
    "finalize_pipeline_config": {
        "output_format": "",
        "onnx_opset_version": 13,
        "output_dir": "./quantize_results/",
    },
}
# What pof2s_tqt has besides; the three of the first pipeline have no effect, as in AMD's tool.
_TQT_OPTIONS: dict[str, dict[str, Any]] = {
    "quantize_pipeline_config": {
        "no_quant_in_conv_bn_act": True,
        "no_quant_in_conv_act": True,
        "no_quant_in_add_act": True,
    },
    "refine_pipeline_config": {"convert_to_pof2s_quantize_strategy": True},
}
_TENSORS = ("input", "weight", "bias", "activation")
_PROPERTIES = ("bit", "method", "symmetry", "per_channel", "round_mode", "unsigned", "narrow_range")
_PARAMETERS = {"bit": "bit_width"}
USER_DEFAULTS: dict[str, Any] = {
    "data_format": None,
    **{f"{tensor}_{name}": None for tensor in _TENSORS for name in _PROPERTIES},
    "use_framework_quant": None,
    "use_fixneuron_quant": None,
    "input_layers": [],
    "output_layers": [],
    "ignore_layers": [],
    "layer_config": {},
}
OLD_NAMES = {
    "fold_bn": "convert_bn_to_dwconv",
    "replace_relu6": "convert_relu6_to_relu",
    "convert_tf_op": "convert_tf_op_to_keras",
    "forced_cle": "cle_to_relu6",
    "balance_method": "cle_balance_method",
    "weight_threshold": "cle_weight_threshold",
    "replace_sigmoid": "convert_sigmoid_to_hard_sigmoid",
    "replace_hard_sigmoid": "convert_hard_sigmoid_to_dpu_version",
    "replace_average_pooling2d": "convert_average_pooling2d_to_dpu_version",
    "replace_leaky_relu": "convert_leaky_relu_to_dpu_version",
}
STRATEGY_NAMES = {"pof2s": "pof2s", "8bit": "pof2s", "pof2s_tqt": "pof2s_tqt", "8bit_tqt": "pof2s_tqt"}
_OTHER_STRATEGIES = ("fs", "fsx", "gpu", "bfp")

_SOFTMAX_ROUNDING = {"round_mode": fixed_point.FLOOR, "narrow_range": True}


class Strategy:
    """The options in force, `pof2s` or `pof2s_tqt`; `update` merges what the user gives."""

    def __init__(self, name: str) -> None:
        if name in _OTHER_STRATEGIES:
            raise QuantizerError(
                f"quantize_strategy {name}: not a power-of-two strategy, which is all that a DPU computes; "
                "expected pof2s or pof2s_tqt"
            )
        if name not in STRATEGY_NAMES:
            raise QuantizerError(f"quantize_strategy {name}: expected one of {', '.join(STRATEGY_NAMES)}")
        self.name = STRATEGY_NAMES[name]
        self._pipelines = copy.deepcopy(PIPELINES)
        if self.trains_thresholds:
            for pipeline, options in _TQT_OPTIONS.items():
                self._pipelines[pipeline].update(options)
        self.user = copy.deepcopy(USER_DEFAULTS)
        self._layers: dict[str, dict[str, Any]] = {}
        self._input: dict[str, Any] | None = None

    @property
    def trains_thresholds(self) -> bool:
        """Whether the strategy is pof2s_tqt."""
        return self.name == "pof2s_tqt"

    def options(self, pipeline: str) -> dict[str, Any]:
        """Return the options of one pipeline."""
        return self._pipelines[pipeline]

    def update(self, changes: dict[str, Any]) -> None:
        """Merge options: flat keys, or whole sections as `to_json` gives them.

        Raises:
            QuantizerError: for a key that is no option, or an option whose effect is not offered.
        """
        for key, value in changes.items():
            self._set(OLD_NAMES.get(key, key), value)

    def _set(self, key: str, value: Any) -> None:
        if key in self._pipelines or key in (_REGISTRY, _USER):
            self.update(value)
            return
        if key == "layer_quantize_config":
            for entry in value:
                self._layers[_class_of(entry["layer_type"])] = copy.deepcopy(entry)
            return
        if key == "input_quantize_config":
            self._input = copy.deepcopy(value.get("input_quantizer"))
            return
        if key == "custom_layer_type":
            return
        for options in (*self._pipelines.values(), self.user):
            if key in options:
                _check_option(key, value)
                options[key] = copy.deepcopy(value)
                return
        raise QuantizerError(f"invalid configs: {[(key, value)]}; dump_quantize_strategy(verbose=2) lists the options")

    @property
    def layers_of_the_user(self) -> set[str]:
        """The layer classes whose quantizers the options list."""
        return set(self._layers)

    def supports(self, class_name: str) -> bool:
        """Tell whether layers of this class are quantized."""
        return class_name in kinds.QUANTIZED or class_name in self._layers

    def layer_lists(self, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Return the ten lists of a VitisQuantizeConfig for a layer of this class and configuration."""
        if class_name in self._layers:
            custom = {key: value for key, value in self._layers[class_name].items() if key != "layer_type"}
            return {**_empty_lists(), **copy.deepcopy(custom)}
        kind = kinds.QUANTIZED[class_name]
        relu_like = class_name == "ReLU" or config.get("activation") in ("relu", "relu6")
        lists = _empty_lists()
        lists["quantizable_weights"] = list(kind.weights)
        axis = 2 if kind.weights == ("depthwise_kernel",) else -1
        lists["weight_quantizers"] = [self._quantizer("weight", channel_axis=axis) for _ in kind.weights]
        lists["quantizable_biases"] = list(kind.biases)
        lists["bias_quantizers"] = [self._quantizer("bias") for _ in kind.biases]
        if kind.activation:
            lists["quantizable_activations"] = ["activation"]
            lists["activation_quantizers"] = [self._quantizer("activation", relu_like)]
        if kind.output:
            lists["quantizable_outputs"] = [0]
            rounding = _SOFTMAX_ROUNDING if class_name == "Vitis>VitisSoftmax" else {}
            lists["output_quantizers"] = [self._quantizer("activation", relu_like, **rounding)]
        return lists

    def input_quantizer(self) -> dict[str, Any]:
        """Return the quantizer of model inputs and of tensors that come from float layers."""
        return copy.deepcopy(self._input) if self._input else self._quantizer("input")

    def function_quantizer(self) -> dict[str, Any]:
        """Return the quantizer behind a matmul, a true division or a + written as an operator."""
        entry = _parameters(MIN_MSE, fixed_point.HALF_UP)
        return {"quantizer_type": "Pof2SQuantizer", "quantizer_params": entry}

    def _quantizer(self, tensor: str, relu_like: bool = False, **special: Any) -> dict[str, Any]:
        """Return the quantizer of a kind of tensor; `special` are parameters in which a layer differs."""
        trained = self.trains_thresholds and tensor != "input"
        mode = fixed_point.HALF_TO_EVEN if tensor in ("weight", "bias") else fixed_point.HALF_UP
        parameters = _parameters(NON_OVERFLOW if tensor == "input" or trained else MIN_MSE, mode)
        parameters.update(special)
        for name in _PROPERTIES:
            value = self.user[f"{tensor}_{name}"]
            # Only what follows a ReLU has no negative values, so that an unsigned format loses none.
            if value is not None and not (name == "unsigned" and tensor == "activation" and not relu_like):
                parameters[_PARAMETERS.get(name, name)] = value
        return {"quantizer_type": "TQTQuantizer" if trained else "Pof2SQuantizer", "quantizer_params": parameters}

    def to_json(self, verbose: int = 0) -> dict[str, Any]:
        """Return the options: the user's keys (0), with the pipelines' (1), with each layer class' quantizers (2)."""
        registry: dict[str, Any] = {_USER: self.user, "custom_layer_type": []}
        result: dict[str, Any] = {_REGISTRY: registry}
        if verbose >= 1:
            result.update(self._pipelines)
        if verbose >= 2:
            registry["input_quantize_config"] = {"input_layers": [], "input_quantizer": self.input_quantizer()}
            registry["layer_quantize_config"] = [
                {"layer_type": _path_of(name), **self.layer_lists(name, {})} for name in kinds.QUANTIZED
            ]
        return copy.deepcopy(result)


def _parameters(method: int, round_mode: int) -> dict[str, Any]:
    return Quantizer(8, method, round_mode).get_config()


def _empty_lists() -> dict[str, Any]:
    return VitisQuantizeConfig().get_config()


_KERAS_PATH = "tensorflow.keras.layers."
_DPU_PATH = "tensorflow_model_optimization.python.core.quantization.keras.vitis.layers."


def _path_of(class_name: str) -> str:
    module = kinds.QUANTIZED[class_name].module
    if not module:
        return _KERAS_PATH + class_name
    name = kinds.strip_package(class_name)
    return f"{_DPU_PATH}{module}.{name if name.startswith('Vitis') else 'Vitis' + name}"


def _class_of(path: str) -> str:
    names = {_path_of(name): name for name in kinds.QUANTIZED}
    return names.get(path, path.split(".")[-1])


_NOT_OFFERED = {
    "convert_to_fs_quantize_strategy": "a DPU needs power-of-two scales",
    "use_fixneuron_quant": "the fix_neuron operation is not part of this package",
}


def _check_option(key: str, value: Any) -> None:
    if value and key in _NOT_OFFERED:
        raise QuantizerError(f"option {key}={value!r} is not offered: {_NOT_OFFERED[key]}; leave it at its default")


def load_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the options of a strategy JSON file.

    Raises:
        QuantizerError: if the file is missing or no JSON object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise QuantizerError(f"{path}: expected a quantize strategy in JSON: {error}") from None
    if not isinstance(value, dict):
        raise QuantizerError(f"{path}: expected a JSON object with a quantize strategy, got {type(value).__name__}")
    return value
