"""AMD's quantizer API: `vitis_quantize.VitisQuantizer` and `vitis_quantize.quantize_scope`.

Parameters, defaults and meaning are those of vai_q_tensorflow2, so that a script written for one runs on the other.
"""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple

from softdpu.keras2.api import keras
from softdpu.quantizer import (
    calib_data,
    calibration,
    clean,
    conversion,
    datatypes,
    dpu_names,
    dump,
    equalization,
    export,
    fast_finetune,
    finalize,
    float_transforms,
    functions,
    keras_graph,
    loss_search,
    quantizers,
    recipes,
    refine,
    reshape,
    supported,
    wrappers,
)
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.scope import own_classes, quantize_scope
from softdpu.quantizer.strategy import STRATEGY_NAMES, Strategy, load_json

__all__ = ["VitisQuantizer", "quantize_scope"]


class _Held(NamedTuple):
    """What later steps need: the float model that was quantized, and the calibration data."""

    float_model: keras.Model | None
    batches: list[Any]


def _lambdas(model: keras.Model) -> dict[str, Any]:
    return {layer.name: layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Lambda)}


class VitisQuantizer:
    """Quantizes a float Keras model to int8 with power-of-two scales.

    Args:
        float_model: a functional or Sequential keras.Model.
        model_format: None or 'func'; a strategy's name stands for quantize_strategy, which came second before 2.5.
        quantize_strategy: 'pof2s' or 'pof2s_tqt' (trained thresholds); '8bit' and '8bit_tqt' are their old names.
        custom_quantize_strategy: options over the strategy's own: a dict, or the path of a JSON file.
        custom_objects: {class name: class} of the model's own layers, which stay float.
        target, target_type: a DPU's name, the path of an arch.json or a fingerprint ('name', 'json', 'fingerprint');
            it must be known, but changes nothing: the same quantized model is compiled for every DPU.
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
        if model_format in STRATEGY_NAMES:  # (model, "8bit", custom strategy) of Vitis AI 1.3 to 2.0
            if quantize_strategy not in STRATEGY_NAMES.values():
                custom_quantize_strategy = quantize_strategy
            quantize_strategy, model_format = str(model_format), None
        if model_format not in (None, "func"):
            raise QuantizerError(f"model_format {model_format}: expected None or 'func', a functional Keras model")
        if target is not None:
            dpu_names.check(target, target_type)
        self._recipe = recipes.find(recipe)
        self._custom_objects = dict(custom_objects or {})
        self._float_model = float_model
        self._strategy = Strategy(quantize_strategy)
        if custom_quantize_strategy:
            self.set_quantize_strategy(custom_quantize_strategy)
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            self._check_layers()
            keras_graph.as_functional(float_model)

    def _check_layers(self) -> None:
        if wrappers.is_quantized(self._float_model):
            raise QuantizerError(
                f"model {self._float_model.name} is quantized already; quantize the float model, or make this one "
                "ready for the compiler with VitisQuantizer.get_deploy_model"
            )
        for layer in self._float_model._flatten_layers():
            activation = getattr(layer, "activation", None)
            kind = "partial" if isinstance(activation, functools.partial) else getattr(activation, "__name__", "")
            if kind in ("<lambda>", "partial"):
                raise QuantizerError(
                    f"layer {layer.name}: a {kind.strip('<>')} as activation cannot be stored in a model file; "
                    "use a Keras activation by name, or an activation layer"
                )

    def _configure(self, options: dict[str, Any] | None, more: dict[str, Any]) -> None:
        if options is not None and not isinstance(options, dict):
            raise QuantizerError(f"configs: expected a dict, got {type(options).__name__}")
        self._strategy.update({**(options or {}), **more})

    def _optimize(self) -> keras_graph.Graph:
        """Return the float graph after stage A."""
        options = self._strategy.options("optimize_pipeline_config")
        graph = keras_graph.from_model(self._float_model)
        graph.ignore(self._list_ignored())
        clean.apply(graph, options["remove_dropout"])
        if options["convert_tf_op_to_keras"]:
            functions.convert(graph, _lambdas(self._float_model), self._custom_objects)
        self._recipe.before_float_transforms(graph)
        float_transforms.apply(graph, options)
        if options["include_cle"]:
            equalization.apply(graph, options)
        self._recipe.after_float_transforms(graph)
        datatypes.apply_layer_config(graph, self._strategy.user["layer_config"])
        return graph

    def _list_ignored(self) -> set[str]:
        user = self._strategy.user
        return keras_graph.find_outside(
            self._float_model, user["input_layers"], user["output_layers"], user["ignore_layers"]
        )

    def _quantize_graph(self, graph: keras_graph.Graph, mode: str) -> keras.Model:
        """Return the Keras model of stage B."""
        custom = frozenset(self._custom_objects)
        supported.check(graph, self._strategy, custom)
        conversion.quantize(graph, self._strategy, mode, custom)
        return graph.to_model(self._custom_objects)

    def optimize_model(self, configs: dict[str, Any] | None = None, **kwargs: Any) -> keras.Model:
        """Return the float model after the float transforms: the same function, ready to be quantized."""
        self._configure(configs, kwargs)
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            return self._optimize().to_model(self._custom_objects)

    def convert_model(self, target_dtype: str = "float16", **kwargs: Any) -> keras.Model:
        """Return the float model with folded BatchNormalization, computing in another float type.

        Args:
            target_dtype: float16, float32, float64 or bfloat16.

        Raises:
            QuantizerError: for another type.
        """
        datatypes.check_float(target_dtype)
        self._configure({"remove_dropout": False, "include_cle": False}, {})
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            graph = self._optimize()
            datatypes.convert(graph, target_dtype)
            return graph.to_model(self._custom_objects)

    def convert_model_from_candidate(self, target_dtype: str = "float16") -> keras.Model:
        """Return what `convert_model` gives; input_layers, output_layers and ignore_layers hold in both."""
        return self.convert_model(target_dtype)

    def set_model_with_layer_config(self, layer_config: dict[str, str] | None = None) -> dict[str, str]:
        """Give layers their own types from now on and return these: {layer: float16, ..., int8, int16 or int32}."""
        self._strategy.update({"layer_config": dict(layer_config or {})})
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            self._optimize()  # which names a layer or type that is not known
        return dict(layer_config or {})

    def get_analysed_model(self, dataset: Any) -> tuple[keras.Model, dict[str, Any]]:
        """Return the model with quantizers that change nothing, and the range and position of every tensor."""
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            model = self._quantize_graph(self._optimize(), quantizers.EVALUATE)
            return model, calibration.analyse(model, calib_data.batches(model, dataset, None, None))

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
            loss: a Keras loss by which positions are searched after calibration; None leaves them.
            metrics, eval_dataset: for the loss; eval_dataset holds labelled images: (images, labels) or a data set.
            calib_dataset: unlabelled images in any form that calib_data takes; labels are dropped.
            calib_batch_size: for arrays and single images, 32 if None.
            calib_steps: number of batches, all if None; needed for data without an end.
            verbose: 1 shows the progress of the calibration as a bar off a terminal too.
            add_shape_info: store every layer's output shape in the model, which AMD's compiler needs for own layers.
            input_shape: fixes the shape of the model's input, or a dict of them by name; batch size None or 1; as
                text too: "?,224,224,3".
            configs, kwargs: options of the strategy.

        Raises:
            QuantizerError: for missing or broken calibration data, or an unknown option.
        """
        self._configure(configs, kwargs)
        if loss is not None and eval_dataset is None:
            raise QuantizerError("quantize_model(loss=...): Need to assign `eval_dataset`, labelled images")
        dtype = self._strategy.options("quantize_pipeline_config")["convert_datatype"]
        if calib_dataset is None and not dtype:
            raise QuantizerError(
                "[Quantizer_TF2_Invalid_Calib_Dataset][Invalid calibration dataset] Need to assign `calib_dataset` "
                "when calling quantize_model()."
            )
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            if dtype:
                model = self.convert_model(dtype)
            else:
                model, held = self._calibrate(
                    quantizers.EVALUATE, calib_dataset, calib_batch_size, calib_steps, verbose
                )
                if loss is not None:
                    loss_search.search(model, loss, metrics, eval_dataset, verbose)
                model = self._refine(model, held, calib_batch_size, verbose)
            if input_shape is not None:
                model = reshape.set_input_shape(model, input_shape, self._custom_objects)
            if add_shape_info or self._custom_objects:
                export.add_shape_info(model)
            export.save(model, self._strategy.options("finalize_pipeline_config"))
        return model

    def _calibrate(
        self, mode: str, dataset: Any, size: int | None, steps: int | None, verbose: int = 0
    ) -> tuple[keras.Model, _Held]:
        """Return the quantized model with every position set, by AMD's rules and then by the recipe's own."""
        graph = self._optimize()
        tunes = self._strategy.options("refine_pipeline_config")["include_fast_ft"]
        held = _Held(graph.to_model(self._custom_objects) if tunes else None, [])
        model = self._quantize_graph(graph, mode)
        batches = calib_data.batches(model, dataset, size, steps)
        if self._recipe.wants_data or tunes:
            held.batches.extend(batches)
            batches = iter(held.batches)
        thresholds = self._strategy.trains_thresholds
        dead = calibration.calibrate(model, batches, last_batch=thresholds, verbose=verbose)
        refine.revive(model, dead)
        rules = self._strategy.options("refine_pipeline_config")
        self._recipe.after_calibration(model, held.batches, lambda: refine.apply(model, rules))
        return model, held

    def _refine(self, model: keras.Model, held: _Held, size: int | None, verbose: int = 0) -> keras.Model:
        """Return the calibrated model with positions that the DPU has, and tuned weights if that is asked for."""
        options = self._strategy.options("refine_pipeline_config")
        if options.get("convert_to_pof2s_quantize_strategy"):
            model = finalize.store_positions(model, self._custom_objects)
        refine.apply(model, options)  # it leaves thresholds alone
        if held.float_model is not None:
            fast_finetune.fast_finetune(model, held.float_model, held.batches, size, options["fast_ft_epochs"], verbose)
        return model

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
        with clean.compute_in_float32(), quantize_scope(self._custom_objects):
            if not init_quant:
                return self._quantize_graph(self._optimize(), quantizers.TRAIN)
            model, held = self._calibrate(quantizers.TRAIN, calib_dataset, calib_batch_size, calib_steps)
            if self._strategy.trains_thresholds:
                self._strategy.options("refine_pipeline_config")["convert_to_pof2s_quantize_strategy"] = False
            wrappers.set_mode(model, quantizers.EVALUATE)
            model = self._refine(model, held, calib_batch_size)
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
        with clean.compute_in_float32(), quantize_scope():
            own = own_classes(model)
            finish = finalize.store_positions if convert_to_pof2s_quantize_strategy else finalize.rebuild
            deployed = finish(model, own)
            if convert_to_pof2s_quantize_strategy:
                finalize.make_legal(deployed)
            if input_shape is not None:
                deployed = reshape.set_input_shape(deployed, input_shape, own)
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
