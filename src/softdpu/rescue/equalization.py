"""Cross-layer equalization that keeps the function, also where ReLU6 lies between the layers."""

from __future__ import annotations

import dataclasses

import numpy as np

from softdpu.keras2.api import keras
from softdpu.quantizer import configs
from softdpu.rescue.channels import by_input, by_output, input_axis, scale_inputs, scale_outputs
from softdpu.rescue.network import Network, Statistics, Weighted

L = keras.layers
SWEEPS = 20
MARGIN = 1.05  # a scaled channel stays this factor below the clip of ReLU6
LARGEST_FACTOR = 16.0
BIAS_SHARE = 0.5  # biases have eight bits too: the largest one counts as half of the largest weight
# What commutes with a positive factor for each channel.
TRANSPARENT = (
    L.ZeroPadding2D,
    L.MaxPooling2D,
    L.AveragePooling2D,
    L.GlobalAveragePooling2D,
    L.UpSampling2D,
    L.LeakyReLU,
    L.PReLU,
)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two weighted layers with nothing between them but layers that commute with a factor.

    Attributes:
        tail_axis: of the tail's kernel, along which the head's channels lie.
        clip: ReLU6's 6, infinity without one.
    """

    head: Weighted
    tail: Weighted
    tail_axis: int
    clip: float


def pairs(net: Network) -> list[Pair]:
    """Return all pairs (head, tail) where the tail is the head's only reader."""
    found = []
    for tail in net.by_name.values():
        clip = np.inf
        before = _find_only_input(tail.reference)
        while before is not None and len(before.outbound_nodes) == 1 and not _is_output(net, before):
            if before.name in net.by_name:
                axis = input_axis(tail.reference)
                if axis is not None:
                    found.append(Pair(net.by_name[before.name], tail, axis, clip))
                break
            limit = _clip(before)
            if limit is None:
                break
            clip = min(clip, limit)
            before = _find_only_input(before)
    return found


def _is_output(net: Network, layer: keras.layers.Layer) -> bool:
    return any(output._keras_history.layer is layer for output in net.reference.outputs)


def _find_only_input(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    if len(layer.inbound_nodes) != 1:
        return None
    before = layer.inbound_nodes[0].inbound_layers
    return None if isinstance(before, (list, tuple)) else before


def _clip(layer: keras.layers.Layer) -> float | None:
    """Return where a layer clips, infinity if nowhere, None if a factor does not pass through it."""
    if isinstance(layer, TRANSPARENT):
        return np.inf
    if isinstance(layer, L.ReLU) and not layer.threshold:
        return np.inf if layer.max_value is None else float(layer.max_value)
    if isinstance(layer, L.Activation):
        return {"linear": np.inf, "relu": np.inf, "relu6": 6.0}.get(configs.activation_name(layer.activation))
    return None


@dataclasses.dataclass
class Weights:
    """What is scaled of one layer: its float weights, and the statistics of its result."""

    kernel: np.ndarray
    bias: np.ndarray | None
    statistics: Statistics

    @classmethod
    def of(cls, item: Weighted) -> Weights:
        """Return those of a layer as it is."""
        assert item.statistics is not None
        return cls(item.kernel, item.float_bias, item.statistics)


def factors(pair: Pair, first: Weights, second: Weights) -> np.ndarray:
    """Return by what each channel between the two layers is multiplied, float32[channels].

    Nagel et al. 2019 (see below), equation 11: s = sqrt(r_tail / r_head), which makes both ranges equal. With a clip
    at 6 the function stays relu6(s * x) = s * relu6(x) only where neither side clips, so a channel whose largest
    value on the calibration images is m may grow by at most 6 / m, and one that reaches the clip stays as it is.
    """
    head = np.abs(by_output(first.kernel, pair.head.reference)).max(axis=1)
    bias = first.bias
    if bias is not None and np.any(bias):
        share = np.abs(bias) / np.abs(bias).max()
        head = np.where(head > 0, np.maximum(head, BIAS_SHARE * head.max() * share), 0)
    tail = np.abs(by_input(second.kernel, pair.tail_axis)).max(axis=1)
    usable = (head > 0) & (tail > 0)
    factor = np.ones_like(head)
    factor[usable] = np.clip(np.sqrt(tail[usable] / head[usable]), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    if np.isfinite(pair.clip):
        room = pair.clip / (MARGIN * np.maximum(first.statistics.high, 1e-6))
        factor = np.where(room < 1, 1.0, np.minimum(factor, room))
    return factor.astype(np.float32)


def equalize(net: Network) -> int:
    """Equalize all pairs again and again, and return how many pairs there are.

    Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization through Weight Equalization and Bias Correction,
    2019, section 4.1: W1' = s W1, b1' = s b1, W2' = W2 / s.
    """
    found = pairs(net)
    weights = {item.name: Weights.of(item) for pair in found for item in (pair.head, pair.tail)}
    for _ in range(SWEEPS):
        largest = 1.0
        for pair in found:
            first, second = weights[pair.head.name], weights[pair.tail.name]
            factor = factors(pair, first, second)
            _scale(pair, first, second, factor)
            largest = max(largest, float(np.abs(np.log(factor)).max(initial=0.0)) + 1.0)
        if largest < 1.01:
            break
    for name, scaled in weights.items():
        net.by_name[name].set_float(scaled.kernel, scaled.bias)
        net.by_name[name].statistics = scaled.statistics
    return len(found)


def _scale(pair: Pair, first: Weights, second: Weights, factor: np.ndarray) -> None:
    first.kernel = scale_outputs(first.kernel, pair.head.reference, factor)
    if first.bias is not None:
        first.bias = (first.bias * factor).astype(np.float32)
    first.statistics = first.statistics.scale(factor)
    second.kernel = scale_inputs(second.kernel, pair.tail_axis, 1 / factor)
