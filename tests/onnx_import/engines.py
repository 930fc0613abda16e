"""An imported network quantized, compiled and run: how far both engines are from the quantized Keras model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.compiler.compile import compile_keras
from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.keras2.api import keras
from softdpu.numbers import boards, fixed_point
from softdpu.quantizer.vitis_quantize import VitisQuantizer
from softdpu.runtime import create_engine

ENGINES = ("reference", "litert")


@dataclass(frozen=True)
class Outcome:
    """What came of a network.

    Attributes:
        devices: of the subgraphs in the order in which they run.
        differences: by engine, for each output the largest difference divided by the largest value.
        expected: what the quantized Keras model gives for each output.
    """

    devices: list[str]
    differences: dict[str, list[float]]
    expected: list[np.ndarray]


def run_on_engines(model: Any, folder: Path, images: int = 2, calibration: int = 8) -> Outcome:
    """Quantize a float model by random images, compile it for the ZCU102 and run some of them."""
    random = np.random.default_rng(0)
    names = [tensor.name.split(":")[0] for tensor in model.inputs]
    feeds = [random.random((calibration, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
    path = folder / "quantized.h5"
    VitisQuantizer(model).quantize_model(calib_dataset=feeds if len(feeds) > 1 else feeds[0]).save(path)
    given = [feed[:images] for feed in feeds]
    expected = keras.models.load_model(path, compile=False).predict(given if len(given) > 1 else given[0], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    compiled = compile_keras(read_keras_model(path), boards.find_target("zcu102"))
    graph = compiled.to_xir()
    children = [one for one in graph.get_root_subgraph().toposort_child_subgraph() if one.get_attr("device") != "USER"]
    differences = {}
    for engine in ENGINES:
        made = _run([create_engine(one, engine) for one in children], graph, dict(zip(names, given, strict=True)))
        outputs = [made[op.tensor] for op in compiled.graph.outputs]
        differences[engine] = [_differ(one, other) for one, other in zip(outputs, expected, strict=True)]
    return Outcome([one.get_attr("device") for one in children], differences, expected)


def _differ(made: np.ndarray, expected: np.ndarray) -> float:
    made = made.reshape(expected.shape)
    if np.array_equal(made, expected):
        return 0.0
    return float(np.abs(made - expected).max() / np.abs(expected).max())


def _run(engines: list, graph: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return every tensor between subgraphs as real numbers."""
    heads = [op.get_output_tensor() for op in graph.get_ops() if op.get_type() in ("data", "data-fix")]
    given = {tensor.name: _as_input(tensor, _feed_of(tensor.name, feeds)) for tensor in heads}
    rows = []
    positions: dict[str, int] = {}
    for index in range(len(next(iter(given.values())))):
        values = {name: array[index : index + 1] for name, array in given.items()}
        for engine in engines:
            outputs = [np.empty(one.shape, one.dtype) for one in engine.program.outputs]
            engine.run([values[one.name] for one in engine.program.inputs], outputs)
            values.update({one.name: value for one, value in zip(engine.program.outputs, outputs, strict=True)})
            positions.update({one.name: one.fix_point for one in engine.program.outputs if one.dtype == np.int8})
        rows.append(values)
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return {
        name: fixed_point.dequantize(value, positions[name]) if name in positions else value
        for name, value in joined.items()
    }


def _feed_of(name: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Return the array for a tensor, whose name holds that of the Keras input."""
    return feeds[max((one for one in feeds if one in name), key=len)]


def _as_input(tensor: Any, array: np.ndarray) -> np.ndarray:
    position = tensor.get_attr("fix_point") if tensor.has_attr("fix_point") else None
    return array if position is None else fixed_point.quantize(array, position, fixed_point.HALF_UP)
