"""The network under rescue: a quantized Keras model and its float twin, layer by layer.

The float twin has the folded weights; a step that changes a layer's float weights changes both. The quantized model's
biases may move away from the float ones by correction.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.numbers import fixed_point
from softdpu.quantizer import configs, ops, refine
from softdpu.quantizer.quantizers import Quantizer, TQTQuantizer
from softdpu.quantizer.wrappers import QuantizeWrapper, VitisQuantize, list_quantized_layers, substitute
from softdpu.rescue.walk import Arguments, run

L = keras.layers
WEIGHTED = (L.Conv2D, L.DepthwiseConv2D, L.Conv2DTranspose, L.Dense)
CHUNK = 32  # images a batch at most: small enough for the processor's cache
PARTS = 4  # batches at least, as one part in four is held out
ELEMENTS = 1 << 28  # the largest tensor that is held for all images at once
UNSEEN = 1e-6  # weight of an error that no calibration image shows
ROWS = 512  # values of each channel that are kept
SAMPLES = 1 << 19  # values of a tensor that its position is chosen by


@dataclasses.dataclass
class Statistics:
    """Of a layer's float result before its activation, over all calibration images.

    Attributes:
        mean, low, high: mean, smallest and largest value, float32[channels].
        sample: some of the values, float32[n, channels].
        clip: what the activation behind the layer lets through, (0, 6) for ReLU6.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    sample: np.ndarray
    clip: tuple[float, float]

    def scale(self, factor: np.ndarray) -> Statistics:
        """Return the statistics after each channel is multiplied by a positive factor."""
        return Statistics(self.mean * factor, self.low * factor, self.high * factor, self.sample * factor, self.clip)

    def shift_error(self, shift: np.ndarray) -> float:
        """Return the mean squared error behind the activation if the result is off by a constant a channel.

        Where the activation clips both values there is none; a small share of the shift's square stands for images
        that are not in the calibration set.
        """
        seen = np.clip(self.sample + shift, *self.clip) - np.clip(self.sample, *self.clip)
        return float(np.mean(seen**2) + UNSEEN * np.mean(shift**2))


def get_position(quantizer: Quantizer) -> int:
    """Return the position, also that of a trained threshold."""
    return int(np.asarray(quantizer.position()).flat[0])


def set_position(quantizer: Quantizer, value: float) -> None:
    """Set the position, or the trained threshold that stands for it."""
    if isinstance(quantizer, TQTQuantizer):
        quantizer.weights["log_th_var"].assign(float(quantizer.bit_width - 1 - value))
    else:
        quantizer.weights["quant_pos_var"].assign(float(value))


def fake_quantize(x: Any, quantizer: Quantizer) -> tf.Tensor:
    """Return `x` fake-quantized with the stored position."""
    return ops.round_and_saturate(tf.convert_to_tensor(x), quantizer.position(), quantizer.form)


class Weighted:
    """One convolution or Dense: its quantized layer, its float twin and what the float twin gives.

    Attributes:
        fitted: kernel and bias are on their grids and made for each other, so that the bias is not corrected.
    """

    def __init__(self, layer: QuantizeWrapper, reference: keras.layers.Layer) -> None:
        self.layer = layer
        self.reference = reference
        self.name: str = reference.name
        self.statistics: Statistics | None = None
        self.fitted = False
        slots = {slot.kind: slot for slot in layer.slots()}
        self.kernel_slot = slots["weight"]
        self.bias_slot = slots.get("bias")

    @property
    def kernel(self) -> np.ndarray:
        """The quantized layer's kernel before rounding: the float kernel, until a step changes it alone."""
        return self.layer.parameter(self.kernel_slot.attribute).numpy()

    @property
    def float_kernel(self) -> np.ndarray:
        """The float twin's kernel."""
        return getattr(self.reference, self.kernel_slot.attribute).numpy()

    @property
    def float_bias(self) -> np.ndarray | None:
        """The float twin's bias, or None."""
        return self.reference.bias.numpy() if self.bias_slot is not None else None

    @property
    def per_tensor(self) -> bool:
        """Tell whether the kernel has one position."""
        return not self.kernel_slot.quantizer.per_channel

    @property
    def per_tensor_bias(self) -> bool:
        """Tell whether there is a bias with one position."""
        return self.bias_slot is not None and not self.bias_slot.quantizer.per_channel

    def fit(self, kernel: np.ndarray, bias: np.ndarray, bias_position: int) -> None:
        """Set the quantized layer's kernel and bias, which are on their grids, for good."""
        assert self.bias_slot is not None
        self.set_kernel(kernel)
        self.set_bias(bias)
        set_position(self.bias_slot.quantizer, bias_position)
        self.fitted = True

    def set_float(self, kernel: np.ndarray, bias: np.ndarray | None) -> None:
        """Change the float weights, and the quantized layer's with them."""
        self.fitted = False
        getattr(self.reference, self.kernel_slot.attribute).assign(kernel)
        if bias is not None:
            self.reference.bias.assign(bias)
            self.set_bias(bias)
        self.set_kernel(kernel)

    def set_kernel(self, kernel: np.ndarray) -> None:
        """Change the quantized layer's kernel alone."""
        _assign(self.layer, self.kernel_slot, kernel)

    def set_bias(self, bias: np.ndarray) -> None:
        """Change the quantized layer's bias alone."""
        _assign(self.layer, self.bias_slot, bias)

    def choose_kernel_position(self) -> None:
        """Choose the kernel's position by the kernel's own squared error."""
        self.kernel_slot.quantizer.initialize(tf.convert_to_tensor(self.kernel))

    def quantize_kernel(self) -> tf.Tensor:
        """Return the fake-quantized kernel."""
        return fake_quantize(self.layer.parameter(self.kernel_slot.attribute), self.kernel_slot.quantizer)

    def accumulate(self, x: tf.Tensor, kernel: tf.Tensor, bias: Any) -> tf.Tensor:
        """Return the layer's result on `x` with this kernel and bias, without activation."""
        values: dict[str, Any] = {self.kernel_slot.attribute: kernel, "activation": keras.activations.linear}
        if bias is not None:
            values["bias"] = tf.convert_to_tensor(bias)
        with substitute(self.layer.layer, values):
            return self.layer.layer.call(x)

    def choose_bias_position(self, bias: np.ndarray) -> None:
        """Choose the bias' position by its error behind the activation, see `find_bias_position`."""
        if self.per_tensor_bias:
            assert self.bias_slot is not None
            set_position(self.bias_slot.quantizer, self.find_bias_position(bias))

    def find_bias_position(self, bias: np.ndarray, share: Any = 1.0) -> int:
        """Return the position of least error behind the activation, of those that the DPU's shift_bias reaches.

        Args:
            share: what remains of the rounding errors, float32[channels] or a number.
        """
        assert self.bias_slot is not None and self.statistics is not None
        form, x = self.bias_slot.quantizer.form, tf.convert_to_tensor(bias)
        first = int(ops.position_without_overflow(*ops.full_range(x, form), form))
        candidates = [p for p in range(first, first + ops.CANDIDATES) if self._bias_shift_exists(p)]
        shifts = [fixed_point.fake_quantize(bias, p, form.round_mode) - bias for p in candidates]
        errors = [self.statistics.shift_error(share * shift) for shift in shifts]
        return candidates[int(np.argmin(errors))] if candidates else first

    def _shift_positions(self) -> list[int] | None:
        """Return the positions of input, kernel and result, or None where one is not known."""
        positions = [refine.input_position(self.layer), refine.output_position(self.layer)]
        if not self.per_tensor or positions[0] is None or positions[1] is None:
            return None
        return [positions[0].value, get_position(self.kernel_slot.quantizer), positions[1].value]

    def _bias_shift_exists(self, position: int) -> bool:
        known = self._shift_positions()
        if known is None:
            return True
        low = fixed_point.shift_bias_minimum(fixed_point.shift_cut(*known))
        return low <= fixed_point.shift_bias(known[0], known[1], position) <= refine.SHIFT_BIAS_MAXIMUM

    def legal_kernel_position(self, position: int) -> bool:
        """Tell whether the DPU has the shift_cut that this kernel position gives."""
        known = self._shift_positions()
        if known is None:
            return True
        low, high = fixed_point.SHIFT_CUT_RANGE
        return low <= fixed_point.shift_cut(known[0], position, known[2]) <= high


def _assign(layer: QuantizeWrapper, slot: Any, value: np.ndarray) -> None:
    layer.parameter(slot.attribute).assign(value)
    low, high = ops.full_range(tf.convert_to_tensor(value), slot.quantizer.form)
    slot.quantizer.weights["min_var"].assign(low)
    slot.quantizer.weights["max_var"].assign(high)


class Network:
    """A calibrated model with its float twin and the calibration images.

    Args:
        model: quantized and calibrated.
        reference: the float model before quantization, with layers of the same names.
        batches: of calibration images, as the model takes them.
        refine: applies the DPU's position rules to the model.
    """

    def __init__(
        self, model: keras.Model, reference: keras.Model, batches: list[Any], refine: Callable[[], None]
    ) -> None:
        self.model = model
        self.reference = reference
        self.refine = refine
        self.batches = _chunks(batches, _image_limit(reference))
        self.weighted = _collect_weighted(model, reference)
        by_name = {item.name: item for item in self.weighted.values()}
        self.by_name: dict[str, Weighted] = by_name
        self._targets = self._measure_reference()

    def _measure_reference(self) -> list[np.ndarray]:
        """Take the float twin's statistics and return its outputs."""

        def call(layer: keras.layers.Layer, arguments: Arguments) -> list[tf.Tensor]:
            outputs = [layer(*args, **kwargs) for args, kwargs in arguments]
            if layer.name in self.by_name:
                self.by_name[layer.name].statistics = _statistics(outputs, clip_range(layer))
            return outputs

        return _make_comparable(run(self.reference, self.batches, call))

    @property
    def held_out(self) -> int:
        """How many of the last batches a step that learns must not see."""
        return max(1, len(self.batches) // PARTS)

    def first(self, images: int) -> list[Any]:
        """Return the first batches, as many as hold that many images."""
        counts = np.cumsum([len(tf.nest.flatten(batch)[0]) for batch in self.batches])
        return self.batches[: int(np.searchsorted(counts, images)) + 1]

    def error(self, outputs: list[list[tf.Tensor]], batches: int = 0) -> float:
        """Return the squared error of outputs against the float network's, relative to the float outputs' square.

        Probabilities are compared by their logarithms, so that a sure answer does not hide an error.

        Args:
            outputs: of all batches.
            batches: judge by so many of the last batches only, by all if 0.
        """
        noise = signal = 0.0
        images = sum(len(parts[0]) for parts in outputs[-batches:])
        for output, target in zip(_make_comparable(outputs), self._targets):  # noqa: B905
            output, target = output[-images:], target[-images:]
            noise += float(np.sum((output - target) ** 2, dtype=np.float64))
            signal += float(np.sum(target**2, dtype=np.float64))
        return noise / max(signal, 1e-30)

    def positions(self) -> list[float]:
        """Return all positions of the model."""
        return [get_position(slot.quantizer) for layer in list_quantized_layers(self.model) for slot in layer.slots()]

    def snapshot(self) -> tuple:
        """Return all that a step may change."""
        notes = {name: (item.statistics, item.fitted) for name, item in self.by_name.items()}
        return self.model.get_weights(), self.reference.get_weights(), notes

    def restore(self, kept: tuple) -> None:
        """Go back to a snapshot."""
        self.model.set_weights(kept[0])
        self.reference.set_weights(kept[1])
        for name, item in self.by_name.items():
            item.statistics, item.fitted = kept[2][name]


def _collect_weighted(model: keras.Model, reference: keras.Model) -> dict[str, Weighted]:
    """Return the convolutions and Dense layers by the name of their quantized layer."""
    twins = {layer.name: layer for layer in reference.layers}
    found = {}
    for layer in list_quantized_layers(model):
        if not isinstance(layer, QuantizeWrapper) or not isinstance(layer.layer, WEIGHTED):
            continue
        if layer.layer.name in twins and any(slot.kind == "weight" for slot in layer.slots()):
            found[layer.name] = Weighted(layer, twins[layer.layer.name])
    return found


def _image_limit(model: keras.Model) -> int:
    """Return for how many images the model's largest tensor fits in memory."""
    sizes = [
        int(np.prod([size or 1 for size in tensor.shape[1:]]))
        for layer in model.layers
        for tensor in tf.nest.flatten(layer.output)
    ]
    return max(CHUNK, ELEMENTS // max(sizes))


def _chunks(batches: list[Any], limit: int) -> list[Any]:
    """Return the images in equal batches, the last one aside; an even choice of them if there are more than `limit`."""
    images = tf.nest.map_structure(lambda *parts: np.concatenate([np.asarray(x) for x in parts]), *batches)
    count = len(tf.nest.flatten(images)[0])
    chosen = np.unique(np.linspace(0, count - 1, min(count, limit)).astype(int))
    size = min(CHUNK, -(-len(chosen) // PARTS))
    groups = [chosen[at : at + size] for at in range(0, len(chosen), size)]
    return [tf.nest.map_structure(lambda x, group=group: x[group], images) for group in groups]


def clip_range(layer: keras.layers.Layer) -> tuple[float, float]:
    """Return the range that all readers of a float layer let through: (0, 6) before ReLU6, (0, inf) before ReLU."""
    ranges = [_activation_range(node.outbound_layer) for node in [*layer.outbound_nodes]]
    if not ranges:
        return -np.inf, np.inf
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _activation_range(layer: keras.layers.Layer) -> tuple[float, float]:
    if isinstance(layer, L.ReLU) and not layer.negative_slope and not layer.threshold:
        return 0.0, np.inf if layer.max_value is None else float(layer.max_value)
    if isinstance(layer, L.Activation):
        ranges = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0)}
        return ranges.get(configs.activation_name(layer.activation), (-np.inf, np.inf))
    return -np.inf, np.inf


def _statistics(outputs: list[tf.Tensor], clip: tuple[float, float]) -> Statistics:
    axes = list(range(len(outputs[0].shape) - 1))
    low = np.min([tf.reduce_min(y, axes) for y in outputs], axis=0)
    high = np.max([tf.reduce_max(y, axes) for y in outputs], axis=0)
    rows = [np.reshape(y, (-1, low.size)) for y in outputs]
    # Odd, so that every column of an image is met although its width is often a power of two.
    step = max(1, sum(len(part) for part in rows) // ROWS) | 1
    sample = np.concatenate([part[::step] for part in rows])
    return Statistics(mean(outputs), low, high, sample, clip)


def mean(outputs: list[tf.Tensor]) -> np.ndarray:
    """Return the mean over batches, images and places, float32[channels]."""
    axes = list(range(len(outputs[0].shape) - 1))
    counts = [int(y.shape[0]) for y in outputs]
    return np.average([tf.reduce_mean(y, axes) for y in outputs], axis=0, weights=counts).astype(np.float32)


def _make_comparable(outputs: list[list[tf.Tensor]]) -> list[np.ndarray]:
    """Return each of the model's outputs over all batches, probabilities as centred logarithms."""
    joined = [np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*outputs)]  # noqa: B905
    return [_logarithms(x) if _is_probability(x) else x for x in joined]


def _is_probability(x: np.ndarray) -> bool:
    return bool(x.ndim > 1 and x.shape[-1] > 1 and x.min() >= 0 and np.allclose(x.sum(axis=-1), 1, atol=1e-3))


def _logarithms(x: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(x, 1e-6))
    return logs - logs.mean(axis=-1, keepdims=True)


def is_supported(model: keras.Model) -> bool:
    """Tell whether every quantized layer is of a kind that is understood here."""
    return all(isinstance(layer, (QuantizeWrapper, VitisQuantize)) for layer in list_quantized_layers(model))
