"""Every layer kind: the compiled file computes what the front end's float graph with its fix operations computes.

The two are evaluated by different code (float convolutions and rounding at each fix; exact integers), so an error of a
pass shows. Each network is small and its numbers random.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h5_models import H5Model, check_with_amd

import xir
from softdpu.compiler import compile_model
from softdpu.numbers import fixed_point
from softdpu.runtime.engine import evaluate_graph

TARGETS = [("zcu102", "3.0"), ("zcu102", "2.0"), ("vck190", "3.0"), ("vek280", "3.5")]
Net = Callable[[H5Model], list[str]]
NETS: dict[str, Net] = {}


def net(build: Net) -> Net:
    NETS[build.__name__] = build
    return build


@net
def conv_same_stride_2_odd_size(m: H5Model) -> list[str]:
    return [m.conv(m.input((9, 7, 3)), (3, 5), 3, strides=[2, 2])]


@net
def conv_same_even_kernel(m: H5Model) -> list[str]:
    return [m.conv(m.input((8, 6, 3)), (3, 4), (2, 4), strides=[1, 3])]


@net
def conv_valid_stride_3_dilated(m: H5Model) -> list[str]:
    x = m.conv(m.input((13, 11, 2)), (2, 4), 3, padding="valid", dilation_rate=[2, 2])
    return [m.conv(x, (4, 4), 2, padding="valid", strides=[3, 3])]


@net
def conv_without_bias_relu6_negative_bias_shift(m: H5Model) -> list[str]:
    x = m.conv(m.input((8, 8, 3)), (3, 6), out=None, bias=False)
    x = m.relu(x, 4, 6.0)
    return [m.relu(m.conv(x, (6, 4), out=None, weight_position=5, bias_position=12), 3)]


@net
def conv_with_groups(m: H5Model) -> list[str]:
    return [m.conv(m.conv(m.input((6, 6, 4)), (4, 6), 3, groups=2), (6, 2))]


@net
def conv_with_relu_inside(m: H5Model) -> list[str]:
    return [m.conv(m.input((6, 6, 4)), (4, 6), 3, activation="relu")]


@net
def leaky_relu_of_the_dpu_and_another(m: H5Model) -> list[str]:
    x = m.conv(m.input((6, 6, 3)), (3, 4), out=None)
    x = m.wrapped("LeakyReLU", [x], {"alpha": 26 / 256}, output_0_pos=4)
    y = m.conv(x, (4, 4), out=None)
    y = m.wrapped("LeakyReLU", [y], {"alpha": 0.25}, output_0_pos=4)
    return [m.conv(y, (4, 2), 1)]


@net
def prelu_by_channel_and_by_pixel(m: H5Model) -> list[str]:
    x = m.conv(m.input((6, 6, 3)), (3, 4))
    slopes = [m.rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((1, 1, 4), (6, 6, 4))]
    y = m.wrapped("PReLU", [x], {}, alpha=slopes[0], alpha_pos=6, output_0_pos=5)
    return [m.conv(y, (4, 2)), m.wrapped("PReLU", [x], {}, alpha=slopes[1], alpha_pos=6, output_0_pos=5)]


@net
def depthwise_padded_stride_2(m: H5Model) -> list[str]:
    x = m.relu(m.conv(m.input((8, 8, 3)), (3, 6), out=None), 4, 6.0)
    x = m.wrapped("ZeroPadding2D", [x], {"padding": [[0, 1], [0, 1]]})
    x = m.conv(x, (6, 6), 3, kind="DepthwiseConv2D", padding="valid", strides=[2, 2], out=None)
    return [m.relu(x, 3)]


@net
def depthwise_multiplier(m: H5Model) -> list[str]:
    x = m.conv(m.input((6, 6, 3)), (3, 6), 3, kind="DepthwiseConv2D", depth_multiplier=2)
    return [m.conv(x, (6, 2), 1)]


@net
def depthwise_multiplier_past_the_banks(m: H5Model) -> list[str]:
    x = m.conv(m.input((17, 16, 160)), (160, 320), 16, kind="DepthwiseConv2D", depth_multiplier=2, padding="valid")
    return [m.conv(x, (320, 2), 1)]


@net
def bilinear_by_sizes(m: H5Model) -> list[str]:
    x, ends = m.input((3, 4, 3)), []
    for size, position in (([2, 2], 4), ([4, 4], 6), ([2, 4], 5), ([3, 3], 5), ([8, 8], 5)):
        config = {"size": size, "interpolation": "bilinear"}
        ends.append(m.wrapped("UpSampling2D", [x], config, output_0_pos=position))
    return ends


@net
def bilinear_of_many_channels(m: H5Model) -> list[str]:
    x = m.conv(m.input((2, 3, 3)), (3, 71), 1)
    return [m.wrapped("UpSampling2D", [x], {"size": [2, 2], "interpolation": "bilinear"}, output_0_pos=4)]


@net
def blocks_of_pixels_and_back(m: H5Model) -> list[str]:
    def moved(x: str, cut: list[int], made: list[int], axes: list[int]) -> str:
        x = m.wrapped("Reshape", [x], {"target_shape": cut})
        return m.wrapped("Reshape", [m.wrapped("Permute", [x], {"dims": axes})], {"target_shape": made})

    x, axes = m.conv(m.input((4, 6, 3)), (3, 18)), [1, 3, 2, 4, 5]
    y = m.conv(moved(x, [4, 6, 3, 3, 2], [12, 18, 2], axes), (2, 2))
    back = m.conv(moved(y, [4, 3, 6, 3, 2], [4, 6, 18], axes), (18, 2))
    other = moved(x, [4, 6, 3, 3, 2], [12, 18, 2], [2, 3, 1, 4, 5])  # no blocks: the axes are others
    return [back, m.conv(other, (2, 2))]


@net
def padding_that_windows_do_not_reach(m: H5Model) -> list[str]:
    x = m.wrapped("ZeroPadding2D", [m.input((8, 9, 2))], {"padding": [[1, 1], [1, 1]]})
    return [m.conv(x, (2, 4), 3, padding="valid", strides=[2, 2])]


@net
def padding_read_by_conv_and_pooling(m: H5Model) -> list[str]:
    x = m.wrapped("ZeroPadding2D", [m.input((6, 6, 2))], {"padding": [[1, 2], [0, 1]]})
    a = m.conv(x, (2, 4), 2, padding="valid")
    b = m.wrapped("MaxPooling2D", [x], {"pool_size": [2, 2], "strides": [1, 1], "padding": "valid"}, output_0_pos=5)
    return [a, b]


@net
def transposed_convolutions(m: H5Model) -> list[str]:
    x = m.conv(m.input((4, 5, 3)), (3, 4), (4, 3), kind="Conv2DTranspose", strides=[2, 2])
    x = m.conv(x, (4, 3), 3, kind="Conv2DTranspose", padding="valid", strides=[2, 1])
    return [m.relu(m.conv(x, (3, 2), 2, kind="Conv2DTranspose", strides=[1, 2], out=None), 4)]


@net
def transposed_stride_above_kernel(m: H5Model) -> list[str]:
    x = m.conv(m.input((3, 4, 3)), (3, 4), 2, kind="Conv2DTranspose", padding="valid", strides=[3, 3])
    x = m.conv(x, (4, 2), 1, kind="Conv2DTranspose", padding="same", strides=[2, 2])
    return [m.conv(x, (2, 2), 1)]


@net
def max_pooling_with_shift(m: H5Model) -> list[str]:
    x = m.conv(m.input((15, 15, 3)), (3, 4), out=3)
    x = m.wrapped("MaxPooling2D", [x], {"pool_size": [3, 3], "strides": [2, 2], "padding": "same"}, output_0_pos=2)
    return [m.wrapped("MaxPooling2D", [x], {"pool_size": [2, 3], "strides": None, "padding": "valid"}, output_0_pos=4)]


@net
def average_pooling(m: H5Model) -> list[str]:
    x = m.input((12, 12, 3), 6)
    sizes = ((2, 2, "valid"), (3, 3, "valid"), (5, 5, "valid"), (2, 3, "valid"), (4, 1, "valid"), (2, 2, "same"))
    pools = [
        m.wrapped("Vitis>AveragePooling2D", [x], {"pool_size": [h, w], "strides": [2, 2], "padding": p}, output_0_pos=6)
        for h, w, p in sizes
    ]
    return [m.conv(pool, (3, 2), 1) for pool in pools]


@net
def average_pooling_with_padding(m: H5Model) -> list[str]:
    config = {"pool_size": [2, 2], "strides": [2, 2], "padding": "same"}
    return [m.conv(m.wrapped("Vitis>AveragePooling2D", [m.input((7, 7, 3))], config, output_0_pos=6), (3, 2))]


@net
def average_pooling_of_three_with_padding(m: H5Model) -> list[str]:
    config = {"pool_size": [3, 3], "strides": [2, 1], "padding": "same"}
    x = m.wrapped("Vitis>AveragePooling2D", [m.input((8, 9, 5), 6)], config, output_0_pos=4)
    return [x, m.conv(x, (5, 2))]


@net
def global_maximum_and_cropping(m: H5Model) -> list[str]:
    x = m.conv(m.input((7, 8, 3)), (3, 4))
    largest = m.quantize(m.bare("GlobalMaxPooling2D", "gmp", [x], {}), 4)
    part = m.quantize(m.bare("Cropping2D", "crop", [x], {"cropping": [[1, 2], [0, 3]]}), 4)
    return [m.conv(largest, (4, 6), kind="Dense"), m.conv(part, (4, 2))]


def global_pooling(height: int, width: int) -> Net:
    def build(m: H5Model) -> list[str]:
        x = m.wrapped("Vitis>VitisGlobalAveragePooling2D", [m.input((height, width, 5), 7)], {}, output_0_pos=7)
        return [m.conv(x, (5, 4), kind="Dense", out=5)]

    return build


NETS |= {f"global_pooling_{h}x{w}": global_pooling(h, w) for h, w in ((2, 3), (7, 7), (7, 1), (3, 4), (10, 10), (1, 8))}


@net
def dense_of_flat_image(m: H5Model) -> list[str]:
    x = m.conv(m.input((4, 3, 2)), (2, 5), 3)
    x = m.wrapped("Flatten", [x], {})
    x = m.relu(m.conv(x, (60, 7), kind="Dense", out=None), 3)
    return [m.conv(x, (7, 3), kind="Dense")]


@net
def dense_of_image_larger_than_a_kernel(m: H5Model) -> list[str]:
    x = m.wrapped("Flatten", [m.input((18, 3, 2))], {})
    return [m.conv(x, (108, 5), kind="Dense")]


@net
def dense_of_vectors_and_rows(m: H5Model) -> list[str]:
    x = m.conv(m.input((6,)), (6, 8), kind="Dense")
    x = m.wrapped("Reshape", [x], {"target_shape": [4, -1]})
    x = m.conv(x, (2, 3), kind="Dense")
    return [m.conv(m.wrapped("Flatten", [x], {}), (12, 2), kind="Dense")]


@net
def dense_on_every_pixel_then_sigmoid(m: H5Model) -> list[str]:
    x = m.conv(m.input((4, 4, 3)), (3, 5), kind="Dense", out=2)
    return [m.wrapped("Vitis>VitisSigmoid", [x], {}, output_0_pos=7)]


@net
def sigmoid_behind_dense(m: H5Model) -> list[str]:
    x = m.conv(m.wrapped("Flatten", [m.input((2, 2, 4))], {}), (16, 5), kind="Dense", out=3)
    return [m.wrapped("Vitis>VitisSigmoid", [x], {}, output_0_pos=7)]


@net
def swish(m: H5Model) -> list[str]:
    x = m.conv(m.input((5, 5, 3)), (3, 4), out=3)
    gate = m.wrapped("Vitis>VitisSigmoid", [x], {}, output_0_pos=7)
    return [m.wrapped("Multiply", [x, gate], {}, output_0_pos=5)]


@net
def residual_sums(m: H5Model) -> list[str]:
    x = m.conv(m.input((6, 6, 3)), (3, 4), out=5)
    y = m.conv(x, (4, 4), out=3)
    z = m.relu(m.wrapped("Add", [x, y], {}), 4)
    w = m.relu(m.wrapped("Add", [x, y, z], {}), 3, 6.0)
    return [m.wrapped("Add", [z, w], {}, output_0_pos=2)]


@net
def product_that_broadcasts(m: H5Model) -> list[str]:
    x = m.conv(m.input((6, 6, 3)), (3, 4), out=4)
    pooled = m.wrapped("Vitis>VitisGlobalAveragePooling2D", [x], {}, output_0_pos=4)
    y = m.wrapped("Multiply", [x, pooled], {}, output_0_pos=5)
    return [m.wrapped("Add", [pooled, y], {}, output_0_pos=3), m.relu(m.wrapped("Multiply", [pooled, x], {}), 4)]


@net
def concatenation_of_different_positions(m: H5Model) -> list[str]:
    x = m.input((6, 6, 3), 6)
    a, b = m.conv(x, (3, 4), out=5), m.conv(x, (3, 2), out=2)
    joined = m.wrapped("Concatenate", [a, x, b, a], {"axis": -1}, output_0_pos=3)
    return [m.wrapped("ReLU", [joined], {"max_value": None}, output_0_pos=4), m.conv(joined, (13, 3), 1)]


@net
def concatenation_of_rows(m: H5Model) -> list[str]:
    x = m.input((4, 6, 3), 5)
    return [m.wrapped("Concatenate", [x, m.conv(x, (3, 3), out=5)], {"axis": 1}, output_0_pos=5)]


@net
def activations_of_rounded_tensors(m: H5Model) -> list[str]:
    x = m.conv(m.input((5, 5, 3)), (3, 4), out=5)
    return [
        m.relu(x, 4, 6.0),
        m.relu(m.relu(x, 5), 6),
        m.wrapped("LeakyReLU", [x], {"alpha": 26 / 256}, output_0_pos=6),
    ]


@net
def upsampling(m: H5Model) -> list[str]:
    x = m.wrapped("UpSampling2D", [m.input((3, 4, 3))], {"size": [2, 3], "interpolation": "nearest"}, output_0_pos=5)
    y = m.wrapped("UpSampling2D", [x], {"size": [2, 2], "interpolation": "nearest"}, output_0_pos=3)
    return [m.wrapped("UpSampling2D", [y], {"size": [2, 2], "interpolation": "bilinear"}, output_0_pos=3)]


@net
def reshape_and_permute(m: H5Model) -> list[str]:
    x = m.conv(m.input((4, 6, 3)), (3, 4), out=5)
    x = m.wrapped("Reshape", [x], {"target_shape": [6, 4, 4]})
    x = m.wrapped("Permute", [x], {"dims": [2, 1, 3]})
    return [m.conv(x, (4, 3), 3)]


@net
def float_island_and_two_readers(m: H5Model) -> list[str]:
    x = m.conv(m.input((5, 5, 3)), (3, 4), out=4)
    act = m.bare("ELU", "elu", [x], {"alpha": 1.0})
    y = m.conv(m.quantize(act, 5), (4, 4))
    return [
        m.wrapped("Add", [x, y], {}, output_0_pos=3),
        m.wrapped("Activation", [y], {"activation": "tanh"}, pre_activation_pos=4),
    ]


@net
def unquantized_result_read_twice(m: H5Model) -> list[str]:
    x = m.conv(m.input((5, 5, 3)), (3, 4), out=None)
    return [m.conv(m.relu(x, 4), (4, 3)), m.relu(x, 3, 6.0)]


@net
def two_inputs(m: H5Model) -> list[str]:
    a, b = m.input((5, 5, 3), 5, "left"), m.input((5, 5, 3), 3, "right")
    return [m.wrapped("Add", [m.conv(a, (3, 3)), b], {}, output_0_pos=4)]


@net
def output_that_is_read_too(m: H5Model) -> list[str]:
    x = m.conv(m.input((6, 6, 3)), (3, 4), out=4)
    y = m.wrapped("MaxPooling2D", [x], {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}, output_0_pos=4)
    return [x, y, m.conv(y, (4, 2))]


@net
def rounded_again(m: H5Model) -> list[str]:
    x = m.conv(m.input((4, 4, 3)), (3, 4), out=6)
    return [m.conv(m.quantize(x, 2), (4, 2), 1)]


@net
def kernel_over_the_limits(m: H5Model) -> list[str]:
    return [m.conv(m.conv(m.conv(m.input((20, 20, 1)), (1, 2), 17), (2, 3), 3, strides=[9, 9]), (3, 2))]


@net
def negative_position_and_large_shift(m: H5Model) -> list[str]:
    x = m.conv(m.input((5, 5, 3), -2), (3, 4), weight_position=12, bias_position=5, out=3)
    return [m.conv(x, (4, 4), weight_position=6, bias_position=2, out=2)]


def evaluate(path: Path, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs of a file, as real numbers, by name without what conversions add."""
    graph = xir.Graph.deserialize(str(path))
    inputs = {}
    for op in graph.get_ops():
        if op.get_type() in ("data", "data-fix"):
            tensor, image = op.get_output_tensor(), images[op.get_name()]
            whole = op.get_type() == "data-fix"
            position = tensor.get_attr("fix_point") if whole else None
            inputs[tensor.name] = fixed_point.quantize(image, position, fixed_point.HALF_UP) if whole else image
    return {name.removesuffix("_"): value for name, value in evaluate_graph(graph, inputs).items()}


def compare(
    model: H5Model, outputs: list[str], tmp_path: Path, board: str, version: str, varied: bool = True
) -> dict[str, Any]:
    path = model.write(tmp_path / "m.h5", outputs)
    compile_model(path, board, tmp_path / "front.xmodel", emit="frontend")
    made = compile_model(path, board, tmp_path / "made.xmodel", vitis_ai=version)
    if (board, version) == TARGETS[0]:
        check_with_amd(tmp_path / "made.xmodel")
    shapes = {
        layer["name"]: layer["config"]["batch_input_shape"][1:]
        for layer in model.layers
        if layer["class_name"] == "InputLayer"
    }
    rng = np.random.default_rng(7)
    images = {name: rng.normal(0, 2.0, (3, *shape)).astype(np.float32) for name, shape in shapes.items()}
    expected, got = (evaluate(tmp_path / f"{name}.xmodel", images) for name in ("front", "made"))
    assert len(got) == len(outputs)
    marks = "(MoveReshape)_reshaped(MoveReshape)"  # which AMD's compiler leaves in names up to 2.0
    got = {name.removesuffix(marks): value for name, value in got.items()}
    assert expected.keys() <= got.keys()  # the evaluation of the float graph shows what nobody reads
    for name, value in expected.items():
        if name.endswith("_fix"):
            np.testing.assert_array_equal(got[name], value, err_msg=name)
        else:  # a float function at the end, of numbers that were float64 in one graph and float32 in the other
            np.testing.assert_allclose(got[name], value, rtol=2e-7, err_msg=name)
        assert not varied or len(np.unique(value)) > 5, "the test's numbers say nothing"
    return made


@pytest.mark.parametrize("name", NETS)
def test_compiled_equals_front_end(name: str, tmp_path: Path) -> None:
    for board, version in TARGETS:
        model = H5Model(seed=len(name))
        compare(model, NETS[name](model), tmp_path, board, version)
