"""The two flavours of QDQ ONNX, as AMD Quark 0.13 writes them.

Both: int8 for everything, zero point 0, power-of-two scales, weights and biases behind a DequantizeLinear.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flavour:
    """What differs.

    Attributes:
        name: xint8 or vint8.
        device: what takes it.
        dedicated_pairs: every reader of a tensor has a QuantizeLinear and DequantizeLinear of its own.
        pair_before_activation: a pair stands between a convolution or a sum and its Relu. The numbers are the same.
        relu_for_relu6: Relu instead of Clip(0, 6), wherever int8 ends at or below 6 anyway.
    """

    name: str
    device: str
    dedicated_pairs: bool
    pair_before_activation: bool
    relu_for_relu6: bool


XINT8 = Flavour("xint8", "Ryzen AI NPUs", False, False, False)
VINT8 = Flavour("vint8", "Versal AI Edge", True, True, True)
FLAVOURS = {flavour.name: flavour for flavour in (XINT8, VINT8)}
