"""Where the tensors of a DPU subgraph lie: parameters in REG_0, intermediate results in REG_1, inputs in REG_2, outputs
in REG_3.

Parameters are plain int8, kernels as (output, height, width, input). Their packing follows the Vitis AI version: up to
2.5 one after another, weights before bias; from 3.0 each at a multiple of 4096 bytes, bias first (64 bytes on Versal AI
Core, 256 on AI Edge).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from softdpu.compiler.op_graph import Op
from softdpu.compiler.partition import Group
from softdpu.numbers import boards
from softdpu.numbers.boards import Target

PARAMETERS, WORKSPACE, INPUTS, OUTPUTS = 0, 1, 2, 3
_VERSAL_ALIGNMENT = {"DPUCVDX8G": 64, "DPUCV2DX8G": 256}
_PAGE = 4096


Place = dict[str, Any]  # the attributes reg_id, ddr_addr, location and, where it lies in memory, stride of a tensor


@dataclass(frozen=True)
class Memory:
    """The registers of one DPU subgraph.

    Attributes:
        parameters: the bytes of REG_0.
        sizes: bytes by register number; registers that are not used are absent.
        places: where the output of each operation lies, as attributes of its tensor.
    """

    parameters: bytes
    sizes: dict[int, int]
    places: dict[Op, Place]


def plan_memory(group: Group, target: Target) -> Memory:
    """Return the registers of a DPU group, with register, address and stride of every tensor."""
    places: dict[Op, Place] = {}
    parameters = _pack_parameters(group, target, places)
    granule = 16 if target.dpu.type == "DPUCZDX8G" else 64
    home = _find_storage(group)
    sizes = {PARAMETERS: len(parameters)} if parameters else {}
    uploads = [op for op in group.ops if op.kind == "upload"]
    sizes[INPUTS] = _line_up(uploads, INPUTS, granule, places)
    downloaded = [home[op.input] for op in group.ops if op.kind == "download"]
    sizes[OUTPUTS] = _line_up(dict.fromkeys(downloaded), OUTPUTS, granule, places)
    for leaf in group.leaves:  # what passes from operation to operation within a super-layer has no bytes in memory
        for op in [op for op in leaf if not op.is_constant][:-1]:
            places[op] = {"reg_id": WORKSPACE, "ddr_addr": 0, "location": 0}
    workspace = _place_intermediates(group, home, granule, places)
    if workspace:
        sizes[WORKSPACE] = workspace
    places |= {op: dict(places[owner]) for op, owner in home.items() if op is not owner}
    for op in home:
        if places[op]["location"] == 1:
            places[op]["stride"] = compute_stride(op.shape)
    return Memory(parameters, dict(sorted(sizes.items())), places)


def compute_stride(shape: tuple[int, ...]) -> list[int]:
    """Return the distance in elements from one index to the next, by dimension."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _pack_parameters(group: Group, target: Target, places: dict[Op, Place]) -> bytes:
    modern = boards.is_at_least(target.vitis_ai, "3.0")
    alignment = _VERSAL_ALIGNMENT.get(target.dpu.type, _PAGE if modern else 1)
    blob = bytearray()
    for leaf in group.leaves:
        constants = [op for op in leaf if op.is_constant]
        if modern:  # bias before weights
            constants.sort(key=lambda op: len(op.shape))
        for op in constants:
            assert op.data is not None
            places[op] = {"reg_id": PARAMETERS, "ddr_addr": len(blob), "location": 1}
            blob += op.data.tobytes()
            blob += bytes(-len(blob) % alignment)
    return bytes(blob)


def _find_storage(group: Group) -> dict[Op, Op]:
    """Return for each tensor the one that owns its bytes: a reshape shares those of its input.

    A reshape of an input that is also an output has bytes of its own, as registers do not overlap; so has one of two
    outputs that would share.
    """
    home: dict[Op, Op] = {}
    downloaded = {op.input for op in group.ops if op.kind == "download"}
    taken: set[Op] = set()
    for op in group.ops:
        if op.is_constant or op.kind == "download":
            continue
        owner = home[op.input] if op.kind == "reshape-fix" else op
        if op in downloaded:
            if owner.kind == "upload" or owner in taken:
                owner = op
            taken.add(owner)
        home[op] = owner
    return home


def _line_up(ops: Iterable[Op], register: int, granule: int, places: dict[Op, Place]) -> int:
    """Place `ops` one behind another in a register and return how many bytes they take."""
    address = 0
    for op in ops:
        places[op] = {"reg_id": register, "ddr_addr": address, "location": 1}
        address += _count_bytes(op, granule)
    return address


def _count_bytes(op: Op, granule: int) -> int:
    return -(-math.prod(op.shape) // granule) * granule


def _place_intermediates(group: Group, home: dict[Op, Op], granule: int, places: dict[Op, Place]) -> int:
    """Give what is left addresses in the workspace, reusing those of dead tensors, and return its size."""
    ends_at = {op: index for index, op in enumerate(group.ops)}
    for leaf in group.leaves:  # a super-layer reads its input until its last operation is done
        ends_at.update(dict.fromkeys(leaf, max(ends_at[op] for op in leaf)))
    last: dict[Op, int] = {}
    for op in group.ops:
        for producer in op.all_inputs():
            if producer in home:
                last[home[producer]] = max(last.get(home[producer], 0), ends_at[op])
    free: list[tuple[int, int]] = []  # (address, size), by address
    ends: dict[int, list[Op]] = {}
    top = 0
    for index, op in enumerate(group.ops):
        if home.get(op) is op and op not in places:
            address, top = _take(free, _count_bytes(op, granule), top)
            places[op] = {"reg_id": WORKSPACE, "ddr_addr": address, "location": 1}
            ends.setdefault(last.get(op, index), []).append(op)
        for dead in ends.get(index, ()):
            _give(free, places[dead]["ddr_addr"], _count_bytes(dead, granule))
    return top


def _take(free: list[tuple[int, int]], size: int, top: int) -> tuple[int, int]:
    for index, (address, room) in enumerate(free):
        if room >= size:
            free[index : index + 1] = [(address + size, room - size)] if room > size else []
            return address, top
    if free and sum(free[-1]) == top:
        address, _ = free.pop()
        return address, address + size
    return top, top + size


def _give(free: list[tuple[int, int]], address: int, size: int) -> None:
    free.append((address, size))
    free.sort()
    merged: list[tuple[int, int]] = []
    for start, room in free:
        if merged and sum(merged[-1]) == start:
            merged[-1] = (merged[-1][0], merged[-1][1] + room)
        else:
            merged.append((start, room))
    free[:] = merged
