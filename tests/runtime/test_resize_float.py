"""Bilinear resizing of float32 is TensorFlow's to the bit, for sizes whose steps are no numbers of float32 as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from softdpu.runtime.reference.resize import resize_float

tf = pytest.importorskip("tensorflow")

HOW = {
    "half": ({"half_pixel_centers": True}, lambda x, size: tf.image.resize(x, size)),
    "aligned": (
        {"align_corners": True},
        lambda x, size: tf.compat.v1.image.resize_bilinear(x, size, align_corners=True),
    ),
    "corner": ({}, lambda x, size: tf.compat.v1.image.resize_bilinear(x, size)),
}


@pytest.mark.parametrize("how", HOW)
def test_bilinear_is_that_of_tensorflow(how: str) -> None:
    attrs, expected = HOW[how]
    rng = np.random.default_rng(3)
    for _ in range(20):
        size, wanted = rng.integers(1, 24, 2), rng.integers(1, 40, 2)
        x = (rng.integers(-128, 128, (2, *size, 3)) / 16).astype(np.float32)
        node: Any = SimpleNamespace(
            key="r",
            attrs={"mode": "BILINEAR", **attrs},
            input=SimpleNamespace(shape=x.shape),
            output=SimpleNamespace(shape=(2, *wanted, 3)),
        )
        made = resize_float(node, {"input": [x]})
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, expected(x, wanted).numpy())
