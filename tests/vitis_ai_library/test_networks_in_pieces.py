"""Small networks that fall into pieces, or used to: quantized, compiled, run whole, and equal to Keras in every bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitis_ai_library
import xir
from softdpu.compiler.compile import compile_model
from softdpu.numbers import fixed_point

keras, tf = pytest.importorskip("tf_keras"), pytest.importorskip("tensorflow")
L = keras.layers
NETS: dict[str, Callable[[Any], Any]] = {}
WHOLE_ON_THE_DPU = {  # of ZCU102, and the operation that does it
    "prelu": "prelu-fix",
    "bilinear_by_two": "transposed-depthwise-conv2d-fix",
    "bilinear_by_four": "transposed-depthwise-conv2d-fix",
    "depth_multiplier": "conv2d-fix",
    "cropping": "strided_slice-fix",
    "global_maximum": "pool-fix",
    "depth_to_space": "tile-fix",
    "space_to_depth": "tile-fix",
}
IMAGES = 3


def net(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    NETS[build.__name__] = build
    return build


def conv(x: Any, channels: int = 6, **options: Any) -> Any:
    return L.Conv2D(channels, 3, padding="same", **options)(x)


@net
def prelu(x: Any) -> Any:
    return conv(L.PReLU(shared_axes=[1, 2], alpha_initializer="glorot_uniform")(conv(x)))


@net
def prelu_of_every_pixel(x: Any) -> Any:
    return conv(L.PReLU(alpha_initializer="glorot_uniform")(conv(x)))


@net
def bilinear_by_two(x: Any) -> Any:
    return conv(L.UpSampling2D(2, interpolation="bilinear")(conv(x)))


@net
def bilinear_by_three(x: Any) -> Any:
    return conv(L.UpSampling2D(3, interpolation="bilinear")(conv(x)))


@net
def depth_multiplier(x: Any) -> Any:
    return conv(L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(conv(x)))


@net
def average_with_padding(x: Any) -> Any:
    return conv(L.AveragePooling2D(3, 1, padding="same")(conv(x)))


@net
def permute(x: Any) -> Any:
    return conv(L.Permute((2, 1, 3))(conv(x)))


@net
def cropping(x: Any) -> Any:
    return conv(L.Cropping2D(((1, 2), (0, 3)))(conv(x)))


@net
def elu(x: Any) -> Any:
    return conv(L.ELU(0.7)(conv(x)))


@net
def global_maximum(x: Any) -> Any:
    return L.Dense(4)(L.GlobalMaxPooling2D()(conv(x)))


@net
def leaky_relu_of_another_slope(x: Any) -> Any:
    return conv(L.LeakyReLU(0.3)(conv(x)))


@net
def groups(x: Any) -> Any:
    return conv(conv(conv(x), groups=2))


@net
def rescaling(x: Any) -> Any:
    return conv(L.Rescaling(0.5, 0.25)(x))


@net
def depth_to_space(x: Any) -> Any:  # super-resolution
    return tf.nn.depth_to_space(conv(conv(x), 12), 2)


@net
def space_to_depth(x: Any) -> Any:
    x = L.Permute((1, 3, 2, 4, 5))(L.Reshape((5, 2, 4, 2, 6))(conv(x)))
    return conv(L.Reshape((5, 4, 24))(x))


@net
def bilinear_by_four(x: Any) -> Any:
    return conv(L.UpSampling2D(4, interpolation="bilinear")(conv(x)))


@net
def two_outputs_and_a_cpu_part_between(x: Any) -> Any:
    x = conv(x)
    y = conv(L.ELU()(x), activation="relu")
    return [L.Softmax()(L.Dense(5)(L.Flatten()(y))), conv(L.Add()([x, y]))]


def build(name: str) -> Any:
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    image = L.Input((10, 8, 3))
    return keras.Model(image, NETS[name](image))


def run_whole(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs by tensor name; the runner's own buffers are filled as an app fills them."""
    runner = vitis_ai_library.GraphRunner.create_graph_runner(xir.Graph.deserialize(str(path)))
    (source,), targets = runner.get_inputs(), runner.get_outputs()
    tensor, found = source.get_tensor(), []
    for image in images:
        pixels = np.asarray(source)
        if pixels.dtype == np.int8:
            image = fixed_point.quantize(image, tensor.get_attr("fix_point"), fixed_point.HALF_UP)
        pixels[0] = image
        assert runner.wait(runner.execute_async([source], targets)) == 0
        found.append([np.asarray(target).copy() for target in targets])
    names = [target.get_tensor().name for target in targets]
    return {name: np.concatenate([arrays[index] for arrays in found]) for index, name in enumerate(names)}


@pytest.mark.parametrize("name", NETS)
def test_whole_network_equals_keras(name: str, tmp_path: Path) -> None:
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    images = np.random.default_rng(0).normal(0, 1, (8, 10, 8, 3)).astype(np.float32)
    quantized = VitisQuantizer(build(name)).quantize_model(calib_dataset=images)
    quantized.save(tmp_path / "q.h5")
    summary = compile_model(tmp_path / "q.h5", "zcu102", tmp_path / "net.xmodel")
    devices = [group["device"] for group in summary["subgraphs"]]
    assert (devices == ["USER", "DPU", "CPU"]) == (name in WHOLE_ON_THE_DPU), summary["layers"]
    if name in WHOLE_ON_THE_DPU:
        assert WHOLE_ON_THE_DPU[name] in {place["operation"] for place in summary["layers"]}
    expected = quantized.predict(images[:IMAGES], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    found = run_whole(tmp_path / "net.xmodel", images[:IMAGES])
    assert len(found) == len(expected)
    for values, output in zip(expected, summary["outputs"], strict=True):
        [name_of] = [one for one in found if one in (output["name"], output["name"] + "_")]
        softmax = name.startswith("two") and values.ndim == 2
        assert np.allclose(values, found[name_of].reshape(values.shape), rtol=0, atol=1e-6 if softmax else 0)
        assert len(np.unique(values)) > 4
