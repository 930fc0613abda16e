"""A DPU's fingerprint in words: what the DPU is, which tools and boards go with it, and what to do about another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.numbers.dpu import name_type
from softdpu.xmodel.load import list_fingerprints, load

# What the single bits of DPUCZDX8G feature codes stand for, by instruction set; "{}" takes the field's number.
_FIELDS = {
    0: (
        (8, 4, "pooling works on {} pixels at once"),
        (12, 4, "depthwise convolution works on {} pixels at once"),
        (16, 4, "addition works on {} pixels at once"),
        (24, 2, "{} groups of feature-map banks"),
        (26, 1, "channel augmentation of the first layer"),
        (28, 1, "LeakyReLU in convolutions"),
        (29, 1, "ReLU6 in convolutions"),
        (30, 1, "average pooling"),
        (31, 1, "ReLU6 in depthwise convolutions"),
        (36, 1, "element-wise multiplication"),
        (37, 1, "maximum over an axis"),
    ),
    1: (
        (8, 4, "the ALU (depthwise convolution, pooling) works on {} pixels at once"),
        (24, 2, "{} groups of feature-map banks"),
        (26, 1, "channel augmentation of the first layer"),
        (28, 1, "LeakyReLU in convolutions"),
        (29, 1, "LeakyReLU in depthwise convolutions"),
        (30, 1, "argmax while saving (Vitis AI 3.0 and later)"),
    ),
}

# How the names of AMD's SD-card images end, by the beginning of the name ("" for most boards) and Vitis AI version.
_IMAGES = {
    ("", "1.4"): "v2021.1-v1.4.0",
    ("", "2.0"): "v2021.2-v2.0.0",
    ("", "2.5"): "v2022.1-v2.5.0",
    ("", "3.0"): "v2022.2-v3.0.0",
    ("xilinx-kv260-dpu", "1.4"): "v2020.2-v1.4.0",
    ("xilinx-vck190-dpu", "1.4"): "v2020.2-v1.4.0",
    ("amd-vek280-dpu", "3.5"): "v2023.1-v3.5.0",
}


def explain(given: str) -> list[dict[str, Any]]:
    """Return what is known of each fingerprint that `given` names: a number, an arch.json or an .xmodel.

    Raises:
        SoftdpuError: it is none of these, or names no fingerprint.
    """
    return [_explain(number) for number in read(given)]


def read(given: str) -> list[int]:
    """Return the fingerprints that `given` names: a number, an arch.json or an .xmodel.

    Raises:
        SoftdpuError: it is none of these, or names no fingerprint.
    """
    if given.lower().endswith(".json"):
        return [boards.find_target_by_arch(given).fingerprint]
    if given.lower().endswith(".xmodel") or os.path.exists(given):
        found = list_fingerprints(load(given))
        if not found:
            raise SoftdpuError(
                f"{given}: no part of it is compiled for a DPU, so it has no fingerprint; compile it first"
            )
        return found
    return [boards.parse_fingerprint(given)]


def _explain(number: int) -> dict[str, Any]:
    isa = number >> 48 & 0xFF
    result: dict[str, Any] = {
        "fingerprint": f"{number:#x}",
        "type": boards.DPU_TYPES.get(number >> 56),
        "isa": isa,
        "feature_code": f"{number & (1 << 48) - 1:#x}",
    }
    try:
        dpu = boards.find_dpu(number)
    except SoftdpuError as error:
        return {**result, "known": False, "reason": str(error), "boards": [], "vitis_ai": []}
    features = []
    for first, width, words in _FIELDS.get(isa, ()) if name_type(number) == "DPUCZDX8G" else ():
        field = number >> first & (1 << width) - 1
        if field:
            features.append(words.format(field))
    return {
        **result,
        "known": True,
        "name": dpu.name,
        "vitis_ai": list(dpu.vitis_ai),
        "batch": dpu.batch,
        "pixel_parallelism": dpu.pixel,
        "input_channel_parallelism": dpu.input_channel,
        "output_channel_parallelism": dpu.output_channel,
        "operations_per_cycle": dpu.operations_per_cycle,
        "features": features or sorted({*dpu.conv, *dpu.pool, *dpu.eltwise, *dpu.other}),
        "boards": [_describe_board(name, versions) for name, versions in boards.find_boards(number)],
    }


def _describe_board(name: str, versions: tuple[str, ...]) -> dict[str, Any]:
    prefix = boards.find_target(name, versions[-1]).image
    own = {version: _IMAGES.get((prefix, version), _IMAGES.get(("", version), "")) for version in versions if prefix}
    images = [f"{prefix}-{suffix}.img.gz" for suffix in own.values() if suffix]
    return {"target": name, "vitis_ai": list(versions), "images": images}


def describe_difference(a: int, b: int) -> str:
    """Return in words what differs between two fingerprints."""
    if a == b:
        return "nothing"
    if a >> 56 != b >> 56:
        names = (boards.DPU_TYPES.get(number >> 56, "an unknown type") for number in (a, b))
        return " against ".join(names) + ": another kind of DPU"
    if a >> 48 != b >> 48:
        return f"instruction set {a >> 48 & 0xFF} against {b >> 48 & 0xFF}"
    fields = _FIELDS.get(a >> 48 & 0xFF, ()) if name_type(a) == "DPUCZDX8G" else ()
    changed = a ^ b
    words = [text.format("another number of") for first, width, text in fields if changed >> first & (1 << width) - 1]
    if fields and changed & 0xF:
        words.insert(0, "the DPU's size")
    return "; ".join(words) or f"feature bits {changed:#x}"


def show_text(given: str, found: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines that tell people what `explain` found."""
    for entry in found:
        origin = "" if entry["fingerprint"] == given.lower() else f" ({given})"
        yield f"{entry['fingerprint']}{origin}"
        yield (
            f"    type {entry['type'] or 'unknown'}, instruction set {entry['isa']}, "
            f"feature code {entry['feature_code']}"
        )
        yield from _show_known(entry) if entry["known"] else [f"    not in the table of DPUs: {entry['reason']}"]
        yield from _list_advice(entry)


def _show_known(entry: dict[str, Any]) -> Iterator[str]:
    yield f"    DPU {entry['name']}, batch {entry['batch']}"
    yield (
        f"    {entry['operations_per_cycle']} operations a cycle: {entry['pixel_parallelism']} pixels x "
        f"{entry['input_channel_parallelism']} input channels x {entry['output_channel_parallelism']} output channels"
    )
    for feature in entry["features"]:
        yield f"    - {feature}"
    yield f"    Vitis AI {', '.join(entry['vitis_ai']) or 'of an unknown version'}"


def _list_advice(entry: dict[str, Any]) -> Iterator[str]:
    for board in entry["boards"]:
        images = f"; SD-card images {', '.join(board['images'])}" if board["images"] else ""
        yield f"    board {board['target']} with Vitis AI {', '.join(board['vitis_ai'])}{images}"
    if not entry["boards"]:
        yield "    no board in the table carries it with one of AMD's images"
    yield "    A model runs only on a DPU with exactly this fingerprint; `xdputil query` on a board tells the board's."
    yield "    If the two differ, compile the model for the board's fingerprint, or write the SD-card image whose Vitis"
    yield "    AI version goes with the model. Switching VART's check off instead gives wrong results or a hang."


def compare(a: str, b: str) -> tuple[bool, list[str]]:
    """Return whether two givens name the same fingerprints, and the lines that tell what to do.

    Raises:
        SoftdpuError: one of them names no fingerprint.
    """
    first, second = read(a), read(b)
    if set(first) == set(second):
        return True, [f"{a} and {b} are for the same DPU, {first[0]:#x}"]
    x = next(number for number in first if number not in second) if set(first) - set(second) else first[0]
    y = next((number for number in second if number != x), second[0])
    lines = [f"{a} is for {x:#x}, {b} for {y:#x}: they differ in {describe_difference(x, y)}"]
    for given, number in ((b, y), (a, x)):
        found = [f"{name} with Vitis AI {', '.join(versions)}" for name, versions in boards.find_boards(number)]
        lines.append(f"    {number:#x} ({given}): {'; '.join(found) or 'no board in the table'}")
    lines.append(
        "    Compile the model again for the board's fingerprint, or write the image that goes with the model."
    )
    return False, lines
