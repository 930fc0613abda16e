"""Checkpoints: a training that was killed goes on after its last finished epoch.

A folder holds one checkpoint, one file that appears whole or not at all. It is used only by a run with the same
options, inputs and code; it is removed when the output is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import struct
import sys
import zipfile
import zlib
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

import softdpu
from softdpu.dataset import pipeline
from softdpu.keras2.api import keras, tf
from softdpu.output.files import PathLike, sha256, whole_file
from softdpu.output.text import one_line

NAME = "checkpoint.npz"

# Options that do not change what is learnt, and those whose files' contents count instead of their names.
_PLACES = {"output", "tensorboard", "checkpoints", "strategy", "worker_timeout"}
_RECORDS = ("train_records", "val_records")
_FILES = ("model", "weights")
# What zipfile, numpy and json raise over a damaged file.
_BROKEN = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, OverflowError, NotImplementedError),
    *(RuntimeError, SyntaxError, struct.error, zipfile.BadZipFile, zlib.error),
)


@dataclass
class State:
    """A training after a finished epoch.

    Attributes:
        epoch: how many are finished.
        history: Keras' history so far.
        best: what the keeper of the best weights knows, JSON values only.
        best_weights: of the best epoch.
        variables: the network's and the optimizer's, in the order of `list_variables`.
    """

    epoch: int
    history: dict[str, list[float]]
    best: dict[str, Any]
    best_weights: list[np.ndarray]
    variables: list[np.ndarray] = field(default_factory=list)


def collect_facts(job: object) -> dict[str, str]:
    """Return everything that a training depends on: options, the contents of its inputs, the code.

    Args:
        job: a dataclass with all options; those that are dataclasses themselves count by their parts.
    """
    options = dict(_list_options(job))
    found = {name: str(value) for name, value in options.items() if name not in _PLACES}
    for name in _RECORDS:
        found[name] = pipeline.fingerprint(str(options[name]))
    for name in _FILES:
        if Path(found.get(name, "")).is_file():
            found[name] = sha256(found[name])
    found["the code of softdpu"] = _digest_code()
    found["the version of TensorFlow"] = str(tf.__version__)
    return found


def _list_options(job: Any) -> Iterator[tuple[str, object]]:
    for part in fields(job):
        value = getattr(job, part.name)
        if is_dataclass(value):
            yield from _list_options(value)
        else:
            yield part.name, value


def _digest_code() -> str:
    """Return a digest of the package's source."""
    digest = hashlib.sha256()
    root = Path(softdpu.__file__).parent
    for part in ("numbers", "keras2", "dataset", "training", "quantizer", "rescue"):
        for path in sorted(root.glob(part + "/**/*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def list_variables(model: keras.Model) -> list[Any]:
    """Return all that training changes in a compiled model: its weights, the optimizer's, the scale of its loss."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    with model.distribute_strategy.scope():
        if hasattr(inner, "build"):
            inner.build(model.trainable_variables)
        else:  # the optimizers of Keras up to 2.10
            inner._create_all_weights(model.trainable_variables)
    own = inner.variables
    found = [*model.weights, *(own() if callable(own) else own)]
    if inner is not optimizer and optimizer.dynamic:
        found += [optimizer._loss_scale.current_loss_scale, optimizer.dynamic_counter]
    return found


class Store:
    """The checkpoint of one training."""

    def __init__(self, folder: PathLike, known: dict[str, str], chief: bool = True) -> None:
        """Name the folder and the facts of the training; only the chief writes."""
        self.path = Path(folder) / NAME
        self._facts, self._chief = known, chief

    def load(self) -> State | None:
        """Return the state of the last finished epoch, or None, and say why, if there is no use in what lies there."""
        if not self.path.exists():
            return None
        try:
            arrays = _read(self.path)
            about = json.loads(str(arrays["about"]))
            changed = _find_difference(about["facts"], self._facts)
            if changed:
                print(f"training starts afresh: {self.path} comes from another run ({changed})", flush=True)
                return None
            best, own = ([arrays[f"{kind}_{i}"] for i in range(about[kind])] for kind in ("best", "variables"))
            state = State(about["epoch"], about["history"], about["best_epoch"], best, own)
            _check(state)
            return state
        except _BROKEN as error:
            why = one_line(error, 300) or type(error).__name__
            print(f"training starts afresh: the checkpoint {self.path} is damaged ({why})", flush=True)
            return None

    def fingerprint(self) -> str:
        """Return a digest of the checkpoint that lies there, or 'none'."""
        return sha256(self.path) if self.path.exists() else "none"

    def save(self, state: State) -> None:
        """Write a state in place of the last; a full disk costs the checkpoint, not the training."""
        if not self._chief:
            return
        about = {"facts": self._facts, "epoch": state.epoch, "history": state.history, "best_epoch": state.best}
        about.update(best=len(state.best_weights), variables=len(state.variables))
        arrays: dict[str, Any] = {f"best_{i}": value for i, value in enumerate(state.best_weights)}
        arrays.update({f"variables_{i}": value for i, value in enumerate(state.variables)})
        try:
            with whole_file(self.path) as part, open(part, "wb") as file:
                np.savez(file, about=np.array(json.dumps(about)), **arrays)
        except OSError as error:
            why = error.strerror or str(error)
            print(f"warning: the checkpoint {self.path} cannot be written ({why}); training goes on", file=sys.stderr)

    def remove(self) -> None:
        """Remove the checkpoint, and its folder if nothing else is in it."""
        if self._chief:
            with contextlib.suppress(OSError):
                self.path.unlink()
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz as numpy.savez writes it; ValueError where one declares more than the file holds."""
    arrays: dict[str, np.ndarray] = {}
    left = path.stat().st_size
    with zipfile.ZipFile(str(path)) as archive:
        for found in archive.infolist():
            left -= found.file_size
            if found.compress_type != zipfile.ZIP_STORED or left < 0 or found.compress_size != found.file_size:
                raise ValueError(f"{found.filename} is packed")
            arrays[found.filename[: -len(".npy")]] = _array(archive.read(found))
    return arrays


def _array(data: bytes) -> np.ndarray:
    """Return what the bytes of an .npy hold, a view of them: nothing is reserved because its header says so."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array of another version")
    shape, columns_first, kind = np.lib.format.read_array_header_1_0(file)
    if kind.hasobject or min(shape, default=0) < 0 or (0 in shape and file.tell() < len(data)):
        raise ValueError(f"an array of type {kind} and shape {shape}")
    if 0 in shape:
        return np.zeros(shape, kind)
    return np.frombuffer(data, kind, offset=file.tell()).reshape(shape, order="F" if columns_first else "C")


def _check(state: State) -> None:
    """Raise ValueError unless a state's values have the types and lengths that a training writes."""
    epoch, best, curves = state.epoch, state.best, state.history
    if type(epoch) is not int or epoch < 1 or not isinstance(curves, dict) or "loss" not in curves:
        raise ValueError("no finished epoch")
    for name, values in curves.items():
        if not isinstance(values, list) or len(values) != epoch or not all(type(value) is float for value in values):
            raise ValueError(f"the history of {name} has no {epoch} numbers")
    start = best["start"]
    measured = [] if start is None else [start["accuracy"], start["loss"]]
    if not all(type(value) is float and math.isfinite(value) for value in (best["accuracy"], *measured)):
        raise ValueError("an accuracy or loss that is no number")
    if type(best["epoch"]) is not int or not -1 <= best["epoch"] < epoch:
        raise ValueError(f"the best epoch is {best['epoch']}")
    if not all(array.dtype.kind in "fiub" for array in (*state.best_weights, *state.variables)):
        raise ValueError("weights that are no numbers")


def restore(model: keras.Model, state: State) -> bool:
    """Put a state's variables into a compiled model; False, and nothing is changed, if they do not fit."""
    own = list_variables(model)
    if [tuple(v.shape) for v in own] != [value.shape for value in state.variables]:
        return False
    if [value.shape for value in model.get_weights()] != [value.shape for value in state.best_weights]:
        return False
    keras.backend.batch_set_value(list(zip(own, state.variables)))  # noqa: B905 - Python 3.7
    return True


def read_values(tensors: Iterable[Any]) -> list[np.ndarray]:
    """Return the values of variables, on all devices alike."""
    return [np.asarray(value) for value in keras.backend.batch_get_value(list(tensors))]


def _find_difference(old: dict[str, str], new: dict[str, str]) -> str:
    """Say which fact is not the same, or nothing."""
    for name in sorted({*old, *new}):
        before, now = old.get(name), new.get(name)
        if before != now:
            shown = any(len(str(value)) > 40 for value in (before, now))
            return f"{name} changed" if shown else f"{name} was {before}, is {now}"
    return ""
