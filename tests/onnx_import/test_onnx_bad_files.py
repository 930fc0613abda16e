"""Files that cannot be imported are refused in one line that names what is wrong; what is converted is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import Builder
from onnx import TensorProto, helper, numpy_helper

from softdpu.commands import main as commands
from softdpu.errors import SoftdpuError
from softdpu.onnx_import.convert import import_onnx
from softdpu.onnx_import.listing import listing
from softdpu.quantizer.vitis_quantize import VitisQuantizer

AXIS: dict[str, dict[str, int]] = {"ArgMax": {"axis": 1}, "LogSoftmax": {"axis": 1}}


def refusal(path: Path, *args: Any) -> str:
    with pytest.raises(SoftdpuError) as caught:
        import_onnx(path, *args)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def simple() -> tuple[Builder, str]:
    make = Builder()
    return make, make.add("Relu", make.conv("images", 3, 4))


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n" + b"0" * 90, b"PK\x03\x04" + b"x" * 50, b"a text\n" * 20])
def test_no_onnx_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    assert "no ONNX file" in refusal(path)


def test_no_file(tmp_path: Path) -> None:
    assert "there is no ONNX file" in refusal(tmp_path / "missing.onnx")
    (tmp_path / "net.h5").touch()
    assert "net.h5 is a file of Keras, which needs no import" in refusal(tmp_path / "net.h5")


def test_half_a_file(tmp_path: Path) -> None:
    make, end = simple()
    path = make.save(tmp_path / "net.onnx", end)
    path.write_bytes(path.read_bytes()[:-40])
    assert "export it again" in refusal(path)


@pytest.mark.parametrize("version", [6, 22])
def test_other_operator_sets(tmp_path: Path, version: int) -> None:
    make = Builder(version=version)
    path = make.save(tmp_path / "net.onnx", make.add("Relu", "images"))
    assert f"operator set {version}; 7 to 21" in refusal(path)


def external(path: Path, location: str, **more: str) -> Path:
    make, end = simple()
    model = make.model(end)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../weights.bin", "sub/../../weights.bin", "..\\weights.bin", "/etc/passwd", ""])
def test_external_data_outside_the_folder_is_not_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(3 * 4 * 9 * 4))
    (tmp_path / "net").mkdir()
    assert "outside the model's folder" in refusal(external(tmp_path / "net" / "net.onnx", location))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(3 * 4 * 9 * 4))
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "weights.bin").symlink_to(tmp_path / "weights.bin")
    assert "leads out of the model's folder" in refusal(external(tmp_path / "net" / "net.onnx", "weights.bin"))


def test_external_data_that_is_missing_or_short(tmp_path: Path) -> None:
    path = external(tmp_path / "net.onnx", "weights.bin")
    assert "put the file weights.bin beside the model" in refusal(path)
    (tmp_path / "weights.bin").write_bytes(bytes(10))
    assert "which has 10" in refusal(external(path, "weights.bin", offset="0", length="432"))
    assert "damaged" in refusal(external(path, "weights.bin"))


def test_external_data_is_read(tmp_path: Path) -> None:
    weights = np.arange(108, dtype=np.float32) / 100
    (tmp_path / "weights.bin").write_bytes(bytes(8) + weights.tobytes())
    found = import_onnx(external(tmp_path / "net.onnx", "weights.bin", offset="8", length="432"))
    (kernel, _) = found.model.layers[1].get_weights()
    assert np.array_equal(kernel.transpose(3, 2, 0, 1).reshape(-1), weights)


def test_all_unknown_operations_are_named_at_once(tmp_path: Path) -> None:
    make = Builder()
    x = make.conv(make.add("Hardmax", "images", axis=1, name="/first"), 3, 4)
    x = make.add("Relu", make.add("Det", make.add("Hardmax", x, axis=1, name="/second")))
    text = refusal(make.save(tmp_path / "net.onnx", make.add("NonZero", x)))
    assert "4 operations cannot be imported" in text
    assert all(word in text for word in ("Hardmax", "/first, /second", "Det", "NonZero", "--list"))


def test_an_unknown_operation_behind_the_cut_does_no_harm(tmp_path: Path) -> None:
    make, end = simple()
    path = make.save(tmp_path / "net.onnx", make.add("NonZero", end))
    assert import_onnx(path, [end]).model.output_shape == (None, 16, 16, 4)


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    make, end = simple()
    text = refusal(make.save(tmp_path / "net.onnx", end), ["Relu_1"])
    assert "has no tensor Relu_1; near are Relu_1_0" in text


@pytest.mark.parametrize("shape", [("N", 3, "h", "w"), ("N", 3, 16, "w"), (1, 3, None, None), (1, "c", 16, 16)])
def test_open_sizes(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    make = Builder(shape)
    path = make.save(tmp_path / "net.onnx", make.add("Relu", "images"))
    assert "open sizes" in refusal(path) and "--input-size" in refusal(path)


def test_a_batch_of_minus_one_is_open(tmp_path: Path) -> None:
    make = Builder((-1, 3, 16, 16))
    assert import_onnx(make.save(tmp_path / "net.onnx", make.conv("images", 3, 4))).model.input_shape[0] is None


@pytest.mark.parametrize("op", ["Log", "Erf", "Softplus", "ArgMax", "LogSoftmax"])
def test_what_only_float_has_is_refused_before_anything_is_quantized(tmp_path: Path, op: str) -> None:
    make = Builder()
    path = make.save(tmp_path / "net.onnx", make.add(op, make.conv("images", 3, 4), name="/last", **AXIS.get(op, {})))
    assert listing(path).rows[-1].runs == "float alone"
    with pytest.raises(SoftdpuError, match=r"last.*model\.outputs|activation softplus"):
        VitisQuantizer(import_onnx(path).model).quantize_model(calib_dataset=np.zeros((2, 16, 16, 3), np.float32))


def test_loops_and_branches(tmp_path: Path) -> None:
    make = Builder()
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Relu", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    end = make.add("Loop", make.constant(3, np.int64), "", "images", body=body, name="/again")
    text = refusal(make.save(tmp_path / "net.onnx", end))
    assert "node /again is a Loop" in text


def test_integer_networks(tmp_path: Path) -> None:
    make = Builder()
    scale, zero = make.constant(0.1), make.constant(0, np.int8)
    weights = make.constant(np.ones((4, 3, 1, 1)), np.int8)
    x = make.add("QuantizeLinear", "images", scale, zero)
    x = make.add("QLinearConv", x, scale, zero, weights, scale, zero, scale, zero, name="/q")
    text = refusal(make.save(tmp_path / "net.onnx", make.add("DequantizeLinear", x, scale, zero)))
    assert "node /q is QLinearConv" in text and "quantized already" in text


def test_quantizers_are_taken_out_and_it_is_said(tmp_path: Path) -> None:
    make = Builder()
    scale, zero = make.constant(0.1), make.constant(0, np.int8)
    weights = make.add("DequantizeLinear", make.constant(np.full((4, 3, 1, 1), 7), np.int8), scale, zero)
    x = make.add("DequantizeLinear", make.add("QuantizeLinear", "images", scale, zero), scale, zero)
    found = import_onnx(make.save(tmp_path / "net.onnx", make.add("Conv", x, weights)))
    assert [type(layer).__name__ for layer in found.model.layers] == ["InputLayer", "Conv2D"]
    np.testing.assert_allclose(found.model.layers[1].get_weights()[0], np.float32(0.7), rtol=1e-6)
    assert len(found.notes) == 1 and "QuantizeLinear" in found.notes[0]


def test_half_precision_is_converted_and_it_is_said(tmp_path: Path) -> None:
    make, end = simple()
    model = make.model(end)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    found = import_onnx(path)
    assert found.notes == ["its float16 numbers were converted to float32"]
    assert found.model.layers[1].get_weights()[0].dtype == np.float32


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    make, end = simple()
    path = make.save(tmp_path / "net.onnx", end)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SoftdpuError, match="pip install"):
        import_onnx(path)


def test_a_sigmoid_of_next_to_nothing_passes_the_check(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    make = Builder()
    x = make.conv("images", 3, 4)
    path = make.save(tmp_path / "net.onnx", make.add("Sigmoid", make.add("Sub", x, make.constant(17.0))))
    assert commands.main(["import", str(path), "-o", str(tmp_path / "net.h5"), "--check"]) == 0


def test_the_command_writes_the_model_and_checks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    from softdpu.keras2.api import keras

    make, end = simple()
    path = make.save(tmp_path / "net.onnx", end)
    assert commands.main(["import", str(path), "-o", str(tmp_path / "net.h5"), "--check"]) == 0
    assert "largest difference from onnxruntime" in capsys.readouterr().out
    assert keras.models.load_model(tmp_path / "net.h5", compile=False).output_shape == (None, 16, 16, 4)
    assert commands.main(["import", str(path), "--list"]) == 0
    assert "Conv_0_0  1x4x16x16  Conv   DPU" in capsys.readouterr().out
    assert commands.main(["import", str(path)]) == 1
    assert commands.main(["import", str(path), "-o", str(tmp_path / "other.h5"), "--input-size", "8x8"]) == 1
    assert "has the fixed shape" in capsys.readouterr().err
    assert not (tmp_path / "other.h5").exists()
