"""Runs a Keras model layer by layer on batches, so that every layer can be looked at and changed as it is passed.

All batches go through a layer before the next one begins, and a tensor is dropped with its last reader. What a layer
computes is up to the caller; no graph is built or traced.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Generator, Tuple  # noqa: UP035 - the generic ABCs and tuple are not in Python 3.7

from softdpu.keras2.api import keras, tf

Arguments = list  # one (args, kwargs) of a layer call for each batch
Call = Callable[[keras.layers.Layer, Arguments], list]
Walk = Generator[Tuple[keras.layers.Layer, list], None, list]  # noqa: UP006


@dataclasses.dataclass
class Place:
    """How far a walk has come.

    Attributes:
        passed: how many calls of layers lie behind it.
        tensors: for every batch the tensors that are still to be read, each as often as it will be.
    """

    passed: int
    tensors: list[dict[str, list]]

    @classmethod
    def start(cls, model: keras.Model, batches: list[Any]) -> Place:
        """Return the place before the first layer."""
        return cls(0, [_inputs(model, batch) for batch in batches])

    def copy(self) -> Place:
        """Return the same place, for another walk to go on from; the tensors themselves are shared."""
        return Place(self.passed, [{key: list(values) for key, values in known.items()} for known in self.tensors])


def plain(layer: keras.layers.Layer, arguments: Arguments) -> list[Any]:
    """Call the layer on every batch."""
    return [layer(*args, **kwargs) for args, kwargs in arguments]


def walk(model: keras.Model, place: Place, call: Call = plain) -> Walk:
    """Yield (layer, outputs of every batch) in an order where inputs come first; the generator's value is the result.

    Args:
        model: functional, each layer of it called once.
        place: where to begin; it moves along.
        call: (layer, [(args, kwargs), ...]) -> [outputs, ...].

    Returns:
        Through StopIteration: for every batch the list of the model's outputs.
    """
    for node in _nodes(model)[place.passed :]:
        outputs = call(node.layer, [node.map_arguments(known) for known in place.tensors])
        for known, output in zip(place.tensors, outputs):  # noqa: B905 - strict is not in Python 3.7
            for key, value in zip(node.flat_output_ids, tf.nest.flatten(output)):  # noqa: B905
                known[key] = [value] * model._tensor_usage_count[key]
        place.passed += 1
        yield node.layer, outputs
        del outputs
    return [[known[str(id(output))].pop() for output in model.outputs] for known in place.tensors]


def _nodes(model: keras.Model) -> list[Any]:
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth] if not node.is_input]


def _inputs(model: keras.Model, batch: Any) -> dict[str, list]:
    """Return the model's input tensors, each as often as it is read."""
    known = {}
    for reference, value in zip(model.inputs, model._flatten_to_reference_inputs(batch)):  # noqa: B905
        key = str(id(reference))
        known[key] = [tf.cast(value, reference.dtype)] * model._tensor_usage_count[key]
    return known


def run(model: keras.Model, batches: list[Any], call: Call = plain) -> list[list[tf.Tensor]]:
    """Walk through the whole model and return its outputs: for every batch a list of tensors."""
    return run_from(Place.start(model, batches), model, call)


def run_from(place: Place, model: keras.Model, call: Call = plain) -> list[list[tf.Tensor]]:
    """Walk from a place to the model's end and return its outputs, as `run` does."""
    steps = walk(model, place, call)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return list(end.value)


class Follower:
    """Walks through a second model as far as asked for, to give the outputs of its layers by name."""

    def __init__(self, model: keras.Model, batches: list[Any], names: set[str]) -> None:
        """Begin a walk that keeps the outputs of the layers in `names` until they are taken."""
        self._steps = walk(model, Place.start(model, batches))
        self._names = names
        self._found: dict[str, list] = {}

    def take(self, name: str) -> list[tf.Tensor]:
        """Return the outputs of a layer, once."""
        while name not in self._found:
            layer, outputs = next(self._steps)
            if layer.name in self._names:
                self._found[layer.name] = outputs
        return self._found.pop(name)
