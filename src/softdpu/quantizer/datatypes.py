"""Float layers of another width, and quantized layers of another number of bits: for parts that do not run on a DPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.keras2.api import tf
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.keras_graph import Graph, Node

FLOATS = ("float16", "float32", "float64", "bfloat16")
INTEGERS = {"int8": 8, "int16": 16, "int32": 32}


def check_float(dtype: Any) -> str:
    """Return the name of a float type.

    Raises:
        QuantizerError: for another type.
    """
    if dtype not in FLOATS:
        raise QuantizerError(f"target_dtype {dtype!r}: expected one of {', '.join(FLOATS)}")
    return dtype


def convert_node(node: Node, dtype: str) -> None:
    """Let a layer compute and hold its weights in a float type."""
    node.config["dtype"] = dtype
    numpy_dtype = tf.as_dtype(dtype).as_numpy_dtype
    for name, weight in node.weights.items():
        if np.issubdtype(weight.dtype, np.floating):
            node.weights[name] = weight.astype(numpy_dtype)


def convert(graph: Graph, dtype: str) -> None:
    """Convert all layers that are not ignored, in place."""
    for node in graph.candidates():
        convert_node(node, dtype)


def apply_layer_config(graph: Graph, layer_config: dict[str, str]) -> None:
    """Give layers of an optimized graph their own types: float ones stay float, integer ones set the number of bits.

    Raises:
        QuantizerError: for a layer that the graph does not have, or another type.
    """
    for name, dtype in layer_config.items():
        if name not in graph.nodes:
            raise QuantizerError(f"layer_config: the model has no layer {name}")
        node = graph.nodes[name]
        if dtype in INTEGERS:
            node.bit_width = INTEGERS[dtype]
        elif dtype in FLOATS:
            convert_node(node, dtype)
            node.ignored = True
        else:
            known = ", ".join([*FLOATS, *INTEGERS])
            raise QuantizerError(f"layer_config: layer {name}: expected one of {known}, got {dtype!r}")


def set_bit_width(lists: dict[str, Any], bit_width: int) -> None:
    """Set the number of bits of every quantizer in the lists of a VitisQuantizeConfig."""
    for key, entries in lists.items():
        if key.endswith("_quantizers"):
            for entry in entries:
                entry["quantizer_params"]["bit_width"] = bit_width
