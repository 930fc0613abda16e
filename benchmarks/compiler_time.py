"""How long compiling takes: MobileNet v1 1.0 at 224 x 224, and chains of 500, 1,000 and 5,000 operations.

Prints processor seconds after imports, and for the chains the time of each operation relative to the shortest chain,
which stays near 1 where the time is linear in the size.

Example:
    python benchmarks/compiler_time.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.compiler import compile_keras
from softdpu.compiler.keras_model import Call, KerasModel, Layer
from softdpu.numbers import boards

_SIZES = (500, 1000, 5000)
_OPERATIONS_A_LAYER = 3  # weights, bias, convolution
# Output channels and stride of each depthwise-separable block.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class Network:
    """A quantized network with random weights, built in memory."""

    def __init__(self, size: int) -> None:
        self.rng = np.random.default_rng(0)
        config = {"batch_input_shape": [None, size, size, 3]}
        self.layers = [Layer("image", "InputLayer", "", config, config, (Call(()),), {}, {})]
        quantizer = {"quantizer": {"config": {"bit_width": 8}}}
        self.add("VitisQuantize", "quant_image", quantizer, {"quant_image_pos": np.float32(7)}, "VitisQuantize")

    def add(
        self, kind: str, name: str, config: dict[str, Any], weights: dict[str, Any], wrapper: str = "QuantizeWrapper"
    ) -> None:
        """Append a layer behind the last one."""
        calls = (Call(((self.layers[-1].name, 0),)),)
        self.layers.append(Layer(name, kind, wrapper, config, {}, calls, weights, {}))

    def conv(self, name: str, shape: tuple[int, ...], stride: int = 1, kind: str = "Conv2D") -> None:
        """Append a convolution with ReLU6."""
        key, outputs = ("depthwise_kernel", shape[2]) if kind == "DepthwiseConv2D" else ("kernel", shape[-1])
        config = {"padding": "same", "strides": [stride, stride], "activation": "linear"}
        kernel = self.rng.normal(0, 0.1, shape).astype(np.float32)
        weights: dict[str, Any] = {key: kernel, f"{key}_pos": np.float32(7), "bias": np.zeros(outputs, np.float32)}
        self.add(kind, name, config, {**weights, "bias_pos": np.float32(8)})
        self.add("ReLU", name + "_relu", {"max_value": 6.0}, {"output_0_pos": np.float32(4)})

    def model(self, name: str) -> KerasModel:
        """Return the model; the file it would have come from is this one."""
        return KerasModel(name, Path(__file__), tuple(self.layers), (("image", 0),), ((self.layers[-1].name, 0),))


def mobilenet(size: int = 224, classes: int = 1000) -> KerasModel:
    """Return MobileNet v1 1.0."""
    network = Network(size)
    network.conv("conv1", (3, 3, 3, 32), 2)
    channels = 32
    for number, (outputs, stride) in enumerate(_BLOCKS, 1):
        network.conv(f"conv_dw_{number}", (3, 3, channels, 1), stride, "DepthwiseConv2D")
        network.conv(f"conv_pw_{number}", (1, 1, channels, outputs))
        channels = outputs
    network.add("VitisGlobalAveragePooling2D", "gap", {}, {"output_0_pos": np.float32(5)})
    kernel = network.rng.normal(0, 0.05, (channels, classes)).astype(np.float32)
    weights: dict[str, Any] = {"kernel": kernel, "kernel_pos": np.float32(8), "bias": np.zeros(classes, np.float32)}
    network.add("Dense", "logits", {}, {**weights, "bias_pos": np.float32(9), "post_activation_pos": np.float32(3)})
    return network.model("mobilenet")


def chain(operations: int) -> KerasModel:
    network = Network(8)
    network.conv("conv_0", (1, 1, 3, 8))
    for number in range(1, operations // _OPERATIONS_A_LAYER):
        network.conv(f"conv_{number}", (1, 1, 8, 8))
    return network.model("chain")


def seconds(model: KerasModel) -> tuple[float, int]:
    """Return the processor time of compiling and writing `model`, the best of three, and the number of operations."""
    best, count = float("inf"), 0
    for _ in range(3):
        start = time.process_time()
        compiled = compile_keras(model, boards.find_target("zcu102"))
        data = compiled.to_xir().serialize_to_string()
        with tempfile.TemporaryFile() as file:
            file.write(data)
        best, count = min(best, time.process_time() - start), len(compiled.graph.ops)
    return best, count


def main() -> None:
    seconds(chain(60))
    taken, count = seconds(mobilenet())
    print(f"MobileNet v1 1.0, 224 x 224: {taken:.2f} s, {count} operations (at most 2 s)")
    shortest = 0.0
    for size in _SIZES:
        taken, count = seconds(chain(size))
        each = taken / count
        shortest = shortest or each
        print(f"{count:5d} operations: {taken:.2f} s, {each / shortest:.2f} x the time of each of the first")


if __name__ == "__main__":
    main()
