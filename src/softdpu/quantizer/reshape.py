"""Fix the shapes of a model's inputs."""

from __future__ import annotations

import logging
from typing import Any

from softdpu.keras2.api import keras
from softdpu.quantizer import keras_graph
from softdpu.quantizer.errors import QuantizerError

logger = logging.getLogger(__name__)


_OPEN = ("?", "None", "none", "-1", "")  # sizes that stay open


def _numbers(shape: Any) -> tuple[int | None, ...]:
    """Return a shape given as numbers or as text."""
    parts = shape.strip("()[] ").split(",") if isinstance(shape, str) else shape
    try:
        return tuple(None if part is None or str(part).strip() in _OPEN else int(part) for part in parts)
    except (TypeError, ValueError):
        raise QuantizerError(
            f"[Quantizer_TF2_Invalid_Input_Shape][Invalid input shape] input_shape {shape!r}: expected numbers, as "
            "(1, 224, 224, 3) or '?,224,224,3'"
        ) from None


def set_input_shape(model: keras.Model, input_shape: Any, custom_objects: dict[str, Any]) -> keras.Model:
    """Return a copy whose inputs have the given shapes.

    Args:
        input_shape: of the one input, a list of shapes for several, or a dict of them by the inputs' names; with or
            without the batch. A shape may be text, "?,224,224,3"; several are separated by colons.

    Raises:
        QuantizerError: for an input that the model does not have, or a shape of another rank.
    """
    graph = keras_graph.from_model(model)
    if isinstance(input_shape, str) and ":" in input_shape:
        input_shape = input_shape.split(":")
    if isinstance(input_shape, (list, tuple)) and input_shape and isinstance(input_shape[0], str):
        whole = all(str(part).strip().lstrip("-").isdigit() or str(part).strip() in _OPEN for part in input_shape)
        input_shape = ",".join(input_shape) if whole else [_numbers(part) for part in input_shape]
    inputs = [node for node in graph if node.class_name == "InputLayer"]
    if isinstance(input_shape, dict):
        shapes = {name.split(":")[0]: shape for name, shape in input_shape.items()}
    elif isinstance(input_shape, (list, tuple)) and input_shape and isinstance(input_shape[0], (list, tuple)):
        shapes = {node.name: shape for node, shape in zip(inputs, input_shape)}  # noqa: B905
    else:
        shapes = {inputs[0].name: input_shape}
    for name, given in shapes.items():
        shape = _numbers(given)
        if name not in graph.nodes:
            raise QuantizerError(f"input_shape: the model has no input {name}; it has {[n.name for n in inputs]}")
        old = graph.nodes[name].config["batch_input_shape"]
        if len(shape) == len(old) - 1:
            shape = (None, *shape)
        if len(old) != len(shape):
            raise QuantizerError(
                f"[Quantizer_TF2_Invalid_Input_Shape][Invalid input shape] input_shape {tuple(shape)} has {len(shape)} "
                f"dimensions, the model's input {name} has {len(old)}"
            )
        if shape[0] not in (None, 1):
            logger.warning("input_shape %s: the compiler takes only a batch size of None or 1", tuple(shape))
        graph.nodes[name].config["batch_input_shape"] = list(shape)
    return graph.to_model(custom_objects)
