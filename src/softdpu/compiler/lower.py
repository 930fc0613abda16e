"""Pass: float operations between fix operations become the DPU's integer operations.

Walking in topological order, each `fix` looks back at what it rounds: a core operation (convolution, pooling, sum),
perhaps with an activation or the factor of average pooling between. If all that the core reads is integer already, the
whole chain is one integer operation with the fix's position. What has no such form stays float, with the reason noted,
and will run on the CPU.
"""

from __future__ import annotations

from dataclasses import replace

from softdpu.compiler.chain import ACTIVATIONS, Chain, NotForDpu, check_slope
from softdpu.compiler.limits import ADVICE
from softdpu.compiler.op_graph import Graph, Op
from softdpu.compiler.rules import FUSING, MOVERS, RULES
from softdpu.numbers.boards import Dpu

_FACTORED = ("avgpool2d", "hard-sigmoid")


class Lowering:
    """State of the walk: what each old operation has become."""

    def __init__(self, graph: Graph, dpu: Dpu) -> None:
        self.graph = graph
        self.dpu = dpu
        self.readers = graph.consumers()
        self.new: dict[Op, Op] = {}
        self._outputs = set(graph.outputs)

    def run(self) -> Graph:
        """Return the lowered graph; operations that were absorbed are gone."""
        for op in self.graph.ops:
            if op.kind == "fix":
                self.new[op] = self._lower_fix(op)
            elif op.kind in MOVERS and self._of(op.input).is_integer:
                self.new[op] = MOVERS[op.kind](op, self._of(op.input)) or self._keep(op)
            else:
                self.new[op] = self._keep(op)
        ops = list(dict.fromkeys(self.new.values()))
        graph = Graph(self.graph.name, ops, [self._of(op) for op in self.graph.outputs], self.graph.attrs)
        return graph.copy().drop_unused()

    def _of(self, op: Op) -> Op:
        return self.new[op]

    def _keep(self, op: Op) -> Op:
        """Copy an operation that is not (yet) part of a chain."""
        inputs = {name: [self._of(producer) for producer in producers] for name, producers in op.inputs.items()}
        return replace(op, inputs=inputs, attrs=dict(op.attrs))

    def _lower_fix(self, op: Op) -> Op:
        """Return the integer operation that ends in `op`, or a float2fix behind the float operations."""
        source = op.input
        assert op.fix is not None
        try:
            if op.fix.bit_width != 8:
                raise NotForDpu(f"quantized to {op.fix.bit_width} bits: the DPU computes with 8")
            if source.kind == "data" and len(self.readers[source]) == 1 and source not in self._outputs:
                self.new[source] = self._lower_input(op)
                return self.new[source]
            if self.new[source].is_integer:
                return self._shift(op)
            core = self._collect(op)[-1]
            if core.kind not in RULES:
                raise NotForDpu(explain_no_form(core))
            return RULES[core.kind](self._make_chain(op))
        except NotForDpu as problem:
            self.new[source].reason = self.new[source].reason or str(problem)
            for old in self._collect(op):
                self.new[old].reason = self.new[old].reason or str(problem)
            kept = self._keep(op)
            kept.kind = "float2fix"
            kept.quant = _read_quant(op)
            return kept

    def _shift(self, op: Op) -> Op:
        """Round what is rounded already: nothing to do, or a shift to another position."""
        source = self.new[op.input]
        if source.fix == op.fix:
            return source
        attrs = {"type": "ADD", "nonlinear": "NONE"}
        return Op(
            op.name, "eltwise-fix", {"input": [source]}, attrs, op.shape, "", op.fix, None, op.layer, _read_quant(op)
        )

    def _lower_input(self, op: Op) -> Op:
        data = op.input
        marks = {key: value for key, value in data.attrs.items() if key.startswith("quant_")}
        attrs = {"shape": list(data.shape), "data_type": "XINT8", **marks}
        return Op(
            data.name,
            "data-fix",
            {},
            attrs,
            data.shape,
            tensor=op.name,
            fix=op.fix,
            layer=data.layer,
            quant=_read_quant(op),
        )

    def _make_chain(self, op: Op) -> Chain:
        parts = self._collect(op)
        core = parts[-1]
        for part in parts:
            if len(self.readers[part]) != 1 or part in self._outputs:
                raise NotForDpu("its result before rounding is read by more than one layer: quantize it in between")
        inputs = {name: [self._of(producer) for producer in producers] for name, producers in core.inputs.items()}
        for producers in inputs.values():
            for producer in producers:
                if not producer.is_integer:
                    raise NotForDpu(explain_no_integer(core, producer))
        activation = ACTIVATIONS[parts[0].kind] if parts[0].kind in ACTIVATIONS and len(parts) > 1 else "NONE"
        if activation == "LEAKYRELU":
            check_slope(parts[0])
        factor = float(parts[0].inputs["input"][1].data[0]) if _is_factor(parts[0]) else 1.0  # type: ignore[index]
        assert op.fix is not None
        return Chain(core, inputs, activation, factor, op.fix, op.name, _read_quant(op), self.dpu)

    def _collect(self, op: Op) -> list[Op]:
        """Return what `op` rounds, last operation first, core last."""
        last = op.input
        if _is_factor(last):
            return [last, last.input]
        if last.kind in ACTIVATIONS and last.input.kind in FUSING:
            return [last, last.input]
        return [last]


def _is_factor(op: Op) -> bool:
    """Whether `op` only scales an average pooling or a hard sigmoid by a constant."""
    if op.kind != "mul" or len(op.inputs["input"]) != 2 or op.input.kind not in _FACTORED:
        return False
    other = op.inputs["input"][1]
    return other.kind == "const" and other.data is not None and other.data.size == 1


def explain_no_form(op: Op) -> str:
    """Return why an operation of this kind never runs on a DPU, and what to use instead."""
    if op.kind in RULES:
        return "its result is not quantized before the next layer reads it: it runs on the CPU in float"
    return ADVICE.get(op.kind, f"{op.kind} is no operation of the DPU: it runs on the CPU")


def explain_no_integer(core: Op, producer: Op) -> str:
    """Return the reason for an operation that reads a float value."""
    if producer.kind == "const":
        return "has a float constant as an operand: fold it into a convolution, as the DPU needs quantized tensors"
    return f"reads '{producer.name}', which is not quantized: the layer before it runs on the CPU in float"


def _read_quant(op: Op) -> dict[str, object]:
    return {key: value for key, value in op.attrs.items() if key.startswith("quant_")}


def lower(graph: Graph, dpu: Dpu) -> Graph:
    """Return `graph` with every chain that has an integer form replaced by it.

    Args:
        graph: parameters folded already.
        dpu: for forms that depend on the DPU's limits.
    """
    return Lowering(graph, dpu).run()
