"""The numbers of exported files: the DPU's, or explained, and a check that finds what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from softdpu.compiler import compile_model
from softdpu.errors import SoftdpuError
from softdpu.export.check import check_file, make_vectors, read_golden_vectors, refuse_unexplained
from softdpu.export.run import open_runner
from softdpu.export.source import Source, read_source, set_batch
from softdpu.export.write import Export, Options
from softdpu.numbers import fixed_point
from softdpu.output import files
from softdpu.runtime.reference import run_program

EXACT = [
    ("xint8", Options()),
    ("vint8", Options(opset=21, layout="nchw")),
    ("xint8", Options(opset=13, batch=2)),
    ("tflite", Options()),
    ("tflite", Options(inputs="uint8", batch=3)),
]


@pytest.mark.parametrize(("form", "options"), EXACT)
def test_every_number_is_the_dpu_s(source: Source, form: str, options: Options, tmp_path: Path) -> None:
    path = tmp_path / ("m.tflite" if form == "tflite" else "m.onnx")
    finding = Export(source, form, path, options).check(make_vectors(source.program, 5))
    assert finding.outputs == 25 and finding.different == 0 and finding.op_different == 0
    assert finding.unexplained == 0 and (form == "tflite" or finding.op_numbers > 5000)
    refuse_unexplained(finding)
    # and once more without the check's own machinery
    program = source.program
    random = np.random.default_rng(5)
    numbers = random.integers(-128, 128, (4, 14, 14, 3)).astype(np.int8)
    key = program.inputs[0].key
    wanted = np.concatenate([run_program(program, {key: one[np.newaxis]})[program.outputs[0].key] for one in numbers])
    images = fixed_point.dequantize(numbers, program.inputs[0].position)
    np.testing.assert_array_equal(open_runner(path).run([images])[0], wanted)


@pytest.mark.parametrize("form", ["xint8", "vint8"])
def test_with_int8_biases_only_ties_differ(source: Source, form: str, tmp_path: Path) -> None:
    finding = Export(source, form, tmp_path / "m.onnx", Options(int8_bias=True)).check(make_vectors(source.program, 12))
    assert finding.op_different > 0, "no tie among the vectors: they prove nothing"
    assert finding.ties == finding.op_different and finding.largest_step == 1 and finding.unexplained == 0
    assert "exact ties" in finding.text()


def damage(path: Path, changed: Any) -> None:
    proto = onnx.load(path)
    entry = next(entry for entry in proto.graph.initializer if changed(numpy_helper.to_array(entry), entry.name))
    array = numpy_helper.to_array(entry).copy()
    array.flat[0] += 5 if array.flat[0] < 100 else -5
    entry.CopyFrom(numpy_helper.from_array(array, entry.name))
    onnx.save(proto, path)


def test_the_check_finds_a_wrong_weight(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    made = Export(source, "xint8", path)
    damage(path, lambda array, name: array.ndim == 4 and array.dtype == np.int8)
    finding = made.check()
    assert finding.unexplained > 0
    with pytest.raises(SoftdpuError, match=r"gives .* numbers that are neither the DPU's nor ties"):
        refuse_unexplained(finding)


def test_the_check_finds_a_tflite_of_another_network(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    made = Export(source, "tflite", path)
    content = bytearray(path.read_bytes())
    weights = next(array for array in source.program.constants.values() if array.size > 400).tobytes()
    place = bytes(content).index(weights[:64])
    content[place : place + 64] = bytes(64)
    path.write_bytes(bytes(content))
    with pytest.raises(SoftdpuError, match="outputs are not the DPU's"):
        refuse_unexplained(made.check())


@pytest.mark.parametrize("board", ["zcu102", "vck190", "vek280"])
def test_an_xmodel_gives_the_same_file_as_its_h5(quantized: Path, board: str, tmp_path: Path) -> None:
    """Also of boards with a batch, and with sigmoids inside of convolutions."""
    compile_model(quantized, board, tmp_path / "m.xmodel")
    made = Export(read_source(tmp_path / "m.xmodel"), "xint8", tmp_path / "m.onnx")
    finding = made.check()
    assert finding.different == 0 and finding.unexplained == 0
    other = Export(read_source(quantized, board), "xint8", tmp_path / "other.onnx").check()
    assert other.op_numbers == finding.op_numbers


def test_golden_vectors_of_a_card(source: Source, tmp_path: Path) -> None:
    golden = tmp_path / "golden"
    numbers = np.random.default_rng(1).integers(-128, 128, (2, 14, 14, 3)).astype(np.int8)
    golden.mkdir()
    for index, array in enumerate(numbers):
        array.tofile(golden / f"input_{index}.bin")
    entries = [{"image": None, "input": f"input_{i}.bin", "expected": ""} for i in range(2)]
    files.write_json(golden / "golden.json", {"input": [14, 14, 3], "output": [5], "vectors": entries})
    vectors = read_golden_vectors(golden, source.program)
    np.testing.assert_array_equal(np.concatenate([next(iter(v.values())) for v in vectors]), numbers)
    path = tmp_path / "m.tflite"
    Export(source, "tflite", path)
    assert check_file(path, source.program, vectors).different == 0
    files.write_json(golden / "golden.json", {"input": [8, 8, 3], "output": [5], "vectors": entries})
    with pytest.raises(SoftdpuError, match="expected a card's golden/"):
        read_golden_vectors(golden, source.program)


def test_a_batch_changes_every_shape_and_no_number(source: Source) -> None:
    program = set_batch(source.program, 3)
    key = program.inputs[0].key
    numbers = np.random.default_rng(2).integers(-128, 128, (3, 14, 14, 3)).astype(np.int8)
    together = run_program(program, {key: numbers})[program.outputs[0].key]
    alone = [run_program(source.program, {key: one[np.newaxis]})[program.outputs[0].key] for one in numbers]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_float_parts_differ_beside_ties_alone(tmp_path: Path) -> None:
    """A convolution of floats, and bilinear resizing to any size: no order of their sums is fixed."""
    keras = pytest.importorskip("tf_keras")
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    keras.utils.set_random_seed(4)
    layers, tf = keras.layers, pytest.importorskip("tensorflow")
    image = layers.Input((12, 12, 3))
    x = layers.Conv2D(6, 3, activation="hard_sigmoid")(image)
    x = tf.image.resize(layers.Conv2D(4, 1)(x), (7, 15))
    images = np.random.default_rng(0).normal(0, 1, (8, 12, 12, 3)).astype(np.float32)
    path = tmp_path / "q.h5"
    VitisQuantizer(keras.Model(image, layers.Conv2D(3, 1)(x))).quantize_model(calib_dataset=images).save(path)
    source = read_source(path)
    for form, layout in (("xint8", "nhwc"), ("vint8", "nchw")):
        finding = Export(source, form, tmp_path / "m.onnx", Options(layout=layout)).check(
            make_vectors(source.program, 6)
        )
        assert finding.op_different == finding.ties > 0 and finding.largest_step == 1 and finding.unexplained == 0
        refuse_unexplained(finding)
    with pytest.raises(SoftdpuError, match=r"op '.*resize' of type resize has no exact form in LiteRT"):
        Export(source, "tflite", tmp_path / "m.tflite")
