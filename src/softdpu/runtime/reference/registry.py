"""The registry of reference kernels: op type -> function.

An integer kernel takes and yields int8 tensors with positions; a float kernel takes and yields real numbers. An op type
may have both, because uncompiled graphs hold the same ops in float; the output's data type decides.
"""

from __future__ import annotations

from typing import Callable, Dict, List

import numpy as np

from softdpu.extensions import enter
from softdpu.runtime.program import Node

Args = Dict[str, List[np.ndarray]]  # the arrays of each input, by argument name
Kernel = Callable[[Node, Args], np.ndarray]

INTEGER_KERNELS: dict[str, Kernel] = {}
FLOAT_KERNELS: dict[str, Kernel] = {}


def integer_kernel(*kinds: str) -> Callable[[Kernel], Kernel]:
    """Register a function as the integer kernel of op types."""
    return enter(INTEGER_KERNELS, kinds)


def float_kernel(*kinds: str) -> Callable[[Kernel], Kernel]:
    """Register a function as the float kernel of op types."""
    return enter(FLOAT_KERNELS, kinds)


def any_kernel(*kinds: str) -> Callable[[Kernel], Kernel]:
    """Register a function that only moves numbers, for integers and floats alike."""

    def register(kernel: Kernel) -> Kernel:
        return enter(FLOAT_KERNELS, kinds)(enter(INTEGER_KERNELS, kinds)(kernel))

    return register
