"""Dead channels: outputs that are one constant, whose weights nevertheless take part in the tensor's range."""

from __future__ import annotations

import dataclasses

import numpy as np

from softdpu.quantizer.keras_graph import Graph
from softdpu.rescue.channels import by_output, scale_outputs
from softdpu.rescue.network import Network, Weighted, clip_range

NEGLIGIBLE = 1e-4  # a BatchNormalization variance below this share of epsilon
CONSTANT = 1e-3  # of the layer's largest channel range: far below a step of eight bits


@dataclasses.dataclass(frozen=True)
class Dead:
    """The dead channels of one layer.

    Attributes:
        channels: their numbers.
        normalized_away: those among them whose BatchNormalization variance is near zero.
        largest, rest: largest magnitude of the kernel in these channels, and in all others.
    """

    channels: list[int]
    normalized_away: list[int]
    largest: float
    rest: float


def variances(graph: Graph) -> dict[str, np.ndarray]:
    """Return, by layer name, which channels a BatchNormalization of near-zero variance follows: bool[channels].

    Both the layer before the normalization and the normalization itself are named, whichever of them stays.
    """
    found = {}
    for node in graph:
        if node.class_name != "BatchNormalization" or "moving_variance" not in node.weights:
            continue
        vanishing = node.weights["moving_variance"] < NEGLIGIBLE * float(node.config["epsilon"])
        found[node.name] = vanishing
        for name in node.inputs():
            found[name] = found[name + "_pointwise_conv"] = vanishing
    return found


def find(item: Weighted, vanishing: np.ndarray | None) -> Dead | None:
    """Return a layer's dead channels, or None if it has none.

    A channel is dead if its float output is constant on the calibration images and either its BatchNormalization
    variance is near zero, or its weights are larger than those of all live channels. A channel that is constant
    without either is left: it does no harm, and another image may wake it.
    """
    statistics = item.statistics
    if statistics is None:
        return None
    spread = statistics.high - statistics.low
    constant = spread <= CONSTANT * spread.max(initial=0.0)
    size = np.abs(by_output(item.kernel, item.reference)).max(axis=1)
    near_zero = vanishing if vanishing is not None and vanishing.shape == constant.shape else np.zeros_like(constant)
    live = size[~(constant & (size > 0))]
    dead = constant & (size > 0) & (near_zero | (size > live.max(initial=0.0)))
    if not dead.any() or dead.all():
        return None
    return Dead(
        np.flatnonzero(dead).tolist(),
        np.flatnonzero(dead & near_zero).tolist(),
        float(size[dead].max()),
        float(size[~dead].max()),
    )


def replace(net: Network, vanishing: dict[str, np.ndarray]) -> dict[str, Dead]:
    """Replace every dead channel by its constant: zero weights, the constant as bias; return them by layer.

    For a folded channel w = gamma / sqrt(var + eps) * w0, b = beta - gamma / sqrt(var + eps) * mean (Jacob et al.,
    Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, 2018, equation 14)
    with var ~ 0 the output is the constant c whatever the input, while w takes the tensor's range: w' = 0, b' = c.
    A constant that the activation behind the layer clips is moved to the edge of the clip.
    """
    found = {}
    for item in net.by_name.values():
        dead = find(item, vanishing.get(item.name))
        if dead is None or item.float_bias is None:
            continue
        alive = np.ones(len(item.float_bias), np.float32)
        alive[dead.channels] = 0
        bias = item.float_bias
        statistics = item.statistics
        assert statistics is not None
        constant = np.clip(statistics.mean, *clip_range(item.reference)).astype(np.float32)
        bias = np.where(alive > 0, bias, constant)
        item.statistics = dataclasses.replace(statistics, mean=np.where(alive > 0, statistics.mean, constant))
        item.set_float(scale_outputs(item.kernel, item.reference, alive), bias)
        found[item.name] = dead
    return found
