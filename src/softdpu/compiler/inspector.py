"""The inspector: where each layer of a model would run on a target, before anything is quantized or trained.

A quantized model is compiled as it is. A float model is first dressed as the quantizer would leave it (batch
normalization folded, activations joined, a position on every tensor); the positions are made up, as where a layer runs
does not depend on them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.compiler.compile import compile_keras
from softdpu.compiler.keras_h5 import read_keras_model, report_damage
from softdpu.compiler.keras_model import Call, KerasModel, Layer
from softdpu.compiler.layers.activation import activation_name
from softdpu.compiler.placement import Place
from softdpu.errors import SoftdpuError
from softdpu.keras2 import kinds
from softdpu.numbers import fixed_point
from softdpu.numbers.boards import Target

_INPUT_QUANTIZED = ("softmax", "tanh", "elu", "gelu", "hard_sigmoid")  # functions computed in float
_POSITIONS = {"pos": np.float32(4), "kernel_pos": np.float32(7), "bias_pos": np.float32(7)}


def inspect_model(model: str | Path, target: Target) -> list[Place]:
    """Return where each layer of the Keras model at `model`, float or quantized, runs on `target`, and why.

    Raises:
        SoftdpuError: unreadable model, an input of unknown size, or a layer without any meaning here.
    """
    keras = read_keras_model(model)
    with report_damage(model):
        if keras.is_quantized:
            return compile_keras(keras, target).places()
        dressing = _Dressing(keras)
        places = compile_keras(dressing.dress(), target).places()
    shown = [place for place in places if place.kind != "VitisQuantize"]
    known = {place.layer: place for place in shown}
    for name, kind, into in dressing.folded:
        holder = known.get(into) if kind not in kinds.IDLE else None
        place = (
            Place(name, kind, holder.device, f"in {into}", "") if holder else Place(name, kind, "", "nothing to do", "")
        )
        shown.append(place)
    return sorted(shown, key=lambda place: dressing.order[place.layer])


def as_quantized(model: KerasModel) -> KerasModel:
    """Return a float model as the quantizer would leave it, with made-up positions; a quantized one as it is."""
    return model if model.is_quantized else _Dressing(model).dress()


class _Dressing:
    """Walks a float model and makes the layers of the quantized one."""

    def __init__(self, model: KerasModel) -> None:
        self.model = model = _split_calls(model)
        self.layers: list[Layer] = []
        # By the names of Keras' layers, as they are before the quantizer puts its own in their place.
        self._quantized = {kinds.strip_quantize(name): kind for name, kind in kinds.QUANTIZED.items()}
        self.folded: list[tuple[str, str, str]] = []  # layers that vanish: name, class, into which
        self.order = {layer.name: index for index, layer in enumerate(model.layers)}
        self._as: dict[tuple[str, int], tuple[str, int]] = {}
        self._readers: dict[str, list[Layer]] = {layer.name: [] for layer in model.layers}
        for layer in model.layers:
            for call in layer.calls:
                for name, _ in call.inputs:
                    self._readers[name].append(layer)
        self._uses = Counter(key for layer in model.layers for call in layer.calls for key in call.inputs)
        self._outputs = {name for name, _ in model.outputs}

    def dress(self) -> KerasModel:
        """Return the model with quantizers on every layer that the quantizer knows."""
        for layer in self.model.layers:
            self._dress_layer(replace(layer, calls=tuple(self._rename(call) for call in layer.calls)))
        outputs = tuple(self._as[key] for key in self.model.outputs)
        return replace(self.model, layers=tuple(self.layers), outputs=outputs)

    def _dress_layer(self, layer: Layer) -> None:
        if layer.kind in kinds.IDLE:
            self._vanish(layer)
        elif layer.kind == "InputLayer":
            self._add(layer, "InputLayer")
            self._add_quantizer(layer)
        elif layer.kind == "BatchNormalization":
            self._dress_normalization(layer)
        elif layer.kind == "SeparableConv2D":
            self._split_separable(layer)
        elif layer.kind in kinds.KERNELS:
            self._dress_weighted(layer, kinds.KERNELS[layer.kind])
        elif layer.kind == "Activation":
            self._dress_activation(layer, activation_name(layer.config.get("activation")))
        elif layer.kind in self._quantized and (layer.kind not in kinds.ACTIVATION_LAYERS or self._joins(layer)):
            self._quantize_output(layer, self._quantized[layer.kind])
        else:
            self._add(layer, layer.kind)
            if layer.kind == "TFOpLambda" and layer.config.get("function") in kinds.QUANTIZED_FUNCTIONS:
                self._add_quantizer(layer)
            else:
                self._quantize_for_reader(layer)

    def _rename(self, call: Call) -> Call:
        return replace(call, inputs=tuple(self._as[key] for key in call.inputs))

    def _add(self, layer: Layer, kind: str, wrapper: str = "", name: str = "", **weights: Any) -> None:
        """Append a layer that stands for `layer` from now on."""
        name = name or layer.name
        made = replace(layer, name=name, kind=kind, wrapper=wrapper, weights={**layer.weights, **weights})
        self.layers.append(made)
        self.order[name] = self.order[layer.name]
        for number in range(len(layer.calls)):
            self._as[layer.name, number] = name, number

    def _read_from(self, layer: Layer) -> Layer:
        """Return `layer` as read by a further layer made of it."""
        calls = tuple(Call((self._as[layer.name, number],)) for number in range(len(layer.calls)))
        return replace(layer, calls=calls)

    def _vanish(self, layer: Layer) -> None:
        for number, call in enumerate(layer.calls):
            self._as[layer.name, number] = call.inputs[0]
        self.folded.append((layer.name, layer.kind, layer.calls[0].inputs[0][0]))

    def _quantize_for_reader(self, layer: Layer) -> None:
        """Add a quantizer behind a float layer whose only reader is a quantized layer with this one input."""
        readers = self._readers[layer.name]
        while len(readers) == 1 and readers[0].kind in kinds.IDLE:
            readers = self._readers[readers[0].name]
        quantized = {*self._quantized, "SeparableConv2D"} - {*kinds.ACTIVATION_LAYERS}
        if len(readers) != 1 or readers[0].kind not in quantized:
            return
        if len(readers[0].calls[0].inputs) == 1:
            self._add_quantizer(layer)

    def _add_quantizer(self, layer: Layer) -> None:
        config = {"quantizer": {"config": {"bit_width": 8}}}
        quantizer = replace(self._read_from(layer), config=config)
        self._add(quantizer, "VitisQuantize", "VitisQuantize", f"quant_{layer.name}", pos_pos=_POSITIONS["pos"])

    def _dress_weighted(self, layer: Layer, key: str) -> None:
        outputs = layer.weights.get("bias", np.zeros(0)).size or self._output_channels(layer, key)
        function = activation_name(layer.config.get("activation"))
        weights: dict[str, Any] = {f"{key}_pos": _POSITIONS["kernel_pos"], "bias_pos": _POSITIONS["bias_pos"]}
        weights["bias"] = np.zeros(outputs, np.float32)
        if function == "linear" and not self._is_joined(layer):
            weights["post_activation_pos"] = _POSITIONS["pos"]
        joined = function in ("relu", "relu6", "leaky_relu")
        if function != "linear" and not joined and function not in _INPUT_QUANTIZED:
            weights["post_activation_pos"] = _POSITIONS["pos"]
        config = {**layer.config, "use_bias": True, "activation": "linear"}
        self._add(replace(layer, config=config), layer.kind, "QuantizeWrapper", **weights)
        if function != "linear":
            self._dress_activation(replace(self._read_from(layer), weights={}), function, f"{layer.name}_{function}")

    def _output_channels(self, layer: Layer, key: str) -> int:
        kernel = layer.weights[key]
        if layer.kind == "DepthwiseConv2D":
            return int(kernel.shape[2] * kernel.shape[3])
        return int(kernel.shape[2] if layer.kind == "Conv2DTranspose" else kernel.shape[-1])

    def _is_joined(self, layer: Layer) -> bool:
        """Whether the only reader, behind folded batch normalizations, is an activation that takes the result in."""
        while True:
            readers = self._readers[layer.name]
            if len(readers) != 1 or layer.name in self._outputs:
                return False
            reader = readers[0]
            if reader.kind in kinds.ACTIVATION_LAYERS:
                if reader.kind == "LeakyReLU" and layer.kind in ("Add", "Multiply"):
                    return False
                function = activation_name(reader.config.get("activation")) if reader.kind == "Activation" else "relu"
                return function not in ("sigmoid", "swish", "silu")
            if reader.kind not in ("BatchNormalization", *kinds.IDLE):
                return False
            layer = reader

    def _joins(self, layer: Layer) -> bool:
        """Whether an activation is taken in by the layer before it, behind what was folded into that."""
        before = self._find_before(layer.calls[0].inputs[0])
        if before is None or before.wrapper != "QuantizeWrapper":
            return False
        return before.kind in self._quantized and layer.kind in self._quantized[before.kind].takes_in

    def _find_before(self, source: tuple[str, int]) -> Layer | None:
        """Return the layer that makes `source`, None where others read the same or it is an output."""
        original = next((key for key, now in self._as.items() if now == source), source)
        alone = self._uses[original] == 1 and original[0] not in self._outputs
        return next((made for made in self.layers if made.name == source[0] and alone), None)

    def _split_separable(self, layer: Layer) -> None:
        first = replace(
            layer,
            kind="DepthwiseConv2D",
            config={**layer.config, "activation": "linear"},
            weights={"depthwise_kernel": layer.weights["depthwise_kernel"]},
        )
        channels = int(np.prod(layer.weights["depthwise_kernel"].shape[2:]))
        weights = {"depthwise_kernel_pos": _POSITIONS["kernel_pos"], "bias_pos": _POSITIONS["bias_pos"]}
        bias = np.zeros(channels, np.float32)
        more: dict[str, Any] = {"bias": bias, "post_activation_pos": _POSITIONS["pos"], **weights}
        config = {**first.config, "use_bias": True}
        name = f"{layer.name}_depthwise_conv"
        self._add(replace(first, config=config), "DepthwiseConv2D", "QuantizeWrapper", name, **more)
        plain = {"padding": "valid", "strides": [1, 1], "dilation_rate": [1, 1]}
        second = replace(
            self._read_from(layer),
            kind="Conv2D",
            config={**layer.config, **plain},
            weights={"kernel": layer.weights["pointwise_kernel"]},
        )
        self._dress_weighted(second, "kernel")

    def _dress_normalization(self, layer: Layer) -> None:
        source = layer.calls[0].inputs[0]
        before = self._find_before(source)
        if before is not None and before.kind in kinds.KERNELS:
            self._vanish(layer)
            return
        channels = int(layer.weights["moving_mean"].size)
        if self._is_of_vectors(source):
            kind, key, kernel = "Dense", "kernel", np.eye(channels, dtype=np.float32)
        else:
            kind, key, kernel = "DepthwiseConv2D", "depthwise_kernel", np.ones((1, 1, channels, 1), np.float32)
        config = {"padding": "valid", "strides": [1, 1]}
        self._dress_weighted(replace(layer, kind=kind, config=config, weights={key: kernel}), key)

    def _is_of_vectors(self, source: tuple[str, int]) -> bool:
        """Whether what `source` makes is one vector per image."""
        made = {layer.name: layer for layer in self.layers}
        layer = made.get(source[0])
        while layer is not None and layer.kind in ("VitisQuantize", "Activation", "ReLU", "LeakyReLU"):
            layer = made.get(layer.calls[0].inputs[0][0])
        if layer is None:
            return False
        if layer.kind == "InputLayer":
            return len(layer.config.get("batch_input_shape") or ()) == 2
        return layer.kind in ("Dense", "Flatten") or (layer.kind.startswith("Global") and not layer.config["keepdims"])

    def _dress_activation(self, layer: Layer, function: str, name: str = "") -> None:
        name = name or layer.name
        if function == "linear":
            self._vanish(layer)
        elif function == "sigmoid":
            self._add(layer, "VitisSigmoid", "QuantizeWrapper", name, output_0_pos=np.float32(7))
        elif function in ("swish", "silu"):
            self._split_swish(layer, name)
        elif name == layer.name and not self._joins(layer):
            self._add(layer, "Activation")
            self._quantize_for_reader(layer)
        else:
            config = {**layer.config, "activation": function}
            key = "pre_activation_pos" if function in _INPUT_QUANTIZED else "post_activation_pos"
            self._add(replace(layer, config=config), "Activation", "QuantizeWrapper", name, **{key: _POSITIONS["pos"]})

    def _split_swish(self, layer: Layer, name: str) -> None:
        before = layer.calls
        self._add(layer, "VitisSigmoid", "QuantizeWrapper", name, output_0_pos=np.float32(7))
        calls = tuple(Call((*call.inputs, (name, number))) for number, call in enumerate(before))
        product = replace(layer, calls=calls, weights={})
        self._add(product, "Multiply", "QuantizeWrapper", f"{name}_mul", output_0_pos=_POSITIONS["pos"])

    def _quantize_output(self, layer: Layer, kind: kinds.Quantized) -> None:
        config = dict(layer.config)
        if layer.kind == "LeakyReLU" and abs(float(config.get("alpha", 0.3)) - 0.1) < 1e-7:
            config["alpha"] = fixed_point.LEAKY_RELU_ALPHA
        weights: dict[str, Any] = {f"{name}_pos": _POSITIONS["kernel_pos"] for name in kind.weights}
        if kind.output and not (kind.takes_in and not kind.keeps and self._is_joined(layer)):
            weights["output_0_pos"] = _POSITIONS["pos"]
        self._add(replace(layer, config=config), layer.kind, "QuantizeWrapper", **weights)


def _split_calls(model: KerasModel) -> KerasModel:
    """Return the model with a layer for each use of a layer, as the quantizer makes them, each behind what it reads."""
    named = {
        (layer.name, number): layer.name if number == 0 else f"{layer.name}_{number}"
        for layer in model.layers
        for number in range(len(layer.calls))
    }

    def renamed(keys: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        unknown = [name for name, number in keys if (name, number) not in named]
        if unknown:
            raise SoftdpuError(f"{model.path}: layer '{unknown[0]}' is read but does not exist: the file is damaged")
        return tuple((named[key], 0) for key in keys)

    waiting = []
    for layer in model.layers:
        for number, call in enumerate(layer.calls):
            single = replace(call, inputs=renamed(call.inputs))
            waiting.append(replace(layer, name=named[layer.name, number], calls=(single,)))
    placed: dict[str, Layer] = {}
    while waiting:
        left = []
        for layer in waiting:
            if all(name in placed for name, _ in layer.calls[0].inputs):
                placed[layer.name] = layer
            else:
                left.append(layer)
        if len(left) == len(waiting):
            raise SoftdpuError(f"{model.path}: layer '{left[0].name}' reads its own result: the file is damaged")
        waiting = left
    return replace(model, layers=tuple(placed.values()), inputs=renamed(model.inputs), outputs=renamed(model.outputs))


def report(places: list[Place]) -> str:
    """Return a table for people: layer, class, device, and under each layer on the CPU why and what to change."""
    wide = max((len(place.layer) for place in places), default=0)
    kind_wide = max((len(place.kind) for place in places), default=0)
    lines = []
    for place in places:
        device = place.device or "-"
        lines.append(f"{place.layer:<{wide}}  {place.kind:<{kind_wide}}  {device:<4}  {place.operation}".rstrip())
        if place.reason:
            lines.append(f"{'':<{wide}}  -> {place.reason}")
    return "\n".join([*lines, summarize(places)])


def summarize(places: list[Place]) -> str:
    """Return in one line how many layers run where."""
    count = Counter(place.device for place in places)
    return f"{count['DPU']} layers on the DPU, {count['CPU']} on the CPU"
