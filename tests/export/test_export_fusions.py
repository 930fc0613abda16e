"""onnxruntime's fusions of convolutions with QuantizeLinear: they must leave the DPU's numbers alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from softdpu.export.check import make_vectors, refuse_unexplained
from softdpu.export.run import open_runner
from softdpu.export.source import Source, read_source
from softdpu.export.write import Export
from softdpu.numbers import fixed_point
from softdpu.runtime.reference import run_program


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A network whose sums are so fine that onnxruntime takes half a unit for the whole one."""
    keras = pytest.importorskip("tf_keras")
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    layers = keras.layers
    image = layers.Input((8, 8, 3), name="image")
    x = layers.ReLU(6.0, name="first_relu")(layers.Conv2D(8, 3, padding="same", name="first")(image))
    x = layers.ReLU(name="second_relu")(layers.Conv2D(8, 1, name="second")(x))
    x = layers.Conv2D(6, 1, name="third")(x)
    model = keras.Model(image, layers.Dense(5, name="logits")(layers.Flatten(name="flat")(x)))
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.get_weights():
            kernel, bias = layer.get_weights()
            layer.set_weights([random.choice([-0.12, 0.12], kernel.shape), random.choice([-2e-3, 2e-3], bias.shape)])
    images = random.normal(0, 2e-3, (16, 8, 8, 3)).astype(np.float32)
    path = tmp_path_factory.mktemp("fine") / "fine.h5"
    VitisQuantizer(model).quantize_model(calib_dataset=images).save(path)
    return read_source(path)


@pytest.mark.parametrize("form", ["xint8", "vint8"])
def test_fine_sums_are_the_dpu_s_with_default_options(fine: Source, form: str, tmp_path: Path) -> None:
    program, path = fine.program, tmp_path / "m.onnx"
    sums = [n.input.position + n.inputs["weights"][0].position for n in program.nodes if "weights" in n.inputs]
    assert len(sums) == 4 and min(sums) >= 19, "the network's sums are too coarse: it proves nothing"
    finding = Export(fine, form, path).check(make_vectors(program, 6))
    assert finding.outputs == 30 and finding.different == finding.fused == finding.op_different == 0
    refuse_unexplained(finding)
    key, (vector,) = program.inputs[0].key, make_vectors(program, 1)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = fixed_point.dequantize(vector[key], program.inputs[0].position)
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    output = program.outputs[0]
    assert len(np.unique(found)) > 2
    np.testing.assert_array_equal(found, run_program(program, vector)[output.key])


def test_a_fused_convolution_of_extremes_does_not_saturate(tmp_path: Path) -> None:
    """Sums of 127 * 127, where a CPU with AVX2 alone would by default add two in 16 bits."""
    arrays = {
        "one": np.float32(1),
        "step": np.float32(2**9),
        "zero": np.int8(0),
        "w": np.full((16, 16, 1, 1), 127, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "one", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "one", "zero"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "step", "zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "step", "zero"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 4, 4]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "extremes", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"softdpu.layout": "nchw"})
    onnx.save(model, tmp_path / "m.onnx")
    image = np.full((1, 4, 4, 16), 127, np.float32)
    image[..., 9:] = -128
    (found,) = open_runner(tmp_path / "m.onnx").run([image])
    steps = fixed_point.quantize(image.sum(-1) * 127, -9, fixed_point.HALF_TO_EVEN)
    np.testing.assert_array_equal(found, np.repeat(steps[..., np.newaxis] * 512.0, 16, axis=-1))
