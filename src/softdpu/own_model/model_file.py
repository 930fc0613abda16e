"""What a Keras model file says about itself, read without TensorFlow and without running anything that is in it.

An .h5 holds the configuration in an attribute and the weights in groups; a .keras is a zip archive with config.json and
model.weights.h5. Configurations of Keras 3 are brought to the form of Keras 2.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import h5py

from softdpu.errors import SoftdpuError
from softdpu.own_model import keras3

_WEIGHTS = "model.weights.h5"
_ADVICE = "save the whole model as .h5 or .keras"


@dataclass(frozen=True)
class ModelFile:
    """A Keras model file: where it is, which of the two formats it has, and its configuration in Keras 2's form."""

    path: Path
    is_archive: bool
    config: dict[str, Any]

    @contextlib.contextmanager
    def weights(self) -> Iterator[h5py.Group]:
        """Open the group of the file that holds the layers' weights."""
        if not self.is_archive:
            with h5py.File(str(self.path), "r") as file:
                yield file["model_weights"]
            return
        with zipfile.ZipFile(str(self.path)) as archive, h5py.File(io.BytesIO(archive.read(_WEIGHTS)), "r") as file:
            yield file


def read(path: Path) -> ModelFile:
    """Read the configuration of the model file at `path`.

    Raises:
        SoftdpuError: if it is missing, damaged, of another kind, or of layers that cannot be read without its code.
    """
    if path.is_dir():
        raise SoftdpuError(f"{path} is a folder, such as TensorFlow's SavedModel; {_ADVICE} (model.file)")
    if not path.is_file():
        raise SoftdpuError(f"there is no model file {path}; name an .h5 or .keras (model.file)")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(str(path)) as archive:
                config = json.loads(archive.read("config.json"))
                archive.getinfo(_WEIGHTS)
        elif start == b"\x89HDF\r\n\x1a\n":
            with h5py.File(str(path), "r") as weights:
                config = _h5_config(weights, path)
        else:
            raise SoftdpuError(f"{path} is neither HDF5 nor a .keras archive; {_ADVICE} (model.file)")
        legacy = keras3.as_keras2(config, str(path))
    except SoftdpuError:
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as error:
        what = " ".join(str(error).split())
        raise SoftdpuError(f"{path} is damaged or no Keras model ({what}); {_ADVICE} again (model.file)") from None
    return ModelFile(path, start.startswith(b"PK"), legacy)


def _h5_config(file: h5py.File, path: Path) -> dict[str, Any]:
    text = file.attrs.get("model_config")
    if text is None:
        raise SoftdpuError(f"{path} holds weights alone, no model; save it with model.save() (model.file)")
    if "model_weights" not in file:
        raise KeyError("no group model_weights")
    return dict(json.loads(text))
