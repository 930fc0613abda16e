"""One pass over the calibration images that brings a quantized network to rest after its weights have changed.

On the way it may choose the positions of activations and correct biases; it returns the network's outputs, so that
the same pass also tells the output error.
"""

from __future__ import annotations

from typing import Any, Callable, Container, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.keras2.kinds import PRE_ACTIVATIONS
from softdpu.quantizer import configs, ops
from softdpu.quantizer.quantizers import Quantizer
from softdpu.quantizer.wrappers import QuantizeWrapper, VitisQuantize, substitute
from softdpu.rescue import network
from softdpu.rescue.network import SAMPLES, Network, Weighted, fake_quantize, set_position
from softdpu.rescue.walk import Arguments, Place, run, run_from, walk

Hook = Callable[[Weighted, list], None]


def run_quantized(
    net: Network, correct: bool, choose: bool, hook: Hook | None = None, only: Container[str] | None = None
) -> list:
    """Walk through the quantized network and return its outputs.

    Args:
        correct: correct every bias against the float means, see `correct_bias`, but those of fitted layers.
        choose: choose the positions of activations, by the least squared error over all images.
        hook: is given each weighted layer with its quantized inputs before the layer is passed.
        only: keys of the quantizers that act, all if None; the rest of the network stays float.
    """
    return run(net.model, net.batches, _Visitor(net, correct, choose, hook, only))


def run_one_quantized(net: Network, keys: dict[str, Container[str]]) -> Iterator[tuple[str, list]]:
    """Yield (layer name, the network's outputs if nothing but that layer were quantized), in the network's order.

    All that lies before the layer is float and passed once for all layers.

    Args:
        keys: for each layer asked for the keys of the quantizers that act, its own and those behind it.
    """
    place = Place.start(net.model, net.batches)
    before = place.copy()
    for layer, _ in walk(net.model, place, _Visitor(net, only=())):
        if layer.name in keys:
            yield layer.name, run_from(before, net.model, _Visitor(net, only=keys[layer.name]))
        before = place.copy()


def correct_bias(item: Weighted, results: list[tf.Tensor], bias: np.ndarray) -> None:
    """Move a bias so that the layer's mean result is the float network's, channel by channel.

    Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization through Weight Equalization and Bias Correction,
    2019, section 4.2 in its empirical form (appendix D): b += E[y_float] - E[y_quantized], layer by layer, with the
    quantized network's own inputs.

    Args:
        results: of the layer with the quantized kernel and `bias`, all batches.
        bias: the float bias.
    """
    assert item.statistics is not None
    corrected = (bias + (item.statistics.mean - network.mean(results))).astype(np.float32)
    item.set_bias(corrected)
    item.choose_bias_position(corrected)


class _Visitor:
    def __init__(
        self,
        net: Network,
        correct: bool = False,
        choose: bool = False,
        hook: Hook | None = None,
        only: Container[str] | None = None,
    ) -> None:
        self._net = net
        self._correct = correct
        self._choose = choose
        self._hook = hook
        self._only = only

    def __call__(self, layer: keras.layers.Layer, arguments: Arguments) -> list:
        item = self._net.weighted.get(layer.name)
        if item is not None:
            return self._pass_weighted(item, [args[0] for args, _ in arguments])
        if isinstance(layer, VitisQuantize):
            return self._finish([args[0] for args, _ in arguments], layer.quantizer)
        if isinstance(layer, QuantizeWrapper):
            return self._pass_wrapped(layer, arguments)
        return [layer(*args, **kwargs) for args, kwargs in arguments]

    def _pass_weighted(self, item: Weighted, inputs: list[tf.Tensor]) -> list:
        if self._hook is not None:
            self._hook(item, inputs)
        kernel = self._quantize(item.kernel, item.kernel_slot.quantizer)
        bias = item.float_bias
        if self._correct and not item.fitted and bias is not None and item.bias_slot is not None:
            results = [item.accumulate(x, kernel, bias) for x in inputs]
            correct_bias(item, results, bias)
            change = self._quantize(item.layer.layer.bias, item.bias_slot.quantizer) - bias
            results = [y + change for y in results]
        else:
            if item.bias_slot is not None:
                bias = self._quantize(item.layer.layer.bias, item.bias_slot.quantizer)
            results = [item.accumulate(x, kernel, bias) for x in inputs]
        for slot in item.layer.slots():
            if slot.kind == "activation":
                return self._activate(getattr(item.layer.layer, slot.attribute), results, slot.quantizer)
        return results

    def _pass_wrapped(self, layer: QuantizeWrapper, arguments: Arguments) -> list:
        """Pass a layer whose weights, if any, are small (PReLU's alpha, a lone normalization's)."""
        values: dict[str, Any] = {}
        activation = None
        for slot in layer.slots():
            if slot.kind in ("weight", "bias"):
                values[slot.attribute] = self._quantize(layer.parameter(slot.attribute), slot.quantizer)
            elif slot.kind == "activation":
                activation = slot
                values[slot.attribute] = keras.activations.linear
        with substitute(layer.layer, values):
            results = [layer._inner_call(args[0], False, **kwargs) for args, kwargs in arguments]
        if activation is not None:
            return self._activate(getattr(layer.layer, activation.attribute), results, activation.quantizer)
        for slot in layer.slots():
            if slot.kind == "output":
                return self._finish(results, slot.quantizer)
        return results

    def _activate(self, function: Any, results: list[tf.Tensor], quantizer: Quantizer) -> list:
        if configs.activation_name(function) in PRE_ACTIVATIONS:
            return [function(y) for y in self._finish(results, quantizer)]
        return self._finish([function(y) for y in results], quantizer)

    def _finish(self, results: list[tf.Tensor], quantizer: Quantizer) -> list[tf.Tensor]:
        if self._choose:
            choose_activation_position(results, quantizer)
        return [self._quantize(y, quantizer) for y in results]

    def _quantize(self, x: Any, quantizer: Quantizer) -> tf.Tensor:
        return (
            fake_quantize(x, quantizer)
            if self._only is None or quantizer.key in self._only
            else tf.convert_to_tensor(x)
        )


def choose_activation_position(results: list[tf.Tensor], quantizer: Quantizer) -> None:
    """Choose the position of a tensor by the range and the squared error over all images at once."""
    ranges = [ops.full_range(y, quantizer.form) for y in results]
    low, high = (tf.reduce_min([r[0] for r in ranges]), tf.reduce_max([r[1] for r in ranges]))
    if max(-float(low), float(high)) <= 0:
        return  # a tensor that is always zero says nothing about its range
    total = sum(int(tf.size(y)) for y in results)
    every = total // SAMPLES | 1  # odd, so that all channels are met although their number is often a power of two
    sample = tf.concat([tf.reshape(y, [-1])[::every] for y in results], axis=0)
    set_position(quantizer, float(ops.choose_position(sample, low, high, quantizer.method, quantizer.form)))
    quantizer.weights["min_var"].assign(low)
    quantizer.weights["max_var"].assign(high)
