"""The card folder: what is in it, that it is whole or not there, that its app agrees with it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from package_tools import make_records, make_xmodel

import xir
from softdpu.commands import package
from softdpu.dataset import preprocess
from softdpu.dataset.pipeline import read_records
from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.package import card, manifest
from softdpu.runtime import evaluate_graph

ROOT = Path(__file__).parents[2]
APP = ROOT / "target_src" / "app_mt.py"


def arguments(**changes):
    parser = argparse.ArgumentParser()
    package.add_arguments(parser)
    values = {"app": APP, "images": 30, "target": "zcu102", **changes}
    return parser.parse_args([part for key, value in values.items() for part in (f"--{key}", str(value))])


@pytest.fixture
def build(xmodel, records, tmp_path):
    def run(name="target_zcu102", **changes):
        package.run(arguments(**{"model": xmodel, "records": records, "output": tmp_path / name, **changes}))
        return tmp_path / name

    return run


def snapshot(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_has_every_file_and_no_other(build, records):
    folder = build()
    images = [f"images/{number % 10}_image{i}.png" for i, number in enumerate(np.arange(30) * 45 // 30)]
    assert set(snapshot(folder)) == {*manifest.list_fixed(4, "app_mt.py"), *images}
    assert (folder / "labels.txt").read_bytes() == (records / "labels.txt").read_bytes()
    assert json.loads((folder / "preprocess.json").read_text()) == {"fit": "stretch"}
    for name in ("app_mt.py", *manifest.HELPERS):
        assert (folder / name).read_bytes() == APP.with_name(name).read_bytes()
    assert not list(folder.parent.glob(".*part*"))


def test_sha256sum_accepts_the_manifest(build):
    folder = build()
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "MANIFEST.sha256"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(snapshot(folder)) - 1
    assert manifest.find_missing(folder) == []


def test_same_inputs_give_the_same_bytes(build):
    assert snapshot(build("one")) == snapshot(build("two"))


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
def test_images_are_what_the_network_was_evaluated_on(build, records, fit):
    folder = build(images=45, fit=fit)
    for i, record in enumerate(read_records(records)):
        path = folder / "images" / f"{record.label}_image{i}.png"
        expected = preprocess.load(record.image, 8, 8, fit)
        np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], expected)


def test_golden_vectors_are_the_references(build, xmodel):
    folder = build(golden=3)
    text = json.loads((folder / "golden" / "golden.json").read_text())
    graph = xir.Graph.deserialize(str(xmodel))
    assert len(text["vectors"]) == 3 + manifest.RANDOM_VECTORS
    images = sorted((folder / "images").iterdir(), key=lambda path: int(path.stem.split("_image")[1]))
    for i, vector in enumerate(text["vectors"]):
        source = np.fromfile(folder / "golden" / vector["input"], np.int8).reshape(1, 8, 8, 3)
        (expected,) = evaluate_graph(graph, source).values()
        np.testing.assert_array_equal(np.fromfile(folder / "golden" / vector["expected"], np.int8), expected.ravel())
        if i < 3:
            assert vector["image"] == f"images/{images[i].name}"
            real = preprocess.scale(cv2.imread(str(images[i]))[..., ::-1])
            np.testing.assert_array_equal(source[0], fixed_point.quantize(real, 6, fixed_point.HALF_UP))
        else:
            assert vector["image"] is None
    assert {-128, 127} == set(np.fromfile(folder / "golden" / "input_4.bin", np.int8))


def test_fewer_images_remove_the_rest_and_nothing_else(build):
    folder = build(images=40, golden=6)
    (folder / "images" / "mine.txt").write_text("x")
    (folder / "result.json").write_text("x")
    names = set(snapshot(folder))
    build(images=20, golden=2)
    gone = names - set(snapshot(folder))
    vectors = {f"golden/{kind}put_{i}.bin" for kind in ("in", "out") for i in range(4, 8)}
    assert {name for name in gone if name.startswith("golden")} == vectors
    assert len(list((folder / "images").glob("*.png"))) == 20
    assert {"images/mine.txt", "result.json"} <= set(snapshot(folder))
    assert manifest.find_missing(folder) == []


def test_more_images_than_there_are_takes_all(build, caplog):
    assert len(list((build(images=99) / "images").iterdir())) == 45
    assert "holds 45 images, fewer than the 99 asked for" in caplog.text


def test_records_of_others_have_no_class_names(build, records, tmp_path):
    folder = tmp_path / "records"
    shutil.copytree(records, folder)
    (folder / "labels.txt").unlink()
    assert (build(records=folder) / "labels.txt").read_text() == ""


def test_readme_is_honest_about_the_software_model(build):
    text = (build() / "README.txt").read_text()
    assert "THIS FOLDER RUNS ON A PC, NOT ON THE BOARD" in text
    assert "toolchain: vitis-ai" in text and "Zynq UltraScale+ ZCU102" in text
    assert max(map(len, text.splitlines())) <= 120


# ---- whole or not at all


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": 0}, "at least 1 image"),
        ({"images": 3, "golden": 4}, "at most 3 golden"),
        ({"target": "zcu999"}, "unknown target 'zcu999'"),
        ({"model": "no.xmodel"}, "no such model: no.xmodel"),
        ({"app": "no.py"}, "no.py"),
        ({"records": "nowhere"}, "nowhere holds no .tfrecord files"),
        ({"fit": "arrays"}, "--fit arrays is for --task none, got --task classification"),
        ({"fit": "arrays", "task": "none"}, "record at byte .*: not a .npz file that can be read .*; make the records"),
    ],
)
def test_mistakes_are_told_and_leave_the_old_folder(build, change, message):
    folder = build()
    before = snapshot(folder)
    with pytest.raises(SoftdpuError, match=message) as caught:
        build(**change)
    assert "\n" not in str(caught.value)
    assert snapshot(folder) == before
    assert not list(folder.parent.glob(".*part*"))


@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_broken_models_are_told(build, xmodel, tmp_path, damage):
    data = {"empty": b"", "cut": xmodel.read_bytes()[:-100], "text": b"no protobuf at all\n" * 9}[damage]
    (tmp_path / "broken.xmodel").write_bytes(data)
    with pytest.raises(SoftdpuError, match=r"broken.xmodel (cannot be read|has no DPU subgraphs)"):
        build(model=tmp_path / "broken.xmodel")
    assert not (tmp_path / "target_zcu102").exists()


def test_broken_record_is_told(build, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    make_records(folder, 20)
    data = bytearray((folder / "data_1.tfrecord").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "data_1.tfrecord").write_bytes(data)
    with pytest.raises(SoftdpuError, match=r"data_1.tfrecord"):
        build(records=folder)
    assert not (tmp_path / "target_zcu102").exists()


def test_a_failure_while_moving_leaves_no_manifest(build, monkeypatch):
    folder = build()
    replace, calls = Path.replace, []

    def full_disk(self, target):
        calls.append(target)
        if len(calls) == 7:
            raise OSError(28, "No space left on device", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(SoftdpuError, match="No space left on device"):
        build(images=31)
    assert not (folder / "MANIFEST.sha256").exists()
    monkeypatch.undo()
    whole = snapshot(build(images=31))
    shutil.rmtree(folder)
    assert snapshot(build(images=31)) == whole


def test_killed_while_packaging_then_continued(xmodel, records, tmp_path):
    folder = tmp_path / "target_zcu102"
    command = [sys.executable, str(ROOT / "scripts" / "package.py"), "--model", str(xmodel), "--records", str(records)]
    command += ["--app", str(APP), "--images", "45", "--target", "zcu102", "--output", str(folder)]
    process = subprocess.Popen(command)
    while process.poll() is None and not list(tmp_path.glob(".target_zcu102.part/images/*_image5.png")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not folder.exists()
    subprocess.run(command, check=True)
    assert manifest.find_missing(folder) == [] and len(list((folder / "images").iterdir())) == 45
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target_zcu102"]


# ---- the app in its folder, on the project's own xir and vart


def run_app(folder, *options, **environment):
    done = subprocess.run(
        [sys.executable, "app_mt.py", *options],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    done.stderr = "".join(line for line in done.stderr.splitlines(True) if not line.startswith("INFO:"))  # LiteRT's
    return done


@pytest.mark.parametrize("batch", ["1", "3", "14"])
def test_app_runs_and_finds_no_difference(build, xmodel, batch):
    folder = build()
    done = run_app(folder, "--check", "-t", "4", "--json", "../out.json", SOFTDPU_BATCH=batch)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Check: 0 differences\n" in done.stdout
    classes = json.loads((folder.parent / "out.json").read_text())["classes"]
    graph = xir.Graph.deserialize(str(xmodel))
    for name, found in classes.items():
        real = preprocess.scale(cv2.imread(str(folder / "images" / name))[..., ::-1])
        (logits,) = evaluate_graph(graph, fixed_point.quantize(real[None], 6, fixed_point.HALF_UP)).values()
        assert found == logits.argmax()
    correct = sum(int(name.split("_")[0]) == found for name, found in classes.items())
    assert f"Correct:{correct}, Wrong:{30 - correct}, Accuracy:{correct / 30:.4f}\n" in done.stdout


@pytest.mark.parametrize("keep", [0, 1, 100, -200, -1])
def test_app_tells_of_a_truncated_model(build, xmodel, keep):
    folder = build()
    (folder / "mobilenet.xmodel").write_bytes(xmodel.read_bytes()[:keep])
    done = run_app(folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: mobilenet.xmodel ") and done.stderr.count("\n") == 1


def test_app_tells_of_a_model_without_dpu(build):
    folder = build()
    graph = xir.Graph("empty")
    graph.create_op("image", "data", {"shape": [1, 8, 8, 3], "data_type": "FLOAT32"}, {})
    graph.serialize(str(folder / "mobilenet.xmodel"))
    done = run_app(folder)
    assert done.returncode == 1
    assert done.stderr == "error: mobilenet.xmodel has no DPU subgraphs; compile it for this board\n"


def test_check_blames_a_model_of_another_training(build, tmp_path):
    folder = build()
    make_xmodel(folder / "mobilenet.xmodel", seed=5)
    done = run_app(folder, "--check")
    assert done.returncode == 1
    assert "Check: at fault: model\n" in done.stdout


def test_check_blames_a_model_of_another_size(build):
    folder = build()
    make_xmodel(folder / "mobilenet.xmodel", size=16)
    done = run_app(folder, "--check")
    assert done.returncode == 1
    assert done.stderr.startswith("error: model at fault") and done.stderr.count("\n") == 1


def test_arrays_go_to_the_inputs_of_their_names():
    known = ["a", "quant_a", "/left:0", "left image"]
    for tensor, name in (
        ("quant_a_fix", "a"),
        ("quant_quant_a_fix", "quant_a"),
        ("quant_a", "a"),
        ("quant_left_0_fix", "/left:0"),
        ("quant_left image", "left image"),
        ("quant_left_image_fix", "left image"),
        ("quant_b_fix", None),
    ):
        assert card._find_array(tensor, known) == name
