"""Whose quantizer works: softdpu's, or AMD's vai_q_tensorflow2, which has the same names.

It is said, never guessed: the build's toolchain becomes the option --quantizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softdpu.errors import SoftdpuError

if TYPE_CHECKING:
    from softdpu.keras2.api import keras

SOFTDPU, VITIS_AI = "softdpu", "vitis-ai"
CHOICES = (SOFTDPU, VITIS_AI)


def import_quantizer(name: str = SOFTDPU) -> Any:
    """Return the module vitis_quantize of the quantizer `name`.

    Raises:
        SoftdpuError: if it is AMD's and this Python does not have it.
    """
    if name == SOFTDPU:
        from softdpu.quantizer import vitis_quantize as ours

        return ours
    try:
        from tensorflow_model_optimization.quantization.keras import vitis_quantize as amd
    except ImportError as error:
        raise SoftdpuError(
            f"--quantizer vitis-ai needs AMD's vai_q_tensorflow2, which this Python does not have ({error}):"
            " run it in AMD's container (docs/vitis-ai.md), or take --quantizer softdpu"
        ) from None
    return amd


def choose_options(name: str, recipe: str | None) -> dict[str, str]:
    """Return the arguments of VitisQuantizer beyond the model: a recipe is softdpu's alone."""
    if name == SOFTDPU:
        return {"recipe": recipe} if recipe else {}
    if recipe:
        raise SoftdpuError(f"AMD's quantizer has no recipes: leave out --recipe {recipe}, or take --quantizer softdpu")
    print("AMD's quantizer (vai_q_tensorflow2) with its default strategy pof2s; softdpu's recipes do not exist in it")
    return {}


def make_trainable(name: str, model: keras.Model, calibration: Any, recipe: str | None) -> keras.Model:
    """Return a model for fine-tuning that starts from the calibrated one."""
    tool, chosen = import_quantizer(name), choose_options(name, recipe)
    if name == SOFTDPU:
        return tool.VitisQuantizer(model, **chosen).get_qat_model(init_quant=True, calib_dataset=calibration)
    # What AMD's init_quant=True does; with Vitis AI 2.5 and 3.0 that ends with "Invalid configs".
    calibrated = tool.VitisQuantizer(model).quantize_model(calib_dataset=calibration)
    result = tool.VitisQuantizer(model).get_qat_model(init_quant=False)
    result.set_weights(calibrated.get_weights())
    return result


def report_positions(name: str, model: keras.Model) -> dict[str, Any]:
    """Return {layer: {<tensor>_pos: position}} of a quantized model; softdpu's own report has the shifts too."""
    if name == SOFTDPU:
        from softdpu.quantizer import positions_report

        return positions_report(model)
    report: dict[str, Any] = {}
    for layer in model.layers:
        found = {}
        for variable in layer.weights:
            kind = variable.name.split("/")[-1].split(":")[0]
            if kind.endswith("_pos"):
                # The input's variable carries the layer's name: quant_input_1_pos.
                found["output_0_pos" if kind == layer.name + "_pos" else kind] = int(variable.numpy())
        if found:
            report[layer.name] = found
    return report
