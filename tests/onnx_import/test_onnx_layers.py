"""What an ONNX graph becomes: which Keras layers, under which names, in which order of axes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from graphs import Builder, detector

pytest.importorskip("onnxruntime")

from softdpu.onnx_import.check import differences
from softdpu.onnx_import.convert import Imported, import_onnx
from softdpu.onnx_import.listing import listing


def imported(make: Builder, path: Path, *outputs: str) -> tuple[Imported, Counter[str]]:
    """Import a graph, which must give onnxruntime's numbers; return it and how many layers of each kind it has."""
    found = import_onnx(make.save(path / "net.onnx", *outputs))
    assert max(differences(found, 1).values()) <= 1e-5
    return found, Counter(type(layer).__name__ for layer in found.model.layers)


def test_layers_have_the_names_of_the_nodes(tmp_path: Path) -> None:
    make = Builder()
    x = make.add("Conv", "images", make.normal(4, 3, 3, 3), name="/model.0/conv/Conv")
    x = make.add("Relu", x, name="/model.0/act/Relu")
    x = make.add("Conv", x, make.normal(4, 4, 3, 3), name="/MODEL.0/conv/Conv")
    x = make.add("Relu", x, name="")
    found, _ = imported(make, tmp_path, x)
    names = [layer.name for layer in found.model.layers]
    assert names == ["images", "model.0_conv_Conv", "model.0_act_Relu", "MODEL.0_conv_Conv_1", x]


def test_a_border_of_zeros_is_one_layer_in_either_order(tmp_path: Path) -> None:
    make = Builder((1, 16, 16, 3))
    x = make.add("Pad", "images", make.constant([0, 1, 2, 0, 0, 3, 4, 0], np.int64))
    x = make.add("Relu", make.conv(make.add("Transpose", x, perm=[0, 3, 1, 2]), 3, 4))
    x = make.add("Pad", x, make.constant([0, 0, 1, 1, 0, 0, 0, 0], np.int64))
    _, kinds = imported(make, tmp_path, x)
    assert kinds == {"InputLayer": 1, "Conv2D": 1, "ReLU": 1, "ZeroPadding2D": 2}


def test_no_transpose_stands_between_convolutions(tmp_path: Path) -> None:
    make = Builder((1, 16, 16, 3))
    x = make.conv(make.add("Transpose", "images", perm=[0, 3, 1, 2]), 3, 4)
    x = make.add("Transpose", make.add("Relu", make.add("Transpose", x, perm=[0, 2, 3, 1])), perm=[0, 3, 1, 2])
    x = make.add("Transpose", make.conv(x, 4, 4), perm=[0, 2, 3, 1])
    found, kinds = imported(make, tmp_path, x)
    assert kinds == {"InputLayer": 1, "Conv2D": 2, "ReLU": 1}
    assert found.model.input_shape == (*found.model.output_shape[:3], 3) == (None, 16, 16, 3)


@pytest.mark.parametrize("version", [7, 13, 21])
def test_a_flattened_image_keeps_the_order_of_keras(tmp_path: Path, version: int) -> None:
    make = Builder((1, 3, 8, 8), version)
    x = make.add("Relu", make.add("Flatten", make.conv("images", 3, 4, strides=[2, 2])))
    x = make.add("Gemm", x, make.normal(64, 5), make.normal(5))
    _, kinds = imported(make, tmp_path, x)
    assert "Permute" not in kinds
    assert kinds["Dense"] == kinds["Flatten"] == 1


def test_a_flattened_image_that_others_read_gets_the_order_of_the_file(tmp_path: Path) -> None:
    make = Builder((1, 3, 4, 4))
    flat = make.add("Flatten", make.conv("images", 3, 4))
    _, kinds = imported(make, tmp_path, make.add("Gemm", flat, make.normal(64, 5)), make.add("Relu", flat))
    assert kinds["Permute"] == 1


def test_joined_operations(tmp_path: Path) -> None:
    make = Builder()
    x = make.swish(make.conv("images", 3, 4))
    clipped = make.add("Clip", make.add("Add", x, make.constant(3)), make.constant(0), make.constant(6))
    x = make.conv(make.add("Div", make.add("Mul", x, clipped), make.constant(6)), 4, 4)
    x = make.add("Mul", x, make.add("Tanh", make.add("Softplus", x)))
    half = make.add("Add", make.add("Erf", make.add("Div", x, make.constant(2**0.5))), make.constant(1))
    x = make.add("Mul", make.add("Mul", x, half), make.constant(0.5))
    found, kinds = imported(make, tmp_path, make.add("Clip", x, make.constant(0), make.constant(6)))
    assert kinds == {"InputLayer": 1, "Conv2D": 2, "Activation": 2, "TFOpLambda": 8, "ReLU": 2, "Multiply": 2}
    used = [layer.activation.__name__ for layer in found.model.layers if type(layer).__name__ == "Activation"]
    assert used == ["swish", "gelu"]


def test_channels_move_by_convolutions_that_a_dpu_has(tmp_path: Path) -> None:
    make = Builder((1, 3, 8, 8))
    x = make.conv("images", 3, 8, group=1)
    turned = make.add("Transpose", make.reshape(x, 1, 2, 4, 8, 8), perm=[0, 2, 1, 3, 4])
    x = make.add("DepthToSpace", make.reshape(turned, 1, 8, 8, 8), blocksize=2, mode="CRD")
    x = make.conv(make.add("SpaceToDepth", x, blocksize=2), 8, 6, group=2)
    _, kinds = imported(make, tmp_path, x)
    assert kinds == {"InputLayer": 1, "Conv2D": 4, "Conv2DTranspose": 1}


def test_constants_join_the_convolution_or_normalization_before_them(tmp_path: Path) -> None:
    make = Builder()
    x = make.add("Add", make.add("Conv", "images", make.normal(4, 3, 1, 1)), make.normal(1, 4, 1, 1))
    ones = make.constant(make.random.uniform(0.5, 1, 4))
    x = make.add("BatchNormalization", x, ones, ones, ones, ones)
    x = make.add("Add", make.add("Mul", x, make.normal(4, 1, 1)), make.constant(0.5))
    _, kinds = imported(make, tmp_path, x)
    assert kinds == {"InputLayer": 1, "Conv2D": 1, "BatchNormalization": 1}


def test_scaling_of_the_input_is_one_rescaling(tmp_path: Path) -> None:
    make = Builder()
    mean, deviation = make.constant([[[0.5]], [[0.4]], [[0.3]]]), make.constant([[[0.2]], [[0.3]], [[0.25]]])
    x = make.add("Div", make.add("Sub", "images", mean), deviation)
    found, kinds = imported(make, tmp_path, make.conv(x, 3, 4))
    assert kinds == {"InputLayer": 1, "Rescaling": 1, "Conv2D": 1}
    (layer,) = (layer for layer in found.model.layers if type(layer).__name__ == "Rescaling")
    np.testing.assert_allclose(layer.scale, [5, 10 / 3, 4], rtol=1e-6)
    np.testing.assert_allclose(layer.offset, [-2.5, -4 / 3, -1.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "pads", "extra"), [(2, 0, 0), (4, 1, 0), (3, 1, 1), (5, 2, 1), (3, 0, 0), (1, 0, 1)]
)
def test_transposed_convolutions_cut_nothing_where_they_double(
    tmp_path: Path, kernel: int, pads: int, extra: int
) -> None:
    make = Builder((1, 3, 5, 7))
    x = make.add(
        "ConvTranspose",
        "images",
        make.normal(3, 2, kernel, kernel),
        strides=[2, 2],
        pads=[pads] * 4,
        output_padding=[extra] * 2,
    )
    found, kinds = imported(make, tmp_path, x)
    assert ("Cropping2D" in kinds) == (found.model.output_shape[1:3] != (10, 14) and kernel < 3)


def test_arithmetic_that_changes_nothing_is_nothing(tmp_path: Path) -> None:
    make = Builder()
    x = make.add("Sub", make.add("Add", make.constant(0), make.conv("images", 3, 4)), make.constant([[0]]))
    gate = make.add("Sigmoid", make.add("Div", make.add("Mul", x, make.constant([1])), make.constant(1)))
    _, kinds = imported(make, tmp_path, make.add("Sub", make.constant(0), make.add("Mul", x, gate)))
    assert kinds == {"InputLayer": 1, "Conv2D": 1, "Activation": 1, "BatchNormalization": 1}  # 0 - x is not x


def test_rows_are_images_of_height_1(tmp_path: Path) -> None:
    make = Builder((1, 3, 20))
    x = make.add("Conv", "images", make.normal(4, 3, 3), pads=[1, 1], strides=[2])
    ones = make.constant(make.random.uniform(0.5, 1, 4))
    x = make.add("Relu", make.add("BatchNormalization", x, ones, ones, ones, ones))
    x = make.add("MaxPool", make.add("ConvTranspose", x, make.normal(4, 2, 4), strides=[2]), kernel_shape=[3])
    _, kinds = imported(make, tmp_path, x)
    assert kinds["Conv2D"] == kinds["BatchNormalization"] == kinds["Conv2DTranspose"] == kinds["MaxPooling2D"] == 1
    assert not kinds["TFOpLambda"]
    assert kinds["Permute"] == 2  # the input's and the output's, which stay as the file has them


def test_a_product_of_rows_works_on_the_last_axis(tmp_path: Path) -> None:
    make = Builder((1, 3, 1, 12))
    x = make.add("Squeeze", make.conv("images", 3, 8, 1), make.constant([2], np.int64))
    x = make.add("Transpose", x, perm=[2, 0, 1])  # (time, batch, channels), as recurrent networks have it
    x = make.add("Gemm", make.reshape(x, 12, 8), make.normal(5, 8), make.normal(5), transB=1)
    found, kinds = imported(make, tmp_path, make.reshape(x, 12, 1, 5))
    assert kinds["Dense"] == 1
    assert [value.order for _, value in found.outputs] == [(1, 0, 2)]


def test_stacked_tensors_that_are_added_are_an_addition(tmp_path: Path) -> None:
    make = Builder()
    parts = [make.conv("images", 3, 4) for _ in range(3)]
    stack = make.add("Concat", *(make.add("Unsqueeze", x, make.constant([0], np.int64)) for x in parts), axis=0)
    _, kinds = imported(make, tmp_path, make.add("ReduceSum", stack, make.constant([0], np.int64), keepdims=0))
    assert kinds == {"InputLayer": 1, "Conv2D": 3, "Add": 1}


@pytest.mark.parametrize(
    ("size", "wanted", "how", "rounding"),
    [
        ((7, 11), (9, 10), "half_pixel", "floor"),
        ((10, 10), (2, 12), "asymmetric", "round_prefer_ceil"),
        ((10, 10), (2, 12), "asymmetric", "round_prefer_floor"),
    ],
)
def test_of_two_pixels_equally_near_onnxruntime_is_followed(
    tmp_path: Path, size: tuple[int, int], wanted: tuple[int, int], how: str, rounding: str
) -> None:
    make = Builder((1, 3, *size))
    sizes = make.constant([1, 3, *wanted], np.int64)
    attrs = {"mode": "nearest", "coordinate_transformation_mode": how, "nearest_mode": rounding}
    imported(make, tmp_path, make.add("Resize", "images", "", "", sizes, **attrs))


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.5), (0.3, 0.4), (1 / 6, 0.5)])
def test_a_hard_sigmoid_behind_a_convolution_is_that_of_the_dpu(tmp_path: Path, alpha: float, beta: float) -> None:
    make = Builder()
    found, _ = imported(make, tmp_path, make.add("HardSigmoid", make.conv("images", 3, 4), alpha=alpha, beta=beta))
    limits = [layer.max_value for layer in found.model.layers if type(layer).__name__ == "ReLU"]
    assert limits == [6.0]


def test_a_detector_comes_whole_or_cut(tmp_path: Path) -> None:
    path, ends = detector(tmp_path / "detector.onnx")
    whole = import_onnx(path)
    assert max(differences(whole, 1).values()) <= 1e-5
    assert [value.shape for _, value in whole.outputs] == [(1, 7, 320)]
    assert listing(path).cut == ends
    cut = import_onnx(path, ends)
    assert max(differences(cut, 1).values()) <= 1e-5
    kinds = {type(layer).__name__ for layer in cut.model.layers}
    assert kinds == {"InputLayer", "ZeroPadding2D", "Conv2D", "Activation", "Concatenate", "UpSampling2D"}
    assert [shape[1:] for shape in cut.model.output_shape] == [(16, 16, 16), (16, 16, 3), (8, 8, 16), (8, 8, 3)]


def test_nothing_is_cut_off_a_classifier(tmp_path: Path) -> None:
    make = Builder()
    x = make.add("Flatten", make.add("GlobalAveragePool", make.conv("images", 3, 8)))
    path = make.save(tmp_path / "net.onnx", make.add("Softmax", make.add("Gemm", x, make.normal(8, 5)), axis=1))
    found = listing(path)
    assert found.cut in ([], ["Gemm_3_0"])
    assert [row.op for row in found.rows] == ["input", "Conv", "GlobalAveragePool", "Flatten", "Gemm", "Softmax"]


def test_a_branch_whose_condition_is_known_is_taken(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    make = Builder()
    make.conv("images", 3, 4)
    inner = [
        helper.make_graph(
            [helper.make_node(op, ["Conv_0_0"], [f"{op}_end"])],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}_end", TensorProto.FLOAT, None)],
        )
        for op in ("Relu", "Sigmoid")
    ]
    size = make.add("Gather", make.add("Shape", "Conv_0_0"), make.constant(1, np.int64))
    condition = make.add("Equal", size, make.constant(4, np.int64))
    _, kinds = imported(make, tmp_path, make.add("If", condition, then_branch=inner[0], else_branch=inner[1]))
    assert kinds == {"InputLayer": 1, "Conv2D": 1, "ReLU": 1}


def test_an_open_batch_and_size(tmp_path: Path) -> None:
    make = Builder(("N", 3, "height", "width"))
    shape = make.add("Shape", "images")
    sides = make.add("Slice", shape, make.constant([2], np.int64), make.constant([4], np.int64))
    x = make.conv("images", 3, 4, strides=[2, 2])
    target = make.add("Concat", make.constant([1, 4], np.int64), sides, axis=0)
    x = make.add("Resize", x, "", "", target, mode="linear")
    path = make.save(tmp_path / "open.onnx", x)
    found = import_onnx(path, None, (12, 20))
    assert found.model.output_shape == (None, 12, 20, 4)
    assert max(differences(found, 1).values()) <= 1e-5
