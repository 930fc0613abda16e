"""What one fix operation rounds: a core operation, perhaps an activation or a factor, and the rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softdpu.compiler.op_graph import Fix, Op
from softdpu.numbers import fixed_point
from softdpu.numbers.boards import Dpu

ACTIVATIONS = {"relu": "RELU", "relu6": "RELU6", "leaky-relu": "LEAKYRELU"}
_UNUSED = -128  # how an .xmodel writes a shift that the operation does not have


class NotForDpu(Exception):
    """A chain has no integer form; the text is the reason and what to change."""


@dataclass(frozen=True)
class Chain:
    """What one fix operation rounds.

    Attributes:
        core: the operation before the activation.
        inputs: the new producers of core's arguments.
        activation: NONE, RELU, RELU6 or LEAKYRELU.
        factor: of average pooling and hard sigmoid, 1.0 where there is none.
        fix: how the result is stored.
        tensor: name of the result's tensor.
        quant: quant_* attributes of the fix operation.
        dpu: for rules that choose between forms.
    """

    core: Op
    inputs: dict[str, list[Op]]
    activation: str
    factor: float
    fix: Fix
    tensor: str
    quant: dict[str, object]
    dpu: Dpu

    @property
    def input(self) -> Op:
        """The first new producer of argument `input`."""
        return self.inputs["input"][0]

    def op(self, kind: str, attrs: dict[str, object], name: str = "", tensor: str = "") -> Op:
        """Return the integer operation of this chain, with the core's marks kept."""
        marks = {key: value for key, value in self.core.attrs.items() if key.startswith("quant_")}
        made = Op(name or self.core.name, kind, self.inputs, {**attrs, **marks}, self.core.shape, tensor or self.tensor)
        made.fix, made.layer, made.quant = self.fix, self.core.layer, dict(self.quant)
        return made


def check_slope(op: Op) -> None:
    """Raise NotForDpu unless a leaky ReLU has the DPU's slope."""
    alpha = float(op.attrs["alpha"])
    if alpha != fixed_point.LEAKY_RELU_ALPHA:
        raise NotForDpu(
            f"LeakyReLU with slope {alpha:.4g}: the DPU has 26/256 only; train with alpha=0.1, which becomes 26/256"
        )


def fused_attributes(activation: str) -> dict[str, Any]:
    """Return the attributes that every integer convolution carries for its activation."""
    return {
        "nonlinear": activation,
        "hsigmoid_in": _UNUSED,
        "shift_hsigmoid": _UNUSED,
        "shift_hswish": _UNUSED,
        "pad_mode": "FLOOR",
    }
