"""AMD's inspector API: `vitis_inspect.VitisInspector`, which says where each layer of a float model would run, and why.

Parameters, defaults and the order of the text are those of vai_q_tensorflow2. What is said comes from our compiler: a
layer is where it will be when the quantized model is compiled.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

from softdpu.keras2.api import keras
from softdpu.output import files
from softdpu.quantizer import clean, dpu_names, export, inspect_report, keras_graph, quantizers, reshape
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.inspect_report import InspectResult
from softdpu.quantizer.scope import quantize_scope
from softdpu.quantizer.vitis_quantize import VitisQuantizer

__all__ = ["InspectResult", "VitisInspector"]

_USUAL = "DPUCZDX8G_ISA1_B4096"


class VitisInspector:
    """Says where the layers of a float Keras model would run.

    Args:
        quantize_strategy: 'pof2s', the strategy of DPUs.
        custom_objects: {class name: class} of the model's own layers.
        target, target_type: a DPU's name, the path of an arch.json or a fingerprint ('name', 'json', 'fingerprint');
            None takes the limits of DPUCZDX8G_ISA1_B4096, the DPU of most boards.

    Raises:
        QuantizerError: for a DPU that is not known.
    """

    def __init__(
        self,
        quantize_strategy: str = "pof2s",
        custom_objects: dict[str, Any] | None = None,
        target: str | None = None,
        target_type: str | None = None,
    ) -> None:
        if quantize_strategy not in ("pof2s", "8bit"):
            raise QuantizerError(f"quantize_strategy {quantize_strategy}: expected pof2s, which is what DPUs compute")
        self._custom_objects = dict(custom_objects or {})
        self._target = dpu_names.find(_USUAL if target is None else target, target_type)
        self._name = None if target is None else self._target.dpu.name

    def inspect_model(
        self,
        float_model: keras.Model,
        input_shape: Any = None,
        plot: bool = False,
        plot_file: str = "model.svg",
        dump_model: bool = False,
        dump_model_file: str = "inspect_model.h5",
        dump_results: bool = True,
        dump_results_file: str = "inspect_results.txt",
        verbose: int = 0,
        configs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[keras.layers.Layer, InspectResult]:
        """Print where each layer of `float_model` would run and return it by layer.

        Args:
            input_shape: of the inputs where the model leaves sizes open, with or without the batch.
            plot, plot_file: also draw it, as .svg, .png or .pdf.
            dump_model, dump_model_file: also save the model with its quantizers, not calibrated, as .h5.
            dump_results, dump_results_file: also write the text, with every layer's configuration.
            verbose: 1 shows the notes of layers on the DPU too.
            configs, kwargs: options of the quantize strategy.

        Raises:
            QuantizerError: for a model that cannot be read, or an input of unknown size.
        """
        quantizer = VitisQuantizer(float_model, custom_objects=self._custom_objects)
        quantizer._configure(configs, kwargs)
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            model = keras_graph.from_model(float_model).to_model(self._custom_objects)
            if input_shape is not None:
                model = reshape.set_input_shape(model, input_shape, self._custom_objects)
            for name, tensor in zip(model.input_names, model.inputs):  # noqa: B905
                if None in tensor.shape[1:]:
                    raise QuantizerError(
                        f"inspect_model: the input {name} has the shape {tuple(tensor.shape)}: give input_shape"
                    )
            found = self._places(model)
            readers = self._readers(model)
            lines = inspect_report.text(model, found, self._name, verbose)
            if dump_model:
                held = VitisQuantizer(model, custom_objects=self._custom_objects)
                held._configure(configs, kwargs)
                export.save_h5(held._quantize_graph(held._optimize(), quantizers.EVALUATE), dump_model_file)
        print("\n".join(lines))
        if dump_results:
            files.write_text(dump_results_file, "\n".join([*lines, *inspect_report.details(found)]) + "\n")
        if plot:
            inspect_report.plot(model, found, readers, plot_file)
        return found

    def _places(self, model: keras.Model) -> dict[keras.layers.Layer, InspectResult]:
        """Return the compiler's answer for each layer."""
        inspector = importlib.import_module("softdpu.compiler.inspector")  # found by name, see dpu_names.find
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{model.name.replace('/', '_')}.h5"
            export.save_h5(model, path)
            places = {place.layer: place for place in inspector.inspect_model(path, self._target)}
        names = {layer.name for layer in model.layers}
        found = {}
        for number, layer in enumerate(model.layers):
            own = [places[layer.name]] if layer.name in places else []
            # What the quantizer makes of the layer besides: an activation of its own.
            made = [place for name, place in places.items() if name.startswith(f"{layer.name}_") and name not in names]
            found[layer] = _result(number, isinstance(layer, keras.layers.InputLayer), [*own, *made])
        return found

    @staticmethod
    def _readers(model: keras.Model) -> dict[str, list[str]]:
        graph = keras_graph.from_model(model)
        readers: dict[str, list[str]] = {node.name: [] for node in graph}
        for node in graph:
            for name in node.inputs():
                readers[name].append(node.name)
        return readers


def _result(number: int, is_input: bool, places: list[Any]) -> InspectResult:
    if is_input:
        return InspectResult(number, "INPUT", [])
    if not places:
        return InspectResult(number, "CPU", ["is not known to the compiler"])
    devices = [place.device if place.device == "CPU" else "DPU" for place in places]  # "" has nothing to do
    reasons = [place.reason for place in places if place.reason]
    notes = reasons or [place.operation or "nothing to do" for place in places[:1]]
    return InspectResult(number, ",".join(dict.fromkeys(devices)), notes)
