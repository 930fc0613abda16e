"""A .keras file where a stage reads .h5."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from softdpu.errors import SoftdpuError


@contextlib.contextmanager
def as_h5(path: str) -> Iterator[str]:
    """Yield the path of an .h5 with the float model of a .keras file; any other path stays as it is.

    Raises:
        SoftdpuError: if the .keras file cannot be used; errors of the block name it too.
    """
    if not path.endswith(".keras"):
        yield path
        return
    from softdpu.own_model.load import load  # TensorFlow, which the compiler and the inspector do not need
    from softdpu.own_model.model_file import read

    model = load(read(Path(path)), (224, 224))
    with tempfile.TemporaryDirectory() as folder:
        converted = f"{folder}/{Path(path).stem}.h5"
        model.save(converted, include_optimizer=False)
        try:
            yield converted
        except SoftdpuError as error:
            raise SoftdpuError(str(error).replace(converted, path)) from None
