"""Cross-layer equalization: scale the channels between two convolutions so that their weights share one range better.

A channel scaled by s in the first convolution and by 1/s in the second leaves the function as it is when what lies
between is linear or ReLU. Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.quantizer.float_transforms import kernel_name
from softdpu.quantizer.keras_graph import Graph, Node

_KINDS = ("Conv2D", "DepthwiseConv2D")


def _head_rows(node: Node) -> np.ndarray:
    """Return kernel and bias as float32[rows, output channels]."""
    kernel = node.weights[kernel_name(node)]
    channels = kernel.shape[3] if node.class_name == "Conv2D" else kernel.shape[2] * kernel.shape[3]
    rows = [kernel.reshape(-1, channels)]
    if "bias" in node.weights:
        rows.append(node.weights["bias"].reshape(1, -1))
    return np.abs(np.concatenate(rows))


def _tail_rows(node: Node) -> np.ndarray:
    """Return the kernel as float32[rows, input channels]."""
    kernel = node.weights[kernel_name(node)].transpose(0, 1, 3, 2)
    return np.abs(kernel.reshape(-1, kernel.shape[3]))


def channel_scales(head: np.ndarray, tail: np.ndarray, method: str, threshold: float) -> np.ndarray:
    """Return by what each channel of the head is multiplied: sqrt(tail / head) within 0.1..10, 1 for small channels."""
    measure = np.max if method == "max" else np.mean
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.clip(np.sqrt(measure(tail, axis=0) / measure(head, axis=0)), 1e-1, 10)
    scale[(np.max(head, axis=0) + np.max(tail, axis=0)) < threshold] = 1
    return scale


def _equalize(head: Node, tail: Node, options: dict[str, Any]) -> None:
    scale = channel_scales(
        _head_rows(head), _tail_rows(tail), options["cle_balance_method"], options["cle_weight_threshold"]
    )
    name = kernel_name(head)
    kernel = head.weights[name]
    per_channel = (1, 1, 1, -1) if head.class_name == "Conv2D" else (1, 1, *kernel.shape[2:])
    head.weights[name] = kernel * scale.reshape(per_channel)
    if "bias" in head.weights:
        head.weights["bias"] = head.weights["bias"] * scale
    name = kernel_name(tail)
    tail.weights[name] = tail.weights[name] / scale.reshape(1, 1, -1, 1)


def _pairs(graph: Graph, options: dict[str, Any]) -> list[tuple[Node, Node]]:
    """Return (head, tail) of every equalizable pair, in order of what lies between: nothing, Activation, ReLU."""
    counts = graph.consumer_counts()
    any_relu = options["cle_to_relu6"]

    def sole(node: Node | None) -> Node | None:
        before = graph.only_input(node) if node is not None and node.inbound is not None else None
        return before if before is not None and counts[before.name] == 1 and not before.ignored else None

    groups: tuple[list, list, list, list] = ([], [], [], [])
    for tail in graph.candidates():
        if tail.class_name not in _KINDS or tail.config.get("groups", 1) != 1:
            continue
        before = sole(tail)
        padded = before is not None and before.class_name == "ZeroPadding2D"
        middle = sole(before) if padded else before
        if middle is None:
            continue
        if middle.class_name in _KINDS and not padded:
            if any_relu or middle.config["activation"] in ("linear", "relu"):
                groups[0].append((middle, tail))
            continue
        head = sole(middle)
        if head is None or head.class_name not in _KINDS or head.config["activation"] != "linear":
            continue
        if middle.class_name == "Activation" and not padded:
            if any_relu or middle.config["activation"] in ("linear", "relu"):
                groups[1].append((head, tail))
        elif middle.class_name == "ReLU" and (any_relu or middle.config["max_value"] == (0 if padded else None)):
            groups[3 if padded else 2].append((head, tail))
    return [pair for group in groups for pair in group]


def apply(graph: Graph, options: dict[str, Any]) -> None:
    """Equalize every pair `cle_steps` times, from the model's input to its output, in place."""
    pairs = _pairs(graph, options)
    for _ in range(options["cle_steps"]):
        for head, tail in pairs:
            _equalize(head, tail, options)
