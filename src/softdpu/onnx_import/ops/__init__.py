"""The operations, a module a family; importing a module registers its functions."""

from __future__ import annotations

from softdpu.extensions import import_extensions, import_modules


def load_all() -> None:
    """Import every module of this package, and those of extensions; TensorFlow comes with them."""
    import_modules(__name__)
    import_extensions("importer")
