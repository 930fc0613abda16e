"""Against what AMD's own quantizer produced: models, positions and outputs, exactly."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import tf_keras as keras

from softdpu.quantizer import positions_report, vitis_quantize


def load(path):
    return keras.models.load_model(path, compile=False)


def file_contents(path):
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
        groups = {}
        for layer in file["model_weights"].attrs["layer_names"]:
            group = file["model_weights"][layer]
            groups[layer] = {str(name): group[str(name)][()] for name in group.attrs["weight_names"]}
        return config, groups


@pytest.fixture(scope="module")
def quantized(golden, tmp_path_factory):
    images = np.load(golden / "calib.npz")["images"]
    model = vitis_quantize.VitisQuantizer(load(golden / "float_model.h5")).quantize_model(
        calib_dataset=images, calib_batch_size=32
    )
    path = tmp_path_factory.mktemp("golden") / "quant_model.h5"
    model.save(path)
    return model, path


def test_positions(quantized, golden):
    expected = json.loads((golden / "positions.json").read_text())
    for name, entry in positions_report(quantized[0]).items():
        amd = expected[name]
        assert entry.get("kernel_pos", entry.get("depthwise_kernel_pos")) == amd["weight_pos"]
        assert entry.get("bias_pos") == amd["bias_pos"]
        if amd["act_pos"] is not None:
            assert entry[amd["act_var"]] == amd["act_pos"]
    assert [name for name in expected if name.startswith("quant_")] == list(positions_report(quantized[0]))


def test_outputs(quantized, golden):
    data = np.load(golden / "eval.npz")
    assert np.array_equal(quantized[0].predict(data["images"], verbose=0), data["quant_out"])


def test_the_file_is_amds(quantized, golden):
    """Configuration, layer and weight names, and every number: weights, ranges, positions."""
    config, groups = file_contents(quantized[1])
    amd_config, amd_groups = file_contents(golden / "quant_model.h5")
    assert config == amd_config
    assert list(groups) == list(amd_groups)
    for layer, weights in amd_groups.items():
        assert list(groups[layer]) == list(weights)
        for name, value in weights.items():
            assert groups[layer][name].dtype == value.dtype
            assert np.array_equal(groups[layer][name], value), name


def test_a_load_needs_no_scope(quantized, golden):
    data = np.load(golden / "eval.npz")
    assert np.array_equal(load(quantized[1]).predict(data["images"], verbose=0), data["quant_out"])


@pytest.mark.parametrize(("model", "data"), [("quant_model.h5", "eval.npz"), ("misc_quant.h5", "misc_eval.npz")])
def test_amds_files_load_and_run(golden, model, data):
    """The softmax at the end is float32, whose exp differs in its last bits from processor to processor.

    One step of an int8 logit changes a probability by a percent or more, thousands of times what is allowed here.
    """
    data = np.load(golden / data)
    np.testing.assert_array_max_ulp(load(golden / model).predict(data["images"], verbose=0), data["quant_out"], 8)


def test_every_layer_kind(golden, tmp_path):
    """The calibration images of the misc model are not known; the evaluation images give the same positions."""
    images = np.load(golden / "misc_eval.npz")["images"]
    model = vitis_quantize.VitisQuantizer(load(golden / "misc_float.h5")).quantize_model(calib_dataset=images)
    model.save(tmp_path / "misc.h5")
    config, groups = file_contents(tmp_path / "misc.h5")
    amd_config, amd_groups = file_contents(golden / "misc_quant.h5")
    assert config == amd_config
    assert list(groups) == list(amd_groups)
    for layer, weights in amd_groups.items():
        assert list(groups[layer]) == list(weights)
        for name, value in weights.items():
            if not name.endswith(("_min:0", "_max:0")):
                assert np.array_equal(groups[layer][name], value), name


def test_deploying_a_deployed_model_changes_nothing(golden, tmp_path):
    deployed = vitis_quantize.VitisQuantizer.get_deploy_model(load(golden / "deploy_model.h5"))
    deployed.save(tmp_path / "deploy.h5")
    config, groups = file_contents(tmp_path / "deploy.h5")
    amd_config, amd_groups = file_contents(golden / "deploy_model.h5")
    assert config == amd_config
    for layer, weights in amd_groups.items():
        assert all(np.array_equal(groups[layer][name], value) for name, value in weights.items())


def test_trained_thresholds_file(golden, tmp_path):
    model = load(golden / "qat_model_tqt.h5")
    images = np.load(golden / "eval.npz")["images"]
    deployed = vitis_quantize.VitisQuantizer.get_deploy_model(model)
    assert np.array_equal(deployed.predict(images, verbose=0), model.predict(images, verbose=0))
    _, groups = file_contents(golden / "qat_model_tqt.h5")
    model.save(tmp_path / "tqt.h5")
    assert {k: list(v) for k, v in file_contents(tmp_path / "tqt.h5")[1].items()} == {
        k: list(v) for k, v in groups.items()
    }
    threshold = groups["quant_conv1"]["quant_conv1/kernel_log_th:0"]
    assert positions_report(deployed)["quant_conv1"]["kernel_pos"] == 7 - np.ceil(threshold)


def test_amds_example_with_an_own_layer(golden):
    class Mylayer(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.prelu = keras.layers.PReLU()

        def call(self, inputs):
            return self.prelu(inputs)

    path = golden / "tf2_custom_op_quantized.h5"
    model = keras.models.load_model(path, compile=False, custom_objects={"Mylayer": Mylayer})
    images = np.random.default_rng(0).uniform(size=(4, 28, 28, 1)).astype(np.float32)
    output = model.predict(images, verbose=0)
    position = positions_report(model)["quant_dense_sigmoid_sigmoid"]["output_0_pos"]
    assert output.shape == (4, 10)
    assert np.array_equal(output * 2.0**position, np.rint(output * 2.0**position))
