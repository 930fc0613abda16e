"""What a Keras model file says about itself, read without TensorFlow and without running anything that is in it.

An .h5 holds the configuration in an attribute and the weights in groups; a .keras is a zip archive with config.json and
model.weights.h5. Configurations of Keras 3 are brought to the form of Keras 2.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import h5py

from softdpu.errors import SoftdpuError
from softdpu.keras2 import archive, hdf5, structure
from softdpu.own_model import keras3

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
            with hdf5.open_checked(self.path, self.path) as file:
                yield file["model_weights"]
            return
        with archive.weights(self.path) as file:
            yield file


def read(path: Path) -> ModelFile:
    """Read the configuration of the model file at `path`.

    Raises:
        SoftdpuError: if it is missing, damaged, of another kind, or of layers that cannot be read without its code.
    """
    if path.is_dir():
        raise SoftdpuError(f"{path} is a folder, such as TensorFlow's SavedModel; {_ADVICE} (model.file)")
    if not path.is_file():
        raise SoftdpuError(f"there is no model file {path}; name an .h5, .keras or .onnx (model.file)")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            config = structure.parse(archive.member(path, archive.CONFIG), path)
            archive.member(path, archive.WEIGHTS, look=True)
        elif start == b"\x89HDF\r\n\x1a\n":
            with hdf5.open_checked(path, path) as weights:
                config = _h5_config(weights, path)
        else:
            raise SoftdpuError(f"{path} is neither HDF5 nor a .keras archive; {_ADVICE} (model.file)")
        structure.check(config, path)
        legacy = keras3.as_keras2(config, str(path))
        structure.check(legacy, path)
    except SoftdpuError as error:
        raise SoftdpuError(str(error) if "(model.file)" in str(error) else f"{error} (model.file)") from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        what = " ".join(str(error).split())
        raise SoftdpuError(f"{path} is damaged or no Keras model ({what}); {_ADVICE} again (model.file)") from None
    return ModelFile(path, start.startswith(b"PK"), legacy)


def _h5_config(file: h5py.File, path: Path) -> dict[str, Any]:
    text = file.attrs.get("model_config")
    if text is None:
        raise SoftdpuError(f"{path} holds weights alone, no model; save it with model.save() (model.file)")
    if "model_weights" not in file:
        raise KeyError("no group model_weights")
    return dict(structure.parse(text, path))
