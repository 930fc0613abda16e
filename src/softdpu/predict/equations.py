"""The model: how long a DPUCZDX8G core takes for a layer, and all its cores for a network.

For each layer, with PP, ICP and OCP the DPU's parallelism over pixels, input and output channels (PG338, table of
architectures) and ceil() rounding up to whole steps:

    multiply  = ceil(H/PP) W ceil(Cout/OCP) max(ceil(Cin/ICP) kh kw, PP) / multiply_ceiling           cycles
    engine    = ceil(H/alu) W ceil(C/ICP) kh kw engine_share       for depthwise convolution, pooling     cycles
              = H W ceil(C/ICP) operands                           for sums and products                  cycles
    memory    = (load + weights + save) slowdown[cores] / bandwidth                                       bytes, GB/s
    time      = max((multiply + engine) / clock, memory) + start                                          ms

* max(..., PP): a core writes one pixel of OCP channels per cycle, so that PP pixels take PP cycles at least.
* The first layer packs the columns of its kernel into channels where kw Cin fits (channel augmentation).
* A feature map stays on the chip where its only readers come next and it fits into the image banks,
  2 groups x PP x ICP x depth bytes (512 KiB of a B4096), channels rounded up to ICP. Otherwise it is saved and loaded.
  Branches that are joined are saved. Weights are loaded once a frame, at the same time as the engines work.
* The other cores take bandwidth: with n cores at work each byte takes slowdown[n] times as long.

The ceiling, the parallelism and the banks come from documents and profiles; the other constants are fitted to public
measurements by benchmarks/predict_accuracy.py and stand with units and meanings in data/constants.csv.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softdpu.numbers.boards import Dpu
from softdpu.predict.layers import Layer, sort_by_run

CONSTANTS = Path(__file__).parent / "data" / "constants.csv"
BANK_GROUPS = 2
Constants = Mapping[str, float]


@functools.lru_cache(maxsize=1)
def read_constants() -> Constants:
    """Return the constants of data/constants.csv by name."""
    with open(CONSTANTS, encoding="utf-8", newline="") as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


@dataclass(frozen=True)
class Work:
    """What a network asks of a DPU, one entry a layer in running order.

    Attributes:
        layers: without those that take no time.
        multiply: cycles of the multiplying engine at its peak.
        engine: cycles of the engine for depthwise convolution and pooling at its documented parallelism.
        operands: cycles for sums and products, and for copies.
        load, save, weights: bytes of DRAM.
    """

    layers: tuple[Layer, ...]
    multiply: np.ndarray
    engine: np.ndarray
    operands: np.ndarray
    load: np.ndarray
    save: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Times:
    """Milliseconds per layer, by what the layer waits for: arrays in the order of `Work.layers`."""

    multiply: np.ndarray
    engine: np.ndarray
    memory: np.ndarray
    start: float

    @property
    def total(self) -> np.ndarray:
        """Milliseconds of each layer."""
        return np.maximum(self.multiply + self.engine, self.memory) + self.start


def count_work(layers: Sequence[Layer], dpu: Dpu) -> Work:
    """Return the work of a network of these layers on one core."""
    ordered = sort_by_run(layers)
    by_name = {layer.name: layer for layer in ordered}
    timed = [layer for layer in ordered if layer.kind != "join"]
    places = {layer.name: place for place, layer in enumerate(timed)}
    readers: dict[str, list[str]] = {layer.name: [] for layer in ordered}
    for layer in ordered:
        for source in layer.sources:
            if source in readers:
                readers[source].append(layer.name)
    stays = {
        name: bool(readers[name])
        and _padded(by_name[name], dpu) <= count_bank_bytes(dpu)
        and all(places.get(reader) == place + 1 for reader in readers[name])
        for name, place in places.items()
    }
    rows = []
    for place, layer in enumerate(timed):
        load = 0
        for source in layer.sources:
            near = places.get(source, -2) == place - 1 and _padded(by_name[source], dpu) <= count_bank_bytes(dpu)
            load += 0 if near else _loaded(layer, by_name.get(source))
        save = 0 if stays[layer.name] else layer.written_bytes
        first = any(source not in by_name for source in layer.sources)
        rows.append((*_cycles(layer, dpu, first), load, save, layer.weights))
    table = np.array(rows, np.float64).reshape(-1, 6).T
    return Work(tuple(timed), *table)


def compute_times(work: Work, values: Constants, isa: int, clock_mhz: float, cores: int = 1) -> Times:
    """Return the milliseconds of each layer on one core while `cores` of them are at work."""
    cycle = 1e-3 / clock_mhz  # milliseconds
    engine = work.engine * values["engine_share"] + work.operands
    slowdown = 1.0 if cores == 1 else values[f"slowdown_{min(cores, 3)}"]
    memory = (work.load + work.save + work.weights) * slowdown / values[f"bandwidth_isa{isa}"] * 1e-6
    multiply = work.multiply / values["multiply_ceiling"]
    return Times(multiply * cycle, engine * cycle, memory, values[f"start_isa{isa}"] * 1e-3)


def count_bank_bytes(dpu: Dpu) -> int:
    """Return the bytes of the on-chip banks for feature maps."""
    return BANK_GROUPS * dpu.pixel * dpu.input_channel * dpu.bank_depth


def count_steps(number: int, at_once: int) -> int:
    """Return how many steps of `at_once` things `number` of them take."""
    return -(-number // at_once)


def _padded(layer: Layer, dpu: Dpu) -> int:
    height, width, channels = layer.output
    return height * width * count_steps(channels, dpu.input_channel) * dpu.input_channel


def _loaded(layer: Layer, source: Layer | None) -> int:
    whole = source.written_bytes if source else layer.read_bytes
    skipped = layer.stride if layer.kernel[0] == 1 else 1  # rows that a kernel of one row steps over are not read
    return whole // max(skipped, 1)


def _cycles(layer: Layer, dpu: Dpu, first: bool) -> tuple[float, float, float]:
    height, width, channels = layer.output
    rows, columns = layer.kernel
    if layer.kind == "conv":
        packed = columns * layer.source[2]
        taps = count_steps(layer.source[2], dpu.input_channel) * columns
        if first and packed <= dpu.augmentation:
            taps = count_steps(packed, dpu.input_channel)
        pixels = count_steps(height, dpu.pixel) * width * count_steps(channels, dpu.output_channel)
        return pixels * max(taps * rows / layer.up**2, dpu.pixel), 0.0, 0.0
    if layer.kind in ("dwconv", "pool"):
        pixels = count_steps(height, dpu.alu_pixel) * width * count_steps(channels, dpu.input_channel)
        return 0.0, pixels * rows * columns / layer.up**2, 0.0
    return 0.0, 0.0, float(height * width * count_steps(channels, dpu.input_channel) * max(len(layer.sources), 1))
