"""Which output of a compiled network is which of the Keras model: runners list them in an order of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from softdpu.errors import SoftdpuError


def match(names: Sequence[str], sizes: Sequence[int], tensors: Sequence[str], tensor_sizes: Sequence[int]) -> list[int]:
    """Return for each output of a Keras model which output of the compiled network it is.

    The compiler names a tensor quant_<layer>_fix. One of another name is taken by its size, in the order that is left.

    Args:
        names: of the Keras model's outputs, of float or quantized layers.
        sizes: numbers of an image in each.
        tensors: names of the compiled network's outputs.
        tensor_sizes: numbers of an image in each.

    Raises:
        SoftdpuError: if they are outputs of different networks.
    """
    found: dict[int, int] = {}
    patterns = (r"(quant_)?{}(_fix)?", r"(quant_)?{}.*", ".*")
    for pattern in patterns:
        for i in sorted(range(len(names)), key=lambda i: -len(names[i])):
            for k, tensor in enumerate(tensors):
                if i in found or k in found.values() or sizes[i] != tensor_sizes[k]:
                    continue
                if re.fullmatch(pattern.format(re.escape(names[i])), tensor, re.DOTALL):
                    found[i] = k
    if len(found) != len(names) or len(names) != len(tensors):
        raise SoftdpuError(
            f"the compiled network has the outputs {', '.join(tensors)} of {_show_sizes(tensor_sizes)} numbers, the"
            f" model has {', '.join(names)} of {_show_sizes(sizes)}; compile it again"
        )
    return [found[i] for i in range(len(names))]


def _show_sizes(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
