"""Configurations of Keras 3 in the form of Keras 2, layer for layer; those of Keras 2 pass through.

Keras 3 writes the same layers with other keys: types as objects, shapes as `batch_shape`, the inputs of a call as
nested arguments, and arithmetic such as `x / 255` as operations. Arithmetic with a constant becomes a Rescaling layer,
also Keras 2's own `TFOpLambda`; arithmetic of two tensors becomes Add, Subtract or Multiply. What only training needs,
such as random augmentation, becomes the linear activation, which does nothing.
"""

from __future__ import annotations

from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.errors import SoftdpuError
from softdpu.keras2.config import make_legacy_config
from softdpu.keras2.kinds import AUGMENTATIONS, MODELS, NOISES

# What arithmetic with a constant c is as (factor, offset), by the names of Keras 3 and of TensorFlow's functions.
_SCALINGS: dict[str, Callable[[float], tuple[float, float]]] = {
    "divide": lambda c: (1 / c, 0.0),
    "multiply": lambda c: (c, 0.0),
    "add": lambda c: (1.0, c),
    "subtract": lambda c: (1.0, -c),
}
_FUNCTIONS = {
    **dict.fromkeys(("Divide", "TrueDivide", "math.truediv", "math.divide", "__operators__.truediv"), "divide"),
    **dict.fromkeys(("Multiply", "math.multiply", "__operators__.mul"), "multiply"),
    **dict.fromkeys(("Add", "math.add", "__operators__.add"), "add"),
    **dict.fromkeys(("Subtract", "math.subtract", "__operators__.sub"), "subtract"),
}
_LAYERS = {"add": "Add", "subtract": "Subtract", "multiply": "Multiply"}
# Keys that Keras 3 has and Keras 2 has not, with the value at which they change nothing.
_NEW_KEYS = {
    "quantization_config": None,
    "lora_rank": None,
    "lora_alpha": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "synchronized": False,
    "ragged": False,
    "optional": False,
    "crop_to_aspect_ratio": False,
    "antialias": False,
}
_ACTIVATIONS = {"silu": "swish", "hard_silu": "hard_swish"}


def as_keras2(config: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the configuration {"class_name", "config"} of a model in the form of Keras 2.

    Args:
        config: as the file has it; of Keras 2 or Keras 3.
        where: name of the file, for messages.

    Raises:
        SoftdpuError: for a subclassed model, for Lambda layers and for what Keras 2 has no layer for.
    """
    kind = config["class_name"]
    if kind not in MODELS:
        raise SoftdpuError(
            f"{where} is of class {kind}, a subclassed model, whose layers only its own code knows; build it with"
            " keras.Sequential or keras.Model(inputs, outputs) and save it again (model.file)"
        )
    inner = dict(config["config"])
    if not isinstance(inner.get("layers"), list):
        raise SoftdpuError(
            f"{where} lists no layers: a subclassed model; build it with keras.Sequential or keras.Model(inputs,"
            " outputs) and save it again (model.file)"
        )
    inner["layers"] = [_layer(entry, where) for entry in inner["layers"]]
    for key in ("input_layers", "output_layers"):
        if key in inner:
            inner[key] = _refs(inner[key])
    if any(isinstance(node, dict) for entry in config["config"]["layers"] for node in entry.get("inbound_nodes", [])):
        _count_nested_from_one(inner)
    _check_refs(inner, where)
    kept = {key: inner[key] for key in ("name", "layers", "input_layers", "output_layers") if key in inner}
    return {"class_name": "Functional" if kind == "Model" else kind, "config": kept}


def _count_nested_from_one(model: dict[str, Any]) -> None:
    """Change the number of a nested model's call, in place: Keras 2 takes the making of the model for its call 0."""
    nested = {entry["name"] for entry in model["layers"] if entry["class_name"] in MODELS}
    for ref in _all_refs(model):
        ref[1] += ref[0] in nested


def _all_refs(model: dict[str, Any]) -> list[Any]:
    calls = [ref for entry in model["layers"] for call in entry["inbound_nodes"] for ref in _refs(call)]
    return [*calls, *model.get("output_layers", [])]


def _check_refs(model: dict[str, Any], where: str) -> None:
    """Refuse inputs that no layer gives, over which Keras would never end."""
    calls = {entry["name"]: len(entry["inbound_nodes"]) for entry in model["layers"]}
    nested = {entry["name"] for entry in model["layers"] if entry["class_name"] in MODELS}
    for name, call, *_ in _all_refs(model):
        if name not in calls or not 0 <= call < max(calls[name], 1) + (name in nested):
            raise SoftdpuError(
                f"{where} is damaged: a layer reads call {call} of {name}, which is not there (model.file)"
            )


def _layer(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """Return one entry of a model's list of layers."""
    kind, name = entry["class_name"], entry.get("name", entry["config"].get("name"))
    calls = [_call(node) for node in entry.get("inbound_nodes", [])]
    function = _FUNCTIONS.get(entry["config"].get("function", kind) if kind == "TFOpLambda" else kind)
    if kind in MODELS:
        made = as_keras2(entry, where)
    elif function and (kind == "TFOpLambda" or _is_operation(entry)):
        made, calls = _arithmetic(function, name, calls, where)
    elif kind == "Lambda" or _is_operation(entry):
        what = "a Lambda" if kind == "Lambda" else f"the operation {kind}"
        raise SoftdpuError(
            f"{where}: layer {name} is {what}, code that a DPU has no layer for; write it with Keras layers such as"
            " Rescaling, Add or GlobalAveragePooling2D (model.file)"
        )
    else:
        made = {"class_name": kind, "config": _layer_config(kind, entry["config"])}
        if kind in AUGMENTATIONS + NOISES:
            made = _identity(made["config"])
    made["config"]["name"] = name
    return {**made, "name": name, "inbound_nodes": calls}


def _identity(config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key in ("batch_input_shape", "dtype")}
    return {"class_name": "Activation", "config": {**kept, "activation": "linear"}}


def is_identity(class_name: str, config: dict[str, Any]) -> bool:
    """Tell whether a layer gives what it gets."""
    return class_name == "Activation" and config.get("activation") == "linear"


def _is_operation(entry: dict[str, Any]) -> bool:
    return not {"dtype", "trainable", "batch_input_shape", "batch_shape"} & set(entry["config"])


def _layer_config(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in config.items() if _NEW_KEYS.get(key, ...) != value}
    found = make_legacy_config({key: _object(value) for key, value in found.items()})
    if "batch_shape" in found:
        found["batch_input_shape"] = found.pop("batch_shape")
    if kind == "LeakyReLU" and "negative_slope" in found:
        found["alpha"] = found.pop("negative_slope")
    if isinstance(found.get("activation"), str):
        found["activation"] = _ACTIVATIONS.get(found["activation"], found["activation"])
    if kind == "BatchNormalization" and isinstance(found.get("axis"), int):
        found["axis"] = [found["axis"]]
    return found


def _object(value: Any) -> Any:
    """Return a value of Keras 3's serialization as Keras 2 writes it: a type by its name, a function by its name."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    if value["class_name"] == "DTypePolicy":
        return value["config"]["name"]
    if value["class_name"] == "function":
        return value["config"]
    inner = value.get("config")
    known = ("seed", "mean", "stddev", "scale", "mode", "distribution", "value", "minval", "maxval", "gain", "l1", "l2")
    if isinstance(inner, dict) and "initializers" in str(value.get("module", "")):
        inner = {key: item for key, item in inner.items() if key in known}
    return {"class_name": value["class_name"], "config": inner}


def _call(node: Any) -> Any:
    """Return one inbound node: [[layer, node, tensor, arguments], ...]."""
    if not isinstance(node, dict):
        return node
    tensors = list(_tensors(node["args"]))
    refs: list[Any] = [[*tensor, {}] for tensor in tensors]
    constants = [value for value in node["args"] if isinstance(value, (int, float))]
    first_is_constant = bool(constants) and isinstance(node["args"][0], (int, float))
    if constants and refs:
        refs[0][3].update(y=constants[0], constant_first=first_is_constant)
    return refs


def _tensors(value: Any) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield list(value["config"]["keras_history"])
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)


def _arithmetic(function: str, name: str, calls: list[Any], where: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the layer that does what an operation of two arguments does, and its calls."""
    refs = _refs(calls[0])
    arguments = refs[0][3] if len(refs[0]) > 3 else {}
    other = arguments.get("y")
    plain = [[*ref[:3], {}] for ref in refs]
    if isinstance(other, (int, float)) and not arguments.get("constant_first"):
        factor, offset = _SCALINGS[function](float(other))
        return {"class_name": "Rescaling", "config": {"scale": factor, "offset": offset}}, [plain]
    if isinstance(other, (int, float)) and function in ("add", "multiply"):
        factor, offset = _SCALINGS[function](float(other))
        return {"class_name": "Rescaling", "config": {"scale": factor, "offset": offset}}, [plain]
    if isinstance(other, list) and len(other) == 3 and isinstance(other[0], str):
        plain.append([*other, {}])
    if len(plain) == 2 and function in _LAYERS:
        return {"class_name": _LAYERS[function], "config": {}}, [plain]
    raise SoftdpuError(
        f"{where}: layer {name}, {function}, is arithmetic that has no layer; write it with Rescaling, Add or Multiply"
        " layers (model.file)"
    )


def _refs(value: Any) -> list[Any]:
    """Return a list of refs: Keras 3 writes a single one without the list around it."""
    return [value] if value and isinstance(value[0], str) else list(value)
