from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import tf_keras as keras

from softdpu.quantizer import QuantizerError, positions_report, save_h5, vitis_quantize

L = keras.layers
Quantizer = vitis_quantize.VitisQuantizer
X = np.random.default_rng(0).normal(size=(16, 6, 6, 3)).astype(np.float32)


def small():
    inputs = keras.Input((6, 6, 3), name="image")
    x = L.ReLU(6.0, name="r1")(L.Conv2D(4, 3, name="c1")(inputs))
    x = L.ReLU(name="r2")(L.BatchNormalization(name="bn")(L.Conv2D(4, 1, name="c2")(x)))
    return keras.Model(inputs, L.Dense(2, name="d")(L.Flatten(name="f")(x)), name="small")


def test_strategy_round_trip(tmp_path):
    model = small()
    quantizer = Quantizer(model, custom_quantize_strategy={"include_cle": False, "weight_bit": 4})
    sizes = []
    for verbose in (0, 1, 2):
        text = quantizer.dump_quantize_strategy(str(tmp_path / "s.json"), verbose)
        assert json.loads(text) == json.loads((tmp_path / "s.json").read_text())
        sizes.append(len(text))
    assert sizes == sorted(sizes)
    other = Quantizer(model)
    other.set_quantize_strategy(str(tmp_path / "s.json"))
    assert other.dump_quantize_strategy(str(tmp_path / "t.json"), 2) == text
    found = quantizer.quantize_model(calib_dataset=X)
    assert positions_report(other.quantize_model(calib_dataset=X)) == positions_report(found)


def test_strategy_mistakes(tmp_path):
    (tmp_path / "bad.json").write_text("[1")
    for path in (tmp_path / "bad.json", tmp_path / "missing.json"):
        with pytest.raises(QuantizerError, match=path.name):
            Quantizer(small(), custom_quantize_strategy=str(path))
    for option in ("convert_to_fs_quantize_strategy", "use_fixneuron_quant"):
        with pytest.raises(QuantizerError, match="not offered"):
            Quantizer(small()).quantize_model(calib_dataset=X, **{option: True})


def test_old_option_names_and_relu6():
    model = Quantizer(small()).optimize_model(replace_relu6=True)
    assert model.get_layer("r1").max_value is None


def test_bit_widths_reach_the_quantizers():
    model = Quantizer(small()).quantize_model(calib_dataset=X, weight_bit=4, bias_bit=6, activation_bit=5)
    forms = {
        slot.kind: slot.quantizer.form for layer in model.layers if hasattr(layer, "slots") for slot in layer.slots()
    }
    assert {kind: form.bit_width for kind, form in forms.items()} == {
        "input": 8,
        "weight": 4,
        "bias": 6,
        "activation": 5,
        "output": 5,
    }
    assert forms["weight"].limits == (-8, 7)


def test_unsigned_activations_only_after_relu():
    model = Quantizer(small()).quantize_model(calib_dataset=X, activation_unsigned=True)
    assert model.get_layer("quant_r1").slots()[0].quantizer.unsigned
    assert not model.get_layer("quant_d").slots()[-1].quantizer.unsigned


def test_one_position_a_channel():
    model = Quantizer(small()).quantize_model(calib_dataset=X, weight_per_channel=True)
    assert model.get_layer("quant_c1").slots()[0].quantizer.position().shape == (1, 1, 1, 4)
    assert len(positions_report(model)["quant_c1"]["kernel_pos"]) == 4


def test_layers_left_float():
    model = Quantizer(small()).quantize_model(calib_dataset=X, ignore_layers=["c2", "d"])
    names = [layer.name for layer in model.layers]
    assert "c2" in names and "d" in names and "quant_c1" in names
    with pytest.raises(QuantizerError, match="no layer nowhere"):
        Quantizer(small()).quantize_model(calib_dataset=X, ignore_layers=["nowhere"])
    model = Quantizer(small()).quantize_model(calib_dataset=X, output_layers=["r1"])
    assert [layer.name for layer in model.layers if hasattr(layer, "slots")] == ["quant_image", "quant_c1", "quant_r1"]


def test_equalization_keeps_the_function_and_evens_the_ranges():
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, L.Conv2D(2, 1, name="tail")(L.ReLU()(L.Conv2D(4, 1, name="head")(inputs))))
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel * [0.3, 1, 3, 9], bias])
    equalized = Quantizer(model).optimize_model()
    np.testing.assert_allclose(equalized(X), model(X), rtol=1e-4, atol=1e-5)

    def spread(model):
        ranges = np.abs(model.get_layer("head").get_weights()[0]).max(axis=(0, 1, 2))
        return ranges.max() / ranges.min()

    assert spread(equalized) < spread(model) / 2


def test_input_shape_is_fixed():
    inputs = keras.Input((None, None, 3), name="in")
    model = keras.Model(inputs, L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(inputs)))
    for shape in ((1, 6, 6, 3), {"in": (None, 6, 6, 3)}):
        quantized = Quantizer(model).quantize_model(calib_dataset=X, input_shape=shape, add_shape_info=True)
        assert quantized.input_shape[1:] == (6, 6, 3)
    free = Quantizer(model).quantize_model(calib_dataset=X)
    assert np.array_equal(free.predict(X, verbose=0), quantized.predict(X, verbose=0))


def test_shape_information_lies_where_the_compiler_looks(tmp_path):
    Quantizer(small()).quantize_model(calib_dataset=X, add_shape_info=True).save(tmp_path / "q.h5")
    with h5py.File(tmp_path / "q.h5") as file:
        assert file["optimizer_weights"]["quant_c1:0"][()].tolist() == [1, 4, 4, 4]


def test_output_format(tmp_path):
    for kind, name in (("h5", "quantized_model.h5"), ("tf", "quantized_model")):
        model = Quantizer(small()).quantize_model(calib_dataset=X, output_format=kind, output_dir=str(tmp_path))
        again = keras.models.load_model(tmp_path / name, compile=False)
        assert np.array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    with pytest.raises(QuantizerError, match="output_format pdf"):
        Quantizer(small()).quantize_model(calib_dataset=X, output_format="pdf", output_dir=str(tmp_path))


def test_files_are_those_of_keras_2_12(tmp_path):
    save_h5(small(), tmp_path / "float.h5")
    with h5py.File(tmp_path / "float.h5") as file:
        text = file.attrs["model_config"]
    for key in ("registered_name", '"module"', "build_config", "optional"):
        assert key not in text
    again = keras.models.load_model(tmp_path / "float.h5", compile=False)
    assert json.loads(text)["class_name"] == "Functional"
    assert again.count_params() == small().count_params()


def test_dump(tmp_path):
    model = Quantizer(small()).quantize_model(calib_dataset=X)
    Quantizer.dump_model(model, X, str(tmp_path), dump_float=True)
    report = positions_report(model)
    kernel = model.get_layer("quant_c1").layer.kernel.numpy()
    expected = np.clip(np.rint(kernel * 2.0 ** report["quant_c1"]["kernel_pos"]), -128, 127)
    found = np.fromfile(tmp_path / "dump_results_weights" / "quant_c1_kernel.bin", np.int8)
    assert np.array_equal(found, expected.ravel())
    text = (tmp_path / "dump_results_weights" / "quant_c1_kernel.txt").read_text()
    assert [int(line) for line in text.split()] == found.tolist()
    output = np.fromfile(tmp_path / "dump_results_0" / "quant_d.bin", np.int8)
    scale = 2.0 ** report["quant_d"]["post_activation_pos"]
    assert np.array_equal(output / scale, model(X).numpy().ravel())
    assert (tmp_path / "dump_results_0" / "quant_c1_float.bin").exists()
    assert not (tmp_path / "dump_results_0" / "quant_c1.bin").exists()
    with pytest.raises(QuantizerError, match="`dataset` is needed"):
        Quantizer.dump_model(model, output_dir=str(tmp_path))


def test_quantize_scope_knows_the_classes():
    class Own(L.Layer):
        pass

    with vitis_quantize.quantize_scope({"Own": Own}):
        known = keras.utils.get_custom_objects
        for name in ("QuantizeWrapper", "VitisQuantize", "Pof2SQuantizer", "QuantizeLayer", "Own"):
            assert keras.utils.get_registered_object(name) is not None, known
