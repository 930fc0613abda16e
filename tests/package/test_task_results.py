"""Which output is which, and the ladder of other tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from softdpu import tasks
from softdpu.errors import SoftdpuError
from softdpu.package.ladder import write_ladder
from softdpu.package.outputs import match


def test_outputs_are_matched_by_name_then_by_size() -> None:
    tensors = ["quant_boxes_2_fix", "quant_boxes_fix", "quant_scores_fix"]
    assert match(["scores", "boxes", "boxes_2"], [3, 4, 4], tensors, [4, 4, 3]) == [2, 1, 0]
    assert match(["quant_scores", "quant_boxes"], [3, 4], ["x", "y"], [4, 3]) == [1, 0]
    with pytest.raises(SoftdpuError, match="has the outputs x of 5 numbers, the model has a of 4"):
        match(["a"], [4], ["x"], [5])


def test_the_ladder_of_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "float.json").write_text(json.dumps({"images": 8, "outputs": [{"name": "a"}]}))
    measured = {"images": 8, "outputs": [{"name": "a", "sqnr": 31.25, "cosine": 0.9991}]}
    (tmp_path / "ptq.json").write_text(json.dumps(measured))
    steps = {"float model": tmp_path / "float.json", "quantized": tmp_path / "ptq.json"}
    write_ladder(steps, tmp_path / "ladder.json", tmp_path, "run", tasks.NONE)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["quantized", "a", "31.25", "dB", "0.99910", "8"]
    assert json.loads((tmp_path / "ladder.json").read_text())["steps"][1] == {"name": "quantized", **measured}


def test_the_ladder_of_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("float", 0.9), ("ptq", 0.895)):
        metrics = {"mean_iou": value, "accuracy": 0.97, "images": 8}
        (tmp_path / f"{name}.json").write_text(json.dumps(metrics))
    steps = {"float model": tmp_path / "float.json", "quantized": tmp_path / "ptq.json"}
    write_ladder(steps, tmp_path / "ladder.json", tmp_path, "run", tasks.SEGMENTATION)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["mean", "IoU", "pixel", "accuracy", "images", "to", "float", "model"]
    assert lines[2].split() == ["quantized", "89.50", "%", "97.00", "%", "8", "-0.50"]
    with pytest.raises(SoftdpuError, match="expected JSON with mean_iou, accuracy and images"):
        (tmp_path / "float.json").write_text("{}")
        write_ladder(steps, tmp_path / "ladder.json", tmp_path, "run", tasks.SEGMENTATION)
