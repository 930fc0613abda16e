"""The networks of AMD's public performance table as layer tables, written from their papers.

`networks()` maps a short name to a function that returns the layers; `network_of` finds the name for a row of the
table. Pruned networks are left out: which channels were taken away is not public.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import ceil

from softdpu.predict.layers import Layer

Size = tuple[int, int]


class Table:
    """Layers that are added one after another; each call returns its layer and reads `x`, by default the last."""

    def __init__(self, size: int) -> None:
        self.layers: list[Layer] = []
        self.last = Layer("image", "join", (size, size, 3), (size, size, 3))

    def _add(self, kind: str, x: Layer, output: tuple[int, int, int], **more: object) -> Layer:
        name = f"{kind}{len(self.layers)}"
        more.setdefault("sources", (x.name,))
        self.last = Layer(name, kind, x.output, output, **more)  # type: ignore[arg-type]
        self.layers.append(self.last)
        return self.last

    def _window(self, kind: str, x: Layer | None, channels: int, k: Size, s: int, pad: str, weights: int) -> Layer:
        x = x or self.last
        rows, columns = (
            {"same": ceil(n / s), "valid": (n - w) // s + 1, "caffe": ceil((n - w) / s) + 1}[pad]
            for n, w in zip(x.output[:2], k, strict=True)
        )
        return self._add(kind, x, (rows, columns, channels or x.output[2]), kernel=k, stride=s, weights=weights)

    def conv(self, c: int, k: int | Size = 1, s: int = 1, pad: str = "same", x: Layer | None = None) -> Layer:
        """A convolution with bias."""
        k = (k, k) if isinstance(k, int) else k
        return self._window("conv", x, c, k, s, pad, (k[0] * k[1] * (x or self.last).output[2] + 1) * c)

    def dw(self, k: int, s: int, x: Layer | None = None) -> Layer:
        """A depthwise convolution with bias."""
        return self._window("dwconv", x, 0, (k, k), s, "same", (k * k + 1) * (x or self.last).output[2])

    def pool(self, k: int, s: int, pad: str = "same", x: Layer | None = None) -> Layer:
        """Pooling."""
        return self._window("pool", x, 0, (k, k), s, pad, 0)

    def add(self, x: Layer, y: Layer) -> Layer:
        """A sum."""
        return self._add("eltwise", x, x.output, sources=(x.name, y.name))

    def join(self, *xs: Layer) -> Layer:
        """A concatenation."""
        rows, columns, _ = xs[0].output
        size = rows, columns, sum(x.output[2] for x in xs)
        return self._add("join", xs[0], size, sources=tuple(x.name for x in xs))

    def classes(self, count: int) -> list[Layer]:
        """Global average pooling and a dense layer; return the table."""
        self.pool(self.last.output[0], 1, "valid")
        self.conv(count)
        return self.layers


def vgg16() -> list[Layer]:
    """Simonyan and Zisserman 2014, configuration D."""
    t = Table(224)
    for channels, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(times):
            t.conv(channels, 3)
        t.pool(2, 2)
    t.conv(4096, 7, 1, "valid")
    t.conv(4096)
    t.conv(1000)
    return t.layers


def resnet(units: tuple[int, ...], stride_last: bool) -> list[Layer]:
    """He et al. 2015; TensorFlow-Slim's has the stride in the last unit of a block, the others in the first."""
    t = Table(224)
    t.conv(64, 7, 2)
    x = t.pool(3, 2)
    for block, (count, c) in enumerate(zip(units, (64, 128, 256, 512), strict=True)):
        for unit in range(count):
            strided = unit == count - 1 and block < 3 if stride_last else unit == 0 and block > 0
            s = 2 if strided else 1
            skip = t.conv(4 * c, 1, s, x=x) if unit == 0 else t.pool(1, 2, x=x) if s == 2 else x
            t.conv(c, 1, 1 if stride_last else s, x=x)
            t.conv(c, 3, s if stride_last else 1)
            x = t.add(t.conv(4 * c), skip)
    return t.classes(1000)


# Channels of a block's branches; None is pooling.
_INCEPTION = (
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None),
    *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
    *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None),
    *((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


def inception_v1(third: int) -> list[Layer]:
    """Szegedy et al. 2014; the kernel of the third branch is 5 in the paper and 3 in TensorFlow-Slim."""
    t = Table(224)
    t.conv(64, 7, 2)
    t.pool(3, 2)
    t.conv(64)
    t.conv(192, 3)
    x = t.pool(3, 2)
    for place, block in enumerate(_INCEPTION):
        if block is None:
            x = t.pool(3 if third == 5 or place < 5 else 2, 2, x=x)
            continue
        one, three, threes, five, fives, pooled = block
        a = t.conv(one, x=x)
        b = t.conv(threes, 3, x=t.conv(three, x=x))
        c = t.conv(fives, third, x=t.conv(five, x=x))
        x = t.join(a, b, c, t.conv(pooled, x=t.pool(3, 1, x=x)))
    return t.classes(1000)


def inception_v3() -> list[Layer]:
    """Szegedy et al. 2015, at 299 x 299 pixels."""
    t = Table(299)

    def chain(x: Layer, *convs: tuple[int, int | Size]) -> Layer:
        for channels, kernel in convs:
            x = t.conv(channels, kernel, x=x)
        return x

    t.conv(32, 3, 2, "valid")
    t.conv(32, 3, 1, "valid")
    t.conv(64, 3)
    t.pool(3, 2, "valid")
    t.conv(80)
    t.conv(192, 3, 1, "valid")
    x = t.pool(3, 2, "valid")
    for pooled in (32, 64, 64):
        branches = [chain(x, (64, 1)), chain(x, (48, 1), (64, 5)), chain(x, (64, 1), (96, 3), (96, 3))]
        x = t.join(*branches, t.conv(pooled, x=t.pool(3, 1, x=x)))
    a = t.conv(384, 3, 2, "valid", x=x)
    b = t.conv(96, 3, 2, "valid", x=chain(x, (64, 1), (96, 3)))
    x = t.join(a, b, t.pool(3, 2, "valid", x=x))
    for m in (128, 160, 160, 192):
        a = chain(x, (192, 1))
        b = chain(x, (m, 1), (m, (1, 7)), (192, (7, 1)))
        c = chain(x, (m, 1), (m, (7, 1)), (m, (1, 7)), (m, (7, 1)), (192, (1, 7)))
        x = t.join(a, b, c, t.conv(192, x=t.pool(3, 1, x=x)))
    a = t.conv(320, 3, 2, "valid", x=chain(x, (192, 1)))
    b = t.conv(192, 3, 2, "valid", x=chain(x, (192, 1), (192, (1, 7)), (192, (7, 1))))
    x = t.join(a, b, t.pool(3, 2, "valid", x=x))
    for _ in range(2):
        a, y, z = chain(x, (320, 1)), chain(x, (384, 1)), chain(x, (448, 1), (384, 3))
        b, c = chain(y, (384, (1, 3))), chain(y, (384, (3, 1)))
        d, e = chain(z, (384, (1, 3))), chain(z, (384, (3, 1)))
        x = t.join(a, b, c, d, e, t.conv(192, x=t.pool(3, 1, x=x)))
    return t.classes(1000)


def mobilenet_v1(alpha: float, size: int) -> list[Layer]:
    """Howard et al. 2017."""
    t = Table(size)
    t.conv(int(32 * alpha), 3, 2)
    for c, s in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)):
        t.dw(3, s)
        t.conv(int(c * alpha))
    return t.classes(1000)


def mobilenet_v2() -> list[Layer]:
    """Sandler et al. 2018, width 1.0."""
    t = Table(224)
    x = t.conv(32, 3, 2)
    blocks = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, c, times, s in blocks:
        for unit in range(times):
            y = t.conv(x.output[2] * expand, x=x) if expand > 1 else x
            y = t.conv(c, x=t.dw(3, s if unit == 0 else 1, x=y))
            x = t.add(y, x) if unit else y
    t.conv(1280, x=x)
    return t.classes(1000)


def squeezenet() -> list[Layer]:
    """Iandola et al. 2016, version 1.1, at 227 x 227 pixels."""
    t = Table(227)
    t.conv(64, 3, 2, "valid")
    x = t.pool(3, 2, "caffe")
    for place, c in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        y = t.conv(c, x=x)
        x = t.join(t.conv(4 * c, x=y), t.conv(4 * c, 3, x=y))
        if place in (1, 3):
            x = t.pool(3, 2, "caffe", x=x)
    x = t.conv(1000, x=x)
    t.pool(x.output[0], 1, "valid")
    return t.layers


# name: layers, the family that is left out together, what a row's model name contains
_NETWORKS: dict[str, tuple[Callable[[], list[Layer]], str, str]] = {
    "vgg16": (vgg16, "vgg16", r"vgg16_imagenet_224_224_30"),
    "resnet50": (lambda: resnet((3, 4, 6, 3), False), "resnet50", r"(cf|tf2)_resnet50"),
    "resnet50_slim": (lambda: resnet((3, 4, 6, 3), True), "resnet50", r"resnetv1_50_imagenet_224_224_6\.97"),
    "resnet101": (lambda: resnet((3, 4, 23, 3), True), "resnet101", r"resnetv1_101_imagenet_224_224_14\.4"),
    "resnet152": (lambda: resnet((3, 8, 36, 3), True), "resnet152", r"resnetv1_152_imagenet_224_224_21\.83"),
    "inception_v1": (lambda: inception_v1(3), "inception_v1", r"tf_inceptionv1_imagenet_224_224_3G"),
    "googlenet": (lambda: inception_v1(5), "inception_v1", r"cf_inceptionv1"),
    "inception_v3": (inception_v3, "inception_v3", r"inceptionv3_imagenet_299_299_11"),
    "mobilenet_v1": (lambda: mobilenet_v1(1.0, 224), "mobilenet_v1", r"mobilenetv1_1\.0_imagenet_224_224_1\.14"),
    "mobilenet_v1_05": (lambda: mobilenet_v1(0.5, 160), "mobilenet_v1_05", r"mobilenetv1_0\.5"),
    "mobilenet_v2": (mobilenet_v2, "mobilenet_v2", r"mobilenetv2_(1\.0_)?imagenet"),
    "squeezenet": (squeezenet, "squeezenet", r"cf_squeeze"),
}


def networks() -> dict[str, Callable[[], list[Layer]]]:
    """Return by name a function that makes the layers."""
    return {name: make for name, (make, _, _) in _NETWORKS.items()}


def family(name: str) -> str:
    """Return the network of which `name` is a variant; variants are left out together."""
    return _NETWORKS[name][1]


def network_of(model: str) -> str | None:
    """Return the name of the network of a row of the public table; None for one without a layer table."""
    return next((name for name, (_, _, pattern) in _NETWORKS.items() if re.search(pattern, model)), None)
