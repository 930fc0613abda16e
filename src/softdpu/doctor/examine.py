"""What is measured of each layer before and after the rescue."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.quantizer import refine as rules
from softdpu.quantizer import vitis_quantize
from softdpu.rescue import Rescue, channels, dead_channels, equalization
from softdpu.rescue.network import Network, Weighted, clip_range, fake_quantize, get_position
from softdpu.rescue.quantized_run import run_one_quantized, run_quantized
from softdpu.rescue.recipe import Trial
from softdpu.rescue.walk import Follower

IMAGES = 32  # for what takes one pass per layer


@dataclasses.dataclass(frozen=True)
class LayerState:
    """One convolution or Dense, quantized one way. Ratios of signal to quantization noise are in dB.

    Attributes:
        ranges: largest magnitude of each output channel's float weights.
        kernel_pos, bias_pos, input_pos, output_pos: positions; None where there is none.
        weight_sqnr: of the kernel.
        output_sqnr: of the result behind the activation's clip, all layers before it quantized too.
        cosine: of that result to the float one.
        alone_sqnr: of the network's output if only this layer, with the activation behind it, were quantized.
        bias_max: largest magnitude of the bias.
        sample: some values of the float result behind the clip.
    """

    ranges: np.ndarray
    kernel_pos: int
    bias_pos: int | None
    input_pos: int | None
    output_pos: int | None
    weight_sqnr: float
    output_sqnr: float
    cosine: float
    alone_sqnr: float
    bias_max: float
    sample: np.ndarray

    @property
    def stretching_channel(self) -> int:
        """The channel with the largest weight."""
        return int(np.argmax(self.ranges))


@dataclasses.dataclass(frozen=True)
class Examination:
    """What the doctor found.

    Attributes:
        before, after: the layers under AMD's recipe and after the rescue, by name, in the network's order.
        dead: the dead channels by layer.
        starved_by: for a layer whose dead channels read dead channels of the layer before it, that layer.
        steps: what the rescue did, see `Rescue.report`.
        output_sqnr: (before, after) of the network's output, dB.
    """

    before: dict[str, LayerState]
    after: dict[str, LayerState]
    dead: dict[str, dead_channels.Dead]
    starved_by: dict[str, str]
    steps: list[dict[str, Any]]
    output_sqnr: tuple[float, float]


def compute_decibels(signal: float, noise: float) -> float:
    """Return a power ratio in dB, within -99..99."""
    return float(np.clip(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)), -99, 99))


class _Examiner(Rescue):
    """The recipe `rescue` with a look at the network before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, LayerState] = {}
        self.after: dict[str, LayerState] = {}
        self.dead: dict[str, dead_channels.Dead] = {}
        self.starved_by: dict[str, str] = {}
        self.errors: list[float] = []

    def after_calibration(self, model: keras.Model, batches: list[Any], refine: Callable[[], None]) -> None:
        """Measure, rescue, measure."""
        refine()
        assert self._graph is not None
        net = Network(model, self._graph.to_model(), batches, refine)
        for item in net.by_name.values():
            found = dead_channels.find(item, self.vanishing.get(item.name))
            if found is not None:
                self.dead[item.name] = found
        for pair in equalization.pairs(net):
            head, tail = self.dead.get(pair.head.name), self.dead.get(pair.tail.name)
            if head is None or tail is None or not isinstance(pair.tail.reference, keras.layers.DepthwiseConv2D):
                continue
            if set(head.channels) & set(tail.channels):
                self.starved_by[pair.tail.name] = pair.head.name
        few = net.first(IMAGES)
        self.before, error = measure(Network(model, net.reference, few, refine))
        self.errors.append(error)
        Trial(self, net).run()
        refine()
        self.after, error = measure(Network(model, net.reference, few, refine))
        self.errors.append(error)


def examine(model: keras.Model, images: Any) -> Examination:
    """Quantize a float model and measure every layer, under AMD's recipe and after the rescue.

    Args:
        model: float, functional or Sequential.
        images: calibration data as `quantize_model` takes them.

    Raises:
        QuantizerError: for a model or data that cannot be quantized.
    """
    recipe = _Examiner()
    vitis_quantize.VitisQuantizer(model, recipe=recipe).quantize_model(calib_dataset=images)
    before, after = (compute_decibels(1.0, error) for error in recipe.errors)
    return Examination(recipe.before, recipe.after, recipe.dead, recipe.starved_by, recipe.report, (before, after))


def measure(net: Network) -> tuple[dict[str, LayerState], float]:
    """Return the state of every layer, and the network's relative squared output error."""
    reference = Follower(net.reference, net.batches, set(net.by_name))
    outputs: dict[str, tuple[float, float]] = {}

    def look(item: Weighted, inputs: list[tf.Tensor]) -> None:
        bias = item.layer.layer.bias if item.bias_slot is not None else None
        if bias is not None and item.bias_slot is not None:
            bias = fake_quantize(bias, item.bias_slot.quantizer)
        kernel = item.quantize_kernel()
        results = [item.accumulate(x, kernel, bias) for x in inputs]
        outputs[item.name] = _compare(results, reference.take(item.name), clip_range(item.reference))

    error = net.error(run_quantized(net, correct=False, choose=False, hook=look))
    alone = run_one_quantized(net, {name: _keys(item) for name, item in net.weighted.items()})
    errors = {net.weighted[name].name: net.error(found) for name, found in alone}
    return {item.name: _state(item, errors[item.name], *outputs[item.name]) for item in net.weighted.values()}, error


def _keys(item: Weighted) -> set[str]:
    """Return the keys of a layer's quantizers and of the one behind it."""
    result = rules.output_position(item.layer)
    keys = {slot.quantizer.key for slot in item.layer.slots()}
    return keys if result is None else keys | {result.quantizer.key}


def _compare(results: list[Any], targets: list[Any], clip: tuple[float, float]) -> tuple[float, float]:
    """Return (SQNR in dB, cosine) of results to targets, both clipped as the activation does."""
    noise = signal = power = product = 0.0
    for result, target in zip(results, targets, strict=True):
        y, x = np.clip(result, *clip), np.clip(target, *clip)
        noise += float(np.sum((y - x) ** 2, dtype=np.float64))
        signal += float(np.sum(x * x, dtype=np.float64))
        power += float(np.sum(y * y, dtype=np.float64))
        product += float(np.sum(x * y, dtype=np.float64))
    return compute_decibels(signal, noise), product / max(np.sqrt(signal * power), 1e-30)


def _state(item: Weighted, alone: float, output_sqnr: float, cosine: float) -> LayerState:
    source, result = rules.input_position(item.layer), rules.output_position(item.layer)
    kernel, bias, statistics = item.kernel, item.float_bias, item.statistics
    assert statistics is not None
    noise = float(np.sum((item.quantize_kernel().numpy() - kernel) ** 2))
    return LayerState(
        ranges=np.abs(channels.by_output(kernel, item.reference)).max(axis=1),
        kernel_pos=get_position(item.kernel_slot.quantizer),
        bias_pos=None if item.bias_slot is None else get_position(item.bias_slot.quantizer),
        input_pos=None if source is None else source.value,
        output_pos=None if result is None else result.value,
        weight_sqnr=compute_decibels(float(np.sum(kernel**2)), noise),
        output_sqnr=output_sqnr,
        cosine=cosine,
        alone_sqnr=compute_decibels(1.0, alone),
        bias_max=0.0 if bias is None else float(np.abs(bias).max()),
        sample=np.clip(statistics.sample, *statistics.clip).ravel(),
    )
