"""Output shapes, against what a plain loop over positions counts and against the definitions' own examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xir


def graph_with(**shapes: list[int]) -> tuple[xir.Graph, dict[str, xir.Op]]:
    graph = xir.Graph("g")
    make = {name: {"shape": shape, "data_type": "float32"} for name, shape in shapes.items()}
    return graph, {name: graph.create_op(name, "data", attrs) for name, attrs in make.items()}


def shape_of(kind: str, attrs: dict, inputs: dict[str, list[int] | list[list[int]]]) -> list[int]:
    graph = xir.Graph("g")
    ops: dict[str, list[xir.Op]] = {}
    for name, shapes in inputs.items():
        for index, shape in enumerate(shapes if isinstance(shapes[0], list) else [shapes]):
            source = graph.create_op(f"{name}{index}", "data", {"shape": shape, "data_type": "float32"})
            ops.setdefault(name, []).append(source)
    return graph.create_op("op", kind, attrs, ops).get_output_tensor().dims


def positions(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Count the window positions that end inside the padded input."""
    reach = (kernel - 1) * dilation + 1
    return sum(1 for start in range(0, size + before + after, stride) if start + reach <= size + before + after)


@given(
    size=st.tuples(st.integers(8, 20), st.integers(8, 20)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pad=st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_windows(size, kernel, stride, dilation, pad) -> None:
    height, width = size
    attrs = {"kernel": list(kernel), "stride": list(stride), "pad": pad}
    out_w = positions(width, kernel[0], stride[0], dilation[0], pad[0], pad[1])
    out_h = positions(height, kernel[1], stride[1], dilation[1], pad[2], pad[3])
    weights = [5, kernel[1], kernel[0], 3]
    conv = {**attrs, "dilation": list(dilation)}
    inputs = {"input": [1, height, width, 3], "weights": weights}
    assert shape_of("conv2d-fix", conv, inputs) == [1, out_h, out_w, 5]
    assert shape_of("conv2d", {**conv, "pad_mode": "FLOOR"}, inputs) == [1, out_h, out_w, 5]
    assert shape_of("depthwise-conv2d-fix", conv, inputs) == [1, out_h, out_w, 15]
    valid = {**conv, "pad": [0, 0, 0, 0], "pad_mode": "VALID"}
    assert shape_of("conv2d", valid, inputs) == [
        1,
        positions(height, kernel[1], stride[1], dilation[1], 0, 0),
        positions(width, kernel[0], stride[0], dilation[0], 0, 0),
        5,
    ]
    same = {**conv, "pad": [0, 0, 0, 0], "pad_mode": "SAME"}
    assert shape_of("conv2d", same, inputs) == [1, len(range(0, height, stride[1])), len(range(0, width, stride[0])), 5]
    plain = [
        1,
        positions(height, kernel[1], stride[1], 1, *pad[2:]),
        positions(width, kernel[0], stride[0], 1, *pad[:2]),
        3,
    ]
    image = {"input": [1, height, width, 3]}
    assert shape_of("pool-fix", {**attrs, "type": "MAX"}, image) == plain
    assert shape_of("maxpool2d", {**attrs, "pad_mode": "FLOOR"}, image) == plain


@given(
    size=st.integers(1, 9),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
@settings(max_examples=40, deadline=None)
def test_transposed_windows(size, kernel, stride, pads) -> None:
    """Every input position writes `kernel` outputs, `stride` apart; padding cuts the ends off."""
    reached = max(start * stride + offset for start in range(size) for offset in range(kernel)) + 1 - sum(pads)
    if reached < 1:
        return
    attrs = {"kernel": [kernel, 1], "stride": [stride, 1], "pad": [*pads, 0, 0]}
    inputs = {"input": [1, 4, size, 3], "weights": [5, 1, kernel, 3]}
    assert shape_of("transposed-conv2d-fix", attrs, inputs) == [1, 4, reached, 5]
    floor = {**attrs, "pad_mode": "FLOOR"}
    assert shape_of("transposed-conv2d", floor, inputs) == [1, 4, reached, 5]
    assert shape_of("transposed-conv2d", {**floor, "pad_mode": "SAME"}, inputs) == [1, 4, size * stride, 5]
    depthwise = {"input": [1, 4, size, 3], "weights": [2, 1, kernel, 3]}
    assert shape_of("transposed-depthwise-conv2d-fix", attrs, depthwise) == [1, 4, reached, 6]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_numpy_agrees(data: st.DataObject) -> None:
    """Broadcasting, matmul, transpose, pad, slices and reductions have numpy's shapes."""
    dims = data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    array = np.zeros(dims)
    other = [data.draw(st.sampled_from([1, dim])) for dim in dims]
    assert shape_of("add", {}, {"input": [dims, other]}) == list(np.broadcast_shapes(tuple(dims), tuple(other)))
    order = data.draw(st.permutations(range(len(dims))))
    assert shape_of("transpose", {"order": order}, {"input": dims}) == list(array.transpose(order).shape)
    pads = data.draw(st.lists(st.integers(0, 3), min_size=2 * len(dims), max_size=2 * len(dims)))
    padded = np.pad(array, list(zip(pads[::2], pads[1::2], strict=True)))
    assert shape_of("pad", {"paddings": pads, "mode": "CONSTANT"}, {"input": dims}) == list(padded.shape)
    axes = data.draw(st.lists(st.integers(-len(dims), len(dims) - 1), min_size=1, max_size=1))
    for keep in (True, False):
        expected = list(array.mean(axis=tuple(axes), keepdims=keep).shape)
        assert shape_of("reduction_mean", {"axis": axes, "keep_dims": keep}, {"input": dims}) == expected
    begin = [data.draw(st.integers(0, dim - 1)) for dim in dims]
    end = [data.draw(st.integers(low + 1, dim)) for low, dim in zip(begin, dims, strict=True)]
    step = [data.draw(st.integers(1, 2)) for _ in dims]
    part = array[tuple(slice(*each) for each in zip(begin, end, step, strict=True))]
    assert shape_of("strided_slice", {"begin": begin, "end": end, "strides": step}, {"input": dims}) == list(part.shape)
    right = [*dims[:-2], dims[-1], 7]
    flags = {"transpose_a": False, "transpose_b": False}
    assert shape_of("matmul", flags, {"input": [dims, right]}) == [*dims[:-1], 7]
    flags = {"transpose_a": True, "transpose_b": True}
    assert shape_of("matmul", flags, {"input": [[*dims[:-2], dims[-1], dims[-2]], [*dims[:-2], 7, dims[-1]]]}) == [
        *dims[:-1],
        7,
    ]
    axis = data.draw(st.integers(-len(dims), len(dims) - 1))
    assert shape_of("concat", {"axis": axis}, {"input": [dims, dims]}) == list(
        np.concatenate([array, array], axis).shape
    )
    assert shape_of("stack", {"axis": axis}, {"input": [dims, dims]}) == list(np.stack([array, array], axis).shape)


@pytest.mark.parametrize(
    ("kind", "attrs", "dims", "expected"),
    [
        ("reshape", {"shape": [0, -1]}, [2, 3, 4], [2, 12]),
        ("reshape-fix", {"shape": [1, 24]}, [1, 2, 3, 4], [1, 24]),
        ("flatten", {"start_axis": 1, "end_axis": -1}, [1, 2, 3, 4], [1, 24]),
        ("squeeze", {"axis": [1, 2]}, [1, 1, 1, 4], [1, 4]),
        ("squeeze", {}, [1, 3, 1, 4], [3, 4]),
        ("argmax", {"axis": -1}, [1, 3, 3, 4], [1, 3, 3, 1]),
        (
            "avgpool2d",
            {"kernel": [7, 7], "stride": [1, 1], "pad_mode": "FLOOR", "global": True},
            [1, 7, 7, 8],
            [1, 1, 1, 8],
        ),
        ("resize", {"mode": "NEAREST", "scale": [3.0, 2.0]}, [1, 4, 5, 6], [1, 8, 15, 6]),
        ("upsample-fix", {"mode": "NEAREST", "scale": [3.0, 2.0]}, [1, 4, 5, 6], [1, 8, 15, 6]),
        ("downsample-fix", {"mode": "NEAREST", "scale": [2.0, 2.0]}, [1, 4, 5, 6], [1, 2, 3, 6]),
        ("reorg", {"scale": 2, "reverse": False}, [1, 4, 6, 3], [1, 2, 3, 12]),
        ("reorg-fix", {"scale": 2, "reverse": True}, [1, 2, 3, 12], [1, 4, 6, 3]),
        ("pixel-shuffle", {"scale": 2, "upscale": True}, [1, 2, 3, 12], [1, 4, 6, 3]),
        ("tile-fix", {"stride": 2, "reverse": False}, [1, 4, 6, 3], [1, 2, 3, 12]),
        (
            "correlation2d_elemwise",
            {"pad_size": 2, "shape": [1], "data_type": "float32"},
            [1, 4, 6, 3],
            [1, 4, 6, 25, 3],
        ),
        ("cost_volume", {"maxdisp": 192, "shape": [1], "data_type": "float32"}, [1, 4, 6, 3], [1, 4, 6, 48, 6]),
        ("shape", {}, [1, 4, 6, 3], [4]),
        ("softmax", {"axis": -1}, [1, 10], [1, 10]),
    ],
)
def test_examples(kind: str, attrs: dict, dims: list[int], expected: list[int]) -> None:
    assert shape_of(kind, attrs, {"input": dims}) == expected


def test_connected_shapes_count() -> None:
    graph, ops = graph_with(x=[1, 4, 6, 3])
    size = graph.create_const_op("size", np.array([8, 9], np.int32))
    resize = graph.create_op("r", "resize", {"mode": "BILINEAR"}, {"input": [ops["x"]], "size": [size]})
    assert resize.get_output_tensor().dims == [1, 8, 9, 3]
    shape = graph.create_const_op("shape", np.array([1, -1], np.int32))
    reshape = graph.create_op("s", "reshape", {}, {"input": [ops["x"]], "shape": [shape]})
    assert reshape.get_output_tensor().dims == [1, 72]


def test_three_dimensional_windows() -> None:
    attrs = {"kernel": [1, 2, 3], "stride": [1, 1, 1], "pad_mode": "FLOOR"}
    inputs = {"input": [1, 5, 6, 7, 2], "weights": [4, 2, 1, 3, 2]}
    assert shape_of("conv3d", attrs, inputs) == [1, 4, 6, 5, 4]


def test_data_types_of_fix_ops() -> None:
    graph, ops = graph_with(x=[1, 4])
    attrs = {"fix_point": 4, "bit_width": 8, "round_mode": "DPU_ROUND", "if_signed": True}
    fixed = graph.create_op("f", "float2fix", attrs, {"input": [ops["x"]]})
    unsigned = graph.create_op("u", "float2fix", {**attrs, "if_signed": False}, {"input": [ops["x"]]})
    back = graph.create_op("b", "fix2float", attrs, {"input": [fixed]})
    cast = graph.create_op("c", "cast", {"data_type": "int32"}, {"input": [ops["x"]]})
    assert [op.get_output_tensor().dtype for op in (fixed, unsigned, back, cast)] == [
        "xint8",
        "xuint8",
        "float32",
        "int32",
    ]
    ops["x"].set_attr("shape", [2, 4])
    graph.infer_shape()
    assert back.get_output_tensor().dims == [2, 4]


def test_shapes_that_do_not_follow_are_named() -> None:
    for attrs in (
        {"kernel": [9, 9], "stride": [1, 1]},
        {"kernel": [1], "stride": [1, 1]},
        {"kernel": [1, 1], "stride": [0, 1]},
    ):
        with pytest.raises(xir.XirError, match=r"op 'op' \(pool-fix\)"):
            shape_of("pool-fix", {**attrs, "type": "MAX"}, {"input": [1, 4, 4, 3]})
    with pytest.raises(xir.XirError, match="weights"):
        shape_of("conv2d-fix", {"kernel": [1, 1], "stride": [1, 1]}, {"input": [1, 4, 4, 3], "weights": [5, 1, 1, 4]})
