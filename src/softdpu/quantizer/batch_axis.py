"""What mixes the images of a batch: a DPU computes them one by one, so it is refused before anything is quantized."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.keras_graph import Node

_JOINING = ("concat", "nn.softmax", "math.reduce_mean", "math.reduce_sum", "math.reduce_max")


def check_layer(node: Node) -> None:
    """Refuse Concatenate and Softmax over the images.

    Raises:
        QuantizerError: it is one.
    """
    axis = node.config.get("axis")
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    if node.class_name in ("Concatenate", "Softmax") and {0, -(node.input_rank or 0)} & set(axes):
        raise _mixes(node)


def check_function(node: Node, sources: list[tuple[Any, ...]], given: dict[str, Any]) -> None:
    """Refuse a TensorFlow function over the images.

    Args:
        sources: shapes of the tensors that it reads.
        given: its other arguments.

    Raises:
        QuantizerError: it is one.
    """
    function, rank = node.config["function"].replace("compat.v1.", ""), len(sources[0])
    mixes = False
    if function in _JOINING:
        missing = -1 if function == "nn.softmax" else 0 if function == "concat" else list(range(rank))
        axis = given.get("axis")
        axes = np.atleast_1d(missing if axis is None else axis)
        mixes = any(int(one) % max(rank, 1) == 0 for one in axes)
    elif function == "transpose":
        mixes = (given.get("perm") or [rank - 1])[0] != 0
    elif function == "reshape":
        mixes = not _keeps_batch(sources[0], given.get("shape"))
    elif function == "linalg.matmul":
        mixes = len(sources) == 2 and rank == 2
    if mixes:
        raise _mixes(node)


def check_index(node: Node, spec: list[Any]) -> None:
    """Refuse an index that takes some images only, or goes backwards.

    Raises:
        QuantizerError: it is one.
    """
    for place, part in enumerate(spec):
        if not isinstance(part, (slice, dict)) or "class_name" in (part if isinstance(part, dict) else ()):
            continue  # a number, a new axis or the three dots
        cut = slice(*(part.get(key) for key in ("start", "stop", "step"))) if isinstance(part, dict) else part
        if place == 0 and (cut.start, cut.stop) != (None, None):
            raise _mixes(node)
        if isinstance(cut.step, int) and cut.step < 0:
            raise QuantizerError(f"layer {node.name}: indexes with the step {cut.step}: use positive steps")


def _keeps_batch(source: tuple[Any, ...], shape: Any) -> bool:
    """Tell whether a reshape leaves the images apart; a shape that is not in numbers is judged elsewhere."""
    sizes = list(shape) if isinstance(shape, (list, tuple)) else []
    if not sizes or not all(isinstance(size, int) for size in sizes) or None in source[1:]:
        return True
    count, made = int(np.prod(source[1:])), int(np.prod([size for size in sizes[1:] if size != -1]))
    return sizes[0] in (-1, 1) and (made == count if -1 not in sizes[1:] else sizes[0] == 1 and not count % made)


def _mixes(node: Node) -> QuantizerError:
    return QuantizerError(
        f"layer {node.name}: works across the images of a batch, which are computed one by one: keep axis 0"
    )
