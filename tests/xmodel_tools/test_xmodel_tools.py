"""`softdpu xmodel`: what it prints, what it returns, and one line for every mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xir
from softdpu.commands.main import main
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.runtime import parameters
from softdpu.xmodel import diff, fingerprint, load, show, weights

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
golden = pytest.mark.skipif(not GOLDEN.exists(), reason=f"AMD's own files are not beside this project, in {GOLDEN}")
B4096 = 0x101000056010407


def genuine(name: str) -> str:
    return str(GOLDEN / "xmodel" / f"tf2_custom_op.{name}.xmodel")


def compiled(path: Path, number: int = B4096, shift: int = 0, address: int = 16, runner: str = "dpu") -> Path:
    """A tiny compiled graph: an image, a DPU part with weights in its blob, and a float output on the CPU."""
    graph = xir.Graph("tiny")
    image = graph.create_op("image", "data-fix", {"shape": [1, 4, 4, 2], "data_type": "xint8"})
    kernel = graph.create_op("w", "const-fix", {"shape": [3, 1, 1, 2], "data_type": "xint8", "data": b""})
    kernel.get_output_tensor().set_attrs({"ddr_addr": address, "reg_id": 0, "fix_point": 5})
    attrs = {"kernel": [1, 1], "stride": [1, 1], "workload": 192, "workload_on_arch": 4096}
    conv = graph.create_op("conv", "conv2d-fix", attrs, {"input": [image], "weights": [kernel]})
    conv.get_output_tensor().set_attr("fix_point", 3 + shift)
    fix = {"fix_point": 3 + shift, "bit_width": 8, "round_mode": "DPU_ROUND", "if_signed": True}
    graph.create_op("out", "fix2float", fix, {"input": [conv]})
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    parts = {"USER": ["image"], "DPU": ["w", "conv"], "CPU": ["out"]}
    for device, names in parts.items():
        part = root.merge_children({root.find_child_subgraph_by_op_name(name) for name in names})
        part.set_attr("device", device)
        if device == "DPU":
            blob = np.arange(32, dtype=np.int8) + np.int8(shift)
            part.set_attr("reg_id_to_parameter_value", {"REG_0": blob}).set_attr("reg_id_to_size", {"REG_0": 32})
            part.set_attr("runner", {"run": f"libvart-{runner}-runner.so"}).set_attr("mc_code", b"")
            part.set_attr("dpu_fingerprint", number).set_attr("dpu_name", "DPU_NAME")
    graph.serialize(path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["xmodel", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = compiled(tmp_path / "a.xmodel")
    code, out, _ = run(capsys, "show", path)
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == f"{path}: graph 'tiny', 4 ops, {path.stat().st_size:,} bytes"
    assert [line for line in lines if line.startswith(("USER:", "DPU:", "CPU:"))] == [
        "USER: subgraph_image",
        "DPU: subgraph_conv",
        "CPU: subgraph_out",
    ]
    assert "DPU DPU_NAME, fingerprint 0x101000056010407" in lines and "input image: xint8 [1, 4, 4, 2]" in lines
    assert any(line.startswith("conv ") and "position 3, kernel [1, 1], 192 operations" in line for line in lines)
    assert not any(line.startswith("w ") for line in lines)
    assert any(line.strip().startswith("w ") for line in run(capsys, "show", path, "--constants")[1].splitlines())
    found = json.loads(run(capsys, "show", path, "--json")[1])
    assert [part["device"] for part in found["subgraphs"]] == ["USER", "DPU", "CPU"]
    assert found["subgraphs"][1]["fingerprint"] == hex(B4096) and found["subgraphs"][1]["ops"][1]["workload"] == 192


def test_show_never_lets_our_files_pass_for_the_boards(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = run(capsys, "show", compiled(tmp_path / "a.xmodel", runner="softdpu"))[1]
    assert "no DPU instructions" in out and "toolchain: vitis-ai" in out


@golden
@pytest.mark.parametrize("path", sorted((GOLDEN / "xmodel").glob("*.xmodel")), ids=lambda path: path.stem)
def test_show_genuine_files(path: Path) -> None:
    found = show.describe(path)
    graph = load.load(path)
    assert sum(len(part["ops"]) for part in found["subgraphs"]) == found["ops"] == graph.get_op_num()
    text = "\n".join(show.show_text(found))
    assert all(op["name"] in text for part in found["subgraphs"] for op in part["ops"] if "const" not in op["type"])
    devices = [part["device"] for part in found["subgraphs"]]
    assert devices == ([""] if "frontend" in path.name else ["USER", "DPU", "CPU", "DPU", "CPU"])


def test_diff(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    a, b = compiled(tmp_path / "a.xmodel"), compiled(tmp_path / "b.xmodel", shift=1)
    assert run(capsys, "diff", a, a) == (0, f"{a} and {a} are equal in graph, positions, weights and subgraphs\n", "")
    code, out, _ = run(capsys, "diff", a, b, "--json")
    assert code == 1
    assert json.loads(out) == {
        "equal": False,
        "graph": [],
        "positions": ["op 'conv': position 3 -> 4", "op 'out': position 3 -> 4"],
        "weights": ["'w': 6 of 6 numbers differ, by up to 1"],
        "subgraphs": [],
    }
    assert run(capsys, "diff", a, b, "--section", "graph")[0] == 0
    code, out, _ = run(capsys, "diff", a, b, "--limit", 1)
    assert "positions: 2 differences" in out and "... and 1 more" in out


def test_diff_names_what_is_missing(tmp_path: Path) -> None:
    a = compiled(tmp_path / "a.xmodel")
    graph = xir.Graph.deserialize(a)
    graph.remove_op(graph.get_op("out"))
    graph.get_op("conv").set_attr("stride", [1, 2]).set_attr("extra", 5)
    graph.get_op("w").get_output_tensor().name = "other"
    graph.serialize(tmp_path / "b.xmodel")
    found = diff.compare(a, tmp_path / "b.xmodel")
    assert "op 'out' (fix2float) is only in the first" in found["graph"]
    assert "op 'conv': stride [1, 1] -> [1, 2]" in found["graph"]
    assert "op 'conv': extra = 5 is only in the second" in found["graph"]
    assert "op 'w': output's name 'w' -> 'other'" in found["graph"]
    assert found["subgraphs"] == ["parts in order: USER, DPU, CPU -> USER, DPU", "'subgraph_out' is only in the first"]


@golden
def test_diff_follows_renamed_ops_across_compiler_versions() -> None:
    """2.5 and 3.0 name constants differently and pack them differently, yet compiled the same model."""
    found = diff.compare(genuine("zcu102.v2.5"), genuine("zcu102.v3.0"))
    assert found["positions"] == [] and found["weights"] == []
    assert not any("is only in" in line for line in found["graph"])
    assert diff.compare(genuine("zcu102.v3.0"), genuine("vck190.v3.0"))["weights"] == []
    assert "'subgraph_quant_conv2d': dpu_fingerprint 0x101000016010407 -> 0x101000056010407" in found["subgraphs"]


def test_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = compiled(tmp_path / "a.xmodel")
    code, out, _ = run(capsys, "weights", path, "-o", tmp_path / "w.npz")
    assert code == 0 and "w: int8 [3, 1, 1, 2], position 5" in out
    with np.load(tmp_path / "w.npz") as arrays:
        np.testing.assert_array_equal(arrays["w"], np.arange(16, 22, dtype=np.int8).reshape(3, 1, 1, 2))
    first = (tmp_path / "w.npz").read_bytes()
    run(capsys, "weights", path, "-o", tmp_path / "w.npz")
    assert (tmp_path / "w.npz").read_bytes() == first
    run(capsys, "weights", path, "-o", tmp_path / "w.npz", "--real")
    with np.load(tmp_path / "w.npz") as arrays:
        np.testing.assert_array_equal(arrays["w"].ravel(), np.arange(16, 22, dtype=np.float32) / 32)


def test_weights_in_an_unknown_layout_are_named(tmp_path: Path) -> None:
    found, hidden = weights.list_constants(load.load(compiled(tmp_path / "a.xmodel", 0x501000000160C2F)))
    assert (found, hidden) == ([], ["w"])
    ours = compiled(tmp_path / "b.xmodel", 0x501000000160C2F, runner="softdpu")
    assert [constant.name for constant in weights.list_constants(load.load(ours))[0]] == ["w"]


@pytest.mark.parametrize("address", [27, 32, -1, 2**31 - 1])
def test_weights_outside_the_blob_are_named(address: int, tmp_path: Path) -> None:
    with pytest.raises(SoftdpuError, match=f"op 'w': its 6 bytes at {address} lie outside the 32 bytes of REG_0"):
        weights.list_constants(load.load(compiled(tmp_path / "a.xmodel", address=address)))


@golden
@pytest.mark.parametrize("version", ["zcu102.v2.0", "zcu102.v2.5", "zcu102.v3.0"])
def test_weights_of_genuine_files_are_those_of_the_model(version: str) -> None:
    """round(weight * 2**position) of AMD's quantized Keras file, in the compiled order."""
    found = {c.name.removesuffix("_new"): c for c in weights.list_constants(load.load(genuine(version)))[0]}
    with h5py.File(GOLDEN / "vai_q" / "tf2_custom_op_quantized.h5") as file:
        for layer in ("quant_conv2d", "quant_conv2d_1", "quant_conv2d_2"):
            variables = file[f"model_weights/{layer}/{layer}"]
            for part, order in (("kernel", (3, 0, 1, 2)), ("bias", (0,))):
                constant = found[f"{layer}_{'weights' if part == 'kernel' else part}"]
                assert constant.position == int(variables[f"{part}_pos:0"][()])
                scaled = np.rint(variables[f"{part}:0"][()].transpose(order) * 2.0**constant.position)
                np.testing.assert_array_equal(constant.data, np.clip(scaled, -128, 127))


@golden
@pytest.mark.parametrize("version", ["vck190.v3.0", "vek280.v3.5"])
def test_weights_of_other_dpus_are_put_back_in_order(version: str) -> None:
    """AMD compiled one model for several DPUs, whose engines want its kernels in different orders."""
    expected = {c.name: c for c in weights.list_constants(load.load(genuine("zcu102.v3.0")))[0]}
    found, hidden = weights.list_constants(load.load(genuine(version)))
    assert hidden == [] and {c.name for c in found} == set(expected)
    for constant in found:
        np.testing.assert_array_equal(constant.data, expected[constant.name].data)
        assert constant.position == expected[constant.name].position


@pytest.mark.parametrize("outputs", [1, 4, 10, 16, 18, 32, 50, 64, 96])
@pytest.mark.parametrize("inputs", [3, 16, 20, 32, 70])
def test_layouts_give_every_number_its_own_place(outputs: int, inputs: int) -> None:
    shape = (outputs, 3, 2, inputs)
    versal, edge = parameters._versal_kernel(*shape), parameters._versal_ai_edge_kernel(*shape)
    for offsets, size in (
        (versal, -(-outputs // 4) * 4 * 6 * -(-inputs // 16) * 16),
        (edge, -(-outputs // 32) * 32 * 6 * -(-inputs // 32) * 32),
    ):
        assert offsets.shape == shape and np.unique(offsets).size == offsets.size
        assert offsets.min() == 0 and offsets.max() < size


def test_kernels_spread_over_two_registers(tmp_path: Path) -> None:
    """DPUCAHX8H: of every 16 outputs the first 8 are in one register and the others in the next."""
    graph = xir.Graph.deserialize(compiled(tmp_path / "a.xmodel", 0x20200000010002A, address=2))
    kernel = np.random.default_rng(0).integers(-128, 128, (40, 3, 2, 5), dtype=np.int8)
    halves = [np.concatenate([[1, 2], *(kernel[o : o + 8].ravel() for o in range(first, 40, 16))]) for first in (0, 8)]
    op = graph.get_op("w")
    tensor = xir.Tensor.create("w", kernel.shape, "xint8")
    tensor.set_attrs({**op.get_output_tensor().get_attrs(), "reg_id": 2})
    op.replace_output_tensor(tensor)
    part = graph.get_leaf_subgraph(op)
    blobs = {"REG_2": halves[0].astype(np.int8), "REG_3": halves[1].astype(np.int8)}
    part.set_attr("reg_id_to_parameter_value", blobs)
    np.testing.assert_array_equal(parameters.read_constant(op, part), kernel)


def test_fingerprint(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fingerprint", "0x101000056010407")
    assert code == 0
    for words in (
        "DPUCZDX8G_ISA1_B4096, batch 1",
        "4096 operations a cycle: 8 pixels x 16 input channels x 16 output channels",
        "argmax while saving",
        "board zcu102 with Vitis AI 3.0, 3.5; SD-card images xilinx-zcu102-dpu-v2022.2-v3.0.0.img.gz\n",
        "xdputil query",
    ):
        assert words in out
    (found,) = json.loads(run(capsys, "fingerprint", "101000016010407", "--json")[1])
    assert (found["name"], found["vitis_ai"], found["batch"]) == ("DPUCZDX8G_ISA1_B4096", ["2.5"], 1)
    assert not any("argmax" in feature for feature in found["features"])


@pytest.mark.parametrize("dpu", boards.list_dpus(), ids=lambda dpu: f"{dpu.fingerprint:x}")
def test_every_known_dpu_is_explained(dpu: boards.Dpu) -> None:
    (found,) = fingerprint.explain(f"{dpu.fingerprint:#x}")
    assert found["known"] and found["operations_per_cycle"] == dpu.operations_per_cycle and found["type"] == dpu.type
    assert any(str(dpu.operations_per_cycle) in line for line in fingerprint.show_text("x", [found]))


def test_an_unknown_dpu_is_described_as_far_as_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fingerprint", "0x6ff0000deadbeef")
    assert code == 0 and "type DPUCVDX8G, instruction set 255" in out and "not in the table" in out


def test_fingerprints_of_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = compiled(tmp_path / "a.xmodel")
    arch = tmp_path / "arch.json"
    arch.write_text('{"fingerprint": "0x101000016010407"}')
    assert fingerprint.read(str(model)) == [B4096] and fingerprint.read(str(arch)) == [0x101000016010407]
    code, out, _ = run(capsys, "fingerprint", model, arch)
    assert code == 1
    assert (
        "they differ in argmax while saving" in out
        and "zcu102 with Vitis AI 2.5" in out
        and "Compile the model again" in out
    )
    assert run(capsys, "fingerprint", model, hex(B4096))[0] == 0
    assert json.loads(run(capsys, "fingerprint", model, arch, "--json")[1])["same"] is False
    assert "another kind of DPU" in run(capsys, "fingerprint", model, "0x901400044000e44")[1]


@golden
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zcu102.v2.0", "Vitis AI 1.3"),
        ("zcu102.v2.5", "xilinx-zcu102-dpu-v2022.1-v2.5.0.img.gz"),
        ("vck190.v3.0", "xilinx-vck190-dpu-v2022.2-v3.0.0.img.gz"),
        ("vek280.v3.5", "amd-vek280-dpu-v2023.1-v3.5.0.img.gz"),
    ],
)
def test_fingerprints_of_genuine_files(name: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fingerprint", genuine(name))
    assert code == 0 and words in out and f"board {name.split('.')[0]} " in out


def mistakes(folder: Path) -> dict[str, tuple[list[str], str]]:
    (folder / "bad.json").write_text("{")
    (folder / "bad.xmodel").write_bytes(b"\xff" * 100)
    graph = xir.Graph("float")
    graph.create_op("a", "data", {"shape": [1], "data_type": "float32"})
    graph.serialize(folder / "float.xmodel")
    bad, plain = str(folder / "bad.xmodel"), str(folder / "float.xmodel")
    return {
        "missing": (["show", str(folder / "none.xmodel")], "none.xmodel: cannot be read"),
        "garbage": (["show", bad], "bad.xmodel: not an .xmodel"),
        "diff garbage": (["diff", plain, bad], "bad.xmodel: not an .xmodel"),
        "weights garbage": (["weights", bad, "-o", str(folder / "w.npz")], "bad.xmodel: not an .xmodel"),
        "no fingerprint": (["fingerprint", plain], "no part of it is compiled for a DPU"),
        "words": (["fingerprint", "zcu102"], "expected a fingerprint such as 0x"),
        "json": (["fingerprint", str(folder / "bad.json")], "bad.json"),
        "no json": (["fingerprint", str(folder / "none.json")], "none.json"),
        "garbage fingerprint": (["fingerprint", bad], "bad.xmodel: not an .xmodel"),
    }


MISTAKES = ["missing", "garbage", "diff garbage", "weights garbage", "no fingerprint", "words", "json", "no json"]


@pytest.mark.parametrize("name", [*MISTAKES, "garbage fingerprint"])
def test_mistakes_are_one_line(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments, text = mistakes(tmp_path)[name]
    code, out, err = run(capsys, *arguments)
    assert code == 1 and out == "" and err.count("\n") == 1 and err.startswith("error: ") and text in err
    assert not (tmp_path / "w.npz").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["show"], ["diff", "a"], ["weights", "a"], ["nothing"], ["diff", "a", "b", "--section", "x"]]
)
def test_a_wrong_command_line_leaves_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["xmodel", *arguments])
    assert left.value.code == 2 and "usage: softdpu xmodel" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["show"], ["diff"], ["weights"], ["fingerprint"], []])
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["xmodel", *command, "--help"])
    out = capsys.readouterr().out
    assert left.value.code == 0 and "example" in out and f"softdpu xmodel {' '.join(command)}" in out


def test_help_is_light() -> None:
    script = (
        "import sys\nfrom softdpu.commands.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'tensorflow', 'h5py', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "xmodel" in done.stdout and done.stdout.splitlines()[-1] == "[]"


NAMES = ["device", "dpu_fingerprint", "dpu_name", "runner", "mc_code", "reg_id_to_size", "reg_id_to_parameter_value"]
NAMES += ["fix_point", "ddr_addr", "reg_id", "workload", "kernel", "data", "origin", "libs_info", "stride", "shape"]
VALUES = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(lambda n: xir.Attr("int32", n)),
    st.text(max_size=5).map(lambda s: xir.Attr("string", s)),
    st.binary(max_size=5).map(lambda b: xir.Attr("bytes", b)),
    st.lists(st.integers(-5, 5), max_size=3).map(lambda v: xir.Attr("int32_vec", v)),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2).map(
        lambda d: xir.Attr("map_string_2_string", d)
    ),
    st.dictionaries(st.just("REG_0"), st.binary(max_size=40)).map(lambda d: xir.Attr("map_string_2_bytes", d)),
)
DIMS = st.lists(st.integers(-1, 2**31 - 1), max_size=5)


@given(changes=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(NAMES), VALUES), max_size=6), dims=DIMS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_attributes_are_an_answer_or_one_line(changes: list, dims: list[int], tmp_path: Path) -> None:
    graph = xir.Graph.deserialize(compiled(tmp_path / "a.xmodel"))
    ops = graph.toposort()
    parts = graph.get_root_subgraph().toposort_child_subgraph()
    holders = [graph, *ops, *(op.get_output_tensor() for op in ops[1:3]), *parts]
    for index, name, value in changes:
        holders[index % len(holders)]._attrs[name] = value
    if dims:
        old = ops[1].get_output_tensor()
        new = xir.Tensor.create(old.name, dims, old.dtype)
        new._attrs = old._attrs
        ops[1].replace_output_tensor(new)
    path = tmp_path / "b.xmodel"
    graph.serialize(path)
    for action in (
        lambda: list(show.show_text(show.describe(path), constants=True)),
        lambda: list(diff.show_text("a", "b", diff.compare(tmp_path / "a.xmodel", path), 3)),
        lambda: weights.write_npz(tmp_path / "w.npz", weights.list_constants(load.load(path))[0], real=True),
        lambda: fingerprint.explain(str(path)),
    ):
        try:
            action()
        except SoftdpuError as error:
            assert "\n" not in str(error)
