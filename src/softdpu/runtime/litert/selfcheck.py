"""A check of LiteRT on this machine: the lowerings are proven for kernels that round in one way, and others exist."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from softdpu.output.quiet import silence_notices
from softdpu.runtime.litert import LiteRtEngine
from softdpu.runtime.program import Node, Program, Value
from softdpu.runtime.reference import run_program

_INT8 = np.dtype(np.int8)
_CHANNELS = 16


@functools.lru_cache(maxsize=1)
def rounds_as_proven() -> bool:
    """Tell whether a small program full of ties gives the reference's bits here; tried once a process."""
    program = _program()
    image = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
    expected = run_program(program, {"x": image})
    outputs = [np.empty(value.shape, value.dtype) for value in program.outputs]
    with silence_notices():  # LiteRT tells once which kernels it has
        LiteRtEngine(program).run([image], outputs)
    return all((expected[v.key] == array).all() for v, array in zip(program.outputs, outputs, strict=True))


def _program() -> Program:
    """Return convolutions with each activation, a depthwise one, a transposed one and a sum, all with many ties."""
    weights = (np.arange(_CHANNELS, dtype=np.int8) - 8).reshape(_CHANNELS, 1, 1, 1)
    constants = {"w": weights, "d": np.ascontiguousarray(weights.reshape(1, 1, 1, _CHANNELS))}
    x = Value("x", "x", (1, 16, 16, 1), _INT8, 3)
    held = {key: Value(key, key, array.shape, _INT8, 3) for key, array in constants.items()}
    nodes: list[Node] = []

    def node(key: str, kind: str, position: int, inputs: Mapping[str, tuple[Value, ...]], **attrs: object) -> Value:
        value = Value(key, key, (1, 16, 16, _CHANNELS), _INT8, position)
        nodes.append(Node(key, kind, {"kernel": [1, 1], "stride": [1, 1], **attrs}, inputs, value))
        return value

    plain = {"input": (x,), "weights": (held["w"],)}
    outputs = [
        node(f"{kind} {name}", kind, 4, plain, nonlinear=name)
        for kind in ("conv2d-fix", "transposed-conv2d-fix")
        for name in ("NONE", "RELU", "LEAKYRELU")
    ]
    depthwise = {"input": (outputs[0],), "weights": (held["d"],)}
    outputs.append(node("depthwise", "depthwise-conv2d-fix", 4, depthwise, nonlinear="NONE"))
    outputs.append(node("sum", "eltwise-fix", 1, {"input": (outputs[0], outputs[1])}, type="ADD", nonlinear="NONE"))
    ordered = tuple(sorted(outputs, key=lambda value: value.name))
    return Program("selfcheck", tuple(nodes), constants, (x,), ordered)
