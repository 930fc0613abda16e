"""The prediction: equations, threads and intervals put together for a model and a board."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.numbers.boards import Target
from softdpu.predict.equations import Constants, Times, Work, compute_times, count_work, read_constants
from softdpu.predict.network import Model, Network
from softdpu.predict.threads import THREADS, App, compute_rate

MODELLED = ("zcu102", "zcu104", "kv260")  # boards with public measurements that the constants are fitted to
COVERAGE = 0.8  # share of measurements that the interval is made to hold


@dataclass(frozen=True)
class Range:
    """A value with the interval that holds `COVERAGE` of the measurements."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return the three numbers for JSON, to four digits."""
        return {name: float(f"{getattr(self, name):.4g}") for name in ("value", "low", "high")}


@dataclass(frozen=True)
class Speed:
    """Frames per second with one number of threads: of the DPU alone, of AMD's C++ test program, of a Python app."""

    threads: int
    dpu: Range
    app: Range
    python: Range


@dataclass(frozen=True)
class Prediction:
    """What is predicted for a network on a board.

    Attributes:
        model: name of the file. target: the board.
        works, times: of each DPU subgraph with one core at work; empty where the board is not modelled.
        latency_ms: of one frame on one core, without the app.
        speeds: one for each number of threads.
    """

    model: str
    target: Target
    works: tuple[Work, ...] = ()
    times: tuple[Times, ...] = ()
    latency_ms: Range | None = None
    speeds: tuple[Speed, ...] = ()

    @property
    def modelled(self) -> bool:
        """Whether there are measurements of the board behind the numbers."""
        return bool(self.works)

    def layers(self) -> list[dict[str, Any]]:
        """Return a row a layer in running order: cycles, milliseconds, bound, utilisation, bytes of DRAM."""
        clock, peak = self.target.clock_mhz * 1e3, self.target.dpu.operations_per_cycle
        rows = []
        for work, times in zip(self.works, self.times, strict=True):
            for place, layer in enumerate(work.layers):
                milliseconds = float(times.total[place])
                load, save, weights = (int(part[place]) for part in (work.load, work.save, work.weights))
                cycles = round(milliseconds * clock)
                rows.append(
                    {
                        "name": layer.name,
                        "kind": layer.kind,
                        "output": list(layer.output),
                        "bound": _bound(work, times, place),
                        "cycles": cycles,
                        "milliseconds": round(milliseconds, 5),
                        "operations": layer.operations,
                        "utilisation": round(layer.operations / (cycles * peak), 4) if layer.kind == "conv" else None,
                        "dram_bytes": load + save + weights,
                        "load_bytes": load,
                        "weight_bytes": weights,
                        "save_bytes": save,
                    }
                )
        return rows


def predict_model(
    model: Model, targets: Sequence[Target], threads: Sequence[int] = THREADS, same_dpu: bool = True
) -> list[Prediction]:
    """Predict an opened model for each target; boards that are not in `MODELLED` get no numbers.

    Args:
        model: see `open_model`.
        targets: boards with DPU and Vitis AI version.
        threads: numbers of threads of the app.
        same_dpu: whether an .xmodel must be for the very DPU of a target; otherwise for the same kind of DPU.

    Raises:
        SoftdpuError: no positive number of threads, an .xmodel for another DPU, layers that cannot be compiled.
    """
    for count in threads:
        if count < 1:
            raise SoftdpuError(f"expected numbers of threads from 1, got {count}: give such as --threads 1,2,4")
    found = []
    for target in targets:
        if same_dpu or is_modelled(target):
            _refuse_other_dpu(model, target, same_dpu)
        if is_modelled(target):
            found.append(predict_network(model.path.name, model.read(target), target, threads))
        else:
            found.append(Prediction(model.path.name, target))
    return found


def predict_network(
    name: str, network: Network, target: Target, threads: Sequence[int] = THREADS, values: Constants | None = None
) -> Prediction:
    """Predict a network on a modelled board, with other constants than the product's where `values` are given."""
    values, isa = values or read_constants(), min(target.dpu.isa, 1)
    works = tuple(count_work(part, target.dpu) for part in network.parts)
    times = tuple(compute_times(work, values, isa, target.clock_mhz) for work in works)

    def core_ms(cores: int) -> float:
        return sum(float(compute_times(work, values, isa, target.clock_mhz, cores).total.sum()) for work in works)

    def rate(count: int, app: App) -> float:
        return compute_rate(core_ms, target.cores, count, app)

    other = network.processor_values * values["processor_value"] * 1e-6
    own = App(app_ms(network.pixels, isa, values) + other)
    fast, slow = (_python(network, values, kind, other) for kind in ("int8", "float"))
    speeds = []
    for count in threads:
        width = values["interval_one" if min(count, target.cores) == 1 else "interval_many"]
        quick, late = rate(count, fast), rate(count, slow)
        python = Range(math.sqrt(quick * late), late * math.exp(-width), quick * math.exp(width))
        speeds.append(Speed(count, _range(rate(count, App()), width), _range(rate(count, own), width), python))
    return Prediction(name, target, works, times, _range(core_ms(1), values["interval_one"]), tuple(speeds))


def app_ms(pixels: int, isa: int, values: Constants) -> float:
    """Return the own processor time of AMD's C++ test program for a frame, ms: reading, fitting, scaling, classes."""
    return pixels * values[f"app_isa{isa}"] * 1e-6


def is_modelled(target: Target) -> bool:
    """Whether there are measurements of this board with the DPU of its own image behind the constants."""
    return target.name in MODELLED and target.dpu == boards.find_target(target.name, target.vitis_ai).dpu


def find_target(name: str, vitis_ai: str | None, model: Model) -> Target:
    """Return the board `name`; without a version, with the DPU that an .xmodel was compiled for, if the board had it.

    Raises:
        SoftdpuError: unknown board or version.
    """
    target = boards.find_target(name, vitis_ai)
    if vitis_ai is None and model.fingerprint not in (None, target.fingerprint):
        versions = dict(boards.find_boards(model.fingerprint or 0)).get(target.name)
        return boards.find_target(name, versions[-1]) if versions else target
    return target


def find_front(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the modelled predictions that no other beats in both latency and frames per second, fastest first."""
    known = [one for one in predictions if one.latency_ms and one.speeds]

    def best(one: Prediction) -> tuple[float, float]:
        assert one.latency_ms
        return one.latency_ms.value, -max(speed.app.value for speed in one.speeds)

    keys = {id(one): best(one) for one in known}
    front = [one for one in known if not any(_better(keys[id(other)], keys[id(one)]) for other in known)]
    return sorted(front, key=lambda one: keys[id(one)][1])


def _better(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first != second and first[0] <= second[0] and first[1] <= second[1]


def _range(value: float, width: float) -> Range:
    return Range(value, value * math.exp(-width), value * math.exp(width))


def _python(network: Network, values: Constants, kind: str, other: float) -> App:
    """Return a Python app's own time: with int8 buffers at best, with float32 buffers at worst."""
    each = network.input_values * 1e-6
    locked = values["python_call"] + each * values[f"python_copy_{kind}"]
    return App(locked + (each * values["python_convert_float"] if kind == "float" else 0.0) + other, locked)


def _bound(work: Work, times: Times, place: int) -> str:
    busy = float(times.multiply[place] + times.engine[place])
    memory = float(times.memory[place])
    if times.start > max(busy, memory):
        return "start"
    if memory > busy:
        return "load" if work.load[place] + work.weights[place] >= work.save[place] else "save"
    return "multiply" if times.multiply[place] >= times.engine[place] else "dw/pool engine"


def _refuse_other_dpu(model: Model, target: Target, same_dpu: bool) -> None:
    number = model.fingerprint
    if number is None or number == target.fingerprint or (not same_dpu and number >> 56 == target.fingerprint >> 56):
        return
    made = boards.find_dpu(number)
    homes = ", ".join(name for name, _ in boards.find_boards(number)) or "no known board"
    raise SoftdpuError(
        f"{model.path}: compiled for {made.name} (fingerprint {number:#x}: {homes}), {target.name} with Vitis AI "
        f"{target.vitis_ai} carries {target.dpu.name}: compile it for {target.name}, or name its own board"
    )
