"""The table of accuracies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from softdpu.errors import SoftdpuError
from softdpu.package.ladder import find_exported, write_ladder

SCRIPT = Path(__file__).parents[2] / "scripts" / "ladder.py"


def write(path, accuracy, images):
    path.write_text(json.dumps({"accuracy": accuracy, "images": images, "loss": 1.0}))
    return path


def test_prints_the_table_and_the_next_command(tmp_path):
    command = [sys.executable, str(SCRIPT), "--folder", "build/target_zcu102", "--output", str(tmp_path / "out.json")]
    for option, accuracy, images in (
        ("float", 0.8878, 10000),
        ("ptq", 0.8831, 10000),
        ("qat", 0.8889, 10000),
        ("target", 0.87, 500),
    ):
        command += [f"--{option}", str(write(tmp_path / option, accuracy, images))]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].split() == ["accuracy", "images", "to", "float", "model"]
    assert lines[1].split() == ["float", "model", "88.78", "%", "10000"]
    assert lines[2].split() == ["quantized", "88.31", "%", "10000", "-0.47"]
    assert lines[3].split() == ["fine-tuned", "88.89", "%", "10000", "+0.11"]
    assert lines[4].split() == ["on", "target", "87.00", "%", "500"]
    assert lines[6] == "Next: cd build/target_zcu102 && python3 app_mt.py --threads 2"
    text = json.loads((tmp_path / "out.json").read_text())
    assert text["steps"][1] == {"name": "quantized", "accuracy": 0.8831, "images": 10000}
    assert (text["folder"], len(text["steps"])) == ("build/target_zcu102", 4)


def test_exported_files_are_steps_by_their_format(tmp_path):
    path = tmp_path / "m.xint8.onnx.json"
    path.write_text(json.dumps({"format": "xint8", "accuracy": 0.5, "images": 10}))
    assert find_exported([path]) == {"xint8 ONNX": path}
    path.write_text("[]")
    with pytest.raises(SoftdpuError, match=r"expected the JSON of an exported file"):
        find_exported([path])


@pytest.mark.parametrize("text", ["", "[]", '{"accuracy": 0.5}', '{"accuracy": null, "images": 3}'])
def test_a_file_without_accuracy_is_told(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(SoftdpuError, match=r"metrics.json: expected JSON with accuracy and images"):
        write_ladder({"float": tmp_path / "metrics.json"}, tmp_path / "out.json", tmp_path, "x")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(("accuracy", "warned"), [(1 / 3, True), (0.40, True), (0.7, False)])
def test_a_network_at_chance_is_warned_of(tmp_path, capsys, accuracy, warned):
    """One of three classes is right by chance; 60 images leave 12 points of doubt."""
    labels = ["label,predicted,confidence"] + [f"{i % 3},0,0.5" for i in range(60)]
    (tmp_path / "predictions.csv").write_text("\n".join(labels) + "\n")
    write_ladder({"float model": write(tmp_path / "metrics.json", accuracy, 60)}, tmp_path / "out.json", tmp_path, "x")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(lines) == warned
    if warned:
        assert "the float model is at chance" in lines[0] and "always the same class gives 33.33 %" in lines[0]
        assert "train.epochs" in lines[0]


def test_an_uneven_set_has_a_higher_chance(tmp_path, capsys):
    labels = ["label,predicted,confidence"] + [f"{int(i < 6)},0,0.5" for i in range(60)]
    (tmp_path / "predictions.csv").write_text("\n".join(labels) + "\n")
    write_ladder({"float model": write(tmp_path / "metrics.json", 0.9, 60)}, tmp_path / "out.json", tmp_path, "x")
    assert "always the same class gives 90.00 %" in capsys.readouterr().out
