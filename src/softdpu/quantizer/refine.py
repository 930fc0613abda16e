"""Position adjustment after calibration, so that every shift is one that the DPU has.

The rules run in AMD's order. shift_cut = fi + fw - fo is held in 0..16 by the weights' position, then
shift_bias = fi + fw - fb by the bias' position, and so on; only positions change, never weights.
"""

from __future__ import annotations

from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.keras2.api import keras
from softdpu.numbers import fixed_point
from softdpu.quantizer.configs import NoQuantizeActivation, NoQuantizeConfig
from softdpu.quantizer.layers import dpu
from softdpu.quantizer.quantizers import Pof2SQuantizer, Quantizer
from softdpu.quantizer.wrappers import QuantizeWrapper, VitisQuantize, list_quantized_layers

L = keras.layers
SIGMOID_INPUT = (0, 15)
SIGMOID_OUTPUT_MINIMUM = 7
SHIFT_READ_MAXIMUM = 15
SHIFT_WRITE_RANGE = (-15, 15)
SWISH_SHIFT_RANGE = (0, 15)
SHIFT_BIAS_MAXIMUM = 16
_CONVOLUTIONS = (L.Conv2D, L.DepthwiseConv2D, L.Conv2DTranspose, L.Dense)
_TRANSPARENT = (L.Reshape, L.Flatten, L.ZeroPadding2D)


class Position:
    """One position that can be read and changed: that of a quantizer, as a whole number."""

    def __init__(self, quantizer: Pof2SQuantizer) -> None:
        self.quantizer = quantizer

    @property
    def value(self) -> int:
        """The position."""
        return int(self.quantizer.weights["quant_pos_var"].numpy())

    def set(self, value: int) -> None:
        """Change the position."""
        self.quantizer.set_position(value)


def _position(quantizer: Any) -> Position | None:
    """Return the position of a quantizer, or None for trained thresholds and positions for each channel."""
    if not isinstance(quantizer, Pof2SQuantizer) or quantizer.per_channel:
        return None
    return Position(quantizer)


def inner(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return the layer inside a QuantizeWrapper, or the layer itself."""
    return layer.layer if isinstance(layer, QuantizeWrapper) else layer


def inputs_of(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers that a layer reads."""
    found = layer.inbound_nodes[0].inbound_layers
    return list(found) if isinstance(found, (list, tuple)) else [found]


def output_quantizer(layer: keras.layers.Layer) -> Quantizer | None:
    """Return the quantizer of what a layer gives, or None if the layer does not quantize it."""
    for slot in layer.slots() if hasattr(layer, "slots") else []:
        if slot.kind in ("input", "activation", "output"):
            return slot.quantizer
    return None


def own_output(layer: keras.layers.Layer) -> Position | None:
    """Return the position of what a layer gives, or None if the layer does not quantize it."""
    return _position(output_quantizer(layer))


def parameter(layer: QuantizeWrapper, suffix: str) -> Position | None:
    """Return the position of the first weight or bias whose name ends with `suffix`."""
    for slot in layer.slots():
        if slot.kind in ("weight", "bias") and slot.name.endswith(suffix):
            return _position(slot.quantizer)
    return None


def input_quantizer(layer: keras.layers.Layer, index: int = 0) -> Quantizer | None:
    """Return the quantizer of an input; Reshape, Flatten and ZeroPadding2D before it are looked through."""
    before = inputs_of(layer)[index]
    quantizer = output_quantizer(before)
    if quantizer is None and isinstance(before, QuantizeWrapper) and isinstance(before.layer, _TRANSPARENT):
        return input_quantizer(before)
    return quantizer


def input_position(layer: keras.layers.Layer, index: int = 0) -> Position | None:
    """Return the position of an input, as `input_quantizer` finds it."""
    return _position(input_quantizer(layer, index))


def input_positions(layer: keras.layers.Layer) -> list[Position | None]:
    """Return the positions of all inputs."""
    return [input_position(layer, index) for index in range(len(inputs_of(layer)))]


def is_joined(layer: keras.layers.Layer) -> bool:
    """Tell whether the layer after this one quantizes the result of both."""
    if isinstance(getattr(layer, "quantize_config", None), NoQuantizeConfig):
        return True
    return isinstance(getattr(inner(layer), "activation", None), NoQuantizeActivation)


def output_position(layer: keras.layers.Layer) -> Position | None:
    """Return the position of a layer's result: its own, or that of the activation that it is joined to."""
    if is_joined(layer):
        return own_output(layer.outbound_nodes[0].outbound_layer) if layer.outbound_nodes else None
    return own_output(layer)


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def _layers(model: keras.Model, kinds: Any) -> list[QuantizeWrapper]:
    return [x for x in list_quantized_layers(model) if isinstance(x, QuantizeWrapper) and isinstance(x.layer, kinds)]


def _take_known(positions: list[Position | None]) -> list[Position]:
    """Return the positions if all are known, otherwise an empty list."""
    known = [position for position in positions if position is not None]
    return known if len(known) == len(positions) else []


def adjust_sigmoid(model: keras.Model) -> None:
    """Hard sigmoid: input position in 0..15, output at least 7, shift 14 + input - output above 0."""
    for layer in _layers(model, dpu.VitisSigmoid):
        source, result = input_position(layer), output_position(layer)
        if source is None or result is None:
            continue
        source_value = _clamp(source.value, *SIGMOID_INPUT)
        value = max(result.value, SIGMOID_OUTPUT_MINIMUM)
        if fixed_point.HARD_SIGMOID_SHIFT + source_value - value <= 0:
            value = fixed_point.HARD_SIGMOID_SHIFT + source_value
        source.set(source_value)
        result.set(value)


def adjust_shift_read(model: keras.Model) -> None:
    """Add, Multiply: the largest input position is at most 15 above the smallest."""
    for layer in _layers(model, (L.Add, L.Multiply)):
        sources = _take_known(input_positions(layer))
        for _ in sources:
            smallest = min(source.value for source in sources)
            largest = max(sources, key=lambda source: source.value)
            if largest.value - smallest > SHIFT_READ_MAXIMUM:
                largest.set(smallest + SHIFT_READ_MAXIMUM)


def adjust_shift_write(model: keras.Model) -> None:
    """Add, Multiply: the smallest input position minus the output's is in -15..15, by changing the output's."""
    for layer in _layers(model, (L.Add, L.Multiply)):
        sources, result = _take_known(input_positions(layer)), output_position(layer)
        if sources and result is not None:
            smallest = min(source.value for source in sources)
            result.set(smallest - _clamp(smallest - result.value, *SHIFT_WRITE_RANGE))


def _is_swish(layer: QuantizeWrapper) -> bool:
    """Tell whether a Multiply multiplies x and hard-sigmoid(x)."""
    before = inputs_of(layer)
    if len(before) != 2:
        return False
    sigmoids = [x for x in before if isinstance(inner(x), dpu.VitisSigmoid)]
    return len(sigmoids) == 1 and inputs_of(sigmoids[0])[0] is before[1 - before.index(sigmoids[0])]


def adjust_shift_swish(model: keras.Model) -> None:
    """Swish's Multiply: the sum of the input positions minus the output's is in 0..15, by changing the output's."""
    for layer in _layers(model, L.Multiply):
        sources, result = _take_known(input_positions(layer)), output_position(layer)
        if _is_swish(layer) and sources and result is not None:
            total = sum(source.value for source in sources)
            result.set(total - _clamp(total - result.value, *SWISH_SHIFT_RANGE))


def adjust_shift_cut(model: keras.Model) -> None:
    """Convolutions, Dense: shift_cut in 0..16, by changing the weights' position."""
    for layer in _layers(model, _CONVOLUTIONS):
        positions = _take_known([input_position(layer), parameter(layer, "kernel"), output_position(layer)])
        if positions:
            source, weight, result = positions
            cut = fixed_point.shift_cut(source.value, weight.value, result.value)
            weight.set(_clamp(cut, *fixed_point.SHIFT_CUT_RANGE) + result.value - source.value)


def _adjust_bias(layer: QuantizeWrapper, minimum: Callable[[int], int]) -> None:
    positions = _take_known(
        [input_position(layer), parameter(layer, "kernel"), parameter(layer, "bias"), output_position(layer)]
    )
    if positions:
        source, weight, bias, result = positions
        cut = fixed_point.shift_cut(source.value, weight.value, result.value)
        shift = fixed_point.shift_bias(source.value, weight.value, bias.value)
        bias.set(weight.value + source.value - _clamp(shift, minimum(cut), SHIFT_BIAS_MAXIMUM))


def adjust_shift_bias(model: keras.Model) -> None:
    """Convolutions, Dense: shift_bias in min(0, shift_cut - 16)..16, by changing the bias' position."""
    for layer in _layers(model, _CONVOLUTIONS):
        _adjust_bias(layer, fixed_point.shift_bias_minimum)


def adjust_shift_bias_leaky_relu(model: keras.Model) -> None:
    """A convolution before LeakyReLU: shift_bias in 0..16, by changing the bias' position."""
    for layer in _layers(model, L.LeakyReLU):
        before = inputs_of(layer)[0]
        if isinstance(before, QuantizeWrapper) and isinstance(before.layer, _CONVOLUTIONS):
            _adjust_bias(before, lambda _cut: 0)


def align_concat(model: keras.Model) -> None:
    """Concatenate: all inputs and the output get the smallest of their positions."""
    for layer in _layers(model, L.Concatenate):
        result = output_position(layer)
        if result is not None:
            _align([result, *(source for source in input_positions(layer) if source is not None)])


def align_pool(model: keras.Model) -> None:
    """Max and average pooling: input and output get the smaller position."""
    for layer in _layers(model, (L.MaxPooling2D, L.AveragePooling2D)):
        _align(_take_known([input_position(layer), output_position(layer)]))


def _align(positions: list[Position]) -> None:
    for position in positions:
        position.set(min(position.value for position in positions))


RULES: dict[str, Callable[[keras.Model], None]] = {
    "adjust_dpu_sigmoid": adjust_sigmoid,
    "adjust_dpu_shift_read": adjust_shift_read,
    "adjust_dpu_shift_write": adjust_shift_write,
    "adjust_dpu_shift_swish": adjust_shift_swish,
    "adjust_dpu_shift_cut": adjust_shift_cut,
    "adjust_dpu_shift_bias": adjust_shift_bias,
    "adjust_dpu_shift_bias_leakyrelu": adjust_shift_bias_leaky_relu,
    "align_concat": align_concat,
    "align_pool": align_pool,
}


def revive(model: keras.Model, dead: set[str]) -> None:
    """Give activations that calibration saw only as zero the position of what their layer reads.

    Their own values say nothing about the range; position 51, which a zero tensor has, would spoil the weights before
    them through the shift_cut rule.
    """
    for layer in list_quantized_layers(model):
        result = output_quantizer(layer)
        if result is None or result.key not in dead or isinstance(layer, VitisQuantize):
            continue
        before = inputs_of(layer)[0]
        source = input_quantizer(before) if is_joined(before) else input_quantizer(layer)
        result.set_position(float(source.position()) if source is not None else 0.0)


def apply(model: keras.Model, options: dict[str, Any]) -> None:
    """Apply the rules that `options` (the keys of `refine_pipeline_config`) switch on, in AMD's order."""
    for name, rule in RULES.items():
        if options[name]:
            rule(model)
