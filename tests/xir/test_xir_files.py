"""Genuine files and our own: read, written, and read by AMD's library and by Netron."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import xir
from xir import messages, xmodel_pb2

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT.parent / "shared" / "golden" / "xmodel"
FILES = sorted(GOLDEN.glob("*.xmodel"))
golden = pytest.mark.skipif(not FILES, reason=f"AMD's own files are not beside this project, in {GOLDEN}")
amd = pytest.mark.skipif(
    shutil.which("xir") is None, reason="AMD's xir command (Debian: libxir-utils) is not installed"
)


def amd_text(path: Path, folder: Path) -> tuple[str, str]:
    """Return what AMD's library says of a file, without the addresses that differ from run to run."""
    text = folder / "dump.txt"
    text.unlink(missing_ok=True)
    subprocess.run(["xir", "dump_txt", str(path), str(text)], check=True, capture_output=True, timeout=120)
    done = subprocess.run(["xir", "subgraph", str(path)], check=True, capture_output=True, text=True, timeout=120)
    mask = re.compile(r"0x[0-9a-f]{8,}(?=[ ,\]])")
    fingerprint = re.compile(r"fingerprint=0x([0-9a-f]+)")
    tree = mask.sub("ADDRESS", fingerprint.sub(r"fingerprint=\1", done.stdout))
    return mask.sub("ADDRESS", text.read_text(errors="replace")), tree


def own_graph() -> xir.Graph:
    """A graph with a source, a constant, fixed-point and user-made ops, a tree and attributes of many kinds."""
    graph = xir.Graph("own")
    image = graph.create_op("image", "data-fix", {"shape": [1, 8, 8, 3], "data_type": "xint8"})
    weights = np.arange(108, dtype=np.int8)
    attrs = {"shape": [4, 3, 3, 3], "data_type": "xint8", "data": weights}
    weights_op = graph.create_op("w", "const-fix", attrs)
    attrs = {"kernel": [3, 3], "stride": [2, 2], "pad": [0, 1, 0, 1], "nonlinear": "RELU", "pad_mode": "FLOOR"}
    conv = graph.create_op("conv", "conv2d-fix", attrs, {"input": [image], "weights": [weights_op]})
    conv.get_output_tensor().set_attrs({"fix_point": 3, "bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"})
    attrs = {"shape": [1, 4, 4, 4], "data_type": "float32", "extra": xir.Attr("float_vec", [])}
    graph.create_op("mine", "Mylayer", attrs, {"input": [conv]})
    graph.set_attrs({"origin": "tensorflow2", "files_md5sum": {"model.h5": "0" * 32}})
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    root.set_attr("workload", 2**40)
    dpu = root.merge_children({root.find_child_subgraph_by_op_name(name) for name in ("w", "conv")})
    dpu.set_attrs({"device": "DPU", "dpu_fingerprint": 0x101000056010407, "dpu_name": "DPUCZDX8G_ISA1_B4096"})
    dpu.set_attr("reg_id_to_parameter_value", {"REG_0": weights})
    dpu.create_child_subgraph()
    return graph


def structure(subgraph: xir.Subgraph) -> tuple:
    children = [structure(child) for child in subgraph.toposort_child_subgraph()]
    return subgraph.get_name(), subgraph.get_attrs(), sorted(op.get_name() for op in subgraph.get_ops()), children


def content(graph: xir.Graph) -> tuple:
    ops = []
    for op in graph.toposort():
        tensor = op.get_output_tensor()
        inputs = {name: [source.get_name() for source in sources] for name, sources in op.get_input_ops().items()}
        output = (tensor.name, tensor.dims, tensor.dtype, tensor.get_attrs())
        ops.append((op.get_name(), op.get_type(), op.get_attrs(), inputs, output))
    return graph.get_name(), graph.get_attrs(), ops, structure(graph.get_root_subgraph())


@golden
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_genuine_files_read_and_write(path: Path, tmp_path: Path) -> None:
    graph = xir.Graph.deserialize(str(path))
    graph.serialize(str(tmp_path / "a.xmodel"))
    again = xir.Graph.deserialize(tmp_path / "a.xmodel")
    again.serialize(tmp_path / "b.xmodel")
    assert (tmp_path / "a.xmodel").read_bytes() == (tmp_path / "b.xmodel").read_bytes()
    assert content(again) == content(graph)
    original, written = messages.parse(path.read_bytes()), messages.parse((tmp_path / "a.xmodel").read_bytes())
    assert original == written


@golden
@amd
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_amds_library_sees_no_difference(path: Path, tmp_path: Path) -> None:
    xir.Graph.deserialize(path).serialize(tmp_path / "a.xmodel")
    assert amd_text(tmp_path / "a.xmodel", tmp_path) == amd_text(path, tmp_path)


@golden
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_inferred_shapes_are_the_stored_ones(path: Path) -> None:
    graph = xir.Graph.deserialize(path)
    stored = {op: (op.get_output_tensor().dims, op.get_output_tensor().dtype) for op in graph.get_ops()}
    graph.infer_shape()
    assert stored == {op: (op.get_output_tensor().dims, op.get_output_tensor().dtype) for op in graph.get_ops()}


@golden
def test_a_compiled_file_is_what_apps_expect() -> None:
    graph = xir.Graph.deserialize(str(GOLDEN / "tf2_custom_op.zcu102.v3.0.xmodel"))
    children = graph.get_root_subgraph().toposort_child_subgraph()
    dpu = [child for child in children if child.has_attr("device") and child.get_attr("device").upper() == "DPU"]
    assert len(dpu) == 2 and dpu[0].depth == 1 and not dpu[0].is_leaf  # one before and one after the custom layer
    assert (dpu[0].get_attr("dpu_fingerprint"), dpu[0].get_attr_kind("dpu_fingerprint")) == (
        0x101000056010407,
        "uint64",
    )
    parameters = dpu[0].get_attr("reg_id_to_parameter_value")["REG_0"]
    assert isinstance(parameters, bytes) and len(parameters) == dpu[0].get_attr("reg_id_to_size")["REG_0"]
    assert [tensor.dtype for tensor in dpu[0].get_input_tensors()] == ["xint8"]
    assert graph.get_op("quant_conv2d").get_attr("hsigmoid_in") == -128  # a default that the file need not hold


@amd
def test_amds_library_reads_what_we_build(tmp_path: Path) -> None:
    own_graph().serialize(tmp_path / "own.xmodel")
    text, tree = amd_text(tmp_path / "own.xmodel", tmp_path)
    assert 'op_type: "Mylayer"' in text
    assert tree.splitlines()[0] == "root"
    names = ["root", "subgraph_image", "subgraph_conv", "subgraph_w", "subgraph_conv", "subgraph_mine"]
    assert [line.split()[0] for line in tree.splitlines()] == names
    assert "device=DPU,fingerprint=101000056010407,DPU=DPUCZDX8G_ISA1_B4096" in tree


def test_our_files_come_back_equal(tmp_path: Path) -> None:
    graph = own_graph()
    graph.serialize(str(tmp_path / "a.xmodel"))
    own_graph().serialize(str(tmp_path / "b.xmodel"))
    assert (tmp_path / "a.xmodel").read_bytes() == (tmp_path / "b.xmodel").read_bytes()
    assert content(xir.Graph.deserialize(str(tmp_path / "a.xmodel"))) == content(graph)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.xmodel", "b.xmodel"]  # no leftovers


def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    script = "import sys; sys.path[:0] = sys.argv[1:3]; from test_xir_files import own_graph; "
    script += "print(own_graph().serialize_to_string().hex())"
    command = [sys.executable, "-c", script, str(ROOT / "src"), str(Path(__file__).parent)]
    outputs = {
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert outputs == {own_graph().serialize_to_string().hex() + "\n"}


def test_names_with_two_underscores_stay_out_of_files() -> None:
    graph = own_graph()
    graph.get_op("conv").set_attr("__scratch", 1)
    read = xir.Graph.deserialize_from_string(graph.serialize_to_string())
    assert graph.get_op("conv").has_attr("__scratch") and not read.get_op("conv").has_attr("__scratch")


NETRON_SCRIPT = """
import fs from 'fs';
import { BinaryReader } from './protobuf.js';
import { ModelFactory } from './xmodel.js';
const context = {
    require: (name) => import(name + '.js'),
    read: async () => BinaryReader.open(new Uint8Array(fs.readFileSync(process.argv[2])))
};
const model = await new ModelFactory().open(context);
const graph = model.modules[0];
console.log(JSON.stringify([model.name, graph.inputs.map((i) => i.name), graph.nodes.map((n) => n.type.name)]));
"""


def files_for_netron() -> list[object]:
    return [pytest.param(None, id="own"), *(pytest.param(path, id=path.stem) for path in FILES)]


@pytest.mark.parametrize("path", files_for_netron())
def test_netron_loads_what_we_write(path: Path | None, tmp_path: Path) -> None:
    """Netron's own loader, the JavaScript of its Python package, builds its model from our bytes."""
    netron = pytest.importorskip("netron")
    if shutil.which("node") is None:
        pytest.skip("netron's loader is JavaScript and node is not installed")
    graph = own_graph() if path is None else xir.Graph.deserialize(path)
    graph.serialize(tmp_path / "own.xmodel")
    for name in ("base", "protobuf", "text", "xmodel", "xmodel-proto"):
        shutil.copy(Path(netron.__file__).parent / f"{name}.js", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "load.js").write_text(NETRON_SCRIPT)
    command = ["node", "load.js", "own.xmodel"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    name, inputs, types = json.loads(done.stdout)
    assert name == graph.get_name()
    assert inputs == [op.get_name() for op in graph.toposort() if op.get_type() in ("data", "data-fix")]
    computed = [op.get_type() for op in graph.toposort() if op.get_input_num()]
    assert [kind for kind in types if not kind.startswith("const")] == computed


def test_netron_serves_what_we_write(tmp_path: Path) -> None:
    netron = pytest.importorskip("netron")
    path = tmp_path / "own.xmodel"
    own_graph().serialize(path)
    host, port = netron.serve(str(path), address=("127.0.0.1", 0))
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/data/own.xmodel", timeout=30) as answer:
            assert answer.read() == path.read_bytes()
    finally:
        netron.stop((host, port))


def test_generated_code_is_that_of_the_schema(tmp_path: Path) -> None:
    """The newest protoc at hand reads the same schema as the checked-in code holds, whoever generated that."""
    pytest.importorskip("grpc_tools")
    from google.protobuf import descriptor_pb2

    out = tmp_path / "set.pb"
    # In a process of its own: the protobuf inside grpcio-tools and the one inside TensorFlow crash each other.
    options = [f"--proto_path={ROOT / 'src'}", f"--descriptor_set_out={out}", "xir/xmodel.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True)
    expected = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    ours = descriptor_pb2.FileDescriptorProto.FromString(xmodel_pb2.DESCRIPTOR.serialized_pb)
    for descriptor in (expected, ours):
        for message in descriptor.message_type:
            for part in (message, *message.nested_type):
                for field in part.field:
                    field.ClearField("json_name")  # which only a descriptor set tells
    assert ours == expected


def test_another_definition_of_the_format_may_live_in_the_same_process() -> None:
    """AMD's front end registers its own `serial_v2.Graph`, and protobuf takes a name once a process."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    other = descriptor_pb2.FileDescriptorProto.FromString(xmodel_pb2.DESCRIPTOR.serialized_pb)
    other.name, other.package = "graph_proto_v2.proto", "serial_v2"
    old = xmodel_pb2.DESCRIPTOR.package
    for message in other.message_type:
        for part in (message, *message.nested_type):
            for field in part.field:
                if field.type_name:
                    field.type_name = field.type_name.replace(f".{old}.", ".serial_v2.")
    descriptor_pool.Default().AddSerializedFile(other.SerializeToString())
    assert descriptor_pool.Default().FindMessageTypeByName("serial_v2.Graph") is not None
    assert own_graph().serialize_to_string()


def test_import_is_light() -> None:
    heavy = {"tensorflow", "numpy", "softdpu", "h5py", "cv2"}
    script = f"import sys, xir; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
