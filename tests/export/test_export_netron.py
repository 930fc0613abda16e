"""Netron's own loaders, the JavaScript of its Python package, build their models from the exported files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import onnx
import pytest

from softdpu.export.source import Source
from softdpu.export.write import Export

SCRIPT = """
import fs from 'fs';
import * as protobuf from './protobuf.js';
import * as flatbuffers from './flatbuffers.js';
import * as schema from './onnx-proto.js';
const path = process.argv[2];
const bytes = new Uint8Array(fs.readFileSync(path));
const metadata = { type: (name) => ({ name }), attribute: () => null };
const stream = protobuf.BinaryReader.open(bytes);
const context = { identifier: path, stream, metadata: async () => metadata };
context.require = (name) => import(name + '.js');
if (path.endsWith('.tflite')) {
    const { ModelFactory } = await import('./tflite.js');
    context.type = 'tflite.flatbuffers';
    context.value = flatbuffers.BinaryReader.open(bytes);
    const model = await new ModelFactory().open(context);
    console.log(JSON.stringify(model.modules[0].nodes.map((node) => node.type.name)));
} else {
    const model = schema.onnx.ModelProto.decode(protobuf.BinaryReader.open(bytes));
    console.log(JSON.stringify(model.graph.node.map((node) => node.op_type)));
}
"""


@pytest.mark.parametrize(("form", "suffix"), [("xint8", ".onnx"), ("vint8", ".onnx"), ("tflite", ".tflite")])
def test_netron_reads_the_file(source: Source, form: str, suffix: str, tmp_path: Path) -> None:
    netron = pytest.importorskip("netron")
    if shutil.which("node") is None:
        pytest.skip("netron's loaders are JavaScript and node is not installed")
    for script in Path(netron.__file__).parent.glob("*.js"):
        shutil.copy(script, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "load.js").write_text(SCRIPT)
    path = tmp_path / f"m{suffix}"
    Export(source, form, path)
    done = subprocess.run(["node", "load.js", path.name], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kinds = json.loads(done.stdout)
    if suffix == ".onnx":
        assert kinds == [node.op_type for node in onnx.load(path).graph.node]
    else:
        assert {"Conv2D", "DepthwiseConv2D", "MaxPool2D", "Concatenation"} <= set(kinds)
