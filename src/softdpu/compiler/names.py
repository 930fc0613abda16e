"""The last pass before partitioning: AMD's names, by which applications look tensors up.

The rules are read off files, logs and applications of AMD's compiler; where its versions differ, the target's counts:

- A Dense whose input is no image gets a reshape `<input>_reshaped` in front and, where its result is none, a reshape
  `<result>_reshaped` behind. Every tensor that this adds ends in `_inserted_fix_<n>`, counted through the model in the
  order weights, input, result. Before 2.0 the input took a number even where it needs no reshape.
- 2.5 ends the operations of constants in `_new`.
- 3.0 and later name pooling after its fix; those before mark a hard sigmoid that took up its factor.
- Up to 2.0 a result behind which a reshape was moved keeps that mark in its tensor's name.
"""

from __future__ import annotations

from softdpu.compiler.op_graph import Graph, Op

DENSE = "(TransferMatMulToConv2d)"
MOVED = "(MoveReshape)"
RESHAPED = "_reshaped"
INSERTED = "_inserted_fix_"


def give_names(graph: Graph, vitis_ai: str) -> Graph:
    """Return `graph` with the names that AMD's compiler of this version of Vitis AI gives.

    Args:
        graph: with borders between integer and float, before it is partitioned.
        vitis_ai: such as "3.0".
    """
    graph = graph.copy()
    version = tuple(map(int, vitis_ai.split(".")))
    for op in graph.ops:
        if op.kind == "const-fix" and version == (2, 5):
            op.name += "_new"
        elif op.kind == "pool-fix" and version >= (3, 0) and op.tensor == f"{op.name}_fix":
            op.name = op.tensor
        elif op.kind == "hard-sigmoid-fix" and version < (3, 0):
            op.name += "(MergeMultoHsigmoid)"
    _number_inserted(graph, every_input=version < (2, 0))
    if version <= (2, 0):
        _keep_marks(graph)
    _make_unique(graph)
    return graph


def _number_inserted(graph: Graph, every_input: bool) -> None:
    """Name what each Dense has around it, numbered through the model."""
    readers = graph.consumers()
    number = 0
    for op in graph.ops:
        if op.kind != "conv2d-fix" or not op.name.endswith(DENSE):
            continue
        weights, source = op.inputs["weights"][0], op.input
        weights.tensor = f"{weights.name.removesuffix('_new')}{INSERTED}{number}"
        number += 1
        if source.kind == "reshape-fix" and source.layer == op.layer:
            source.tensor = f"{source.name}{INSERTED}{number}"
            number += 1
        else:
            number += every_input
        if INSERTED in op.tensor:
            op.tensor = f"{op.name}{INSERTED}{number}"
            for reader in readers[op]:
                if reader.kind == "reshape-fix" and reader.layer == op.layer:
                    reader.name = op.tensor + RESHAPED
        number += 1


def _keep_marks(graph: Graph) -> None:
    renamed: dict[Op, str] = {}
    for op in graph.ops:
        old = op.tensor
        if op.kind == "reshape-fix" and op.name.endswith(MOVED + RESHAPED):
            renamed[op] = op.tensor
            op.tensor = op.name + MOVED
        elif op.kind == "fix2float" and op.input in renamed:
            op.tensor = op.tensor.replace(renamed[op.input], op.input.tensor, 1)
            op.name = op.tensor if op.name == old else op.name


def _make_unique(graph: Graph) -> None:
    """Give a number to the second of two reshapes of one value, and to whatever else meets a name of the user's."""
    seen: set[str] = set()
    for op in graph.ops:
        name, number = op.name, 0
        while op.name in seen:
            number += 1
            op.name = f"{name}_{number}"
        if number:
            op.tensor = op.tensor.replace(name, op.name, 1)
        seen.add(op.name)
