"""The one door through which model files become live models: checked whole before Keras builds anything from them.

Every object that a configuration names, at any depth, must be of a class that only computes (allowed.py), or one that
this program's own code has registered with Keras. Code in the file itself (Lambda) is never unpacked. With `trust` the
classes are not checked, for a file of the user's own.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import h5py
import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.keras2 import allowed, archive, hdf5, structure
from softdpu.keras2.api import import_internal, keras, tf
from softdpu.output.files import PathLike
from softdpu.output.text import one_line

_SPARE_VARIABLES = 1 << 20  # bytes of variables that a file need not hold, such as the states of random generators
_FUNCTION_KEYS = ("activation", "recurrent_activation")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def load_model(path: PathLike, trust: bool = False) -> keras.Model:
    """Return the model of an .h5 or .keras file of Keras 2, without its optimizer.

    Args:
        path: of the file.
        trust: whether the file may name any class and hold code (Lambda). For your own files only.

    Raises:
        SoftdpuError: if there is none, it is damaged, or names what a file must not.
    """
    if not os.path.isfile(str(path)):
        raise SoftdpuError(f"there is no model {path}; build it first")
    try:
        size = _check_file(Path(path), trust)
        with building(size, path, trust):
            return keras.models.load_model(str(path), compile=False, **_safe_argument(trust))
    except SoftdpuError:
        raise
    except Exception as error:  # whatever Keras raises over a configuration that it cannot build
        raise SoftdpuError(f"{path} is not a Keras-2 .h5 model that can be loaded: {_text(error)}") from None


def check_classes(model: Any, where: PathLike) -> None:
    """Refuse a configuration that names a class or function outside the list, or one from another module.

    Raises:
        SoftdpuError: naming the class, and what to do.
    """
    known = _list_registered()
    for value in structure.walk(model):
        if isinstance(value, dict):
            if "class_name" in value:
                _check_class(value, known, where)
            for key in _FUNCTION_KEYS:
                name = value.get(key)
                if isinstance(name, str) and name not in allowed.ACTIVATIONS | known and not name.startswith("Vitis>"):
                    raise _refusal(where, f"the function {name[:200]!r} as {key}")
            if "cls_symbol" in value or "type_spec" in value:
                raise _refusal(where, "a class of TensorFlow's by its name")


def _check_class(entry: dict[str, Any], known: frozenset[str], where: PathLike) -> None:
    kind, config = entry["class_name"], entry.get("config")
    registered = entry.get("registered_name") or kind
    names = str(kind)[:100] if kind == registered else f"{str(kind)[:100]} ({str(registered)[:100]})"
    if not isinstance(kind, str) or not isinstance(registered, str):
        raise _refusal(where, f"the class {names}")
    if kind == "Lambda":
        layer = config.get("name") if isinstance(config, dict) else None
        raise _refusal(where, f"code of its author (the Lambda {layer!r})")
    if kind == "function":
        if config not in allowed.ACTIVATIONS | known or not _is_ours(entry.get("module")):
            raise _refusal(where, f"the function {str(config)[:200]!r}")
        return
    own = registered in known or registered.startswith("Vitis>")  # then Keras looks at no module
    own = own and kind in (registered, registered.split(">")[-1])
    if not own and not ({kind, registered} <= allowed.CLASSES and _is_ours(entry.get("module"))):
        raise _refusal(where, f"the class {names}")
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        function = config.get("function") if isinstance(config, dict) else None
        if not allowed.is_function(function):
            raise _refusal(where, f"the function {str(function)[:200]!r} of TensorFlow")


def _is_ours(module: Any) -> bool:
    return module is None or (isinstance(module, str) and module.split(".")[0] in allowed.MODULES)


def _list_registered() -> frozenset[str]:
    """Return the names that code of this program, or of the user's extensions, has registered with Keras."""
    try:
        scope = vars(import_internal("saving.object_registration")._THREAD_LOCAL_CUSTOM_OBJECTS)
    except (ImportError, AttributeError):  # before Keras 2.12 the names of a scope are among the others
        scope = {}
    return frozenset(keras.utils.get_custom_objects()) | frozenset(scope)


def _refusal(where: PathLike, what: str) -> SoftdpuError:
    return SoftdpuError(
        f"{where} holds {one_line(what)}, which a model file may not name: build the model from Keras' own layers; if"
        " the file is yours, register the class in a package named by SOFTDPU_EXTENSIONS, or"
        " give --trust to a program that has it; a build never trusts a file (docs/security.md)"
    )


def _check_file(path: Path, trust: bool) -> int:
    """Check all of a file and return how many bytes of weights it holds."""
    with open(str(path), "rb") as file:
        start = file.read(len(_HDF5))
    if start.startswith(archive.START):
        config = structure.parse(archive.member(path, archive.CONFIG), path)
        config = {**config, "compile_config": None} if isinstance(config, dict) else config  # it is not read
        weights: Any = archive.weights(path)
    else:
        weights = hdf5.open_checked(path, path)
        config = None
    with weights as file:
        if config is None:
            text = file.attrs.get("model_config")
            if text is None or "model_weights" not in file:
                raise SoftdpuError(f"{path} holds no Keras model (weights only?); save it with model.save()")
            config, file = structure.parse(text, path), file["model_weights"]
        structure.check(config, path)
        if not trust:
            check_classes(config, path)
        return check_weights(file, path)


def check_weights_file(path: PathLike) -> None:
    """Check an .h5 file of weights before Keras reads it; one of a whole model will do too.

    Raises:
        SoftdpuError: if it has another ending or format, is damaged, links to other files, or holds no finite numbers.
    """
    with open(str(path), "rb") as file:
        start = file.read(len(_HDF5))
    # Keras goes by the ending: it reads what ends otherwise as files of TensorFlow that lie beside it.
    if start != _HDF5 or not str(path).endswith((".h5", ".hdf5")):
        raise SoftdpuError(f"{path}: expected weights as HDF5, in a file that ends in .h5; save them so")
    try:
        with hdf5.open_checked(path, path) as file:
            check_weights(file, path)
    except SoftdpuError:
        raise
    except Exception as error:  # what h5py raises over a damaged file
        raise SoftdpuError(f"{path}: its weights are damaged ({_text(error)}); save them again") from None


def check_weights(group: h5py.Group, path: PathLike) -> int:
    """Refuse weights that are no finite numbers; return how many bytes a group holds.

    Raises:
        SoftdpuError: naming the weight.
    """
    total = 0

    def visit(name: str, item: Any) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            values = np.asarray(item[()])
            hdf5.check_values(values, path, name)
            total += values.nbytes

    group.visititems(visit)
    return total


@contextlib.contextmanager
def building(size: int, path: PathLike, trust: bool = False) -> Iterator[None]:
    """Let Keras build a checked model: without unpacking code, and with no more variables than the file has weights.

    Args:
        size: bytes of weights in the file.
        path: of the file, for messages.
        trust: whether code may be unpacked.
    """
    with _safe_mode(not trust), _forbid_variables(size, path):
        yield


@contextlib.contextmanager
def _safe_mode(on: bool) -> Iterator[None]:
    """Let Keras refuse to unpack code, in its old formats too; Keras before 2.13 has no such mode."""
    try:
        scope = import_internal("saving.serialization_lib").SafeModeScope
    except (ImportError, AttributeError):
        yield
        return
    with scope(on):
        yield


def _safe_argument(trust: bool) -> dict[str, bool]:
    has = "safe_mode" in inspect.signature(keras.models.load_model).parameters
    return {"safe_mode": not trust} if has else {}


@contextlib.contextmanager
def _forbid_variables(size: int, path: PathLike) -> Iterator[None]:
    """Refuse a model whose variables are larger than the weights in its file, before they take memory."""
    left = size + _SPARE_VARIABLES

    def create(make: Any, **arguments: Any) -> Any:
        nonlocal left
        shape, kind = arguments.get("shape"), arguments.get("dtype")
        if shape is not None and tf.TensorShape(shape).is_fully_defined():
            left -= tf.TensorShape(shape).num_elements() * (tf.as_dtype(kind or tf.float32).size or 1)
        if left < 0:
            raise SoftdpuError(
                f"{path}: the layers take more than the {size} bytes of weights that the file holds; it is damaged"
            )
        return make(**arguments)

    with tf.variable_creator_scope(create):
        yield


def _text(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip()
    return text[:400] or type(error).__name__
