"""AMD's quantizer API: `vitis_quantize.VitisQuantizer` and `vitis_quantize.quantize_scope`.

Parameters, defaults and meaning are those of vai_q_tensorflow2, so that a script written for one runs on the other.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from softdpu.keras2 import keras
from softdpu.quantizer import (
    calibration,
    configs,
    conv_bn,
    conversion,
    deploy,
    dpu_layers,
    dump,
    equalization,
    export,
    float_transforms,
    quantizers,
    recipes,
    refine,
    wrappers,
)
from softdpu.quantizer import (
    graph as graphs,
)
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.strategy import Strategy, load_json

logger = logging.getLogger(__name__)

_CLASSES = (
    configs.QuantizeAwareActivation,
    configs.NoQuantizeActivation,
    configs.VitisQuantizeConfig,
    configs.NoQuantizeConfig,
    wrappers.QuantizeWrapper,
    wrappers.CustomOpWrapper,
    wrappers.VitisQuantize,
    quantizers.Pof2SQuantizer,
    quantizers.TQTQuantizer,
    quantizers.LastValueQuantPosQuantizer,
    quantizers.LastValueLogThQuantizer,
    dpu_layers.VitisSigmoid,
    dpu_layers.VitisAveragePooling2D,
    dpu_layers.VitisGlobalAveragePooling2D,
    conv_bn.VitisConvBN,
    conv_bn.VitisConvBNQuantize,
    conv_bn.VitisDepthwiseConvBN,
    conv_bn.VitisDepthwiseConvBNQuantize,
)
_ALIASES = {"Vitis8BitQuantizeConfig": configs.VitisQuantizeConfig, "QuantizeLayer": wrappers.VitisQuantize}


def quantize_scope(*args: dict[str, Any]) -> Any:
    """Return a Keras custom-object scope with all classes of a quantized model, and those of the given dicts."""
    known = {cls.__name__: cls for cls in _CLASSES}
    return keras.utils.custom_object_scope({**known, **_ALIASES, **{k: v for d in args for k, v in d.items()}})


class VitisQuantizer:
    """Quantizes a float Keras model to int8 with power-of-two scales.

    Args:
        float_model: a functional or Sequential keras.Model.
        model_format: None or 'func'.
        quantize_strategy: 'pof2s' or 'pof2s_tqt' (trained thresholds); '8bit' and '8bit_tqt' are their old names.
        custom_quantize_strategy: options over the strategy's own: a dict, or the path of a JSON file.
        custom_objects: {class name: class} of the model's own layers, which stay float.
        target, target_type: must be left out; a model quantized without a target runs on every DPU.
        recipe: how positions are found: 'vitis' as AMD does, another name of `recipes.RECIPES`, or a Recipe.

    Raises:
        QuantizerError: for a model, strategy or option that cannot be quantized.
    """

    def __init__(
        self,
        float_model: keras.Model,
        model_format: str | None = None,
        quantize_strategy: str = "pof2s",
        custom_quantize_strategy: dict[str, Any] | str | os.PathLike[str] | None = None,
        custom_objects: dict[str, Any] | None = None,
        target: str | None = None,
        target_type: str | None = None,
        recipe: str | recipes.Recipe = "vitis",
        **kwargs: Any,
    ) -> None:
        if float_model is None:
            raise QuantizerError("`float_model` cannot be None")
        if not isinstance(float_model, keras.Model):
            raise QuantizerError(
                "[Quantizer_TF2_Unsupported_Model][Unsupported model type] `float_model` can only be a tf_keras Model, "
                f"got {type(float_model).__module__}.{type(float_model).__name__}; load it with tf_keras"
            )
        if model_format not in (None, "func"):
            raise QuantizerError(f"model_format {model_format}: expected None or 'func', a functional Keras model")
        if target is not None:
            raise QuantizerError(
                f"target {target}: quantizing for one target needs AMD's target_factory; leave target out, "
                "a model quantized without one compiles for every DPU"
            )
        self._recipe = recipes.find(recipe)
        self._custom_objects = dict(custom_objects or {})
        self._float_model = float_model
        self._strategy = Strategy(quantize_strategy)
        if custom_quantize_strategy:
            self.set_quantize_strategy(custom_quantize_strategy)
        with quantize_scope(self._custom_objects):
            self._check_layers()
            graphs.as_functional(float_model)

    def _check_layers(self) -> None:
        if wrappers.is_quantized(self._float_model):
            raise QuantizerError(
                f"model {self._float_model.name} is quantized already; quantize the float model, or make this one "
                "ready for the compiler with VitisQuantizer.get_deploy_model"
            )
        for layer in self._float_model._flatten_layers():
            if getattr(getattr(layer, "activation", None), "__name__", "") == "<lambda>":
                raise QuantizerError(
                    f"layer {layer.name}: a lambda as activation cannot be stored in a model file; "
                    "use a Keras activation by name"
                )

    def _configure(self, options: dict[str, Any] | None, more: dict[str, Any]) -> None:
        if options is not None and not isinstance(options, dict):
            raise QuantizerError(f"configs: expected a dict, got {type(options).__name__}")
        self._strategy.update({**(options or {}), **more})

    def _optimized(self) -> graphs.Graph:
        """Return the float graph after stage A."""
        options = self._strategy.options("optimize_pipeline_config")
        graph = graphs.from_model(self._float_model)
        self._recipe.before_float_transforms(graph)
        graph.ignore(self._ignored())
        float_transforms.apply(graph, options)
        if options["include_cle"]:
            equalization.apply(graph, options)
        self._recipe.after_float_transforms(graph)
        return graph

    def _ignored(self) -> set[str]:
        user = self._strategy.user
        return graphs.outside(self._float_model, user["input_layers"], user["output_layers"], user["ignore_layers"])

    def _quantized(self, graph: graphs.Graph, mode: str) -> keras.Model:
        """Return the Keras model of stage B."""
        custom = frozenset(self._custom_objects)
        conversion.quantize(graph, self._strategy, mode, custom)
        return graph.to_model(self._custom_objects)

    def optimize_model(self, configs: dict[str, Any] | None = None, **kwargs: Any) -> keras.Model:
        """Return the float model after the float transforms: the same function, ready to be quantized."""
        self._configure(configs, kwargs)
        with quantize_scope(self._custom_objects):
            return self._optimized().to_model(self._custom_objects)

    def quantize_model(
        self,
        loss: Any = None,
        metrics: Any = None,
        calib_dataset: Any = None,
        calib_batch_size: int | None = None,
        calib_steps: int | None = None,
        eval_dataset: Any = None,
        verbose: int = 0,
        add_shape_info: bool = False,
        input_shape: Any = None,
        configs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> keras.Model:
        """Return the post-training quantized model.

        Args:
            loss: must be None; positions are chosen by squared error.
            metrics, eval_dataset: unused without a loss.
            calib_dataset: unlabelled images: anything that `predict` takes; labels are dropped.
            calib_batch_size: for arrays, 32 if None.
            calib_steps: number of batches, all if None.
            verbose: 1 shows the progress of the calibration.
            add_shape_info: store every layer's output shape in the model, which AMD's compiler needs for own layers.
            input_shape: fixes the shape of the model's input, or a dict of them by name; batch size None or 1.
            configs, kwargs: options of the strategy.

        Raises:
            QuantizerError: for missing or broken calibration data, or an unknown option.
        """
        self._configure(configs, kwargs)
        if loss is not None:
            raise QuantizerError("quantize_model(loss=...): positions by loss are not offered; leave loss out")
        if calib_dataset is None:
            raise QuantizerError(
                "[Quantizer_TF2_Invalid_Calib_Dataset][Invalid calibration dataset] Need to assign `calib_dataset` "
                "when calling quantize_model()."
            )
        with quantize_scope(self._custom_objects):
            graph = self._optimized()
            model = self._calibrated(graph, calib_dataset, calib_batch_size, calib_steps, verbose)
            if self._strategy.trains_thresholds:
                model = _with_positions(model, self._custom_objects)
            refine.apply(model, self._strategy.options("refine_pipeline_config"))
            if input_shape is not None:
                model = _with_input_shape(model, input_shape, self._custom_objects)
            if add_shape_info or self._custom_objects:
                export.add_shape_info(model)
            export.save(model, self._strategy.options("finalize_pipeline_config"))
        return model

    def _calibrated(self, graph: graphs.Graph, dataset: Any, size: int | None, steps: int | None, verbose: int) -> Any:
        model = self._quantized(graph, quantizers.EVALUATE)
        self._calibrate(model, dataset, size, steps, verbose)
        return model

    def _calibrate(
        self, model: keras.Model, dataset: Any, size: int | None, steps: int | None, verbose: int = 0
    ) -> None:
        """Set every position, by AMD's rules and then by the recipe's own."""
        thresholds = self._strategy.trains_thresholds
        held: list[Any] = []
        if self._recipe.wants_data:
            held = list(calibration.batches(dataset, size, steps))
            dataset, size, steps = ((inputs,) for inputs in held), None, None
        dead = calibration.calibrate(model, dataset, size, steps, last_batch=thresholds, verbose=verbose)
        refine.revive(model, dead)
        rules = self._strategy.options("refine_pipeline_config")
        self._recipe.after_calibration(model, held, lambda: refine.apply(model, rules))

    def get_qat_model(
        self,
        init_quant: bool = False,
        calib_dataset: Any = None,
        calib_batch_size: int | None = None,
        calib_steps: int | None = None,
        configs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> keras.Model:
        """Return a model to train: folded float weights behind quantizers that follow every step.

        Args:
            init_quant: calibrate first, so that positions (or thresholds) do not start at 0.
            calib_dataset, calib_batch_size, calib_steps: as in `quantize_model`, for init_quant.
            configs, kwargs: options of the strategy; train_with_bn=True keeps BatchNormalization in training.

        Raises:
            QuantizerError: for missing or broken calibration data, or an unknown option.
        """
        self._configure(configs, kwargs)
        if init_quant and calib_dataset is None:
            raise QuantizerError(
                "[Quantizer_TF2_Invalid_Calib_Dataset][Invalid calibration dataset] Need to assign `calib_dataset` "
                "when calling get_qat_model(init_quant=True)."
            )
        with quantize_scope(self._custom_objects):
            model = self._quantized(self._optimized(), quantizers.TRAIN)
            if init_quant:
                self._calibrate(model, calib_dataset, calib_batch_size, calib_steps)
                if not self._strategy.trains_thresholds:
                    refine.apply(model, self._strategy.options("refine_pipeline_config"))
                wrappers.set_mode(model, quantizers.TRAIN)
        return model

    @staticmethod
    def get_deploy_model(
        model: keras.Model,
        convert_to_pof2s_quantize_strategy: bool = True,
        convert_to_fs_quantize_strategy: bool = False,
        use_fixneuron_quant: int = 0,
        use_framework_quant: bool = True,
        output_format: str = "",
        onnx_opset_version: int = 13,
        output_dir: str = "./quantize_results/",
        add_shape_info: bool = False,
        input_shape: Any = None,
        dataset: Any = None,
    ) -> keras.Model:
        """Return a trained quantized model ready for the compiler.

        BatchNormalization is folded, trained thresholds become positions, Dropout goes, and every position rule of
        the DPU holds (AMD's tool checks only part of them here, so that its model can fail to compile).

        Raises:
            QuantizerError: for a model that is not quantized, or an option that is not offered.
        """
        if not isinstance(model, keras.Model) or not wrappers.is_quantized(model):
            raise QuantizerError("get_deploy_model: expected a quantized Keras model, as get_qat_model gives it")
        if convert_to_fs_quantize_strategy or use_fixneuron_quant:
            raise QuantizerError(
                "get_deploy_model: convert_to_fs_quantize_strategy and use_fixneuron_quant are not offered: a DPU "
                "computes with the power-of-two scales that the model has"
            )
        with quantize_scope():
            own = _own_classes(model)
            deployed = _with_positions(model, own) if convert_to_pof2s_quantize_strategy else _rebuilt(model, own)
            if convert_to_pof2s_quantize_strategy:
                deploy.make_legal(deployed)
            if input_shape is not None:
                deployed = _with_input_shape(deployed, input_shape, own)
            if add_shape_info:
                export.add_shape_info(deployed)
            export.save(
                deployed,
                {"output_format": output_format, "onnx_opset_version": onnx_opset_version, "output_dir": output_dir},
            )
        return deployed

    @staticmethod
    def dump_model(
        model: keras.Model,
        dataset: Any = None,
        output_dir: str = "./dump_results",
        dump_float: bool = False,
        weights_only: bool = False,
        **kwargs: Any,
    ) -> None:
        """Write the int8 weights and activations (of the first batch) of a quantized model as .bin and .txt files."""
        dump.dump_model(model, dataset, output_dir, dump_float, weights_only)

    def dump_quantize_strategy(self, dump_file: str = "quantize_strategy.json", verbose: int = 0) -> str:
        """Write the options in force to a JSON file and return its text.

        verbose 0 gives the user's keys, 1 also those of the pipelines, 2 also every layer's quantizers.
        """
        return dump.dump_strategy(self._strategy.to_json(verbose), dump_file)

    def set_quantize_strategy(self, new_quantize_strategy: Any = "quantize_strategy.json") -> None:
        """Merge options, a dict or the path of a JSON file, over those in force."""
        if not isinstance(new_quantize_strategy, dict):
            new_quantize_strategy = load_json(new_quantize_strategy)
        self._strategy.update(new_quantize_strategy)


def _own_classes(model: keras.Model) -> dict[str, Any]:
    """Return {name: class} of the user's own layers in a model."""
    classes = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    return {
        name: kind
        for name, kind in classes.items()
        if kind.__module__.split(".")[0] not in ("tf_keras", "keras", "softdpu")
    }


def _rebuilt(model: keras.Model, custom_objects: dict[str, Any]) -> keras.Model:
    return graphs.from_model(model).to_model(custom_objects)


def _with_positions(model: keras.Model, custom_objects: dict[str, Any]) -> keras.Model:
    """Return a copy with folded normalization, positions instead of thresholds, and no Dropout."""
    graph = graphs.from_model(model)
    deploy.fold_conv_bn(graph, model)
    deploy.thresholds_to_positions(graph)
    deploy.remove_dropout(graph)
    return graph.to_model(custom_objects)


def _with_input_shape(model: keras.Model, input_shape: Any, custom_objects: dict[str, Any]) -> keras.Model:
    """Return a copy whose inputs have the given shapes."""
    graph = graphs.from_model(model)
    inputs = [node for node in graph if node.class_name == "InputLayer"]
    if isinstance(input_shape, dict):
        shapes = {name.split(":")[0]: shape for name, shape in input_shape.items()}
    elif input_shape and isinstance(input_shape[0], (list, tuple)):
        shapes = {node.name: shape for node, shape in zip(inputs, input_shape)}  # noqa: B905
    else:
        shapes = {inputs[0].name: input_shape}
    for name, shape in shapes.items():
        if name not in graph.nodes:
            raise QuantizerError(f"input_shape: the model has no input {name}; it has {[n.name for n in inputs]}")
        old = graph.nodes[name].config["batch_input_shape"]
        if len(old) != len(shape):
            raise QuantizerError(
                f"[Quantizer_TF2_Invalid_Input_Shape][Invalid input shape] input_shape {tuple(shape)} has {len(shape)} "
                f"dimensions, the model's input {name} has {len(old)}"
            )
        if shape[0] not in (None, 1):
            logger.warning("input_shape %s: the compiler takes only a batch size of None or 1", tuple(shape))
        graph.nodes[name].config["batch_input_shape"] = [None if size == -1 else size for size in shape]
    return graph.to_model(custom_objects)
