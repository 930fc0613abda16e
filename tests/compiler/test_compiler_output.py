"""What the compiler writes and says: determinism, summary, readers other than ours, command lines, inspector."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5_models import H5Model, check_with_amd

import xir
from softdpu.compiler import compile_model
from softdpu.compiler.inspector import inspect_model, report
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    toy = H5Model(seed=3)
    x = toy.relu(toy.conv(toy.input((8, 8, 3)), (3, 6), out=None, name="first"), 4, 6.0, name="act")
    y = toy.conv(x, (6, 6), name="second")
    x = toy.relu(toy.wrapped("Add", [x, y], {}, "sum"), 4, name="sum_relu")
    x = toy.wrapped("Vitis>VitisGlobalAveragePooling2D", [x], {}, "gap", output_0_pos=5)
    x = toy.conv(x, (6, 4), kind="Dense", out=None, name="logits")
    x = toy.wrapped("Activation", [x], {"activation": "softmax"}, "probabilities", pre_activation_pos=3)
    return toy.write(tmp_path / "m.h5", [x])


def test_same_bytes_from_any_folder(model: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.xmodel", tmp_path / "elsewhere" / "b.xmodel"
    (tmp_path / "elsewhere").mkdir()
    compile_model(model, "zcu102", first)
    compile_model(shutil.copy(model, tmp_path / "elsewhere" / "m.h5"), "zcu102", second)
    assert first.read_bytes() == second.read_bytes()


def test_same_bytes_in_any_process(model: Path, tmp_path: Path) -> None:
    made = set()
    for seed in ("1", "2"):
        command = [sys.executable, ROOT / "scripts/compile.py", "--model", model, "--target", "zcu102"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([*command, "--output", tmp_path / "o.xmodel"], env=environment, check=True, capture_output=True)
        made.add((tmp_path / "o.xmodel").read_bytes())
    assert len(made) == 1


def test_summary(model: Path, tmp_path: Path) -> None:
    made = compile_model(model, "zcu104", tmp_path / "m.xmodel", vitis_ai="2.5")
    assert (made["target"], made["dpu"], made["fingerprint"]) == ("zcu104", "DPUCZDX8G_ISA1_B4096", "0x101000016010407")
    assert [group["device"] for group in made["subgraphs"]] == ["USER", "DPU", "CPU"]
    assert made["inputs"] == [{"name": "quant_input_1", "shape": [1, 8, 8, 3], "position": 5}]
    places = {place["layer"]: place for place in made["layers"]}
    assert places["quant_act"]["operation"] == "in quant_first"
    assert places["quant_probabilities"]["device"] == "CPU"
    assert "softmax" in places["quant_probabilities"]["reason"]
    assert made["workload"] > 2 * 8 * 8 * 9 * (3 * 6 + 6 * 6)
    json.dumps(made)


def test_graph_survives_writing_and_reading(model: Path, tmp_path: Path) -> None:
    compile_model(model, "zcu102", tmp_path / "m.xmodel")
    graph = xir.Graph.deserialize(str(tmp_path / "m.xmodel"))
    graph.serialize(str(tmp_path / "again.xmodel"))
    assert (tmp_path / "again.xmodel").read_bytes() == (tmp_path / "m.xmodel").read_bytes()


def test_registers_hold_their_tensors_without_overlap(model: Path, tmp_path: Path) -> None:
    compile_model(model, "zcu102", tmp_path / "m.xmodel")
    graph = xir.Graph.deserialize(str(tmp_path / "m.xmodel"))
    dpu = next(c for c in graph.get_root_subgraph().get_children() if c.get_attr("device") == "DPU")
    sizes = dpu.get_attr("reg_id_to_size")
    order = {op: index for index, op in enumerate(graph.toposort())}
    spans = []
    for op in dpu.get_ops():
        tensor = op.get_output_tensor()
        if tensor.has_attr("location") and tensor.get_attr("location") == 1:
            start = tensor.get_attr("ddr_addr")
            end = start + tensor.get_data_size()
            assert end <= sizes[f"REG_{tensor.get_attr('reg_id')}"]
            last = max([order[reader] for reader in op.get_fanout_ops()], default=len(order))
            born = -1 if op.get_type() in ("const-fix", "upload") else order[op]
            spans.append((tensor.get_attr("reg_id"), start, end, born, last))
    for index, (register, start, end, born, last) in enumerate(spans):
        for other, start_2, end_2, born_2, last_2 in spans[:index]:
            apart = register != other or end <= start_2 or end_2 <= start or last < born_2 or last_2 < born
            assert apart
    assert len(spans) > 8


LOAD_WITH_NETRON = """
import fs from 'fs';
import { BinaryReader } from './protobuf.js';
import { ModelFactory } from './xmodel.js';
const read = async () => BinaryReader.open(new Uint8Array(fs.readFileSync('m.xmodel')));
const model = await new ModelFactory().open({ require: (name) => import(name + '.js'), read });
console.log(JSON.stringify(model.modules[0].nodes.map((node) => node.type.name)));
"""


def test_netron_loads_it(model: Path, tmp_path: Path) -> None:
    netron = pytest.importorskip("netron")
    if shutil.which("node") is None:
        pytest.skip("netron's loader is JavaScript and node is not installed")
    compile_model(model, "zcu102", tmp_path / "m.xmodel")
    for name in ("base", "protobuf", "text", "xmodel", "xmodel-proto"):
        shutil.copy(Path(netron.__file__).parent / f"{name}.js", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "load.js").write_text(LOAD_WITH_NETRON)
    done = subprocess.run(["node", "load.js"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    graph = xir.Graph.deserialize(str(tmp_path / "m.xmodel"))
    computed = sorted(op.get_type() for op in graph.get_ops() if op.get_input_num())
    assert sorted(kind for kind in json.loads(done.stdout) if not kind.startswith("const")) == computed


def test_compile_command(model: Path, tmp_path: Path) -> None:
    output, summary = tmp_path / "out" / "m.xmodel", tmp_path / "out" / "s.json"
    command = [sys.executable, ROOT / "scripts/compile.py", "--model", model, "--output", output]
    done = subprocess.run([*command, "--target", "kv260", "--summary", summary], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(summary.read_text())["target"] == "kv260"
    check_with_amd(output)
    done = subprocess.run([*command, "--fingerprint", "0x101000016010404"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert b"DPUCZDX8G_ISA1_B1600" in output.read_bytes()
    before = output.read_bytes()
    done = subprocess.run([*command, "--target", "toaster"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown target 'toaster'")
    assert done.stderr.count("\n") == 1
    assert output.read_bytes() == before


def test_inspect_command(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "scripts/inspect_model.py", model, "--target", "zcu102"]
    done = subprocess.run([*command, "--json", "--output", tmp_path / "i.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "i.json").read_text())


def test_compiler_needs_no_tensorflow() -> None:
    code = "import sys, softdpu.compiler, softdpu.compiler.inspector; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


def float_model(tmp_path: Path) -> Path:
    toy = H5Model(seed=1)
    rng = toy.rng

    def array(*shape: int) -> np.ndarray:
        return rng.normal(0, 1, shape).astype(np.float32)

    toy.inputs.append(toy.bare("InputLayer", "image", [], {"batch_input_shape": [None, 12, 12, 3]}))
    conv = {"padding": "same", "strides": [1, 1], "dilation_rate": [1, 1], "use_bias": False, "activation": "linear"}
    x = toy.bare("Conv2D", "conv", ["image"], conv, kernel=array(3, 3, 3, 8))
    statistics = {name: array(8) for name in ("gamma", "beta", "moving_mean")}
    statistics["moving_variance"] = np.abs(array(8))
    x = toy.bare("BatchNormalization", "bn", [x], {"epsilon": 1e-3}, **statistics)
    x = toy.bare("ReLU", "relu", [x], {"max_value": 6.0})
    x = toy.bare("Conv2D", "huge", [x], {**conv, "activation": "relu"}, kernel=array(17, 17, 8, 4))
    x = toy.bare("Dropout", "drop", [x], {"rate": 0.5})
    x = toy.bare("LeakyReLU", "leaky", [toy.bare("Conv2D", "c2", [x], conv, kernel=array(1, 1, 4, 4))], {"alpha": 0.1})
    x = toy.bare("LeakyReLU", "steep", [toy.bare("Conv2D", "c3", [x], conv, kernel=array(1, 1, 4, 4))], {"alpha": 0.3})
    x = toy.bare("Lambda", "magic", [x], {"function": "x", "output_shape_type": "raw", "output_shape": [12, 12, 4]})
    x = toy.bare("GlobalAveragePooling2D", "gap", [x], {})
    x = toy.bare("Dense", "head", [x], {"use_bias": True, "activation": "softmax"}, kernel=array(4, 5), bias=array(5))
    return toy.write(tmp_path / "float.h5", [x])


def test_inspector_of_a_float_model(tmp_path: Path) -> None:
    places = {place.layer: place for place in inspect_model(float_model(tmp_path), boards.find_target("zcu102"))}
    device = {name: place.device for name, place in places.items()}
    on_dpu = {"conv", "bn", "relu", "c2", "leaky", "gap", "head"}
    assert {name for name, where in device.items() if where == "DPU"} == on_dpu | {"huge_relu"} - {"huge_relu"}
    assert device["image"] == "USER"
    assert device["drop"] == ""
    assert {name for name, where in device.items() if where == "CPU"} >= {
        "huge",
        "c3",
        "steep",
        "magic",
        "head_softmax",
    }
    assert "17x17" in places["huge"].reason
    assert "alpha=0.1" in places["steep"].reason
    assert "Lambda" in places["magic"].reason
    text = report(list(places.values()))
    assert "-> LeakyReLU with slope 0.3" in text
    assert text.splitlines()[-1].endswith("on the CPU")


def test_inspector_knows_the_target(tmp_path: Path) -> None:
    path = float_model(tmp_path)
    on = {name: {p.layer: p for p in inspect_model(path, boards.find_target(name))} for name in ("zcu102", "u50")}
    assert on["zcu102"]["conv"].device == on["u50"]["conv"].device == "DPU"
    toy = H5Model()
    depthwise = toy.conv(toy.input((6, 6, 4)), (4, 4), 3, kind="DepthwiseConv2D")
    path = toy.write(tmp_path / "d.h5", [toy.conv(depthwise, (4, 2))])
    places = {name: inspect_model(path, boards.find_target(name)) for name in ("zcu102", "u50")}
    assert [place.device for place in places["zcu102"]][-2:] == ["DPU", "DPU"]
    assert [place.device for place in places["u50"]][-2:] == ["CPU", "DPU"]
    assert "use Conv2D" in places["u50"][-2].reason


def test_inspector_of_genuine_models(golden: Path) -> None:
    target = boards.find_target("zcu102")
    plain = inspect_model(golden / "vai_q/float_model.h5", target)
    assert not [place for place in plain if place.device == "CPU"]
    places = {name: inspect_model(golden / f"vai_q/misc_{name}.h5", target) for name in ("float", "quant")}
    on_cpu = {name: {p.layer for p in found if p.device == "CPU" and p.reason} for name, found in places.items()}
    assert len(on_cpu["float"]) == 8
    assert {"quant_" + name for name in on_cpu["float"]} >= {n for n in on_cpu["quant"] if n.startswith("quant_")}


def test_inspector_of_models_inside_models_and_shared_layers(tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras")
    layers = keras.layers
    inside = layers.Input((8, 8, 4), name="inside")
    block = keras.Model(inside, layers.Add()([inside, layers.Conv2D(4, 17, padding="same", name="huge")(inside)]))
    stem = keras.Sequential([layers.Conv2D(4, 3, padding="same", name="c"), layers.ReLU(name="r")], name="stem")
    image, shared = layers.Input((8, 8, 3)), layers.Conv2D(4, 3, padding="same", name="shared")
    x = layers.ReLU(name="between")(shared(block(block(stem(image)))))
    keras.Model(image, layers.Dense(3, name="head")(layers.Flatten()(shared(x)))).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:  # as Keras writes more names than one attribute holds
        group = file["model_weights/stem"]
        names = group.attrs["weight_names"]
        del group.attrs["weight_names"]
        group.attrs["weight_names0"], group.attrs["weight_names1"] = names[:1], names[1:]
    device = {place.layer: place.device for place in inspect_model(tmp_path / "m.h5", boards.find_target("zcu102"))}
    huge = {name: where for name, where in device.items() if name.endswith("/huge")}
    assert len(huge) == 2
    assert set(huge.values()) == {"CPU"}
    assert {device[name] for name in ("stem/c", "stem/r", "shared", "between", "shared_1", "head")} == {"DPU"}


def test_inspector_refuses_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("no")
    with pytest.raises(SoftdpuError, match=r"x\.h5"):
        inspect_model(tmp_path / "x.h5", boards.find_target("zcu102"))
