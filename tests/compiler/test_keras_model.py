"""A layer answers for the positions and bits of its input, its weights and its output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from h5_models import H5Model

from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.op_graph import DPU_ROUND, PY3_ROUND, Fix


def layer(bits: dict[str, int], **weights: Any) -> Layer:
    settings = {f"{group}_quantizers": [{"quantizer_params": {"bit_width": n}}] for group, n in bits.items()}
    outer = {"quantize_config": {"config": settings}}
    values = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    return Layer("quant_c", "Conv2D", "QuantizeWrapper", {}, outer, (Call(()),), values, {})


def test_each_group_of_quantizers_has_its_bits() -> None:
    made = layer({"weight": 4, "bias": 6, "activation": 7}, kernel_pos=3, bias_pos=-2, post_activation_pos=5)
    assert made.weight_fix("kernel") == Fix(3, 4, PY3_ROUND)
    assert made.weight_fix("bias") == Fix(-2, 6, PY3_ROUND)
    assert made.output_fix() == Fix(5, 7, DPU_ROUND)
    assert made.input_fix() is None


def test_a_bias_without_quantizers_is_a_weight_and_an_output_an_activation() -> None:
    made = layer({"weight": 4, "activation": 7}, bias_pos=1, output_0_pos=2, pre_activation_pos=3)
    assert made.weight_fix("bias") == Fix(1, 4, PY3_ROUND)
    assert made.output_fix() == Fix(2, 7)
    assert made.input_fix() == Fix(3, 7)
    assert made.weight_fix("kernel") is None
    assert layer({}, output_0_pos=2).output_fix() == Fix(2, 8)


def test_a_quantizer_of_its_own_answers_as_any_layer(tmp_path: Path) -> None:
    model = H5Model()
    path = model.write(tmp_path / "m.h5", [model.conv(model.input((4, 4, 2), position=6), (2, 3), out=4)])
    quantizer, conv = (made for made in read_keras_model(path).layers if made.wrapper)
    assert quantizer.output_fix() == Fix(6) and conv.output_fix() == Fix(4)
    assert conv.weight_fix("kernel") == Fix(7, 8, PY3_ROUND)
    assert sorted(conv.positions) == ["bias", "kernel", "post_activation"]
    assert sorted(conv.constants) == ["bias", "kernel"]
