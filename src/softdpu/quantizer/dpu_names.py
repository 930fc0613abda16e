"""The DPU that a model is quantized for, as AMD's `target=` names it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.quantizer.errors import QuantizerError

TYPES = ("name", "json", "fingerprint")


def check(target: Any, target_type: str | None) -> str:
    """Return the name of the DPU that `target` names.

    The quantized model is the same for every DPU: all compute in the same number format, and layers that one of them
    lacks are found, and placed on the CPU, when the model is compiled.

    Raises:
        QuantizerError: for a DPU that is not known.
    """
    return find(target, target_type).dpu.name


def find(target: Any, target_type: str | None = None) -> Any:
    """Return the Target (softdpu.numbers.boards) that `target` names.

    Args:
        target: a DPU's name (DPUCZDX8G_ISA1_B4096), the path of an arch.json, a fingerprint, or a board's name. A path
            that does not exist here, as in AMD's containers (.../arch/DPUCZDX8G/KV260/arch.json), means its board.
        target_type: name, json or fingerprint, found out if None.

    Raises:
        QuantizerError: for a DPU that is not known.
    """
    # Found by name: the build's scripts name no target, and an edit to the table of boards must not make what they
    # write stale (softdpu.output.sources reads the import statements).
    boards = importlib.import_module("softdpu.numbers.boards")
    kind = target_type or _guess(str(target))
    if kind not in TYPES:
        raise QuantizerError(f"target_type {target_type}: expected one of {', '.join(TYPES)}")
    try:
        if kind == "fingerprint":
            return boards.find_target_by_fingerprint(boards.parse_fingerprint(target))
        if kind == "json":
            board = Path(target).parent.name.lower()
            is_there = Path(target).exists() or board not in boards.list_targets()
            return boards.find_target_by_arch(target) if is_there else boards.find_target(board)
        if target in boards.list_targets():
            return boards.find_target(target)
    except SoftdpuError as error:
        raise QuantizerError(f"[Quantizer_TF2_Invalid_Target][Invalid Target] target {target}: {error}") from None
    known = {dpu.name: dpu for dpu in boards.list_dpus()}
    if target not in known:
        raise QuantizerError(
            f"[Quantizer_TF2_Invalid_Target][Invalid Target] target {target}: expected the name of a DPU "
            f"({', '.join(sorted(known))}), the path of an arch.json or a fingerprint"
        )
    return boards.find_target_by_fingerprint(known[target].fingerprint)


def _guess(target: str) -> str:
    if target.endswith(".json"):
        return "json"
    return "fingerprint" if target[:2].lower() == "0x" or target.isdigit() else "name"
