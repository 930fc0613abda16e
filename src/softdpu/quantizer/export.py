"""The other outputs of a quantized model: a file in the format the user asks for, and shape information."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from softdpu.keras2.api import keras, tf
from softdpu.output import files
from softdpu.quantizer import legacy, ops
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.keras_graph import as_functional


def _save_h5(model: keras.Model, path: Path, _opset: int) -> None:
    save_h5(model, path.with_suffix(".h5"))


def _save_tf(model: keras.Model, path: Path, _opset: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    model.save(path, save_format="tf")


def _signature(model: keras.Model) -> list[tf.TensorSpec]:
    """Return the inputs' shapes and types, named as the model's input layers."""
    return [tf.TensorSpec(t.shape, t.dtype, name) for t, name in zip(model.inputs, model.input_names)]  # noqa: B905


def _save_pb(model: keras.Model, path: Path, _opset: int) -> None:
    """Save a frozen graph whose inputs have the names of the model's input layers."""

    def run(*inputs: tf.Tensor) -> Any:
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    with ops.plain_arithmetic():
        function = tf.function(run, autograph=False).get_concrete_function(*_signature(model))
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    files.write_bytes(path.with_suffix(".pb"), frozen.graph.as_graph_def().SerializeToString())


def _save_onnx(model: keras.Model, path: Path, opset: int) -> None:
    """Save an ONNX graph of plain float operations, as AMD does; integer operators have no round half up."""
    try:
        tf2onnx = importlib.import_module("tf2onnx")
    except ImportError:
        raise QuantizerError("output_format onnx: needs the package tf2onnx; pip install 'softdpu[onnx]'") from None
    with ops.plain_arithmetic():
        proto, _ = tf2onnx.convert.from_keras(model, input_signature=_signature(model), opset=opset)
    files.write_bytes(path.with_suffix(".onnx"), proto.SerializeToString())


FORMATS: dict[str, Callable[[keras.Model, Path, int], None]] = {
    "h5": _save_h5,
    "tf": _save_tf,
    "pb": _save_pb,
    "onnx": _save_onnx,
}


def save(model: keras.Model, options: dict[str, Any]) -> None:
    """Save `quantized_model.h5`, .pb, .onnx or the SavedModel folder `quantized_model` in `output_dir`; '' saves none.

    Raises:
        QuantizerError: for another `output_format`, or one that needs a package which is not installed.
    """
    kind = options["output_format"]
    if not kind:
        return
    if kind not in FORMATS:
        raise QuantizerError(f"output_format {kind}: expected '' or one of {', '.join(FORMATS)}")
    FORMATS[kind](model, Path(options["output_dir"]) / "quantized_model", options["onnx_opset_version"])


def save_h5(model: keras.Model, path: files.PathLike) -> None:
    """Save a model, float or quantized, as an HDF5 file that Keras 2.12 reads; whole or not at all.

    The optimizer's state is not saved.
    """
    if not isinstance(model, legacy.Functional):
        model = as_functional(model)
        model = legacy.Functional(model.inputs, model.outputs, name=model.name)
    with files.whole_file(path) as part:
        # Shape information lies where Keras keeps an optimizer's weights.
        has_shapes = isinstance(model.optimizer, ShapeInfo)
        keras.models.save_model(model, str(part), save_format="h5", include_optimizer=has_shapes)


class ShapeInfo:
    """Every layer's output shape, in the place of an optimizer: h5 files then list them under `optimizer_weights`.

    AMD's compiler front end looks there for the shapes of layers that it does not know.
    """

    def __init__(self, shapes: dict[str, list[int]]) -> None:
        self.shapes = shapes
        self.weights = [
            tf.Variable(shape, dtype=tf.int64, trainable=False, name=name) for name, shape in shapes.items()
        ]


def add_shape_info(model: keras.Model) -> None:
    """Store every layer's output shape with batch size 1 in the model.

    Raises:
        QuantizerError: for a layer whose output shape is not known; `input_shape` fixes the model's input.
    """
    model.optimizer = ShapeInfo({layer.name: _shape(layer) for layer in model.layers})


def _shape(layer: keras.layers.Layer) -> list[int]:
    shape = layer.output_shape[0] if isinstance(layer.output_shape, list) else layer.output_shape
    if None in shape[1:]:
        raise QuantizerError(f"layer {layer.name}: its output shape {shape} is not known; give input_shape")
    return [1, *shape[1:]]
