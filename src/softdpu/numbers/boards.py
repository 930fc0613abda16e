"""Boards, their DPUs and the fingerprints that tie a model to a DPU.

Two small tables feed this module: `data/dpus.csv`, one DPU configuration a line, and `data/boards.csv`, one board a
line. A board names the DPU configurations that it carries; which of them it is depends on the Vitis AI version of the
board's image, and so does the fingerprint. Adding a board is adding its line.

A fingerprint is `type << 56 | isa << 48 | feature code`: the DPU's architecture, its instruction set, its options.

>>> hex(find_target("zcu102", "3.0").fingerprint), find_target("zcu102", "2.0").dpu.name
('0x101000056010407', 'DPUCZDX8G_ISA0_B4096_MAX_BG2')
"""

from __future__ import annotations

import csv
import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.numbers.dpu import DPU_TYPES, name_type
from softdpu.output.files import open_file

_DATA = Path(__file__).parent / "data"

VITIS_AI_VERSIONS = ("1.3", "1.3.2", "1.4", "1.4.1", "2.0", "2.5", "3.0", "3.5")


@dataclass(frozen=True)
class Range:
    """Which kernel sizes and strides an engine takes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Dpu:
    """One DPU configuration: its name, its fingerprint, its parallelism and what its engines do.

    Attributes:
        name: such as DPUCZDX8G_ISA1_B4096.
        fingerprint: 64 bits.
        vitis_ai: the Vitis AI versions whose tools know it.
        batch: images that one run takes.
        pixel, input_channel, output_channel: parallelism of the convolution engine (PP, ICP, OCP).
        augmentation: channels that the first layer packs kernel columns into; 0 where it cannot.
        alu_pixel: pixel parallelism of the engine for depthwise convolution and pooling.
        bank_depth: words of one feature-map bank: kernel height x width x ceil(channels / ICP) may not exceed it.
        conv, dwconv, eltwise_relu: the activations that can be fused into the engine.
        pool: subset of {max, avg}. eltwise: subset of {add, mult}. other: further functions.
        limits: by engine (conv, dwconv, max, avg), the kernel sizes and strides; an absent engine has no entry.
    """

    name: str
    fingerprint: int
    vitis_ai: tuple[str, ...]
    batch: int
    pixel: int
    input_channel: int
    output_channel: int
    augmentation: int
    alu_pixel: int
    bank_depth: int
    conv: frozenset[str]
    dwconv: frozenset[str]
    pool: frozenset[str]
    eltwise: frozenset[str]
    eltwise_relu: frozenset[str]
    other: frozenset[str]
    limits: Mapping[str, Range]

    @property
    def type(self) -> str:
        """The architecture, such as DPUCZDX8G."""
        return name_type(self.fingerprint)

    @property
    def isa(self) -> int:
        """The version of the instruction set."""
        return self.fingerprint >> 48 & 0xFF

    @property
    def operations_per_cycle(self) -> int:
        """Multiplications plus additions a clock cycle of the convolution engine, for one image."""
        return 2 * self.pixel * self.input_channel * self.output_channel


@dataclass(frozen=True)
class Target:
    """A board with one Vitis AI version: what a model is compiled for.

    Attributes:
        name: such as zcu102; for a bare fingerprint, that number in hexadecimal.
        title: for people.
        vitis_ai: version of the board's image, such as 3.0.
        dpu: the configuration, with fingerprint, batch and limits.
        cores: DPU cores; clock_mhz: their clock, 0 where unknown.
        image: beginning of the name of AMD's SD-card image, empty where AMD has none.
    """

    name: str
    title: str
    vitis_ai: str
    dpu: Dpu
    cores: int
    clock_mhz: int
    image: str

    @property
    def fingerprint(self) -> int:
        """The DPU's fingerprint."""
        return self.dpu.fingerprint

    @property
    def batch(self) -> int:
        """Images that one run of a core takes."""
        return self.dpu.batch


@dataclass(frozen=True)
class _Board:
    name: str
    title: str
    dpus: tuple[str, ...]
    vitis_ai: tuple[str, ...]
    default: str
    cores: int
    clock_mhz: int
    image: str


def list_targets() -> list[str]:
    """Return the names of all boards, sorted."""
    return sorted(_read_boards())


def find_target(name: str, vitis_ai: str | None = None) -> Target:
    """Return the board `name` with the DPU that its image of Vitis AI `vitis_ai` carries.

    Args:
        name: see `list_targets`; upper case and dashes are accepted.
        vitis_ai: such as "3.0"; None takes the version that is usual for the board.

    Raises:
        SoftdpuError: unknown board, or a version that the board was never made for.
    """
    key = name.strip().lower().replace("-", "_")
    board = _read_boards().get(key)
    if board is None:
        near = difflib.get_close_matches(key, _read_boards(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SoftdpuError(f"unknown target '{name}': {hint}known targets are {', '.join(list_targets())}")
    version = vitis_ai or board.default
    if version not in board.vitis_ai:
        raise SoftdpuError(f"{key} has no DPU for Vitis AI {version}: choose one of {', '.join(board.vitis_ai)}")
    dpu = next(d for wanted in board.dpus for d in list_dpus() if d.name == wanted and version in d.vitis_ai)
    return Target(board.name, board.title, version, dpu, board.cores, board.clock_mhz, board.image)


def find_target_by_fingerprint(fingerprint: int, vitis_ai: str | None = None) -> Target:
    """Return a target for a bare fingerprint, without a board.

    Raises:
        SoftdpuError: the number is no known DPU, or there is no such version.
    """
    dpu = find_dpu(fingerprint)
    if vitis_ai not in (None, *VITIS_AI_VERSIONS):
        raise SoftdpuError(f"unknown Vitis AI version '{vitis_ai}': choose one of {', '.join(VITIS_AI_VERSIONS)}")
    version = vitis_ai or (dpu.vitis_ai[-1] if dpu.vitis_ai else VITIS_AI_VERSIONS[-1])
    return Target(f"{fingerprint:#x}", f"{dpu.name} by fingerprint", version, dpu, 1, 0, "")


def find_target_by_arch(path: str | Path, vitis_ai: str | None = None) -> Target:
    """Return a target for an arch.json file, which holds `{"fingerprint": "0x..."}` or `{"target": "DPU name"}`.

    Raises:
        SoftdpuError: no such file, not JSON, neither key, or an unknown DPU.
    """
    try:
        with open(open_file(path), encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise SoftdpuError(f"{path}: expected an arch.json with a fingerprint, got {error}") from error
    if isinstance(value, dict) and isinstance(value.get("fingerprint"), (str, int)):
        return find_target_by_fingerprint(parse_fingerprint(value["fingerprint"]), vitis_ai)
    if isinstance(value, dict) and isinstance(value.get("target"), str):
        matches = [d for d in list_dpus() if d.name == value["target"] and vitis_ai in (None, *d.vitis_ai)]
        if matches:
            return find_target_by_fingerprint(matches[-1].fingerprint, vitis_ai)
        raise SoftdpuError(f"{path}: unknown DPU {value['target'][:80]!r}; give its fingerprint instead")
    raise SoftdpuError(f'{path}: expected {{"fingerprint": "0x..."}} or {{"target": "DPU name"}}')


def choose_target(
    name: str | None = None,
    vitis_ai: str | None = None,
    fingerprint: str | None = None,
    arch: str | Path | None = None,
) -> Target:
    """Return the target that a command line asks for: a board, a fingerprint or an arch.json.

    A board together with a fingerprint or an arch.json is that board with another DPU in it.

    Raises:
        SoftdpuError: none of the three given, both of the last two, or one of them wrong.
    """
    if fingerprint and arch:
        raise SoftdpuError("give a fingerprint or an arch.json, not both")
    if not (name or fingerprint or arch):
        raise SoftdpuError(f"give a target ({', '.join(list_targets())}), a fingerprint or an arch.json")
    if not (fingerprint or arch):
        return find_target(str(name), vitis_ai)
    if fingerprint:
        chosen = find_target_by_fingerprint(parse_fingerprint(fingerprint), vitis_ai)
    else:
        chosen = find_target_by_arch(str(arch), vitis_ai)
    if name is None:
        return chosen
    board = find_target(name)
    return replace(board, dpu=chosen.dpu, vitis_ai=chosen.vitis_ai)


def parse_fingerprint(text: str | int) -> int:
    """Return the number that `text` writes, hexadecimal with or without 0x.

    Raises:
        SoftdpuError: not a 64-bit number.
    """
    try:
        number = text if isinstance(text, int) else int(text, 16)
    except ValueError:
        number = -1
    if not 0 < number < 1 << 64:
        raise SoftdpuError(f"expected a fingerprint such as 0x101000056010407, got {str(text)[:80]!r}")
    return number


def is_at_least(version: str, first: str) -> bool:
    """Whether a Vitis AI version is `first` or came after it, by their order in VITIS_AI_VERSIONS."""
    return VITIS_AI_VERSIONS.index(version) >= VITIS_AI_VERSIONS.index(first)


def find_dpu(fingerprint: int) -> Dpu:
    """Return the DPU of a fingerprint; a DPUCZDX8G that is not in the table is decoded from its bits.

    Raises:
        SoftdpuError: unknown architecture or option bits.
    """
    for dpu in list_dpus():
        if dpu.fingerprint == fingerprint:
            return dpu
    if name_type(fingerprint) == "DPUCZDX8G":
        return _decode_zynq(fingerprint)
    kind = DPU_TYPES.get(fingerprint >> 56)
    what = f"a {kind} with options that are not in the table" if kind else "no known DPU architecture"
    raise SoftdpuError(f"fingerprint {fingerprint:#x} is {what}; `softdpu xmodel fingerprint` reads an arch.json too")


def find_boards(fingerprint: int) -> list[tuple[str, tuple[str, ...]]]:
    """Return the boards that carry a DPU with this fingerprint, each with the Vitis AI versions for which it does."""
    found = []
    for board in _read_boards().values():
        versions = tuple(v for v in board.vitis_ai if find_target(board.name, v).fingerprint == fingerprint)
        if versions:
            found.append((board.name, versions))
    return found


@functools.lru_cache(maxsize=1)
def list_dpus() -> tuple[Dpu, ...]:
    """Return every DPU configuration of the table."""
    with open(_DATA / "dpus.csv", encoding="utf-8", newline="") as file:
        return tuple(_parse_dpu(row) for row in csv.DictReader(file))


@functools.lru_cache(maxsize=1)
def _read_boards() -> dict[str, _Board]:
    with open(_DATA / "boards.csv", encoding="utf-8", newline="") as file:
        boards = [
            _Board(
                row["name"],
                row["title"],
                tuple(row["dpus"].split()),
                tuple(row["vitis_ai"].split()),
                row["default"],
                int(row["cores"]),
                int(row["clock_mhz"] or 0),
                row["image"],
            )
            for row in csv.DictReader(file)
        ]
    return {board.name: board for board in boards}


def _parse_dpu(row: dict[str, str]) -> Dpu:
    engines = ("conv", "dwconv", "max", "avg")
    return Dpu(
        name=row["name"],
        fingerprint=int(row["fingerprint"], 16),
        vitis_ai=tuple(row["vitis_ai"].split()),
        batch=int(row["batch"]),
        pixel=int(row["pixel"]),
        input_channel=int(row["input_channel"]),
        output_channel=int(row["output_channel"]),
        augmentation=int(row["augmentation"]),
        alu_pixel=int(row["alu_pixel"]),
        bank_depth=int(row["bank_depth"]),
        conv=frozenset(row["conv"].split()),
        dwconv=frozenset(row["dwconv"].split()),
        pool=frozenset(row["pool"].split()),
        eltwise=frozenset(row["eltwise"].split()),
        eltwise_relu=frozenset(row["eltwise_relu"].split()),
        other=frozenset(row["other"].split()),
        limits=MappingProxyType({e: _parse_range(row[f"{e}_limit"]) for e in engines if row[f"{e}_limit"]}),
    )


def _parse_range(text: str) -> Range:
    """Read "1-16/1-8" or "1-3;7/1-8": kernel sizes, strides."""

    def numbers(part: str) -> tuple[int, ...]:
        found: list[int] = []
        for piece in part.split(";"):
            low, _, high = piece.partition("-")
            found.extend(range(int(low), int(high or low) + 1))
        return tuple(found)

    kernel, _, stride = text.partition("/")
    return Range(numbers(kernel), numbers(stride))


_ZYNQ_SIZES = ("B512", "B800", "B1024", "B1152", "B1600", "B2304", "B3136", "B4096")


def _decode_zynq(fingerprint: int) -> Dpu:
    """Decode a DPUCZDX8G fingerprint: bits 0-3 size, 24-25 bank groups, 26 augmentation, 28-37 options."""
    size, isa = fingerprint & 0xF, fingerprint >> 48 & 0xFF

    def bit(number: int) -> bool:
        return bool(fingerprint >> number & 1)

    if size >= len(_ZYNQ_SIZES) or isa > 1:
        raise SoftdpuError(f"fingerprint {fingerprint:#x} is a DPUCZDX8G of unknown size or instruction set")
    family = f"DPUCZDX8G_ISA{isa}_{_ZYNQ_SIZES[size]}" + ("_MAX" if isa == 0 else "")
    like = next(dpu for dpu in reversed(list_dpus()) if dpu.name == family)
    conv = {"relu"} | ({"leakyrelu"} if bit(28) else set())
    options: dict[str, Any] = {
        "name": f"{like.name}_{fingerprint:016X}",
        "fingerprint": fingerprint,
        "augmentation": 2 * like.input_channel if bit(26) else 0,
        "alu_pixel": fingerprint >> 8 & 0xF,
        "vitis_ai": like.vitis_ai,
    }
    if isa == 1:
        other = set(like.other) - {"argmax"} | ({"argmax"} if bit(30) else set())
        return replace(like, **options, conv=frozenset(conv | {"relu6"}), other=frozenset(other))
    depthwise = fingerprint >> 12 & 0xF
    engines = {"conv", "max"} | ({"avg"} if bit(30) else set()) | ({"dwconv"} if depthwise else set())
    return replace(
        like,
        **options,
        conv=frozenset(conv | ({"relu6"} if bit(29) else set())),
        dwconv=frozenset(({"relu"} | ({"relu6"} if bit(31) else set())) if depthwise else ()),
        pool=frozenset(engines & {"max", "avg"}),
        eltwise=frozenset({"add"} | ({"mult"} if bit(36) else set())),
        other=frozenset({"max_reduce"} if bit(37) else ()),
        limits=MappingProxyType({name: like.limits[name] for name in sorted(engines)}),
    )
