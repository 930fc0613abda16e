"""What export_quark.py starts in Quark's own environment: one recipe of AMD Quark on a float ONNX file.

python export_quark_worker.py float.onnx images.npy XINT8 out.onnx    # prints its processor seconds
"""

from __future__ import annotations

import resource
import sys
from typing import Any


def processor_seconds() -> float:
    """Return what this process and the finished ones that it started have used."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader
    from quark.onnx import ModelQuantizer
    from quark.onnx.quantization.config import custom_config

    source, images, recipe, output = sys.argv[1:]
    config: Any = getattr(custom_config, f"{recipe.removesuffix('_ADAROUND')}_QCONFIG")
    if recipe.endswith("_ADAROUND"):
        config.algo_config = custom_config.XINT8_ADAROUND_QCONFIG.algo_config
    config.extra_options["UseRandomData"] = False

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(np.load(images))

        def get_next(self) -> Any:
            image = next(self._left, None)
            return None if image is None else {"image": image[None]}

        def reset_iter(self) -> None:
            self._left = iter(np.load(images))

    start = processor_seconds()
    ModelQuantizer(config).quantize_model(source, output, Images())
    print(f"\nseconds: {processor_seconds() - start:.1f}")


if __name__ == "__main__":
    main()
