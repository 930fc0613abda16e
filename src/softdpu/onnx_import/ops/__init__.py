"""The operations, a module a family; importing a module registers its functions."""

from __future__ import annotations


def load_all() -> None:
    """Import every module of this package; a new one is added here."""
    from softdpu.onnx_import.ops import (  # noqa: F401 - they register themselves
        activation,
        arithmetic,
        convolution,
        dense,
        movement,
        normalization,
        pooling,
        reduction,
        resize,
        shape,
    )
