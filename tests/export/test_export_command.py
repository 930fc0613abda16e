"""`softdpu export`: what it prints and writes, and one line for each mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from softdpu.commands.main import main
from softdpu.errors import SoftdpuError
from softdpu.export.qdq import build_qdq
from softdpu.export.source import Source
from softdpu.export.tflite import build_tflite
from softdpu.export.write import Export, Options
from softdpu.runtime.program import Program


def export(*arguments: object) -> int:
    return main(["export", *map(str, arguments)])


def test_writes_checks_and_reports(quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, report = tmp_path / "m.onnx", tmp_path / "report.json"
    assert export(quantized, "--format", "vint8", "-o", output, "--check", "--report", report) == 0
    printed = capsys.readouterr().out
    assert "m.onnx: 3 vectors, 0 of 15 outputs differ from the DPU's" in printed
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["format"] == "vint8" and found["check"]["unexplained"] == 0
    assert export(quantized, "--format", "tflite", "-o", tmp_path / "m.tflite", "--check") == 0


MISTAKES = {
    "unknown flavour": (["--format", "int4", "-o", "m.onnx"], "expected a format of xint8, vint8, tflite, got 'int4'"),
    "opset": (["--format", "xint8", "-o", "m.onnx", "--opset", "9"], "expected an opset from 13 to 21, got 9"),
    "suffix": (["--format", "xint8", "-o", "m.tflite"], "m.tflite: a xint8 file ends in .onnx"),
    "batch": (["--format", "xint8", "-o", "m.onnx", "--batch", "0"], "expected a batch of at least 1, got 0"),
    "onnx's option": (
        ["--format", "tflite", "-o", "m.tflite", "--opset", "13"],
        "opset, layout and int8-bias are ONNX's",
    ),
    "target": (["--format", "xint8", "-o", "m.onnx", "--target", "zcu999"], "zcu999"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(
    name: str, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, text = MISTAKES[name]
    assert export(quantized, *arguments) == 1
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1 and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_float_model_is_refused(quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(quantized.parent / "float.h5", "--format", "xint8", "-o", tmp_path / "m.onnx") == 1
    assert "a float model: expected a quantized one" in capsys.readouterr().err


def test_a_tqt_model_before_deploy_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keras = pytest.importorskip("tf_keras")
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    image = keras.layers.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 3)(image))
    VitisQuantizer(model, quantize_strategy="pof2s_tqt").get_qat_model().save(tmp_path / "tqt.h5")
    assert export(tmp_path / "tqt.h5", "--format", "xint8", "-o", tmp_path / "m.onnx") == 1
    assert "make the deploy model first" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_a_place_that_cannot_be_written(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SoftdpuError, match="cannot be written"):
        Export(source, "tflite", tmp_path / "file" / "m.tflite", Options())
    missing = "/proc/none/m.tflite"
    with pytest.raises(SoftdpuError, match="cannot be written"):
        Export(source, "tflite", Path(missing), Options())


def test_an_op_without_an_equivalent_is_named(source: Source) -> None:
    program = source.program
    odd = replace(program.nodes[-1], key="odd one", kind="correlation2d")
    nodes = (*program.nodes[:-1], odd)
    outputs = (replace(program.outputs[0], key="odd one"),)
    broken = replace(source, program=Program(program.name, nodes, program.constants, program.inputs, outputs))
    with pytest.raises(SoftdpuError, match="op 'odd one' of type correlation2d has no equivalent in ONNX"):
        build_qdq(broken, "xint8")
    with pytest.raises(SoftdpuError, match="op 'odd one' of type correlation2d has no exact form in LiteRT"):
        build_tflite(broken)


def test_a_missing_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path / "none.h5", "--format", "xint8", "-o", tmp_path / "m.onnx") == 1
    assert "there is no model" in capsys.readouterr().err
