"""Kernel positions by the layer's output error."""

from __future__ import annotations

import numpy as np

from softdpu.keras2.api import tf
from softdpu.rescue.network import Network, Weighted, clip_range, get_position, mean, set_position
from softdpu.rescue.walk import Follower

IMAGES = 32
BELOW, ABOVE = 1, 2  # candidates around the position of least weight error


class PositionSearch:
    """Chooses each kernel's position as the walk comes to the layer, with the inputs that the layer then has.

    Wu, Tang, Zhao et al.: EasyQuant: Post-training Quantization via Scale Optimization, 2020, equation 6, on
    power-of-two scales: argmin over p of ||f(x W) - f(x_q Q_p(W))||^2, x_q the quantized network's inputs, f the
    activation's clip. Biases are taken as corrected, so that a mean error, which correction removes, does not count.
    """

    def __init__(self, net: Network) -> None:
        self._float = Follower(net.reference, net.first(IMAGES), set(net.by_name))
        self.moved: dict[str, int] = {}

    def __call__(self, item: Weighted, inputs: list[tf.Tensor]) -> None:
        """Choose the position of a layer's kernel."""
        targets = self._float.take(item.name)
        if not item.per_tensor:
            return
        quantizer = item.kernel_slot.quantizer
        start = get_position(quantizer)
        candidates = [start, *(p for p in range(start - BELOW, start + ABOVE + 1) if p != start)]
        errors = {}
        for position in candidates:
            if position == start or item.legal_kernel_position(position):
                set_position(quantizer, position)
                errors[position] = output_error(item, inputs[: len(targets)], targets)
        best = min(errors, key=lambda position: errors[position])
        set_position(quantizer, best)
        if best != start:
            self.moved[item.name] = best


def output_error(item: Weighted, inputs: list[tf.Tensor], targets: list[tf.Tensor]) -> float:
    """Return the squared error of a layer's clipped result against the float one, its mean error removed."""
    kernel, bias = item.quantize_kernel(), item.float_bias
    results = [item.accumulate(x, kernel, bias) for x in inputs]
    if bias is not None:
        shift = mean([y - target for y, target in zip(results, targets)])  # noqa: B905
        results = [y - shift for y in results]
    low, high = clip_range(item.reference)
    total = 0.0
    for y, target in zip(results, targets):  # noqa: B905
        if np.isfinite(low) or np.isfinite(high):
            y, target = tf.clip_by_value(y, low, high), tf.clip_by_value(target, low, high)
        total += float(2.0 * tf.nn.l2_loss(y - target))
    return total
