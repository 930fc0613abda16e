"""Every mistake becomes one clear line, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5_models import H5Model

from softdpu.compiler import compile_model
from softdpu.errors import SoftdpuError


def refused(model: Path, tmp_path: Path, *words: str, target: str = "zcu102", **options: Any) -> None:
    output = tmp_path / "out" / "m.xmodel"
    with pytest.raises(SoftdpuError) as caught:
        compile_model(model, target, output, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not output.exists()
    assert not list(tmp_path.glob("out/*"))


def small() -> tuple[H5Model, list[str]]:
    model = H5Model()
    return model, [model.conv(model.input((6, 6, 3)), (3, 4))]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    toy, outputs = small()
    return toy.write(tmp_path / "m.h5", outputs)


def edited(model: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the model's config in its file."""
    with h5py.File(model, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return model


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "no.h5", tmp_path, "no.h5", "no such model file")


def test_no_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    for content in (b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        path.write_bytes(content)
        refused(path, tmp_path, "m.h5", "not a readable Keras HDF5 model")


def test_truncated(model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    for part in range(1, 40):
        model.write_bytes(content[: len(content) * part // 40])
        refused(model, tmp_path, "m.h5")


def test_weights_only(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("conv1")
    refused(tmp_path / "w.h5", tmp_path, "w.h5", "holds no Keras model", "model.save")


def test_float_model(tmp_path: Path) -> None:
    toy = H5Model()
    toy.inputs.append(toy.bare("InputLayer", "input_1", [], {"batch_input_shape": [None, 4, 4, 3]}))
    path = toy.write(tmp_path / "f.h5", [toy.bare("ReLU", "relu", ["input_1"])])
    refused(path, tmp_path, "f.h5", "float model", "quantize")


def test_golden_float_and_undeployed_models(golden: Path, tmp_path: Path) -> None:
    refused(golden / "vai_q/float_model.h5", tmp_path, "float model", "quantize")
    refused(golden / "vai_q/qat_model_tqt.h5", tmp_path, "TQT", "deploy")


def test_thresholds_instead_of_positions(tmp_path: Path) -> None:
    toy, outputs = small()
    toy.weights[outputs[0]]["kernel_log_th"] = np.float32(1)
    refused(toy.write(tmp_path / "t.h5", outputs), tmp_path, outputs[0], "deploy")


def test_batch_normalization_in_training(tmp_path: Path) -> None:
    toy, _ = small()
    trained = toy.bare("Vitis>VitisConvBNQuantize", "conv_bn", ["quant_input_1"], {})
    refused(toy.write(tmp_path / "t.h5", [trained]), tmp_path, "conv_bn", "deploy")


def test_positions_that_are_none(tmp_path: Path) -> None:
    for position in (np.float32(np.nan), np.float32(2.5), np.zeros(4, np.float32)):
        toy, outputs = small()
        toy.weights[outputs[0]]["kernel_pos"] = position
        refused(toy.write(tmp_path / "t.h5", outputs), tmp_path, outputs[0], "position")


def test_unknown_target_and_version(model: Path, tmp_path: Path) -> None:
    refused(model, tmp_path, "zcu103", "did you mean", target="zcu103")
    refused(model, tmp_path, "vitis", "1.0", target="zcu102", vitis_ai="vitis 1.0")


def test_unknown_emit(model: Path, tmp_path: Path) -> None:
    refused(model, tmp_path, "compiled, frontend", "elf", emit="elf")


def test_layer_over_a_limit_alone(tmp_path: Path) -> None:
    toy = H5Model()
    path = toy.write(tmp_path / "m.h5", [toy.conv(toy.input((20, 20, 3)), (3, 4), 17)])
    refused(path, tmp_path, "quant_conv2d_2", "17x17", "1 to 16", "smaller kernels")


def test_unknown_input_size(model: Path, tmp_path: Path) -> None:
    edited(model, lambda c: c["config"]["layers"][0]["config"].update(batch_input_shape=[None, None, None, 3]))
    refused(model, tmp_path, "input_1", "known size")


def test_keras_3_file(model: Path, tmp_path: Path) -> None:
    edited(model, lambda c: c["config"]["layers"][1].update(inbound_nodes=[{"args": [], "kwargs": {}}]))
    refused(model, tmp_path, "Keras 3", "Keras 2")


def test_reader_of_a_missing_layer(model: Path, tmp_path: Path) -> None:
    edited(model, lambda c: c["config"]["layers"][1].update(inbound_nodes=[[["ghost", 0, 0, {}]]]))
    refused(model, tmp_path, "ghost", "damaged")


def test_unknown_output_layer(model: Path, tmp_path: Path) -> None:
    edited(model, lambda c: c["config"].update(output_layers=[["ghost", 0, 0]]))
    refused(model, tmp_path, "ghost")


def test_cyclic_layers(tmp_path: Path) -> None:
    toy, outputs = small()
    toy.layers[1]["inbound_nodes"] = [[[outputs[0], 0, 0, {}]]]
    refused(toy.write(tmp_path / "m.h5", outputs), tmp_path, outputs[0])


def test_wrong_weight_shapes(tmp_path: Path) -> None:
    for key, shape in (("kernel", (3, 3, 3)), ("kernel", (3, 3, 5, 4)), ("bias", (2, 2)), ("bias", (7,))):
        toy, outputs = small()
        toy.weights[outputs[0]][key] = np.zeros(shape, np.float32)
        refused(toy.write(tmp_path / "m.h5", outputs), tmp_path, outputs[0])


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    toy, outputs = small()
    toy.weights[outputs[0]]["kernel"][0, 0, 0, 0] = np.inf
    refused(toy.write(tmp_path / "m.h5", outputs), tmp_path, outputs[0], "NaN or infinity")


def test_relu_with_another_limit_and_unknown_activation(tmp_path: Path) -> None:
    toy, outputs = small()
    refused(toy.write(tmp_path / "m.h5", [toy.relu(outputs[0], 4, 2.0)]), tmp_path, "quant_relu", "max_value=6")
    toy, outputs = small()
    wrong = toy.wrapped("Activation", outputs, {"activation": "sparkle"}, post_activation_pos=4)
    refused(toy.write(tmp_path / "m.h5", [wrong]), tmp_path, "sparkle", "hard_sigmoid")


def test_operands_that_do_not_fit(tmp_path: Path) -> None:
    toy = H5Model()
    x = toy.input((6, 6, 3))
    bad = toy.wrapped("Add", [x, toy.conv(x, (3, 4))], {}, output_0_pos=4)
    refused(toy.write(tmp_path / "m.h5", [bad]), tmp_path, bad, "do not fit")
    toy = H5Model()
    bad = toy.wrapped("Reshape", [toy.input((6, 6, 3))], {"target_shape": [5, 7]})
    refused(toy.write(tmp_path / "m.h5", [bad]), tmp_path, bad, "108 values")


def test_window_larger_than_the_image(tmp_path: Path) -> None:
    toy = H5Model()
    bad = toy.conv(toy.input((3, 3, 2)), (2, 2), 5, padding="valid")
    refused(toy.write(tmp_path / "m.h5", [bad]), tmp_path, bad, "does not fit")


def test_layer_that_changes_the_shape_in_an_unknown_way(tmp_path: Path) -> None:
    model = H5Model()
    x = model.bare("Conv1D", "conv1d", [model.input((6, 6, 4))])
    refused(model.write(tmp_path / "m.h5", [model.conv(x, (4, 2))]), tmp_path, "conv1d", "add_shape_info")


def test_layer_with_several_outputs(tmp_path: Path) -> None:
    model = H5Model()
    model.conv(model.input((6, 6, 4)), (4, 2), name="c")
    model.layers[-1]["inbound_nodes"][0][0][2] = 1
    refused(model.write(tmp_path / "m.h5", ["quant_c"]), tmp_path, "several tensors")


def test_file_that_another_program_writes(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: Any) -> None:
        raise BlockingIOError(11, "unable to lock file")

    monkeypatch.setattr(h5py, "File", locked)
    refused(model, tmp_path, "another program")
