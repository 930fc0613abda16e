"""The options beyond the default recipe: tuning, losses, analysis, other types and formats, AI engine layers."""

from __future__ import annotations

import inspect
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from softdpu.quantizer import QuantizerError, positions_report, vitis_quantize

L = keras.layers
Quantizer = vitis_quantize.VitisQuantizer
X = np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype(np.float32)


def small():
    inputs = keras.Input((6, 6, 3), name="image")
    x = L.ReLU(name="r1")(L.Conv2D(6, 3, name="c1")(inputs))
    x = L.Dropout(0.1, name="drop")(x)
    x = L.Conv2D(4, 1, activation="sigmoid", name="c2")(x)
    return keras.Model(inputs, L.Dense(3, name="d")(L.Flatten(name="f")(x)), name="small")


def one_layer():
    inputs = keras.Input((6, 6, 3), name="image")
    return keras.Model(inputs, L.ReLU(name="r")(L.Conv2D(8, 3, name="c")(inputs)))


def output_error(model, expected):
    return float(np.mean((model.predict(X, verbose=0) - expected) ** 2))


def test_fast_fine_tuning_lowers_the_error_of_a_layer():
    model = one_layer()
    options = {"calib_dataset": X, "calib_batch_size": 4, "weight_bit": 3}

    def quantized(**more):
        return Quantizer(model).quantize_model(**options, **more)

    plain, tuned, again = quantized(), *(quantized(include_fast_ft=True, fast_ft_epochs=10) for _ in range(2))
    assert positions_report(tuned) == positions_report(plain)
    expected = model.predict(X, verbose=0)
    assert output_error(tuned, expected) < 0.99 * output_error(plain, expected)
    assert all(np.array_equal(a, b) for a, b in zip(tuned.get_weights(), again.get_weights(), strict=True))


def test_fast_fine_tuning_before_training():
    model = one_layer()
    qat = Quantizer(model).get_qat_model(init_quant=True, calib_dataset=X, include_fast_ft=True, fast_ft_epochs=2)
    ptq = Quantizer(model).quantize_model(calib_dataset=X, include_fast_ft=True, fast_ft_epochs=2)
    assert np.array_equal(qat.predict(X, verbose=0), ptq.predict(X, verbose=0))
    assert {layer.mode for layer in qat.layers if hasattr(layer, "slots")} == {"QAT"}


def test_positions_by_loss():
    model = one_layer()
    labels = model.predict(X, verbose=0)
    options = {"calib_dataset": X, "weight_bit": 3, "weight_method": 0, "activation_method": 0}
    plain = Quantizer(model).quantize_model(**options)
    found = Quantizer(model).quantize_model(loss="mse", metrics=["mae"], eval_dataset=(X, labels), **options)
    assert output_error(found, labels) < output_error(plain, labels)
    assert not found._is_compiled
    moves = {
        value - positions_report(plain)[layer][name]
        for layer, entry in positions_report(found).items()
        for name, value in entry.items()
        if name.endswith("_pos") and "input" not in name and not isinstance(value, list)
    }
    assert moves <= {-1, 0, 1, 2} and len(moves) > 1


def test_the_analysed_model_is_the_float_one_and_its_tensors_are_measured():
    model = small()
    analysed, found = Quantizer(model).get_analysed_model(X)
    float_model = Quantizer(model).optimize_model(replace_sigmoid=False)
    # The sigmoid is the DPU's, which is up to 0.06 from the true one.
    assert np.abs(analysed.predict(X, verbose=0) - float_model.predict(X, verbose=0)).max() < 0.3
    entry = found["quant_c2"]["post_activation"]
    between = keras.Model(float_model.inputs, float_model.get_layer("c2").output).predict(X, verbose=0)
    assert entry["type"] == "activation"
    high, low = float(between.max()), float(between.min())
    assert entry["info"]["max_var"] == pytest.approx(max(high, -low * 127 / 128), rel=1e-5)
    assert found["quant_image"]["quant_image"]["info"]["quant_pos_var"] == np.floor(np.log2(127 / np.abs(X).max()))
    assert found["quant_c1"]["kernel"]["info"]["quant_pos_var"] >= 7


def test_other_float_types():
    model = small()
    for dtype in ("float16", "float64", "bfloat16"):
        converted = Quantizer(model).convert_model(dtype)
        assert {layer.dtype for layer in converted.layers} == {dtype}
        assert {weight.dtype.name for weight in converted.weights} == {dtype}
        assert "drop" in [layer.name for layer in converted.layers]
        found = converted.predict(X, verbose=0).astype(np.float32)
        np.testing.assert_allclose(found, model.predict(X, verbose=0), atol=0.1)
    option = Quantizer(model).quantize_model(convert_datatype="float16")
    assert {weight.dtype.name for weight in option.weights} == {"float16"}
    inner = Quantizer(model, custom_quantize_strategy={"ignore_layers": ["c2"]}).convert_model_from_candidate("float16")
    assert inner.get_layer("c2").dtype == "float32" and inner.get_layer("c1").dtype == "float16"


def test_layers_of_other_types():
    quantizer = Quantizer(small())
    chosen = {"c2": "float16", "c1": "int16", "image": "int16"}
    assert quantizer.set_model_with_layer_config(chosen) == chosen
    model = quantizer.quantize_model(calib_dataset=X)
    assert model.get_layer("c2").dtype == "float16"
    widths = {slot.name: slot.quantizer.bit_width for slot in model.get_layer("quant_c1").slots()}
    assert widths == {"kernel": 16, "bias": 16}
    assert model.get_layer("quant_image").quantizer.bit_width == 16
    assert model.get_layer("quant_d").slots()[0].quantizer.bit_width == 8
    as_option = Quantizer(small()).quantize_model(calib_dataset=X, layer_config={"c1": "int16"})
    assert positions_report(as_option)["quant_c1"]["kernel_pos"] > 12


def bfloat16(x):
    """Round float32 to the nearest bfloat16, ties to even, by its bits."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def test_softmax_of_ai_engines():
    x = np.random.default_rng(0).normal(size=(20, 3, 32)).astype(np.float32)
    inputs = keras.Input((3, 32))
    model = keras.Model(inputs, L.Softmax(name="s")(inputs))
    quantized = Quantizer(model).quantize_model(calib_dataset=x, convert_softmax_to_dpu_version=True)
    slot = quantized.get_layer("quant_s").slots()[0]
    assert (slot.quantizer.round_mode, slot.quantizer.narrow_range) == (3, True)
    found = quantized.get_layer("quant_s").layer(x).numpy()
    exponentials = bfloat16(np.exp(x))
    for row, powers in zip(found.reshape(-1, 32), exponentials.reshape(-1, 32), strict=True):
        bits = int(np.float32(powers.sum()).view(np.uint32))
        fraction = ((bits >> 16) & 0x7F) + ((bits >> 15) & 1)
        inverse = 2.0 ** (126 - (bits >> 23)) * (1 + np.rint(2**15 / (128 + fraction) - 128) / 128)
        # The sum's order of addition may move its last bit, and with it the reciprocal by one step of 2**-7.
        np.testing.assert_allclose(row, bfloat16(powers * np.float32(inverse)), rtol=2**-6)
    np.testing.assert_allclose(found, tf.nn.softmax(x), atol=0.02)
    inputs = keras.Input((3, 20))
    with pytest.raises(QuantizerError, match="layer odd: its last axis must be a multiple of 16, it has 20"):
        Quantizer(keras.Model(inputs, L.Softmax(name="odd")(inputs))).quantize_model(
            calib_dataset=x[..., :20], convert_softmax_to_dpu_version=True
        )


def test_layer_normalization_of_ai_engines(tmp_path):
    x = np.random.default_rng(0).normal(1, 3, size=(20, 3, 16)).astype(np.float32)
    inputs = keras.Input((3, 16))
    model = keras.Model(inputs, L.LayerNormalization(name="n")(inputs))
    model.get_layer("n").set_weights([np.linspace(0.5, 1.5, 16), np.linspace(-1, 1, 16)])
    quantized = Quantizer(model).quantize_model(calib_dataset=x, convert_layernorm_to_dpu_version=True)
    found = quantized.get_layer("quant_n").layer(x).numpy()
    np.testing.assert_allclose(found, model(x), atol=0.03)
    assert np.array_equal((found - np.linspace(-1, 1, 16, dtype=np.float32))[0] * 0, np.zeros((3, 16)))
    quantized.save(tmp_path / "n.h5")
    again = keras.models.load_model(tmp_path / "n.h5", compile=False)
    assert np.array_equal(again.predict(x, verbose=0), quantized.predict(x, verbose=0))


def test_frozen_graph(tmp_path):
    model = Quantizer(small()).quantize_model(calib_dataset=X, output_format="pb", output_dir=str(tmp_path))
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / "quantized_model.pb").read_bytes())
    assert "QuantizeAndDequantizeV4" not in {node.op for node in graph.node}

    def imported():
        tf.import_graph_def(graph, name="")

    wrapped = tf.compat.v1.wrap_function(imported, [])
    run = wrapped.prune("image:0", "Identity:0")
    assert np.array_equal(run(tf.constant(X)), model.predict(X, verbose=0))


def test_onnx(tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    qat = Quantizer(small()).get_qat_model(init_quant=True, calib_dataset=X)
    deployed = Quantizer.get_deploy_model(qat, output_format="onnx", output_dir=str(tmp_path))
    session = runtime.InferenceSession(str(tmp_path / "quantized_model.onnx"))
    assert [one.name for one in session.get_inputs()] == ["image"]
    (found,) = session.run(None, {"image": X})
    assert np.array_equal(found, deployed.predict(X, verbose=0))


def test_onnx_without_its_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(QuantizerError, match="needs the package tf2onnx"):
        Quantizer(small()).quantize_model(calib_dataset=X, output_format="onnx", output_dir=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_target_changes_nothing(tmp_path):
    (tmp_path / "arch.json").write_text(json.dumps({"fingerprint": "0x101000056010407"}))
    model = small()
    expected = positions_report(Quantizer(model).quantize_model(calib_dataset=X))
    for target in ("DPUCZDX8G_ISA1_B4096", "0x101000056010407", str(tmp_path / "arch.json")):
        assert positions_report(Quantizer(model, target=target).quantize_model(calib_dataset=X)) == expected


# Vitis AI 3.5, in its order; bare names have the default None there where they are given as None here.
AMDS_SIGNATURES = {
    "__init__": "float_model model_format=None quantize_strategy='pof2s' custom_quantize_strategy=None custom_objects "
    "target=None target_type=None **kwargs",
    "optimize_model": "configs **kwargs",
    "convert_model": "target_dtype='float16' **kwargs",
    "convert_model_from_candidate": "target_dtype='float16'",
    "set_model_with_layer_config": "layer_config",
    "get_analysed_model": "dataset",
    "get_qat_model": "init_quant=False calib_dataset=None calib_batch_size=None calib_steps=None configs **kwargs",
    "quantize_model": "loss=None metrics=None calib_dataset=None calib_batch_size=None calib_steps=None "
    "eval_dataset=None verbose=0 add_shape_info=False input_shape=None configs **kwargs",
    "get_deploy_model": "model convert_to_pof2s_quantize_strategy=True convert_to_fs_quantize_strategy=False "
    "use_fixneuron_quant=0 use_framework_quant=True output_format='' onnx_opset_version=13 "
    "output_dir='./quantize_results/' add_shape_info=False input_shape=None dataset=None",
    "dump_model": "model dataset=None output_dir='./dump_results' dump_float=False weights_only=False **kwargs",
    "dump_quantize_strategy": "dump_file='quantize_strategy.json' verbose=0",
    "set_quantize_strategy": "new_quantize_strategy='quantize_strategy.json'",
}
MUTABLE = ("custom_objects", "configs", "layer_config")  # {} there, which calls share; None here


def test_parameters_and_defaults_are_amds():
    for name, text in AMDS_SIGNATURES.items():
        found = []
        for parameter in inspect.signature(getattr(Quantizer, name)).parameters.values():
            if parameter.name in ("self", "recipe"):
                continue
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                found.append("**" + parameter.name)
            elif parameter.default is inspect.Parameter.empty or parameter.name in MUTABLE:
                found.append(parameter.name)
            else:
                found.append(f"{parameter.name}={parameter.default!r}")
        assert " ".join(found) == text, name


def test_each_strategy_has_amds_options(tmp_path):
    texts = {
        name: json.loads(Quantizer(small(), quantize_strategy=name).dump_quantize_strategy(str(tmp_path / "s"), 2))
        for name in ("pof2s", "pof2s_tqt")
    }
    registry = texts["pof2s"]["quantize_registry_config"]
    assert len(registry["layer_quantize_config"]) == 28
    names = [entry["layer_type"].split(".")[-1] for entry in registry["layer_quantize_config"]]
    assert names[:5] == ["Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "Activation"]
    assert names[-3:] == ["VitisSoftmax", "VitisConvBN", "VitisDepthwiseConvBN"]
    assert "convert_to_pof2s_quantize_strategy" not in texts["pof2s"]["refine_pipeline_config"]
    assert texts["pof2s_tqt"]["refine_pipeline_config"]["convert_to_pof2s_quantize_strategy"] is True
    trained = Quantizer(small(), quantize_strategy="pof2s_tqt").quantize_model(
        calib_dataset=X, convert_to_pof2s_quantize_strategy=False
    )
    assert any("log_th" in weight.name for weight in trained.weights)
