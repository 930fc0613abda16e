"""Every step of the compiler is a function: it leaves the graph that it gets as it was, and says the same twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h5_models import H5Model
from test_layers_exact import NETS
from test_random_networks import grow

from softdpu.compiler.assemble import assemble
from softdpu.compiler.compile import PASSES, compile_keras
from softdpu.compiler.frontend import build_graph
from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.compiler.keras_model import KerasModel
from softdpu.compiler.memory import plan_memory
from softdpu.compiler.op_graph import Graph, Op
from softdpu.compiler.partition import Group, split_graph
from softdpu.compiler.xir_io import to_xir
from softdpu.numbers import boards

TARGETS = ("zcu102", "vek280")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[KerasModel]:
    """One model of each layer kind and some random ones."""
    folder, made = tmp_path_factory.mktemp("models"), []
    for name, build in NETS.items():
        model = H5Model(seed=1, name=name)
        made.append(read_keras_model(model.write(folder / f"{name}.h5", build(model))))
    for seed in range(8):
        model = H5Model(seed=seed, name=f"random_{seed}")
        made.append(read_keras_model(model.write(folder / f"{seed}.h5", grow(model, 12))))
    return made


def picture(value: Any) -> Any:
    """Return all that a graph, an operation or a group says, in plain values that a later change does not reach."""
    if isinstance(value, Graph):
        return value.name, picture(value.ops), [op.name for op in value.outputs], repr(sorted(value.attrs.items()))
    if isinstance(value, Group):
        return value.device, [op.name for op in value.ops], [[op.name for op in leaf] for leaf in value.leaves]
    if isinstance(value, Op):
        inputs = {name: [(producer.name, id(producer)) for producer in ops] for name, ops in value.inputs.items()}
        data = None if value.data is None else (value.data.dtype.str, value.data.tobytes())
        plain = {key: repr(held) for key, held in vars(value).items() if key not in ("inputs", "data")}
        return inputs, data, plain
    assert isinstance(value, list)
    return [picture(item) for item in value]


@pytest.mark.parametrize("target", TARGETS)
def test_passes_leave_their_graph_alone(models: list[KerasModel], target: str) -> None:
    dpu, changing = boards.find_target(target).dpu, set()
    for model in models:
        graph = build_graph(model)
        for name, step in PASSES:
            before = picture(graph)
            made = step(graph, dpu)
            assert picture(graph) == before, (model.name, name)
            again = step(graph, dpu)
            assert to_xir(made).serialize_to_string() == to_xir(again).serialize_to_string(), (model.name, name)
            if to_xir(made).serialize_to_string() != to_xir(graph).serialize_to_string():
                changing.add(name)
            graph = made
        before = picture(graph)
        first, second = split_graph(graph, dpu), split_graph(graph, dpu)
        assert picture(graph) == before, model.name
        assert not {id(op) for op in first[0].ops} & {id(op) for op in [*second[0].ops, *graph.ops]}
    fused = "hard sigmoid joins the convolution before it"
    assert {name for name, _ in PASSES} - changing <= ({fused} if "hsigmoid" not in dpu.conv else set())


@pytest.mark.parametrize("target", TARGETS)
def test_planning_and_to_xir_change_nothing(models: list[KerasModel], target: str) -> None:
    for model in models:
        compiled = compile_keras(model, boards.find_target(target))
        before = picture(compiled.graph), picture(compiled.groups)
        on_dpu = [group for group in compiled.groups if group.device == "DPU"]
        plans = [[plan_memory(group, compiled.target) for group in on_dpu] for _ in range(2)]
        assert plans[0] == plans[1]
        first, second = compiled.to_xir().serialize_to_string(), compiled.to_xir().serialize_to_string()
        assert first == second == assemble(compiled.graph, compiled.groups, compiled.target).serialize_to_string()
        assert (picture(compiled.graph), picture(compiled.groups)) == before


def test_memory_plan_places_every_value(models: list[KerasModel]) -> None:
    for model in models:
        compiled = compile_keras(model, boards.find_target("zcu102"))
        for group in compiled.groups:
            if group.device == "DPU":
                plan = plan_memory(group, compiled.target)
                assert set(plan.places) == {op for op in group.ops if op.kind != "download"}
                for op, place in plan.places.items():
                    if place["location"] == 1:
                        assert place["ddr_addr"] + int(np.prod(op.shape)) <= plan.sizes[place["reg_id"]]


def test_golden_model_compiles_to_the_same_bytes_twice(golden: Path) -> None:
    compiled = compile_keras(read_keras_model(golden / "vai_q" / "quant_model.h5"), boards.find_target("zcu102"))
    assert compiled.to_xir().serialize_to_string() == compiled.to_xir().serialize_to_string()


def test_versions_compare_by_their_place_in_the_list() -> None:
    versions = boards.VITIS_AI_VERSIONS
    for older, version in enumerate(versions):
        for newer, first in enumerate(versions):
            assert boards.is_at_least(version, first) == (older >= newer)
