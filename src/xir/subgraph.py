"""Subgraphs: a tree whose leaves hold the ops of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from xir import formats
from xir.attributes import AttributeHolder
from xir.errors import XirError
from xir.order import topological
from xir.tensor import Tensor

if TYPE_CHECKING:
    from xir.graph import Graph
    from xir.op import Op


class Subgraph(AttributeHolder):
    """A node of the tree over a graph's ops. A leaf holds ops, a branch holds what its children hold."""

    __slots__ = ("_children", "_graph", "_id", "_name", "_ops", "_parent")

    def __init__(self, graph: Graph, parent: Subgraph | None, name: str | None = None, ops: Iterable[Op] = ()) -> None:
        super().__init__()
        self._graph = graph
        self._id = graph._next_subgraph()
        self._parent = parent
        self._children: dict[Subgraph, None] = {}
        self._ops: dict[Op, None] = dict.fromkeys(ops)  # of a leaf; empty in a branch
        self._name = name if name is not None else _default_name(self._ops)
        for op in self._ops:
            op._leaf = self

    # --- identity ---

    def get_name(self) -> str:
        """Return the name."""
        return self._name

    def set_name(self, name: str) -> Subgraph:
        """Set the name and return this subgraph."""
        if not isinstance(name, str):
            raise XirError(f"{self._label()}: a name must be a str, got {type(name).__name__}")
        self._name = name
        return self

    def get_graph(self) -> Graph:
        """Return the graph."""
        return self._graph

    # --- the tree ---

    @property
    def is_root(self) -> bool:
        """Whether this is the graph's root."""
        return self._parent is None

    @property
    def is_leaf(self) -> bool:
        """Whether this has no children."""
        return not self._children

    @property
    def root(self) -> Subgraph:
        """The root of the tree."""
        node = self
        while node._parent is not None:
            node = node._parent
        return node

    @property
    def depth(self) -> int:
        """How far below the root; the root's is 0."""
        depth, node = 0, self
        while node._parent is not None:
            depth, node = depth + 1, node._parent
        return depth

    def get_parent(self) -> Subgraph | None:
        """Return the parent; None for the root."""
        return self._parent

    def get_children_num(self) -> int:
        """Return the number of children."""
        return len(self._children)

    def get_children(self) -> set[Subgraph]:
        """Return the children."""
        return set(self._children)

    def is_child(self, op: Subgraph) -> bool:
        """Tell whether a subgraph is a child of this one (the argument's odd name is AMD's)."""
        return op in self._children

    def create_child_subgraph(self) -> None:
        """Give this leaf one child for each of its ops.

        Raises:
            XirError: when this is no leaf.
        """
        if self._children:
            raise XirError(f"{self._label()} has children already: only a leaf can create them")
        ops, self._ops = self._ops, {}
        self._children = {Subgraph(self._graph, self, ops=[op]): None for op in ops}

    def merge_children(self, child_subgraph_list: Iterable[Subgraph]) -> Subgraph:
        """Replace leaf children by one new child that holds all their ops, and return it.

        Its name is "subgraph_" and the first op's name in alphabetical order; it has no attributes.

        Raises:
            XirError: when one of them is no child of this subgraph or no leaf.
        """
        parts = sorted(child_subgraph_list, key=lambda child: child._id)
        for part in parts:
            if part not in self._children:
                raise XirError(f"{self._label()}: cannot merge '{part._name}', which is not its child")
            if part._children:
                raise XirError(f"{self._label()}: cannot merge '{part._name}', which is no leaf")
        merged = Subgraph(self._graph, self, ops=sorted((op for p in parts for op in p._ops), key=hash))
        for part in parts:
            del self._children[part]
        self._children[merged] = None
        return merged

    # --- ops ---

    def get_op_num(self) -> int:
        """Return the number of ops."""
        return sum(len(leaf._ops) for leaf in self._leaves())

    def get_ops(self) -> set[Op]:
        """Return the ops."""
        return set(self._iter_ops())

    def has_op(self, op: Op | str) -> bool:
        """Tell whether an op, or an op of this name, belongs to this subgraph."""
        return self._child_towards(op, self) is not None

    def find_child_subgraph_by_op(self, op: Op) -> Subgraph | None:
        """Return the child that holds `op`; None when no child does."""
        return self._child_towards(op, None)

    def find_child_subgraph_by_op_name(self, name: str) -> Subgraph | None:
        """Return the child that holds the op of this name; None when no child does."""
        return self._child_towards(name, None)

    def get_tensor_producer(self, tensor: Tensor) -> Op | None:
        """Return the op of this subgraph whose output is `tensor`; None when there is none."""
        op = tensor.producer
        return op if op is not None and op.get_output_tensor() is tensor and self.has_op(op) else None

    def get_input_tensors(self) -> set[Tensor]:
        """Return the tensors that come in: outputs of ops outside that ops inside take."""
        inside = self.get_ops()
        return {
            source.get_output_tensor()
            for op in inside
            for ops in op._inputs.values()
            for source in ops
            if source not in inside
        }

    def get_output_tensors(self) -> set[Tensor]:
        """Return the tensors that go out: those with a consumer outside, or with no consumer at all."""
        inside = self.get_ops()
        return {
            op.get_output_tensor()
            for op in inside
            if not op._fanout or any(consumer not in inside for consumer in op._fanout)
        }

    def toposort(self) -> list[Op]:
        """Return the ops, every producer before its consumers.

        Raises:
            XirError: when there is a cycle.
        """
        inside = dict.fromkeys(sorted(self._iter_ops(), key=hash))
        return topological(
            inside,
            lambda op: [source for ops in op._inputs.values() for source in ops if source in inside],
            lambda op: f"{self._label()}: the ops around '{op._name}' form a cycle",
        )

    def toposort_child_subgraph(self) -> list[Subgraph]:
        """Return the children, every producer before its consumers.

        Raises:
            XirError: when children depend on each other in a cycle.
        """
        holder = {op: child for child in self._children for op in child._iter_ops()}
        sources: dict[Subgraph, dict[Subgraph, None]] = {child: {} for child in self._children}
        for op, child in holder.items():
            for ops in op._inputs.values():
                for source in ops:
                    other = holder.get(source)
                    if other is not None and other is not child:
                        sources[child][other] = None
        return topological(
            self._children,
            lambda child: list(sources[child]),
            lambda child: f"{self._label()}: its children around '{child._name}' depend on each other in a cycle",
        )

    def save_as_dot(self, fname: str) -> None:
        """Write a drawing in Graphviz's dot language."""
        formats.load(formats.SAVE_DOT)(self, fname)

    # --- for Graph ---

    def _add_op(self, op: Op) -> None:
        if self._children:
            self._children[Subgraph(self._graph, self, ops=[op])] = None
        else:
            self._ops[op] = None
            op._leaf = self

    def _remove_op(self, op: Op) -> None:
        """Take `op` out of this leaf, and remove every subgraph that has become empty."""
        del self._ops[op]
        node = self
        while node._parent is not None and not node._ops and not node._children:
            del node._parent._children[node]
            node = node._parent

    def _child_towards(self, op: Op | str, found: Subgraph | None) -> Subgraph | None:
        """Return the child on the way from this subgraph to the op's leaf; `found` when this is that leaf."""
        target = self._graph.get_op(op) if isinstance(op, str) else op
        if target is None or target._graph is not self._graph or target._id not in self._graph._alive:
            return None
        below, node = found, target._leaf
        while node is not None and node is not self:
            below, node = node, node._parent
        return below if node is self else None

    def _leaves(self) -> Iterator[Subgraph]:
        stack = [self]
        while stack:
            node = stack.pop()
            if node._children:
                stack.extend(reversed(node._children))
            else:
                yield node

    def _iter_ops(self) -> Iterator[Op]:
        for leaf in self._leaves():
            yield from leaf._ops

    def _label(self) -> str:
        return f"subgraph '{self._name}'"

    def __hash__(self) -> int:
        return self._id

    def __repr__(self) -> str:
        return f"<xir.Subgraph named '{self._name}'>"

    def __str__(self) -> str:
        return f"{{name: '{self._name}', op_num: {self.get_op_num()}, attrs: {self.get_attrs()}}}"


def _default_name(ops: Iterable[Op]) -> str:
    first = min((op.get_name() for op in ops), default=None)
    return "root" if first is None else f"subgraph_{first}"
