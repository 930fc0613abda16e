"""What the compiler knows of each kind of layer and operation: functions register themselves."""

from __future__ import annotations

from collections.abc import Callable

from softdpu.compiler.builder import Builder
from softdpu.compiler.chain import Chain
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.op_graph import Op
from softdpu.extensions import enter
from softdpu.numbers.boards import Dpu

LayerFunction = Callable[[Builder, Layer, str, list[Op], Call], Op]

LAYERS: dict[str, LayerFunction] = {}
RULES: dict[str, Callable[[Chain], Op]] = {}
FUSING: set[str] = set()
MOVERS: dict[str, Callable[[Op, Op], Op | None]] = {}
CHECKS: dict[str, Callable[[Op, Dpu], str]] = {}


def layer(*kinds: str) -> Callable[[LayerFunction], LayerFunction]:
    """Register what Keras layers of these classes become: (builder, layer, name, sources, call) -> float operation."""
    return enter(LAYERS, kinds)


def rule(*kinds: str, fuses: bool = False) -> Callable[[Callable[[Chain], Op]], Callable[[Chain], Op]]:
    """Register the integer form of float operations of these kinds: (chain) -> operation, or raise NotForDpu.

    Args:
        kinds: as the front end names the operations.
        fuses: whether an activation may follow before the one rounding.
    """
    FUSING.update(kinds if fuses else ())
    return enter(RULES, kinds)


def mover(*kinds: str) -> Callable[[Callable[[Op, Op], Op | None]], Callable[[Op, Op], Op | None]]:
    """Register operations that only move numbers, integer wherever their input is: (operation, new input) -> operation.

    They need no fix operation of their own. None for one that does need it.
    """
    return enter(MOVERS, kinds)


def check(*kinds: str) -> Callable[[Callable[[Op, Dpu], str]], Callable[[Op, Dpu], str]]:
    """Register what a DPU can do of integer operations: (operation, dpu) -> why it cannot, empty where it can."""
    return enter(CHECKS, kinds)
