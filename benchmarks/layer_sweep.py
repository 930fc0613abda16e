"""Every layer class of Keras 2, and TensorFlow functions, each alone between two convolutions in three settings.

Each network is quantized and compiled for ZCU102; the quantized Keras model, the integer reference and the LiteRT
engine are compared on random images. Either all three give the same bits and the shapes are the model's, or the layer
is refused in one line before anything is quantized. Prints the table of docs/layers.md; exits with 1 if neither is so.

Example:
    python benchmarks/layer_sweep.py > docs/layers.md
    python benchmarks/layer_sweep.py --only Conv2D LSTM
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np

import xir
from softdpu.compiler import compile_model
from softdpu.errors import SoftdpuError
from softdpu.keras2.api import keras, tf
from softdpu.numbers import fixed_point
from softdpu.quantizer.vitis_quantize import VitisQuantizer
from softdpu.runtime import create_engine, evaluate_graph

L = keras.layers
IMAGES = 8
_HEAD = """\
# Layers

What the quantizer, the compiler and the software DPU do with each layer class of Keras 2, and with TensorFlow functions
on Keras tensors, each alone between two convolutions in three settings. `python benchmarks/layer_sweep.py` made this
table.

"DPU" and "CPU" say where the layer runs on ZCU102; the outputs of the quantized Keras model, of the integer reference
and of the LiteRT engine were equal in every bit. "Refused" layers stop `quantize_model` and `get_qat_model` with one
line, before anything is quantized. A layer class of your own, or one of these passed in `custom_objects`, becomes an
operation of its own for the CPU, with the shape that Keras says it has.

| layer | settings | result |
|---|---|---|"""

# Arguments in three settings, where () does not do or shows too little.
_IMAGE_1D = [{}, {"padding": "same"}, {"strides": 2}]
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "Activation": [{"activation": "relu"}, {"activation": "sigmoid"}, {"activation": "tanh"}],
    "ActivityRegularization": [{"l1": 0.1}, {"l2": 0.1}, {}],
    "AlphaDropout": [{"rate": 0.1}, {"rate": 0.5}, {"rate": 0.9}],
    "AveragePooling2D": [{}, {"pool_size": 3, "padding": "same"}, {"pool_size": (2, 3), "strides": 1}],
    "BatchNormalization": [{}, {"center": False}, {"scale": False}],
    "CategoryEncoding": [{"num_tokens": 4}, {"num_tokens": 4, "output_mode": "one_hot"}, {"num_tokens": 8}],
    "CenterCrop": [{"height": 6, "width": 6}, {"height": 8, "width": 5}, {"height": 12, "width": 10}],
    "Conv2D": [
        {"filters": 6, "kernel_size": 3, "activation": "relu"},
        {"filters": 6, "kernel_size": (2, 3), "strides": 2, "padding": "same"},
        {"filters": 8, "kernel_size": 3, "groups": 4, "use_bias": False},
    ],
    "Conv2DTranspose": [
        {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"},
        {"filters": 6, "kernel_size": 2, "strides": 2},
        {"filters": 6, "kernel_size": 3, "strides": 2, "output_padding": 1},
    ],
    "Cropping2D": [{}, {"cropping": 2}, {"cropping": ((1, 0), (2, 3))}],
    "Dense": [{"units": 6}, {"units": 6, "activation": "relu"}, {"units": 6, "activation": "softmax"}],
    "DepthwiseConv2D": [
        {"kernel_size": 3},
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": 3, "depth_multiplier": 2},
    ],
    "Discretization": [{"bin_boundaries": [0.0, 1.0]}, {"num_bins": 4}, {"bin_boundaries": [0.5]}],
    "EinsumDense": [{"equation": "abcd,de->abce", "output_shape": (None, None, 6)}] * 3,
    "ELU": [{}, {"alpha": 0.5}, {"alpha": 2.0}],
    "Embedding": [{"input_dim": 8, "output_dim": 2}] * 3,
    "GaussianDropout": [{"rate": 0.1}, {"rate": 0.5}, {"rate": 0.9}],
    "GaussianNoise": [{"stddev": 0.1}, {"stddev": 0.5}, {"stddev": 1.0}],
    "GroupNormalization": [{"groups": 2}, {"groups": 4}, {"groups": 8}],
    "Hashing": [{"num_bins": 4}] * 3,
    "LeakyReLU": [{}, {"alpha": 0.1}, {"alpha": 0.01}],
    "MaxPooling2D": [{}, {"pool_size": 3, "padding": "same"}, {"pool_size": (2, 3), "strides": 1}],
    "MultiHeadAttention": [{"num_heads": 2, "key_dim": 4}] * 3,
    "Permute": [{"dims": (1, 2, 3)}, {"dims": (2, 1, 3)}, {"dims": (3, 1, 2)}],
    "PReLU": [{}, {"shared_axes": [1, 2]}, {"shared_axes": [1, 2, 3]}],
    "RandomContrast": [{"factor": 0.1}] * 3,
    "RandomCrop": [{"height": 6, "width": 6}, {"height": 8, "width": 5}, {"height": 12, "width": 10}],
    "RandomFlip": [{}, {"mode": "horizontal"}, {"mode": "vertical"}],
    "RandomTranslation": [{"height_factor": 0.1, "width_factor": 0.1}] * 3,
    "ReLU": [{}, {"max_value": 6.0}, {"negative_slope": 0.1}],
    "RepeatVector": [{"n": 2}] * 3,
    "Rescaling": [{"scale": 0.5}, {"scale": 2.0, "offset": -1.0}, {"scale": [0.1] * 8}],
    "Reshape": [{"target_shape": (6, 24, 8)}, {"target_shape": (12, 12, 8)}, {"target_shape": (-1, 8, 4)}],
    "Resizing": [{"height": 6, "width": 6}, {"height": 24, "width": 24}, {"height": 5, "width": 7}],
    "SeparableConv2D": [
        {"filters": 6, "kernel_size": 3},
        {"filters": 6, "kernel_size": 3, "activation": "relu", "strides": 2},
        {"filters": 6, "kernel_size": 3, "padding": "same", "activation": "sigmoid"},
    ],
    "Softmax": [{}, {"axis": -1}, {"axis": 1}],
    "ThresholdedReLU": [{}, {"theta": 0.5}, {"theta": 2.0}],
    "UpSampling2D": [{}, {"size": (2, 3)}, {"interpolation": "bilinear"}],
    "ZeroPadding2D": [{}, {"padding": 2}, {"padding": ((1, 0), (2, 3))}],
}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tf.nn.relu": tf.nn.relu,
    "tf.nn.relu6": tf.nn.relu6,
    "tf.nn.leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.1),
    "tf.nn.silu": tf.nn.silu,
    "tf.nn.selu": tf.nn.selu,
    "tf.clip_by_value": lambda x: tf.clip_by_value(x, 0.0, 6.0),
    "tf.clip_by_value(-1, 1)": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "tf.image.resize": lambda x: tf.image.resize(x, (24, 24), "nearest"),
    "tf.image.resize, smaller": lambda x: tf.image.resize(x, (5, 7)),
    "tf.image.resize, smaller, nearest": lambda x: tf.image.resize(x, (5, 7), "nearest"),
    "tf.pad": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]),
    "tf.pad, REFLECT": lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"),
    "tf.split": lambda x: tf.concat(tf.split(x, [2, 6], -1)[::-1], -1),
    "tf.split in two": lambda x: tf.split(x, 2, -1)[1],
    "tf.unstack": lambda x: tf.expand_dims(tf.unstack(x, axis=1)[0], 1),
    "tf.squeeze": lambda x: tf.expand_dims(tf.squeeze(x[:, :1], 1), 2),
    "tf.stack": lambda x: tf.reshape(tf.stack([x, x], -1), [-1, 12, 12, 16]),
    "tf.nn.max_pool2d": lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"),
    "tf.nn.avg_pool2d": lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"),
    "tf.nn.depth_to_space": lambda x: tf.nn.depth_to_space(x, 2),
    "tf.nn.space_to_depth": lambda x: tf.nn.space_to_depth(x, 2),
    "tf.identity": tf.identity,
    "tf.cast": lambda x: tf.cast(x, tf.float32),
    "tf.square": tf.square,
    "x[:, 1]": lambda x: x[:, 1][:, tf.newaxis],
    "x[..., 2:]": lambda x: x[..., 2:],
    "tf.reduce_mean": lambda x: tf.reduce_mean(x, [1, 2], keepdims=True),
    "tf.nn.l2_normalize": lambda x: tf.nn.l2_normalize(x, -1),
}


def network(middle: Callable[[Any], Any]) -> Any:
    """Return a network of 12 x 12 images with `middle` between two convolutions (no image: behind one)."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    image = L.Input((12, 12, 3))
    x = middle(L.Conv2D(8, 3, padding="same", name="before")(image))
    if len(x.shape) == 4:
        x = L.Conv2D(4, 1, name="behind")(x)
    elif len(x.shape) == 2:
        x = L.Dense(4, name="behind")(x)
    return keras.Model(image, x)


def judge(model: Any, custom_objects: dict[str, Any] | None = None) -> tuple[str, str]:
    """Return what becomes of a float model of one input and output.

    Returns:
        "DPU" or "CPU" and why on the CPU; "refused" and the line; "FAILED" and what is wrong.
    """
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if not isinstance(layer, L.Normalization):
            layer.set_weights([_weight(rng, weight) for weight in layer.weights])
    images = rng.normal(0, 1, (IMAGES, *model.input_shape[1:])).astype(np.float32)
    quantizer_is_done = False
    try:
        quantized = VitisQuantizer(model, custom_objects=custom_objects or {}).quantize_model(calib_dataset=images)
        quantizer_is_done = True
        return _compared(model, quantized, images)
    except SoftdpuError as error:
        one_line = "\n" not in str(error)
        return "refused" if one_line and not quantizer_is_done else "FAILED", str(error)
    except Exception as error:
        return "FAILED", f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _weight(rng: np.random.Generator, weight: Any) -> np.ndarray:
    value = rng.normal(0, 0.3, weight.shape)
    is_positive = "variance" in weight.name or "gamma" in weight.name
    return (np.abs(value) + 0.5 if is_positive else value).astype(weight.dtype.as_numpy_dtype)


def _compared(model: Any, quantized: Any, images: np.ndarray) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "q.h5"
        quantized.save(path)
        summary = compile_model(path, "zcu102", Path(folder) / "q.xmodel")
        graph = xir.Graph.deserialize(str(Path(folder) / "q.xmodel"))
    expected = quantized.predict(images, verbose=0)
    (made,) = _evaluated(graph, images)
    if made.shape[1:] == (1, 1, *expected.shape[1:]):  # a vector behind global pooling, as AMD's compiler has it
        made = made.reshape(expected.shape)
    if made.shape[1:] != expected.shape[1:]:
        return "FAILED", f"the shape is {made.shape[1:]}, the model's {expected.shape[1:]}"
    if len(np.unique(expected)) < 3:
        return "FAILED", "the outputs say nothing"
    wrong = int(np.sum(made != expected))
    if wrong:
        return "FAILED", f"{wrong} of {expected.size} outputs differ"
    for subgraph in graph.get_root_subgraph().toposort_child_subgraph():
        if subgraph.get_attr("device") == "DPU" and not _engines_agree(subgraph):
            return "FAILED", "the LiteRT engine differs from the reference"
    slow = [place for place in summary["layers"] if place.get("device") == "CPU" and "before" not in place["layer"]]
    if not slow:
        return "DPU", ""
    return "CPU", next((place["reason"] for place in slow if place.get("reason")), "")


def _evaluated(graph: Any, images: np.ndarray) -> list[np.ndarray]:
    (head,) = [op.get_output_tensor() for op in graph.get_ops() if op.get_type() in ("data-fix", "data")]
    if head.has_attr("fix_point"):
        integers = fixed_point.quantize(images, head.get_attr("fix_point"), fixed_point.HALF_UP)
        return list(evaluate_graph(graph, {head.name: integers}).values())
    return list(evaluate_graph(graph, {head.name: images}).values())


def _engines_agree(subgraph: Any) -> bool:
    """Whether both engines give the same integers for random ones."""
    rng = np.random.default_rng(1)
    results = []
    engines = [create_engine(subgraph, name) for name in ("reference", "litert")]
    given = [rng.integers(-128, 128, value.shape).astype(np.int8) for value in engines[0].program.inputs]
    for engine in engines:
        made = [np.empty(value.shape, value.dtype) for value in engine.program.outputs]
        engine.run(given, made)
        results.append(made)
    return all(np.array_equal(*pair) for pair in zip(*results, strict=True))


def layer_names() -> list[str]:
    """Return the layer classes of Keras 2 by name."""
    found = {
        kind.__name__ for kind in vars(L).values() if isinstance(kind, type) and issubclass(kind, keras.layers.Layer)
    }
    return sorted(found - {"Layer", "InputLayer", "Wrapper", "AbstractRNNCell", "DenseFeatures"})


def variants(name: str) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return three settings of a layer class as (text, function of a tensor)."""
    kind = getattr(L, name)
    if name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract", "Dot"):
        more = {"axes": 3} if name == "Dot" else {}
        return [
            ("of a tensor and a convolution of it", lambda x: kind(**more)([x, L.Conv2D(8, 1)(x)])),
            ("of two convolutions", lambda x: kind(**more)([L.Conv2D(8, 1)(x), L.Conv2D(8, 1)(x)])),
            ("of a map and a vector", lambda x: kind(**more)([x, L.GlobalAveragePooling2D(keepdims=True)(x)])),
        ]
    if "Attention" in name:
        return [("of a sequence with itself", lambda x: _attention(kind, SETTINGS.get(name, [{}])[0], x))] * 3
    if name == "Lambda":
        return [(text, functools.partial(_lambda, FUNCTIONS[text])) for text in ("tf.nn.relu6", "tf.split", "tf.pad")]
    settings = SETTINGS.get(name) or _guess(name)
    return [(_text(one) or "default", functools.partial(_applied, name, kind, one, _shape(name))) for one in settings]


def _shape(name: str) -> tuple[int, ...] | None:
    """Return what the 12 x 12 x 8 numbers in front of a layer class are reshaped to; None for the image."""
    sequences = ("LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "RNN", "StackedRNNCells", "Bidirectional")
    if name.startswith("ConvLSTM"):
        return {"1D": None, "2D": (4, 6, 6, 8), "3D": (2, 4, 6, 3, 8)}[name[-2:]]
    if name == "RepeatVector":
        return (1152,)
    return (144, 8) if "1D" in name or name in sequences else (4, 6, 6, 8) if "3D" in name else None


def _lambda(function: Callable[[Any], Any], x: Any) -> Any:
    return L.Lambda(function)(x)


def _applied(name: str, kind: Any, arguments: dict[str, Any], shape: tuple[int, ...] | None, x: Any) -> Any:
    return _made(name, kind, arguments)(L.Reshape(shape)(x) if shape else x)


def _made(name: str, kind: Any, arguments: dict[str, Any]) -> Any:
    if name == "Bidirectional":
        return kind(L.LSTM(4))
    if name == "TimeDistributed":
        return kind(L.Dense(8))
    if name == "RNN":
        return kind(L.LSTMCell(4))
    if name == "SpectralNormalization":
        return kind(L.Conv2D(8, 3))
    if name == "Normalization":
        return kind(mean=[0.1] * 8, variance=[0.5] * 8)
    return kind(**arguments)


def _guess(name: str) -> list[dict[str, Any]]:
    size = {"filters": 6, "kernel_size": 3}
    if name.startswith(("Conv", "SeparableConv", "LocallyConnected")):
        return [size, {**size, "activation": "relu"}, {**size, "use_bias": False}]
    if name.startswith("DepthwiseConv"):
        return [{"kernel_size": 3}, {"kernel_size": 3, "use_bias": False}, {"kernel_size": 2}]
    if name in ("LSTM", "GRU", "SimpleRNN") or name.endswith("Cell"):
        return [{"units": 4}, {"units": 8}, {"units": 4, "use_bias": False}]
    if "Dropout" in name:
        return [{"rate": 0.1}, {"rate": 0.5}, {"rate": 0.9}]
    if name.startswith("Random"):
        return (
            [{"factor": 0.1}, {"factor": 0.2}, {"factor": 0.5}]
            if name != "RandomZoom"
            else [{"height_factor": 0.1}] * 3
        )
    if name.startswith("Global"):
        return [{}, {"keepdims": True}, {"keepdims": False}]
    return [{}] * 3


def _attention(kind: Any, arguments: dict[str, Any], x: Any) -> Any:
    sequence = L.Reshape((144, 8))(x)
    made = kind(**arguments)
    result = made(sequence, sequence) if arguments else made([sequence, sequence])
    return L.Reshape((12, 12, 8))(result)


def _text(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in arguments.items())


def sweep(only: list[str] | None = None) -> list[tuple[str, str, str, str]]:
    """Return (layer, settings, outcome, reason) for each network."""
    rows: list[tuple[str, str, str, str]] = []
    cases = [(name, text, make) for name in layer_names() for text, make in variants(name)]
    cases += [(name, "", make) for name, make in FUNCTIONS.items()]
    for name, text, make in cases:
        if (only and name not in only) or (name, text) in {row[:2] for row in rows}:
            continue
        try:
            model = network(make)
        except Exception as error:
            outcome, why = "-", f"Keras does not build it between two convolutions ({type(error).__name__})"
        else:
            outcome, why = judge(model)
        rows.append((name, text, outcome, why))
        print(f"{name} {text}: {outcome} {why}"[:200], file=sys.stderr, flush=True)
    return rows


def table(rows: list[tuple[str, str, str, str]]) -> str:
    """Return the rows as Markdown, equal outcomes of one layer in one row."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for name, text, outcome, why in rows:
        texts = merged.setdefault((name, outcome, _plain(why)), [])
        if text and text not in texts:
            texts.append(text)
    lines = [_HEAD]
    for (name, outcome, why), texts in merged.items():
        result = {"DPU": "DPU", "CPU": "CPU", "refused": "refused", "-": ""}.get(outcome, outcome)
        told = f"{result}: {why}" if why and result else result or why
        lines.append(f"| `{name}` | {'; '.join(texts)} | {told} |".replace("  ", " "))
    counts = {outcome: sum(row[2] == outcome for row in rows) for outcome in ("DPU", "CPU", "refused", "-", "FAILED")}
    lines += [
        "",
        f"{len(rows)} networks: {counts['DPU']} on the DPU, {counts['CPU']} partly on the CPU, all right to the bit; "
        f"{counts['refused']} refused before quantization; {counts['-']} that Keras does not build; "
        f"{counts['FAILED']} failed.",
    ]
    return "\n".join(lines)


def _plain(why: str) -> str:
    """Return a refusal without the layer's own name and without the way by custom_objects, which the head tells."""
    text = why.split("; or pass custom_objects")[0].split(", or a layer class of your own")[0]
    text = text.split(": ", 1)[1] if text.startswith("layer ") and ": " in text else text
    return text.replace("|", "/")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="names of layers or functions")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows = sweep(args.only)
    print(table(rows))
    return int(any(row[2] == "FAILED" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
