"""Each position rule on a model made for it."""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from softdpu.quantizer import finalize, positions_report, refine, vitis_quantize

L = keras.layers


def quantized(outputs, inputs):
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(8, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    options = dict.fromkeys(refine.RULES, False)
    return vitis_quantize.VitisQuantizer(model).quantize_model(
        calib_dataset=arrays[0] if len(arrays) == 1 else arrays, **options
    )


def put(model, **positions):
    """Set positions by <layer>=<position of what it gives>, or <layer>__<tensor>."""
    for name, value in positions.items():
        layer, _, tensor = name.partition("__")
        for slot in model.get_layer(layer).slots():
            if (tensor and slot.name.endswith(tensor)) or (not tensor and slot.kind not in ("weight", "bias")):
                slot.quantizer.weights["quant_pos_var"].assign(float(value))


def conv_relu():
    inputs = keras.Input((4, 4, 2), name="in")
    x = L.ReLU(name="r")(L.Conv2D(2, 1, name="c")(L.ZeroPadding2D(name="pad")(inputs)))
    return quantized(x, inputs)


def test_shift_cut_moves_the_weights_position():
    model = conv_relu()
    for kernel, output, expected in ((7, 5, 7), (7, 20, 14), (40, 5, 15), (9, -9, 1)):
        put(model, quant_in=6, quant_c__kernel=kernel, quant_r=output)
        refine.adjust_shift_cut(model)
        entry = positions_report(model)["quant_c"]
        assert entry["kernel_pos"] == expected
        assert 0 <= entry["shift_cut"] <= 16


def test_shift_bias_moves_the_biases_position():
    model = conv_relu()
    # zero bias (position 51) with w=7, i=6, o=5 gives 21: shift_cut 8, so shift_bias -8 is the least
    for bias, output, expected in ((51, 5, 21), (13, 5, 13), (-9, 5, -3), (51, -3, 13)):
        put(model, quant_in=6, quant_c__kernel=7, quant_r=output, quant_c__bias=bias)
        refine.adjust_shift_bias(model)
        assert positions_report(model)["quant_c"]["bias_pos"] == expected


def test_shift_bias_before_leaky_relu():
    inputs = keras.Input((4, 4, 2), name="in")
    model = quantized(L.LeakyReLU(0.1, name="l")(L.Conv2D(2, 1, name="c")(inputs)), inputs)
    put(model, quant_in=7, quant_c__kernel=8, quant_l=6, quant_c__bias=20)
    refine.adjust_shift_bias_leaky_relu(model)
    assert positions_report(model)["quant_c"]["bias_pos"] == 15


def two_inputs(layer):
    a, b = keras.Input((4, 4, 2), name="a"), keras.Input((4, 4, 2), name="b")
    return quantized(layer([a, b]), [a, b])


def outputs_of(model, *names):
    report = positions_report(model)
    return [next(v for k, v in report[name].items() if k.endswith("_pos") and k != "input_pos") for name in names]


def test_shift_read_and_write():
    model = two_inputs(L.Add(name="add"))
    put(model, quant_a=20, quant_b=3, quant_add=5)
    refine.adjust_shift_read(model)
    assert outputs_of(model, "quant_a", "quant_b") == [18, 3]
    for output, expected in ((5, 5), (30, 18), (-20, -12)):
        put(model, quant_add=output)
        refine.adjust_shift_write(model)
        assert outputs_of(model, "quant_add") == [expected]


def test_concat_and_pool():
    model = two_inputs(L.Concatenate(name="cat"))
    put(model, quant_a=7, quant_b=4, quant_cat=6)
    refine.align_concat(model)
    assert outputs_of(model, "quant_a", "quant_b", "quant_cat") == [4, 4, 4]

    inputs = keras.Input((4, 4, 2), name="in")
    model = quantized(L.MaxPooling2D(name="p")(inputs), inputs)
    for before, after in (((6, 4), 4), ((3, 5), 3)):
        put(model, quant_in=before[0], quant_p=before[1])
        refine.align_pool(model)
        assert outputs_of(model, "quant_in", "quant_p") == [after, after]


def test_sigmoid_and_swish():
    inputs = keras.Input((4, 4, 2), name="in")
    x = L.Activation("swish", name="s")(L.Conv2D(2, 1, name="c")(inputs))
    model = quantized(x, inputs)
    for before, after in (((-3, 5), (0, 7)), ((20, 40), (15, 29)), ((4, 9), (4, 9)), ((2, 16), (2, 16))):
        put(model, quant_c=before[0], quant_s=before[1])
        refine.adjust_sigmoid(model)
        found = positions_report(model)
        assert (found["quant_c"]["post_activation_pos"], found["quant_s"]["output_0_pos"]) == after
    put(model, quant_c=4, quant_s=8)
    for output, expected in ((-9, -3), (20, 12), (5, 5)):
        put(model, quant_s_mul=output)
        refine.adjust_shift_swish(model)
        assert positions_report(model)["quant_s_mul"]["output_0_pos"] == expected


def test_legality_is_reached_where_one_pass_of_the_rules_is_not_enough():
    inputs = keras.Input((4, 4, 2), name="in")
    x = L.MaxPooling2D(name="p")(L.ReLU(name="r")(L.Conv2D(2, 1, name="c")(inputs)))
    model = quantized(x, inputs)
    put(model, quant_in=6, quant_c__kernel=8, quant_c__bias=9, quant_r=5, quant_p=-6)
    finalize.make_legal(model)
    entry = positions_report(model)["quant_c"]
    assert outputs_of(model, "quant_r", "quant_p") == [-6, -6]
    assert entry["shift_cut"] == 16
    assert 0 <= entry["shift_bias"] <= 16
