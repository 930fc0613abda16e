"""Quantized Keras HDF5 files written by hand, layer by layer, without TensorFlow."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"


class H5Model:
    """Collects layers and writes the file that vai_q_tensorflow2 would write for them."""

    def __init__(self, seed: int = 0, name: str = "toy") -> None:
        self.name = name
        self.rng = np.random.default_rng(seed)
        self.layers: list[dict[str, Any]] = []
        self.weights: dict[str, dict[str, np.ndarray]] = {}
        self.inputs: list[str] = []

    def bare(
        self, kind: str, name: str, inputs: list[str], config: dict[str, Any] | None = None, **weights: Any
    ) -> str:
        """A layer without a wrapper."""
        config = {"name": name, "trainable": True, "dtype": "float32", **(config or {})}
        nodes = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
        self.layers.append({"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes})
        self.weights[name] = weights
        return name

    def input(self, shape: tuple[int, ...], position: int = 5, name: str = "input_1") -> str:
        """An input with its quantizer."""
        self.inputs.append(self.bare("InputLayer", name, [], {"batch_input_shape": [None, *shape]}))
        return self.quantize(name, position)

    def quantize(self, source: str, position: int) -> str:
        """A quantizer of its own behind `source`."""
        name = "quant_" + source
        config = {"quantizer": {"class_name": "Vitis>Pof2SQuantizer", "config": {"bit_width": 8}}, "mode": "QCBEV"}
        return self.bare("Vitis>VitisQuantize", name, [source], config, **{name + "_pos": np.float32(position)})

    def wrapped(self, kind: str, inputs: list[str], config: dict[str, Any], name: str = "", **weights: Any) -> str:
        """A layer in a QuantizeWrapper; weights that are numbers are positions or float arrays."""
        short = name or f"{kind.split('>')[-1].lower()}_{len(self.layers)}"
        inner = {"class_name": kind, "config": {"name": short, "trainable": True, "dtype": "float32", **config}}
        setting = [{"quantizer_type": "Pof2SQuantizer", "quantizer_params": {"bit_width": 8, "round_mode": 0}}]
        groups = ("weight", "bias", "activation", "output")
        quantize_config = {"config": {f"{group}_quantizers": setting for group in groups}}
        outer = {"layer": inner, "quantize_config": quantize_config, "mode": "QCBEV"}
        values = {key: np.float32(value) if np.ndim(value) == 0 else value for key, value in weights.items()}
        return self.bare("Vitis>QuantizeWrapper", "quant_" + short, inputs, outer, **values)

    def conv(
        self,
        source: str,
        channels: tuple[int, int],
        kernel: int | tuple[int, int] = 3,
        out: int | None = 4,
        kind: str = "Conv2D",
        bias: bool = True,
        weight_position: int = 7,
        bias_position: int = 8,
        name: str = "",
        activation: str = "linear",
        **config: Any,
    ) -> str:
        """A convolution; `out` is the position of its result, None where an activation layer follows."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        shapes = {
            "Conv2D": (height, width, channels[0] // config.get("groups", 1), channels[1]),
            "DepthwiseConv2D": (height, width, channels[0], config.get("depth_multiplier", 1)),
            "Conv2DTranspose": (height, width, channels[1], channels[0]),
            "Dense": channels,
        }
        key = "depthwise_kernel" if kind == "DepthwiseConv2D" else "kernel"
        outputs = channels[0] * config.get("depth_multiplier", 1) if kind == "DepthwiseConv2D" else channels[1]
        scale = 1.5 / np.sqrt(np.prod(shapes[kind][:3]) if kind != "Dense" else channels[0])
        weights: dict[str, Any] = {
            key: self.rng.normal(0, scale, shapes[kind]).astype(np.float32),
            f"{key}_pos": weight_position,
        }
        if bias:
            weights |= {"bias": self.rng.normal(0, 0.2, outputs).astype(np.float32), "bias_pos": bias_position}
        if out is not None:
            weights["post_activation_pos"] = out
        full = {"padding": "same", "strides": [1, 1], "dilation_rate": [1, 1], "use_bias": bias, **config}
        full["activation"] = {"class_name": "Vitis>QuantizeAwareActivation", "config": {"activation": activation}}
        if out is None and activation == "linear":
            full["activation"]["config"]["activation"] = {"class_name": "Vitis>NoQuantizeActivation", "config": {}}
        return self.wrapped(kind, [source], full, name, **weights)

    def relu(self, source: str, position: int, max_value: float | None = None, name: str = "") -> str:
        """A ReLU layer."""
        return self.wrapped("ReLU", [source], {"max_value": max_value}, name, output_0_pos=position)

    def write(self, path: Path, outputs: list[str]) -> Path:
        """Write the file and return its path."""
        config = {
            "name": self.name,
            "layers": self.layers,
            "input_layers": [[name, 0, 0] for name in self.inputs],
            "output_layers": [[name, 0, 0] for name in outputs],
        }
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
            file.attrs["keras_version"] = "2.12.0"
            group = file.create_group("model_weights")
            for name, weights in self.weights.items():
                inner = group.create_group(name)
                inner.attrs["weight_names"] = [f"{name}/{key}:0" for key in weights]
                for key, value in weights.items():
                    inner[f"{name}/{key}:0"] = value
        return path


def check_with_amd(path: Path) -> None:
    """Let AMD's library read an .xmodel, where its command is installed."""
    if shutil.which("xir"):
        for arguments in (["subgraph", path], ["dump_txt", path, path.with_suffix(".txt")]):
            done = subprocess.run(["xir", *arguments], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr[-600:]
