"""A model as a graph of nodes that transforms can edit: one node a layer call, each with its own weights.

Reading a Keras model flattens nested models, turns Sequential models into functional ones and gives every further call
of a shared layer a node of its own; the function that the model computes stays the same.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from typing import Any, Callable, Container, Iterator  # noqa: UP035 - the annotations' ABCs are not generic before Python 3.9

import numpy as np

from softdpu.keras2.api import import_internal, keras, tf
from softdpu.quantizer import legacy
from softdpu.quantizer.errors import QuantizerError

logger = logging.getLogger(__name__)
functional = import_internal("engine.functional")
_CONSTANT = "_CONSTANT_VALUE"

Ref = list  # [layer name, call index, tensor index] or the same with a dict of call arguments behind


@dataclasses.dataclass
class Node:
    """One layer call.

    Attributes:
        class_name: as Keras registers the class: Conv2D, Vitis>VitisQuantize, ...
        config: of the layer, in the form of Keras 2.12, without the name.
        weights: by the last part of the variable's name: kernel, bias, gamma, ...
        inbound: the call's arguments, refs in the nesting of Keras' configurations; None for an InputLayer.
        input_rank: number of dimensions of the first input, or None.
        output_shape: in the user's model, a list of shapes for several tensors, or None.
        annotated: an activation that quantizes together with the layer before it.
        joined: a layer whose result the activation after it quantizes.
        ignored: the user wants the layer left as it is.
        bit_width: of all quantizers of the layer, if the user wants another than the strategy's.
    """

    name: str
    class_name: str
    config: dict[str, Any]
    weights: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    inbound: Any = None
    input_rank: int | None = None
    output_shape: Any = None
    annotated: bool = False
    joined: bool = False
    ignored: bool = False
    bit_width: int | None = None

    def __post_init__(self) -> None:
        self.config = {key: value for key, value in self.config.items() if key != "name"}

    def refs(self) -> list[Ref]:
        """Return the refs of all tensors that the call reads, those among its keyword arguments included."""
        return _refs(self.inbound)

    def inputs(self) -> list[str]:
        """Return the names of the nodes that the call reads."""
        return [ref[0] for ref in self.refs()]

    def entry(self) -> dict[str, Any]:
        """Return the layer as Keras' configurations list it."""
        return {
            "class_name": self.class_name,
            "config": {"name": self.name, **copy.deepcopy(self.config)},
            "name": self.name,
            "inbound_nodes": [] if self.inbound is None else [copy.deepcopy(self.inbound)],
        }


def _is_ref(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and isinstance(value[2], int)
    )


def _refs(value: Any) -> list[Ref]:
    found: list[Ref] = []

    def note(ref: Ref) -> Ref:
        found.append(ref)
        return ref

    _map_refs(value, note)
    return found


def _map_refs(value: Any, function: Callable[[Ref], Ref]) -> Any:
    if isinstance(value, (list, tuple)) and len(value) >= 3 and value[0] == _CONSTANT:
        return [*value[:3], *(_map_refs(item, function) for item in value[3:])]
    if _is_ref(value):
        return [*function(list(value[:3])), *(_map_refs(item, function) for item in value[3:])]
    if isinstance(value, dict):
        return {key: _map_refs(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map_refs(item, function) for item in value]
    return value


def weight_names(layer: keras.layers.Layer) -> list[str]:
    """Return short names of a layer's weights: the last part of each variable's name, or its number where two clash."""
    names = [weight.name.split(":")[0].split("/")[-1] for weight in layer.weights]
    return names if len(set(names)) == len(names) else [str(index) for index in range(len(names))]


class Graph:
    """Nodes by name, in an order where inputs come first, and the model's input and output refs."""

    def __init__(self, name: str, trainable: bool = True) -> None:
        self.name = name
        self.trainable = trainable
        self.nodes: dict[str, Node] = {}
        self.input_refs: Any = []
        self.output_refs: Any = []

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self.nodes.values()))

    def candidates(self) -> list[Node]:
        """Return the nodes that transforms may change."""
        return [node for node in self.nodes.values() if not node.ignored]

    def ignore(self, names: set[str]) -> None:
        """Mark nodes that transforms leave as they are."""
        for name in names:
            if name not in self.nodes:
                raise QuantizerError(f"the model has no layer {name}, which the options name")
            self.nodes[name].ignored = True

    def consumers(self, name: str) -> list[Node | None]:
        """Return every reader of a node, once a tensor it reads; None stands for a model output."""
        found: list[Node | None] = []
        for node in self.nodes.values():
            found += [node] * node.inputs().count(name)
        return found + [None for ref in _refs(self.output_refs) if ref[0] == name]

    def consumer_counts(self) -> dict[str, int]:
        """Return how many tensors read each node, model outputs counted."""
        counts = dict.fromkeys(self.nodes, 0)
        for node in self.nodes.values():
            for name in node.inputs():
                counts[name] += 1
        for ref in _refs(self.output_refs):
            counts[ref[0]] += 1
        return counts

    def only_input(self, node: Node) -> Node | None:
        """Return the one node that `node` reads, or None if it reads another number of tensors."""
        names = node.inputs()
        return self.nodes[names[0]] if len(names) == 1 else None

    def unique_name(self, name: str, taken: Container[str] = ()) -> str:
        """Return `name`, or `name_1`, ... if a node has it already or it is among the names `taken`."""
        candidate, number = name, 0
        while candidate in self.nodes or candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        return candidate

    def map_refs(self, function: Callable[[Ref], Ref], keep: Container[str] = ()) -> None:
        """Let every node except those in `keep`, and the outputs, read what `function` makes of what they read."""
        for node in self.nodes.values():
            if node.name not in keep:
                node.inbound = _map_refs(node.inbound, function)
        self.output_refs = _map_refs(self.output_refs, function)

    def redirect(self, old: str, new: str, keep: tuple[str, ...] = ()) -> None:
        """Let every reader of `old` read the first tensor of `new`, except the nodes in `keep`."""

        def renamed(ref: Ref) -> Ref:
            return [new, 0, 0] if ref[0] == old else ref

        self.map_refs(renamed, keep)

    def rename(self, names: dict[str, str]) -> None:
        """Give nodes new names, {old: new}."""

        def renamed(ref: Ref) -> Ref:
            return [names.get(ref[0], ref[0]), *ref[1:]]

        for node in self.nodes.values():
            node.name = names.get(node.name, node.name)
        self.nodes = {node.name: node for node in self.nodes.values()}
        self.input_refs = _map_refs(self.input_refs, renamed)
        self.map_refs(renamed)

    def insert_after(self, source: Node, node: Node) -> Node:
        """Add `node`, which reads `source` alone, and let all former readers of `source` read it."""
        self._add_behind(source.name, node)
        node.inbound = [[source.name, 0, 0, {}]]
        self.redirect(source.name, node.name, keep=(node.name,))
        return node

    def insert_before(self, target: Node, node: Node) -> Node:
        """Add `node` between `target` and the one tensor that it reads."""
        (ref,) = target.refs()
        source = ref[0]
        node.inbound = [[*ref[:3], {}]]
        self._add_behind(source, node)
        target.inbound = _map_refs(target.inbound, lambda _: [node.name, 0, 0])
        return node

    def _add_behind(self, name: str, node: Node) -> None:
        free = self.unique_name(node.name)
        if free != node.name:
            logger.warning("note: the model has a layer named %s, so the quantizer's own is named %s", node.name, free)
            node.name = free
        items = list(self.nodes.items())
        place = [key for key, _ in items].index(name) + 1
        self.nodes = dict([*items[:place], (node.name, node), *items[place:]])

    def remove(self, node: Node) -> None:
        """Remove a node and let its readers read its only input."""
        (ref,) = node.refs()
        source = list(ref[:3])
        del self.nodes[node.name]
        self.map_refs(lambda r: list(source) if r[0] == node.name else r)

    def to_model(self, custom_objects: dict[str, Any] | None = None) -> keras.Model:
        """Return a new functional model with this graph and these weights."""
        layers = {}
        for node in self.nodes.values():
            layers[node.name] = legacy.deserialize_layer(node.entry(), custom_objects)
        config = {
            "name": self.name,
            "layers": [node.entry() for node in self.nodes.values()],
            "input_layers": copy.deepcopy(self.input_refs),
            "output_layers": copy.deepcopy(self.output_refs),
        }
        # Nothing here needs autograph, whose rewriting of every layer's code takes longer than the building itself.
        build = tf.autograph.experimental.do_not_convert(functional.reconstruct_from_config)
        inputs, outputs, _ = build(config, custom_objects, dict(layers))
        model = legacy.Functional(inputs=inputs, outputs=outputs, name=self.name, trainable=self.trainable)
        pairs = []
        for node in self.nodes.values():
            pairs += _assignments(layers[node.name], node)
        keras.backend.batch_set_value(pairs)
        return model


def _assignments(layer: keras.layers.Layer, node: Node) -> list[tuple[tf.Variable, np.ndarray]]:
    names = weight_names(layer)
    if set(names) >= set(node.weights):
        return [(v, node.weights[name]) for v, name in zip(layer.weights, names) if name in node.weights]  # noqa: B905
    return list(zip(layer.weights, node.weights.values()))  # noqa: B905 - strict is not in Python 3.7


class _Scope:
    """One (nested) model during flattening: where its layer calls went in the graph."""

    def __init__(self, graph: Graph, model: keras.Model, prefix: str, inputs: list[Ref] | None) -> None:
        self.graph = graph
        self.model = model
        self.prefix = prefix
        self.config = legacy.model_config(model)
        self.entries = {entry["name"]: entry for entry in self.config["layers"]}
        self.layers = {layer.name: layer for layer in model.layers}
        self.placed: dict[tuple[str, int], str] = {}
        self.nested: dict[tuple[str, int], _Scope] = {}
        self.bound: dict[str, Ref] | None = None
        if inputs is not None:
            names = [ref[0] for ref in _refs(self.config["input_layers"])]
            self.bound = dict(zip(names, inputs))  # noqa: B905 - strict is not in Python 3.7
        for entry in self.config["layers"]:
            first = int(functional._should_skip_first_node(self.layers[entry["name"]]))
            for call in range(first, first + max(1, len(entry["inbound_nodes"]))):
                self.place(entry["name"], call)

    def place(self, name: str, call: int) -> None:
        """Bring one layer call into the graph, unless it is there."""
        key = (name, call)
        if key in self.placed or key in self.nested or (self.bound is not None and name in self.bound):
            return
        entry, layer = self.entries[name], self.layers[name]
        first = int(functional._should_skip_first_node(layer))
        inbound = entry["inbound_nodes"][call - first] if entry["inbound_nodes"] else None
        if isinstance(layer, keras.Model):
            arguments = [self.resolve(ref) for ref in _refs(inbound)]
            self.nested[key] = _Scope(self.graph, as_functional(layer), f"{self.prefix}{name}_", arguments)
            return
        new = name if name not in self.graph.nodes else self.graph.unique_name(self.prefix + name)
        self.placed[key] = new
        source, made = _shape_at(layer.get_input_shape_at, call), _shape_at(layer.get_output_shape_at, call)
        self.graph.nodes[new] = Node(
            name=new,
            class_name=entry["class_name"],
            config=copy.deepcopy(entry["config"]),
            weights=dict(zip(weight_names(layer), layer.get_weights())),  # noqa: B905
            inbound=_map_refs(inbound, self.resolve),
            input_rank=len(source) if isinstance(source, tuple) else None,
            output_shape=made[0] if isinstance(made, list) and len(made) == 1 else made,
        )

    def resolve(self, ref: Ref) -> Ref:
        """Return the ref in the graph of a ref in this model's configuration."""
        name, call, tensor = ref[:3]
        if self.bound is not None and name in self.bound:
            return list(self.bound[name])
        self.place(name, call)
        if (name, call) in self.nested:
            scope = self.nested[name, call]
            return scope.resolve(_refs(scope.config["output_layers"])[tensor])
        return [self.placed[name, call], 0, tensor]


def _shape_at(find: Callable[[int], Any], call: int) -> Any:
    try:
        return find(call)
    except (AttributeError, RuntimeError, ValueError):
        return None


def as_functional(model: keras.Model) -> keras.Model:
    """Return `model` as a functional model that shares its layers; a Sequential model gets its input layer back.

    Raises:
        QuantizerError: for a subclassed model, or a model without input shape.
    """
    if isinstance(model, keras.Sequential):
        if not model.built or not model.inputs:
            raise QuantizerError(
                f"model {model.name}: a Sequential model without input shape; add keras.Input(shape) as its first layer"
            )
        return functional.Functional(model.inputs, model.outputs, name=model.name)
    if not getattr(model, "_is_graph_network", False):
        raise QuantizerError(
            f"model {model.name}: class {type(model).__name__} is a subclassed model, whose layers and their order "
            "cannot be read; build it with the functional API: keras.Model(inputs, outputs)"
        )
    return model


def from_model(model: keras.Model) -> Graph:
    """Return the graph of a Keras model: functional, Sequential, or nested of both."""
    graph = Graph(model.name)
    scope = _Scope(graph, as_functional(model), "", None)
    graph.input_refs = _map_refs(scope.config["input_layers"], scope.resolve)
    graph.output_refs = _map_refs(scope.config["output_layers"], scope.resolve)
    return graph


def find_outside(model: keras.Model, first: list[str], last: list[str], ignored: list[str]) -> set[str]:
    """Return the names of the layers that are not quantized: those in `ignored` and those not between first and last.

    Args:
        first: names of the layers where quantization begins; the model's inputs if empty.
        last: names of the layers where it ends; the model's outputs if empty.
    """
    if not (first or last):
        return set(ignored)
    graph = from_model(model)
    graph.ignore(set(first) | set(last))
    between = set()
    waiting = list(last) or [ref[0] for ref in _refs(graph.output_refs)]
    while waiting:
        name = waiting.pop()
        if name not in between:
            between.add(name)
            waiting += [] if name in first else graph.nodes[name].inputs()
    return (set(graph.nodes) - between) | set(ignored)
