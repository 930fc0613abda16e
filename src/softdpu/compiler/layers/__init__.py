"""What a Keras layer becomes in the front end's graph: one function a layer, in files by what the layers do.

Each takes the builder, the layer, the name of this use of the layer, the producers of its inputs and the call, and
returns the operation whose output stands for the layer's. Shapes are NHWC; kernels and strides are written width first.
"""

from __future__ import annotations

from softdpu.compiler.registry import LAYERS
from softdpu.extensions import import_extensions, import_modules

__all__ = ["LAYERS"]

import_modules(__name__)
import_extensions("compiler")
