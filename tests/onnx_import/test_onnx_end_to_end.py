"""Imported networks, quantized and compiled: both engines give the quantized Keras model's numbers bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graphs import Builder, detector

from softdpu.compiler.compile import compile_keras
from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.keras2.api import keras
from softdpu.numbers import boards, fixed_point
from softdpu.onnx_import.convert import import_onnx
from softdpu.quantizer.vitis_quantize import VitisQuantizer
from softdpu.runtime import create_engine

IMAGES = 2


def cut_detector(path: Path) -> tuple[Path, list[str]]:
    return detector(path)


def on_one_dpu(path: Path) -> tuple[Path, list[str]]:
    """Groups, a pooling of negative numbers, shuffled channels, pixel shuffle, hard swish."""
    make = Builder((1, 3, 16, 16))
    x = make.add("MaxPool", make.conv("images", 3, 12), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = make.add("HardSwish", make.conv(x, 12, 12, group=3))
    turned = make.add("Transpose", make.reshape(x, 1, 3, 4, 8, 8), perm=[0, 2, 1, 3, 4])
    x = make.add("Relu", make.conv(make.reshape(turned, 1, 12, 8, 8), 12, 8))
    return make.save(path, make.add("DepthToSpace", x, blocksize=2, mode="CRD")), []


def with_the_cpu(path: Path) -> tuple[Path, list[str]]:
    """Local response normalization, Mish, and a resize whose corners are aligned."""
    make = Builder((1, 3, 12, 12))
    x = make.add("LRN", make.add("Relu", make.conv("images", 3, 8)), size=5, alpha=0.5, beta=0.75, bias=1.0)
    x = make.conv(x, 8, 8)
    x = make.conv(make.add("Mul", x, make.add("Tanh", make.add("Softplus", x))), 8, 8)
    scales = make.constant([1, 1, 2, 2])
    x = make.add("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="align_corners")
    return make.save(path, make.conv(x, 8, 4)), []


@pytest.mark.parametrize(("build", "pieces"), [(cut_detector, 1), (on_one_dpu, 1), (with_the_cpu, 4)])
def test_engines_equal_the_quantized_model(
    build: Callable[[Path], tuple[Path, list[str]]], pieces: int, tmp_path: Path
) -> None:
    path, outputs = build(tmp_path / "net.onnx")
    model = import_onnx(path, outputs or None).model
    images = np.random.default_rng(0).random((8, *model.input_shape[1:]), np.float32)
    VitisQuantizer(model).quantize_model(calib_dataset=images).save(tmp_path / "q.h5")
    expected = keras.models.load_model(tmp_path / "q.h5", compile=False).predict(images[:IMAGES], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    compiled = compile_keras(read_keras_model(tmp_path / "q.h5"), boards.target("zcu102"))
    graph = compiled.to_xir()
    children = [one for one in graph.get_root_subgraph().toposort_child_subgraph() if one.get_attr("device") != "USER"]
    assert sum(one.get_attr("device") == "DPU" for one in children) == pieces
    for engine in ("reference", "litert"):
        made = _run([create_engine(one, engine) for one in children], graph, images[:IMAGES])
        for op, value in zip(compiled.graph.outputs, expected, strict=True):
            assert np.array_equal(made[op.tensor].reshape(value.shape), value), (engine, op.tensor)
            assert len(np.unique(value)) > 4


def _run(engines: list, graph: object, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return every tensor between subgraphs as real numbers."""
    (head,) = (op for op in graph.get_ops() if op.get_type() in ("data", "data-fix"))  # type: ignore[attr-defined]
    tensor = head.get_output_tensor()
    position = tensor.get_attr("fix_point") if tensor.has_attr("fix_point") else None
    given = images if position is None else fixed_point.quantize(images, position, fixed_point.HALF_UP)
    rows = []
    positions: dict[str, int] = {}
    for index in range(len(images)):
        values = {tensor.name: given[index : index + 1]}
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
