"""Imported networks, quantized and compiled: both engines give the quantized Keras model's numbers bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engines import run_on_engines
from graphs import Builder, detector

from softdpu.onnx_import.check import differences
from softdpu.onnx_import.convert import import_onnx

ROUNDING = 1e-6  # of exponential functions, which libraries round in different ways


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


def with_borders(path: Path) -> tuple[Path, list[str]]:
    """Mirrored, repeated and constant borders, as style transfer has them, and an odd size by nearest."""
    make = Builder((1, 3, 12, 13))
    x = make.add("Pad", "images", make.constant([0, 0, 2, 3, 0, 0, 2, 3], np.int64), mode="reflect")
    x = make.add("Relu", make.conv(x, 3, 8, strides=[2, 2]))
    x = make.add("Pad", x, make.constant([0, 0, 1, 0, 0, 0, 0, 2], np.int64), mode="edge")
    x = make.conv(x, 8, 8)
    x = make.add("Pad", x, make.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), make.constant(0.5))
    sizes = make.constant([1, 8, 13, 17], np.int64)
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return make.save(path, make.conv(make.add("Resize", x, "", "", sizes, **how), 8, 4)), []


def with_normalizations(path: Path) -> tuple[Path, list[str]]:
    """Normalization of each image: by channel, by groups of channels, over a row of numbers."""
    make = Builder((1, 3, 24, 40))
    x = make.add("InstanceNormalization", make.conv("images", 3, 8), make.normal(8), make.normal(8))
    x = make.conv(make.add("Relu", x), 8, 8)
    groups = make.reshape(x, 1, 4, -1)
    x = make.reshape(
        make.add("InstanceNormalization", groups, make.constant(np.ones(4)), make.constant(np.zeros(4))), 1, 8, 24, 40
    )
    x = make.add("Transpose", make.conv(x, 8, 8), perm=[0, 2, 3, 1])
    mean = make.add("ReduceMean", x, axes=[-1])
    centred = make.add("Sub", x, mean)
    variance = make.add("ReduceMean", make.add("Pow", centred, make.constant(2)), axes=[-1])
    root = make.add("Sqrt", make.add("Add", variance, make.constant(1e-5)))
    x = make.add("Add", make.add("Mul", make.add("Div", centred, root), make.normal(8)), make.normal(8))
    return make.save(path, make.conv(make.add("Transpose", x, perm=[0, 3, 1, 2]), 8, 4)), []


def gated_by_any_slope(path: Path) -> tuple[Path, list[str]]:
    """Squeeze and excitation whose gate is a hard sigmoid of slope 0.2, as Paddle has it."""
    make = Builder((1, 3, 12, 12))
    x = make.add("HardSwish", make.conv("images", 3, 8))
    squeezed = make.add("Relu", make.conv(make.add("GlobalAveragePool", x), 8, 4, 1))
    gate = make.add("HardSigmoid", make.conv(squeezed, 4, 8, 1), alpha=0.2, beta=0.4)
    return make.save(path, make.conv(make.add("Mul", x, gate), 8, 4)), []


CASES = [
    (cut_detector, 1),
    (on_one_dpu, 1),
    (with_the_cpu, 4),
    (with_borders, 4),
    (with_normalizations, 4),
    (gated_by_any_slope, 1),
]


@pytest.mark.parametrize(("build", "pieces"), CASES)
def test_engines_equal_the_quantized_model(
    build: Callable[[Path], tuple[Path, list[str]]], pieces: int, tmp_path: Path
) -> None:
    path, outputs = build(tmp_path / "net.onnx")
    imported = import_onnx(path, outputs or None)
    assert max(differences(imported).values()) <= 1e-5
    outcome = run_on_engines(imported.model, tmp_path)
    assert outcome.devices.count("DPU") == pieces
    assert not any(map(any, outcome.differences.values())), outcome.differences
    assert all(len(np.unique(value)) > 4 for value in outcome.expected)


@pytest.mark.parametrize("seed", range(1000, 1008))
def test_random_networks_run_as_they_were_quantized(seed: int, tmp_path: Path) -> None:
    from random_graphs import compare_engines

    assert compare_engines(seed, tmp_path, steps=4)[0] == ""
