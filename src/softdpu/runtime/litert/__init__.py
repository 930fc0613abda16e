"""The fast engine: one LiteRT model a run of ops, the reference for an op that has no exact lowering."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from softdpu.extensions import import_extensions, import_modules
from softdpu.runtime.litert.lowering import LOWERINGS, Lowering, NotExactError
from softdpu.runtime.litert.stage import LiteRtStage
from softdpu.runtime.program import Node, Program
from softdpu.runtime.reference import run_node

__all__ = ["LiteRtEngine"]

log = logging.getLogger("softdpu.runtime")

Stage = LiteRtStage | Node


class LiteRtEngine:
    """Runs a program as LiteRT models, and single ops on the reference where bits would differ."""

    def __init__(self, program: Program, level: int = logging.WARNING) -> None:
        """Lower the program. The log says, at `level`, which ops run on the reference, and why.

        On the CPU that is no news: most of what runs there computes in float.
        """
        self.program = program
        self._stages = _stages(program, level)
        needed = {v.key for stage in self._stages if isinstance(stage, Node) for v in stage.all_inputs()}
        needed |= {value.key for value in program.outputs}
        self._constants = {key: array for key, array in program.constants.items() if key in needed}
        shapes = {node.key: (node.output.shape, node.output.dtype) for node in program.nodes}
        self._between = {  # values that pass from one stage to another, written in place at every run
            key: np.empty(*shapes[key])
            for stage in self._stages
            if isinstance(stage, LiteRtStage)
            for key in stage.outputs
        }
        # weights live in the LiteRT models now
        self.program = Program(program.name, program.nodes, self._constants, program.inputs, program.outputs)

    @property
    def fallbacks(self) -> list[str]:
        """Names of the ops that run on the reference."""
        return [stage.key for stage in self._stages if isinstance(stage, Node)]

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Run once: arrays in the shapes and data types of program.inputs and program.outputs, in their order."""
        values = {**self._constants, **self._between}
        values.update({value.key: array for value, array in zip(self.program.inputs, inputs, strict=True)})
        direct = {value.key: array for value, array in zip(self.program.outputs, outputs, strict=True)}
        for stage in self._stages:
            if isinstance(stage, Node):
                values[stage.key] = run_node(stage, values)
                continue
            targets = [direct.get(key, values[key]) for key in stage.outputs]
            stage.run([values[key] for key in stage.inputs], targets)
            values.update(zip(stage.outputs, targets, strict=True))
        for key, array in direct.items():
            if values[key] is not array:
                array[...] = values[key]


def _stages(program: Program, level: int) -> list[Stage]:
    """Return the program cut into LiteRT models and reference ops, in order."""
    stages: list[Stage] = []
    segment, nodes = Lowering(program.constants), list[Node]()
    for index, node in enumerate(program.nodes):
        reason = _lower(segment, node)
        if reason is None:
            nodes.append(node)
            continue
        log.log(level, "op '%s' (%s) runs on the slow reference engine: %s", node.key, node.kind, reason)
        stages += _finish(program, segment, nodes, index)
        stages.append(node)
        segment, nodes = Lowering(program.constants), []
    return stages + _finish(program, segment, nodes, len(program.nodes))


def _lower(segment: Lowering, node: Node) -> str | None:
    """Add an op to a segment, or leave the segment as it was and return why the op cannot be added."""
    if node.kind not in LOWERINGS:
        return "it has no lowering"
    if any(value.dtype.kind == "f" for value in (node.output, *node.all_inputs())):
        return "it computes in float"
    mark, held, inputs = segment.builder.mark(), dict(segment.held), dict(segment.inputs)
    try:
        LOWERINGS[node.kind](segment, node)
        return None
    except NotExactError as reason:
        segment.builder.undo(mark)
        segment.held, segment.inputs = held, inputs
        return str(reason)


def _finish(program: Program, segment: Lowering, nodes: list[Node], end: int) -> list[Stage]:
    """Return the segment as a stage; it yields what later ops or the program's caller need."""
    later = {value.key for node in program.nodes[end:] for value in node.all_inputs()}
    later |= {value.key for value in program.outputs}
    outputs = [node for node in nodes if node.key in later]
    if not outputs:
        return []
    indices, taken = [], set(segment.inputs.values())
    for node in outputs:
        index = segment.held[node.key].index
        if index in taken:  # an input, or another output: LiteRT wants a tensor of its own
            index = segment.reshape(index, segment.int8(node.output, segment.held[node.key].zero), node.output.shape)
        indices.append(index)
        taken.add(index)
    model = segment.builder.finish(list(segment.inputs.values()), indices)
    return [LiteRtStage(model, list(segment.inputs), [node.key for node in outputs])]


import_modules(__name__)
import_extensions("litert")
