"""A network as the equations see it: layers with sizes, in the order in which a DPU runs them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

KINDS = ("conv", "dwconv", "pool", "eltwise", "move", "join")


@dataclass(frozen=True)
class Layer:
    """One operation of a DPU.

    Attributes:
        name: of the operation; others name it in `sources`.
        kind: conv, dwconv, pool, eltwise; move, which copies (upsampling, padding); join, which only names the memory
            that others have written (concatenation, reshaping) and takes no time.
        source: (height, width, channels) of the first input. output: the same of what it writes.
        kernel: (height, width). stride: of the rows and columns; for a transposed convolution, `up` times finer output.
        weights: bytes of weights and biases.
        sources: names of the layers that it reads; a name that no layer has is an input of the network.
    """

    name: str
    kind: str
    source: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    up: int = 1
    weights: int = 0
    sources: tuple[str, ...] = ()

    @property
    def operations(self) -> int:
        """Multiplications and additions of the convolutions; for pooling and sums, one for each value that is read."""
        height, width, channels = self.output
        window = self.kernel[0] * self.kernel[1]
        if self.kind == "conv":
            return 2 * height * width * channels * window * self.source[2] // self.up**2
        if self.kind == "dwconv":
            return 2 * height * width * channels * window // self.up**2
        if self.kind == "pool":
            return height * width * channels * window
        return height * width * channels * (len(self.sources) - 1) if self.kind == "eltwise" else 0

    @property
    def read_bytes(self) -> int:
        """Bytes of the first input, int8."""
        height, width, channels = self.source
        return height * width * channels

    @property
    def written_bytes(self) -> int:
        """Bytes of the output, int8."""
        height, width, channels = self.output
        return height * width * channels


def sort_by_run(layers: Iterable[Layer]) -> list[Layer]:
    """Return the layers so that each follows what it reads, and where possible directly.

    Files list branches in different orders. Whether a feature map can stay on the chip depends on who comes next, so
    the order is made here: a reader of the layer just done goes first, otherwise the first that is ready.
    """
    waiting = {layer.name: layer for layer in layers}
    missing = {layer.name: {source for source in layer.sources if source in waiting} for layer in waiting.values()}
    readers: dict[str, list[str]] = {name: [] for name in waiting}
    for name, sources in missing.items():
        for source in sources:
            readers[source].append(name)
    places = {name: place for place, name in enumerate(waiting)}
    ordered: list[Layer] = []
    ready = [name for name, sources in missing.items() if not sources]
    while ready:
        last = readers[ordered[-1].name] if ordered else []
        name = min((one for one in last if one in ready), key=places.__getitem__, default="") or min(
            ready, key=places.__getitem__
        )
        ready.remove(name)
        ordered.append(waiting[name])
        for reader in readers[name]:
            missing[reader].discard(name)
            if not missing[reader]:
                ready.append(reader)
    return ordered
