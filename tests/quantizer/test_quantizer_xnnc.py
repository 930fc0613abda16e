"""AMD's own compiler front end (xnnc4xir, public) reads the files written here, where it is installed.

It gives the graph that softdpu's front end gives, which is the one of AMD's own files (tests/compiler).
"""

from __future__ import annotations

from pathlib import Path

import amd_networks
import numpy as np
import pytest

import xir
from softdpu.compiler import compile_model
from softdpu.quantizer.vitis_quantize import VitisQuantizer

# What AMD's front end takes: ReLU layers, no functions on tensors, a quantized output.
NETWORKS = ("residual", "inverted_residual", "unet", "squeeze_excite", "two_inputs", "one_pixel", "dense", "chain")


def described(path: Path) -> dict:
    found = {}
    for op in xir.Graph.deserialize(str(path)).get_ops():
        inputs = {name: [source.get_name() for source in ops] for name, ops in op.get_input_ops().items() if ops}
        tensor = op.get_output_tensor()
        found[op.get_name()] = (op.get_type(), op.get_attrs(), inputs, tensor.name, tensor.dims, str(tensor.dtype))
    return found


@pytest.fixture
def xnnc(monkeypatch):
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("object", object)):
        if name not in vars(np):  # it was written for an older numpy
            monkeypatch.setattr(np, name, kind, raising=False)
    return pytest.importorskip("xnnc.xconverter", reason="AMD's front end xnnc is not installed")


@pytest.mark.parametrize("name", NETWORKS)
def test_amds_front_end_reads_our_file(xnnc, name, tmp_path):
    from xnnc.ir.enums import TargetType

    model, images = amd_networks.network(getattr(amd_networks, name))
    VitisQuantizer(model).quantize_model(calib_dataset=images).save(tmp_path / "q.h5")
    options = {"in_shapes": None, "batchsize": 1, "dump_to": tmp_path / "amd.xmodel", "target": TargetType.XIR}
    xnnc.XConverter.run([tmp_path / "q.h5"], "tensorflow2", "nhwc", **options)
    compile_model(tmp_path / "q.h5", "zcu102", tmp_path / "ours.xmodel", emit="frontend")
    assert described(tmp_path / "amd.xmodel") == described(tmp_path / "ours.xmodel")
