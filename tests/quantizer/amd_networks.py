"""Networks that AMD's quantizer was run on, and what it made of them.

`amd_results.json` was written by running this file where AMD's vai_q_tensorflow2 3.5 is installed (TensorFlow 2.12):
`python tests/quantizer/amd_networks.py`. Weights and images come from numpy alone, so that both sides build the same.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

try:
    from softdpu.keras2.api import keras, tf
except ImportError:
    import tensorflow as tf
    from tensorflow import keras

L = keras.layers
RESULTS = Path(__file__).with_name("amd_results.json")


def conv_bn_relu(x, filters, size=3, stride=1, **relu):
    x = L.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
    return L.ReLU(**relu)(L.BatchNormalization()(x))


def residual():
    inputs = keras.Input((13, 11, 3), name="image")
    x = conv_bn_relu(inputs, 8, stride=2)
    for filters, stride in ((8, 1), (12, 2)):
        y = conv_bn_relu(x, filters, stride=stride)
        y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(y))
        if stride != 1:
            x = L.BatchNormalization()(L.Conv2D(filters, 1, strides=stride)(x))
        x = L.Activation("relu")(L.Add()([x, y]))
    return keras.Model(inputs, L.Dense(5, name="logits")(L.GlobalAveragePooling2D()(x)))


def inverted_residual():
    inputs = keras.Input((16, 16, 3), name="image")
    x = conv_bn_relu(inputs, 8, stride=2, max_value=6.0)
    for _ in range(2):
        y = conv_bn_relu(x, 16, 1, max_value=6.0)
        y = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(y))
        y = L.BatchNormalization()(L.Conv2D(8, 1, use_bias=False)(L.ReLU(6.0)(y)))
        x = L.Add()([x, y])
    x = L.ReLU()(L.DepthwiseConv2D(3, strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(x)))
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def unet():
    inputs = keras.Input((8, 12, 3), name="image")
    a = L.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    b = L.Dropout(0.5)(L.Conv2D(8, 3, padding="same", activation="relu")(L.MaxPooling2D()(a)))
    up = L.Conv2DTranspose(6, 3, strides=2, padding="same")(b)
    up = L.ReLU()(L.BatchNormalization()(up))
    c = L.Conv2D(6, 3, padding="same", activation="relu")(L.Concatenate()([a, up]))
    d = L.Conv2D(2, 1, activation="sigmoid")(L.UpSampling2D()(c))
    return keras.Model(inputs, [L.Conv2D(2, 1)(c), d])


def activations():
    inputs = keras.Input((12, 12, 3), name="image")
    x = L.Conv2D(8, 3)(L.Conv2D(8, 3, activation="swish")(inputs))
    x = L.AveragePooling2D(3, strides=2)(L.Activation("sigmoid")(x))
    x = L.LeakyReLU(0.1)(L.Conv2D(8, 1)(x))
    x = L.PReLU(shared_axes=[1, 2])(L.Conv2D(6, 1)(x))
    x = L.Activation("hard_sigmoid")(L.Conv2D(6, 1)(x))
    x = L.Dense(7, activation="relu")(L.Flatten()(L.Reshape((-1, 6))(x)))
    return keras.Model(inputs, L.Dense(3)(x))


def squeeze_excite():
    inputs = keras.Input((10, 10, 4), name="image")
    x = conv_bn_relu(inputs, 8)
    gate = L.Conv2D(4, 1)(L.GlobalAveragePooling2D(keepdims=True)(x))
    x = L.Multiply()([x, L.Conv2D(8, 1, activation="sigmoid")(gate)])
    x = L.AveragePooling2D(2)(L.MaxPooling2D(3, strides=2, padding="same")(x))
    return keras.Model(inputs, L.Conv2D(3, 1)(x))


def two_inputs():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 2), name="b")
    x, y = L.Conv2D(6, 3, activation="relu")(a), L.Conv2D(6, 3, activation="relu")(b)
    joined = L.MaxPooling2D()(L.ReLU()(L.Concatenate()([x, y])))
    total = L.ReLU(6.0)(L.Add()([x, y]))
    return keras.Model([a, b], [L.Conv2D(3, 1)(joined), L.Dense(2)(L.Flatten()(total))])


def normalization_first():
    inputs = keras.Input((9, 9, 3), name="image")
    x = L.ReLU()(L.Conv2D(5, 3, padding="same")(L.BatchNormalization()(inputs)))
    x = L.BatchNormalization()(x)
    x = L.Add()([x, L.Conv2D(5, 3, padding="same", dilation_rate=2)(x)])
    x = L.UpSampling2D(2, interpolation="bilinear")(x)
    return keras.Model(inputs, L.Conv2D(3, 1)(L.ELU()(L.Conv2D(3, 3)(x))))


def one_pixel():
    inputs = keras.Input((1, 1, 1), name="image")
    return keras.Model(inputs, L.Conv2D(1, 1)(L.ReLU()(L.Conv2D(1, 1)(inputs))))


def dense():
    inputs = keras.Input((12,), name="image")
    return keras.Model(inputs, L.Dense(3)(L.Dropout(0.3)(L.Dense(9, activation="relu")(inputs))))


def functions():
    inputs = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(6, 3, padding="same")(inputs)
    x = L.Multiply()([x, L.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])
    return keras.Model(inputs, tf.nn.relu(L.Conv2D(4, 1)(x + L.Conv2D(6, 3, padding="same")(x))))


def chain():
    inputs = keras.Input((8, 8, 3), name="image")
    x = L.ReLU()(L.DepthwiseConv2D(3)(L.ReLU()(L.Conv2D(8, 3)(inputs))))
    x = L.Activation("relu")(L.Conv2D(8, 1)(L.Conv2D(8, 1)(x)))
    return keras.Model(inputs, L.Conv2D(4, 1)(x))


def separable():
    inputs = keras.Input((9, 9, 3), name="image")
    x = L.ReLU()(L.BatchNormalization()(L.SeparableConv2D(6, 3)(inputs)))
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(L.ReLU()(L.SeparableConv2D(6, 3, padding="same")(x)))))


TQT = {"quantize_strategy": "pof2s_tqt"}
# name: (network, arguments of VitisQuantizer, options, what is asked for)
BUILDERS = [residual, inverted_residual, unet, activations, squeeze_excite, two_inputs, normalization_first, one_pixel]
BUILDERS += [dense, functions, chain, separable]
CASES = {
    **{build.__name__: (build, {}, {}, "quantize_model") for build in BUILDERS},
    "averages equalized": (chain, {}, {"cle_balance_method": "avg", "cle_steps": 3}, "quantize_model"),
    "relu6 equalized": (inverted_residual, {}, {"forced_cle": True}, "quantize_model"),
    "4-bit weights": (residual, {}, {"weight_bit": 4, "bias_bit": 6}, "quantize_model"),
    "6-bit activations": (residual, {}, {"activation_bit": 6, "input_bit": 6}, "quantize_model"),
    "the head ignored": (residual, {}, {"ignore_layers": ["logits"]}, "quantize_model"),
    "until a layer": (residual, {}, {"output_layers": ["add"]}, "quantize_model"),
    "a float16 layer": (residual, {}, {"layer_config": {"conv2d_1": "float16"}}, "quantize_model"),
    "thresholds": (residual, TQT, {}, "quantize_model"),
    "thresholds deployed": (inverted_residual, TQT, {}, "get_deploy_model"),
    "deployed": (unet, {}, {}, "get_deploy_model"),
}


def network(build):
    """Return the model with random weights, and 40 random images."""
    keras.backend.clear_session()
    model, random = build(), np.random.RandomState(1)
    for layer in model.layers:
        weights = []
        for weight in layer.weights:
            name, shape = weight.name.split("/")[-1].split(":")[0], weight.shape
            if name in ("gamma", "moving_variance"):
                weights.append(random.uniform(0.5, 1.5, shape))
            elif "kernel" in name:
                weights.append(random.normal(0, (2 / max(np.prod(shape[:-1]), 4)) ** 0.5, shape))
            else:
                weights.append(random.uniform(-0.5, 0.5, shape))
        layer.set_weights(weights)
    images = [random.normal(size=(40, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    return model, images if len(images) > 1 else images[0]


def result(vitis_quantize, case):
    """Quantize one case; return every position by variable name, and a digest of the outputs if they are integers."""
    build, arguments, options, wanted = CASES[case]
    model, images = network(build)
    quantizer = vitis_quantize.VitisQuantizer(model, **arguments)
    data = {"calib_dataset": images, "calib_batch_size": 8}
    if wanted == "get_deploy_model":
        trainable = quantizer.get_qat_model(init_quant=True, **data, **options)
        quantized = vitis_quantize.VitisQuantizer.get_deploy_model(trainable)
    else:
        quantized = quantizer.quantize_model(**data, **options)
    variables = {variable.name: variable.numpy() for variable in quantized.weights}
    outputs = quantized.predict(images, verbose=0)
    digest = hashlib.sha256(b"".join(output.tobytes() for output in tf.nest.flatten(outputs))).hexdigest()
    # The last bits of a float layer's output depend on the processor.
    exact = all(name.startswith("quant_") for name in quantized.output_names)
    return {
        "positions": {name: int(value) for name, value in variables.items() if name.endswith("_pos:0")},
        "outputs": digest if exact else None,
    }


if __name__ == "__main__":
    from tensorflow_model_optimization.quantization.keras import vitis_quantize

    found = {case: result(vitis_quantize, case) for case in CASES}
    RESULTS.write_text(json.dumps(found, indent=0) + "\n")
