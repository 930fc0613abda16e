"""The reference against what AMD's own software computed, and both engines on files that AMD's compiler made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xir
from softdpu.errors import SoftdpuError
from softdpu.runtime import create_engine, evaluate_graph

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"AMD's golden data is not at {GOLDEN}")
COMPILED = ["zcu102.v2.0", "zcu102.v2.5", "zcu102.v3.0", "vck190.v3.0", "vek280.v3.5"]


def read(name):
    return xir.Graph.deserialize(str(GOLDEN / "xmodel" / f"{name}.xmodel"))


def dpus(graph):
    children = graph.get_root_subgraph().toposort_child_subgraph()
    return [child for child in children if child.has_attr("device") and child.get_attr("device") == "DPU"]


def slope(node, args):
    """tf2_custom_op's own layer, a PReLU."""
    x, weight = (array for arrays in args.values() for array in arrays)
    return np.where(x > 0, x, x * weight).astype(np.float32)


def test_front_end_graph_gives_keras_logits():
    data = np.load(GOLDEN / "vai_q" / "eval.npz")
    [logits] = evaluate_graph(read("quant_model.frontend"), data["images"]).values()
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits.reshape(64, 10), data["quant_out"])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(-16, 16, (16, 28, 28, 1)).astype(np.int8)


@pytest.fixture(scope="module")
def expected(images):
    """What the graph gives from which all of COMPILED were made; it takes a while, so it is computed once."""
    [logits] = evaluate_graph(read("tf2_custom_op.frontend"), images * np.float32(4), {"Mylayer": slope}).values()
    return logits


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_graph_is_its_front_end_graph(name, images, expected):
    [got] = evaluate_graph(read(f"tf2_custom_op.{name}"), images, {"Mylayer": slope}).values()
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", COMPILED)
def test_engines_agree_on_compiled_subgraphs(name):
    rng = np.random.default_rng(1)
    subgraphs = dpus(read(f"tf2_custom_op.{name}"))
    assert len(subgraphs) == 2
    for subgraph in subgraphs:
        reference, fast = create_engine(subgraph, "reference"), create_engine(subgraph, "litert")
        assert fast.fallbacks == []
        for _ in range(10):
            inputs = [rng.integers(-128, 128, value.shape).astype(np.int8) for value in fast.program.inputs]
            expected, got = ([np.empty(v.shape, v.dtype) for v in e.program.outputs] for e in (reference, fast))
            reference.run(inputs, expected)
            fast.run(inputs, got)
            for a, b in zip(expected, got, strict=True):
                np.testing.assert_array_equal(a, b)


def test_weights_in_an_unknown_order_are_refused_by_name():
    """DPUCVDX8H: no genuine file has shown its order."""
    graph = read("tf2_custom_op.vck190.v3.0")
    [first, _] = dpus(graph)
    first.set_attr("dpu_fingerprint", 0x501000000160C2F)
    with pytest.raises(SoftdpuError, match="undocumented order for DPUCVDX8G_ISA3_C32B6"):
        create_engine(first)


def test_unknown_op_is_named():
    with pytest.raises(SoftdpuError, match="'custom_layer' has the type 'Mylayer'"):
        evaluate_graph(read("tf2_custom_op.zcu102.v3.0"), np.zeros((1, 28, 28, 1), np.int8))
