"""Inputs of several arrays on a card: arrays.py against the package's own reading and quantization."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from app_tools import APP, load

from softdpu.dataset import arrays as package
from softdpu.numbers import fixed_point

SETTINGS = {"fit": "arrays", "inputs": {"quant_left_fix": "left", "quant_state": "state", "more": "unused"}}
LEFT = np.random.default_rng(1).normal(0, 2, (4, 6, 1)).astype(np.float32)
STATE = np.random.default_rng(2).normal(0, 2, 3)


@pytest.fixture
def inputs(helper):
    """What fills the inputs: int8 at position 5, and float32."""
    tensor = sys.modules["xir"].Tensor
    real = tensor("quant_state", [1, 3], 0)
    real.dtype = "float32"
    module = load("arrays_under_test", APP.with_name("arrays.py"))
    return module.Arrays([tensor("quant_left_fix", [1, 4, 6, 1], 5), real], SETTINGS)


def fill(inputs, path):
    outputs = [np.full(shape, 77, dtype) for shape, dtype in inputs.kinds]
    inputs.fill(str(path), outputs)
    return outputs


def test_numbers_are_those_of_the_package(inputs, tmp_path):
    LEFT.flat[:4] = 0.015625, -0.015625, 1000, -1000  # ties and what saturates
    (tmp_path / "one.npz").write_bytes(package.write({"left": LEFT, "state": STATE}))
    left, state = fill(inputs, tmp_path / "one.npz")
    assert left.dtype == np.int8 and np.array_equal(left, fixed_point.quantize(LEFT, 5, fixed_point.HALF_UP))
    assert state.dtype == np.float32 and np.array_equal(state, STATE.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"left": LEFT}, "expected arrays left, state"),
        ({"left": LEFT[:2], "state": STATE}, r"shape \(2, 6, 1\), the network takes numbers of shape \(4, 6, 1\)"),
        ({"left": LEFT * np.nan, "state": STATE}, "not finite"),
        ({"left": LEFT.astype(str), "state": STATE}, "the network takes numbers"),
        ({"left": LEFT.astype(object), "state": STATE}, "expected arrays left, state"),
    ],
)
def test_what_does_not_fit_is_named(inputs, helper, tmp_path, values, message):
    np.savez(tmp_path / "one.npz", **values)
    with pytest.raises(helper.CardError, match=message) as caught:
        fill(inputs, tmp_path / "one.npz")
    assert "one.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_file_of_arrays(inputs, helper, tmp_path):
    (tmp_path / "text.npz").write_text("no arrays")
    os.mkfifo(tmp_path / "pipe.npz")
    whole = package.write({"left": LEFT, "state": STATE})
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "damaged.npz").write_bytes(whole[:60] + b"\xff" * 20 + whole[80:])
    for name in ("text.npz", "pipe.npz", "cut.npz", "damaged.npz", "gone.npz"):
        with pytest.raises(helper.CardError, match=name) as caught:
            fill(inputs, tmp_path / name)
        assert "\n" not in str(caught.value)


def test_preprocess_json_names_every_input(inputs, helper):
    for wrong in ({}, {"inputs": []}, {"inputs": {"quant_left_fix": "left"}}):
        with pytest.raises(helper.CardError, match="inputs must name the array of quant_left_fix, other"):
            tensors = [sys.modules["xir"].Tensor(name, [1, 3], 0) for name in ("quant_left_fix", "other")]
            type(inputs)(tensors, wrong)
