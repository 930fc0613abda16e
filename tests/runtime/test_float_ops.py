"""Float ops of uncompiled graphs and CPU subgraphs, each against a few lines of plain arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xir
from softdpu.runtime import evaluate_graph

RNG = np.random.default_rng(0)
X = RNG.normal(0, 2, (1, 5, 6, 4)).astype(np.float32)
Y = RNG.normal(0, 2, (1, 5, 6, 4)).astype(np.float32)


def evaluate(kind, inputs, attrs=None, x=X):
    """Return the result of one op on the data `x` and constants."""
    graph = xir.Graph("one op")
    data = graph.create_op("x", "data", {"shape": list(x.shape), "data_type": "FLOAT32"})
    args = {}
    for name, arrays in inputs.items():
        args[name] = [
            data if array is X or array is x else graph.create_const_op(f"{name}{index}", array)
            for index, array in enumerate(arrays)
        ]
    graph.create_op("op", kind, attrs or {}, args)
    [result] = evaluate_graph(graph, x).values()
    assert result.dtype == np.float32
    return result


FUNCTIONS = {
    "relu": lambda v: max(v, 0),
    "relu6": lambda v: min(max(v, 0), 6),
    "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
    "tanh": math.tanh,
    "swish": lambda v: v / (1 + math.exp(-v)),
    "gelu": lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2,
    "mish": lambda v: v * math.tanh(math.log1p(math.exp(v))),
    "exp": math.exp,
    "neg": lambda v: -v,
    "hard-sigmoid": lambda v: min(max(v + 3, 0), 6) / 6,
    "hard-swish": lambda v: v * min(max(v + 3, 0), 6) / 6,
    "hard-tanh": lambda v: min(max(v, -1), 1),
    "elu": lambda v: v if v > 0 else math.exp(v) - 1,
    "leaky-relu": lambda v: v if v > 0 else v * 0.25,
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions(kind):
    attrs = {"leaky-relu": {"alpha": 0.25}, "elu": {"alpha": 1.0}}.get(kind)
    expected = np.vectorize(FUNCTIONS[kind])(X.astype(float))
    np.testing.assert_allclose(evaluate(kind, {"input": [X]}, attrs), expected, rtol=1e-5, atol=1e-6)


ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "min": np.minimum}


@pytest.mark.parametrize("kind", [*ARITHMETIC, "max"])
def test_arithmetic_broadcasts(kind):
    other = Y[:, :1, :1]
    expected = ARITHMETIC.get(kind, np.maximum)(X, other)
    np.testing.assert_allclose(evaluate(kind, {"input": [X, other]}), expected, rtol=1e-6)


def test_softmax():
    big = X * 100
    powers = np.exp((big - big.max(-1, keepdims=True)).astype(float))
    got = evaluate("softmax", {"input": [big]}, {"axis": -1}, big)
    np.testing.assert_allclose(got, powers / powers.sum(-1, keepdims=True), rtol=1e-5, atol=1e-30)


def test_matmul():
    weights, bias = Y.reshape(6, 20)[:4].T.copy(), np.arange(4, dtype=np.float32)
    x = X.reshape(6, 20)
    attrs = {"transpose_a": False, "transpose_b": False}
    got = evaluate("matmul", {"input": [x, weights], "bias": [bias]}, attrs, x)
    np.testing.assert_allclose(got, x @ weights + bias, rtol=1e-5)
    attrs["transpose_b"] = True
    got = evaluate("matmul", {"input": [x, weights.T.copy()]}, attrs, x)
    np.testing.assert_allclose(got, x @ weights, rtol=1e-4)


@pytest.mark.parametrize(
    ("mode", "pad", "shape"),
    [
        ("SAME", [0] * 4, (3, 3)),
        ("VALID", [0] * 4, (2, 3)),
        ("FLOOR", [1, 0, 1, 1], (3, 3)),
        ("CEIL", [1, 0, 0, 0], (2, 4)),
    ],
)
def test_conv2d_pad_modes(mode, pad, shape):
    weights = RNG.normal(0, 1, (3, 3, 2, 4)).astype(np.float32)  # O, 3 rows, 2 columns, I
    attrs = {"kernel": [2, 3], "stride": [2, 2], "dilation": [1, 1], "pad_mode": mode, "pad": pad}
    got = evaluate("conv2d", {"input": [X], "weights": [weights]}, attrs)
    if mode == "SAME":  # rows: 2 * 2 + 3 - 5 = 2, columns: 2 * 2 + 2 - 6 = 0
        pad = [0, 0, 1, 1]
    left, _, top, _ = pad
    wide = np.pad(X[0].astype(float), ((top, 4), (left, 4), (0, 0)))
    expected = np.zeros((*shape, 3))
    for i, j, o in np.ndindex(*expected.shape):
        expected[i, j, o] = (wide[2 * i : 2 * i + 3, 2 * j : 2 * j + 2] * weights[o]).sum()
    assert got.shape == (1, *expected.shape)
    np.testing.assert_allclose(got[0], expected, rtol=1e-4, atol=1e-5)


def test_average_counts_padding_or_not():
    attrs = {"kernel": [3, 3], "stride": [1, 1], "pad_mode": "SAME", "global": False, "count_include_invalid": True}
    ones = np.ones_like(X)
    without = evaluate("avgpool2d", {"input": [ones]}, {**attrs, "count_include_pad": False}, ones)
    assert (without == 1).all()
    counted = evaluate("avgpool2d", {"input": [ones]}, {**attrs, "count_include_pad": True}, ones)
    assert counted[0, 0, 0, 0] == np.float32(4 / 9) and counted[0, 2, 2, 0] == 1


def test_global_average_and_maximum():
    attrs = {"kernel": [6, 5], "stride": [6, 5], "pad_mode": "VALID", "global": True}
    np.testing.assert_allclose(
        evaluate("avgpool2d", {"input": [X]}, attrs), X.mean((1, 2), keepdims=True), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(evaluate("maxpool2d", {"input": [X]}, attrs), X.max((1, 2), keepdims=True))


def test_batchnorm():
    gamma, beta, mean, variance = (RNG.uniform(0.5, 2, 4).astype(np.float32) for _ in range(4))
    args = {"input": [X], "gamma": [gamma], "beta": [beta], "moving_mean": [mean], "moving_var": [variance]}
    got = evaluate("batchnorm", args, {"axis": 3, "epsilon": 0.001})
    np.testing.assert_allclose(got, gamma * (X - mean) / np.sqrt(variance + 0.001) + beta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keep", [True, False])
def test_reductions(keep):
    for kind, function in (("mean", np.mean), ("sum", np.sum), ("max", np.max), ("product", np.prod)):
        got = evaluate(f"reduction_{kind}", {"input": [X]}, {"axis": [1, 2], "keep_dims": keep})
        np.testing.assert_allclose(got, function(X.astype(float), axis=(1, 2), keepdims=keep), rtol=1e-5)


def test_movement():
    np.testing.assert_array_equal(
        evaluate("transpose", {"input": [X]}, {"order": [0, 3, 1, 2]}), X.transpose(0, 3, 1, 2)
    )
    np.testing.assert_array_equal(
        evaluate("flatten", {"input": [X]}, {"start_axis": 1, "end_axis": -1}), X.reshape(1, -1)
    )
    np.testing.assert_array_equal(evaluate("concat", {"input": [X, Y]}, {"axis": 3}), np.concatenate([X, Y], 3))


ROUNDED = {
    "PY3_ROUND": [-2, -2, -0.0, 0, 2, 2, 127, -128],
    "DPU_ROUND": [-2, -1, 0, 1, 2, 3, 127, -128],
    "STD_ROUND": [-3, -2, -1, 1, 2, 3, 127, -128],
}


@pytest.mark.parametrize("mode", ROUNDED)
def test_fix_rounds_and_saturates(mode):
    x = np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 999, -999]], np.float32) / 4
    attrs = {"fix_point": 2, "bit_width": 8, "round_mode": mode, "if_signed": True}
    np.testing.assert_array_equal(evaluate("fix", {"input": [x]}, attrs, x)[0] * 4, ROUNDED[mode])
