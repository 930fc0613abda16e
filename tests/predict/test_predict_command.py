"""`softdpu predict`: what it prints and writes, and one clear line for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xir
from softdpu.commands.main import main
from softdpu.compiler.compile import compile_model
from softdpu.numbers import boards
from softdpu.predict import MODELLED

sys.path.append(str(Path(__file__).parents[1] / "compiler"))
from h5_models import GOLDEN, H5Model


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = H5Model()
    x = model.conv(model.input((64, 64, 3)), (3, 24), strides=[2, 2])
    x = model.conv(x, (24, 24), kind="DepthwiseConv2D")
    x = model.conv(x, (24, 100), kernel=1, name="wide")
    x = model.wrapped("GlobalAveragePooling2D", [x], {"data_format": "channels_last"}, output_0_pos=4)
    x = model.conv(x, (100, 2000), kind="Dense", name="dense")
    return model.write(tmp_path_factory.mktemp("predict") / "small.h5", [x])


@pytest.fixture(scope="module")
def xmodel(quantized: Path) -> Path:
    compile_model(quantized, "zcu102", quantized.with_suffix(".xmodel"))
    return quantized.with_suffix(".xmodel")


def predicted(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["predict", *map(str, arguments), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["predict", *map(str, arguments)]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_an_xmodel_and_its_h5_say_the_same(
    quantized: Path, xmodel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = predicted(capsys, xmodel, "--target", "zcu102", "--output", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert {**predicted(capsys, quantized, "--target", "zcu102"), "model": "small.xmodel"} == found
    assert found["modelled"] is True and found["interval"] == 0.8
    assert [row["threads"] for row in found["fps"]] == [1, 2, 4, 6, 8]
    assert [row["kind"] for row in found["layers"]] == ["conv", "dwconv", "conv", "pool", "conv"]
    dense = found["layers"][-1]
    assert dense["bound"] == "load" and dense["weight_bytes"] == 100 * 2000 + 2000
    for row in found["layers"]:
        assert row["dram_bytes"] == row["load_bytes"] + row["weight_bytes"] + row["save_bytes"]
        assert row["cycles"] == pytest.approx(row["milliseconds"] * 281e3, abs=2)
        assert row["bound"] in ("multiply", "dw/pool engine", "load", "save", "start")


def test_plain_words(xmodel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(xmodel), "--target", "kv260", "--threads", "1,4", "--batch", "500"]) == 0
    text = capsys.readouterr().out
    for part in ("bound by", "DRAM bytes", "frames/s", "500 images", "what would help", "0.2 MB of weights", "1x1 map"):
        assert part in text
    assert "make them a multiple of 16" in text  # 24 and 100 channels
    assert "(zcu102)" in text.split("a faster board:")[1]


def test_all_boards(xmodel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = predicted(capsys, xmodel, "--all-targets")
    by_name = {board["target"]: board for board in found["boards"]}
    assert sorted(by_name) == boards.list_targets()
    assert {name for name, board in by_name.items() if board["modelled"]} == set(MODELLED)
    assert "not modelled" in by_name["vck190"]["reason"] and "fps" not in by_name["vck190"]
    best = {name: max(row["app"]["value"] for row in by_name[name]["fps"]) for name in MODELLED}
    latency = {name: by_name[name]["latency_ms"]["value"] for name in MODELLED}
    for name in MODELLED:  # by the definition
        beaten = any(
            best[other] >= best[name]
            and latency[other] <= latency[name]
            and (best[other], latency[other]) != (best[name], latency[name])
            for other in MODELLED
        )
        assert by_name[name]["pareto"] is not beaten
    assert main(["predict", str(xmodel), "--all-targets"]) == 0
    assert "not modelled" in capsys.readouterr().out


def test_a_board_without_measurements_is_not_modelled(quantized: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = predicted(capsys, quantized, "--target", "vck190")
    assert found["modelled"] is False and "not modelled" in found["reason"] and "fps" not in found


def test_an_older_xmodel_is_predicted_for_its_own_version(
    quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_model(quantized, "zcu102", tmp_path / "old.xmodel", vitis_ai="2.0")
    found = predicted(capsys, tmp_path / "old.xmodel", "--target", "zcu102")
    assert found["vitis_ai"] == "2.0"
    assert "carries DPUCZDX8G_ISA1" in refused(
        capsys, tmp_path / "old.xmodel", "--target", "zcu102", "--vitis-ai", "3.0"
    )


@pytest.mark.parametrize("threads", ["0", "-1", "1,0", "x", ""])
def test_wrong_threads(xmodel: Path, threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "threads from 1" in refused(capsys, xmodel, "--target", "zcu102", f"--threads={threads}")


def test_unknown_board(xmodel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean zcu10" in refused(capsys, xmodel, "--target", "zcu103")
    assert "--all-targets" in refused(capsys, xmodel)
    assert "--target" in refused(capsys, xmodel, "--target", "zcu102", "--all-targets")
    assert "from 1, got -1" in refused(capsys, xmodel, "--target", "zcu102", "--batch=-1")


def test_another_kind_of_dpu(quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_model(quantized, "vck190", tmp_path / "versal.xmodel")
    for arguments in (["--target", "zcu102"], ["--all-targets"]):
        line = refused(capsys, tmp_path / "versal.xmodel", *arguments)
        assert "compiled for DPUCVDX8G" in line and "carries DPUCZDX8G" in line


def test_no_dpu_subgraph(tmp_path: Path, quantized: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_model(quantized, "zcu102", tmp_path / "front.xmodel", emit="frontend")
    assert "no DPU subgraph" in refused(capsys, tmp_path / "front.xmodel", "--target", "zcu102")
    assert "cannot be read" in refused(capsys, tmp_path / "none.xmodel", "--target", "zcu102")


def test_custom_operation(xmodel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = xir.Graph.deserialize(xmodel)
    (last,) = [one for one in graph.get_root_subgraph().toposort_child_subgraph() if one.get_attr("device") == "CPU"]
    (tail,) = graph.get_tail_ops()
    own = graph.create_op("my_layer", "Mylayer", {"shape": [1, 2000], "data_type": "FLOAT32"}, {"input": [tail]}, last)
    assert own.get_type() == "Mylayer"
    graph.serialize(tmp_path / "custom.xmodel")
    line = refused(capsys, tmp_path / "custom.xmodel", "--target", "zcu102")
    assert "'my_layer' of type Mylayer is a custom operation" in line


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"AMD's own files are not beside this project, in {GOLDEN}")
@pytest.mark.parametrize("version", ["v2.0", "v2.5", "v3.0"])
def test_amds_file_with_a_custom_operation(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = GOLDEN / "xmodel" / f"tf2_custom_op.zcu102.{version}.xmodel"
    assert "custom operation" in refused(capsys, path, "--target", "zcu102")


def test_no_tensorflow_for_an_xmodel(xmodel: Path) -> None:
    code = (
        "import sys; from softdpu.commands.main import main; main(sys.argv[1:]);"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'tf_keras', 'keras')]"
    )
    command = [sys.executable, "-c", code, "predict", str(xmodel), "--target", "zcu102"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_padded_average_pooling_is_the_dpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = H5Model()
    x = model.conv(model.input((32, 32, 3)), (3, 16))
    pool = {"pool_size": [3, 3], "strides": [1, 1], "padding": "same", "data_format": "channels_last"}
    x = model.wrapped("AveragePooling2D", [x], pool, output_0_pos=4)
    path = model.write(tmp_path / "average.h5", [model.conv(x, (16, 8), name="last")])
    rows = predicted(capsys, path, "--target", "zcu102")["layers"]
    assert [row["kind"] for row in rows] == ["conv", "pool", "conv"]
    assert rows[1]["output"] == [32, 32, 16] and rows[1]["load_bytes"] == 0


def test_another_dpu_in_the_board_is_not_modelled(quantized: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = predicted(capsys, quantized, "--target", "zcu102", "--fingerprint", "0x101000056010406")
    assert found["modelled"] is False and "the board's own image" in found["reason"]
