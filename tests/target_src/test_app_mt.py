"""app_mt.py against tiny stand-ins for AMD's xir and vart: it uses nothing but their API, and counts right."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from app_tools import APP, CHECKING, HELPER, RUNNERS, expected_classes, right, start, write_model

from softdpu.dataset import preprocess as pipeline
from softdpu.numbers import fixed_point


def test_prints_the_tutorials_lines(app, card, fakes, capsys):
    correct = right(expected_classes(fakes, card))
    assert app.main([]) == 0
    line = "-" * 47
    assert capsys.readouterr().out.splitlines()[:-2] == [
        line,
        "Command line options:",
        " --image_dir :  images",
        " --threads   :  1",
        " --model     :  mobilenet.xmodel",
        line,
        "Found 20 images - processing 20 of them",
        "Found 1 subgraphs in mobilenet.xmodel",
        "Pre-processing 20 images...",
        "Starting 1 threads...",
        line,
        f"Correct:{correct}, Wrong:{20 - correct}, Accuracy:{correct / 20:.4f}",
        line,
    ]


def test_prints_the_throughput_line(app, card, capsys):
    assert app.main(["--threads", "3"]) == 0
    *_, fps, divider = capsys.readouterr().out.splitlines()
    assert divider == "-" * 47
    found = re.fullmatch(r"FPS: (\d+\.\d\d), total frames: 20, total time: (\d+\.\d{3}) seconds", fps)
    assert found
    assert float(found[1]) * float(found[2]) == pytest.approx(20, rel=0.3)


@pytest.mark.parametrize("batch", [1, 3, 14, 32])
@pytest.mark.parametrize("threads", [1, 3, 20])
@pytest.mark.parametrize("mode", [[], ["--end_to_end"]])
def test_any_batch_and_any_number_of_threads(app, card, fakes, batch, threads, mode):
    write_model(card, batch=batch, delay=0.0005)
    assert app.main(["-t", str(threads), "--json", "out.json", *mode]) == 0
    report = json.loads(Path("out.json").read_text())
    assert report["classes"] == expected_classes(fakes, card)
    assert report["correct"] == right(report["classes"])
    assert (report["frames"], report["images"], report["threads"]) == (20, 20, threads)
    assert fakes.Runner.created == threads


@pytest.mark.parametrize("fix_point", [-2, 0, 4, 5, 6, 7, 8, 12])
def test_preprocessing_is_the_pipelines(helper, card, fakes, fix_point):
    tensor = sys.modules["xir"].Tensor("quant_input_1", [1, 12, 12, 3], fix_point)
    output = np.empty((12, 12, 3), np.int8)
    run = helper.Preprocess(tensor, {})
    for path in sorted(Path("images").iterdir()):
        run(str(path), output)
        real = pipeline.scale(pipeline.load(path.read_bytes(), 12, 12, "stretch"))
        np.testing.assert_array_equal(output, fixed_point.quantize(real, fix_point, fixed_point.HALF_UP))
    assert np.unique(run.table).size > (100 if fix_point == 6 else 0)


@pytest.mark.parametrize("scaling", [*pipeline.SCALINGS, "bgr:100,50,200:0.5,1,-0.25"])
def test_scaling_is_the_pipelines(helper, card, fakes, scaling):
    chosen = pipeline.scaling(scaling)
    position = -2 if scaling in ("raw", "caffe") else 5
    tensor = sys.modules["xir"].Tensor("quant_input_1", [1, 12, 12, 3], position)
    run, output = helper.Preprocess(tensor, {"scaling": chosen.as_dict()}), np.empty((12, 12, 3), np.int8)
    for path in sorted(Path("images").iterdir()):
        run(str(path), output)
        real = pipeline.scale(pipeline.load(path.read_bytes(), 12, 12, "stretch"), chosen)
        np.testing.assert_array_equal(output, fixed_point.quantize(real, position, fixed_point.HALF_UP))
    assert pipeline.from_dict(json.loads(json.dumps(chosen.as_dict()))) == chosen


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("extension", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("size", [(12, 12), (31, 17), (17, 31), (9, 9), (64, 100)])
def test_images_of_another_size_are_fitted_as_in_training(helper, card, fit, extension, size):
    image = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    cv2.imwrite(f"one.{extension}", image)
    tensor = sys.modules["xir"].Tensor("quant_input_1", [1, 12, 12, 3], 6)
    output = np.empty((12, 12, 3), np.int8)
    helper.Preprocess(tensor, {"fit": fit})(f"one.{extension}", output)
    real = pipeline.scale(pipeline.load(Path(f"one.{extension}").read_bytes(), 12, 12, fit))
    np.testing.assert_array_equal(output, fixed_point.quantize(real, 6, fixed_point.HALF_UP))


def test_grey_images_become_three_channels(helper, card):
    cv2.imwrite("grey.png", np.arange(144, dtype=np.uint8).reshape(12, 12))
    output = np.empty((12, 12, 3), np.int8)
    helper.Preprocess(sys.modules["xir"].Tensor("quant_input_1", [1, 12, 12, 3], 6), {})("grey.png", output)
    assert (output == output[..., :1]).all()


def test_fit_comes_from_the_card(app, card, fakes):
    for path in Path("images").iterdir():
        cv2.imwrite(str(path), np.random.default_rng(len(path.name)).integers(0, 256, (20, 30, 3), np.uint8))
    found = {}
    for fit in ("crop", "stretch"):
        Path("preprocess.json").write_text(json.dumps({"fit": fit}))
        assert app.main(["--json", "out.json"]) == 0
        found[fit] = json.loads(Path("out.json").read_text())["classes"]
        assert found[fit] == expected_classes(fakes, card, fit=fit)
    assert found["crop"] != found["stretch"]


def test_verbose_prints_names(app, card, fakes, capsys):
    names = [f"class {k}" for k in range(10)]
    Path("labels.txt").write_text("\n".join(names) + "\n")
    assert app.main(["--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, found in expected_classes(fakes, card).items():
        label = int(name.split("_")[0])
        assert f"{name}: {names[found]} ({'right' if label == found else 'wrong, it is ' + names[label]})" in lines


def test_seconds_repeats_the_images_and_compares(app, card, fakes, capsys):
    write_model(card, delay=0.001)
    start = time.time()
    assert app.main(["--seconds", "0.5", "-t", "2", "--json", "out.json"]) == 0
    assert 0.5 <= time.time() - start < 5
    report = json.loads(Path("out.json").read_text())
    assert report["frames"] > 40
    assert report["fps"] == pytest.approx(report["frames"] / report["seconds"])
    assert (report["changed"], report["classes"]) == (0, expected_classes(fakes, card))
    assert "Repeated runs: 0 results changed" in capsys.readouterr().out


def test_seconds_tells_of_a_board_that_changes_its_mind(app, card, fakes, monkeypatch, capsys):
    truth, calls = fakes.logits, []

    def moody(image, classes):
        calls.append(1)
        return truth(image, classes) if len(calls) <= 20 else -truth(image, classes)

    monkeypatch.setattr(fakes, "logits", moody)
    assert app.main(["--seconds", "0.3"]) == 1
    assert re.search(r"Repeated runs: [1-9]\d* results changed", capsys.readouterr().out)


def test_sweep_prints_a_table(app, card, fakes, capsys):
    write_model(card, delay=0.004)
    assert app.main(["--sweep", "1,2,4", "--json", "out.json"]) == 0
    text = capsys.readouterr().out
    rows = re.findall(r"^ +(\d+) +(\d+\.\d\d) +(\d+\.\d\d)x$", text, re.M)
    assert [int(row[0]) for row in rows] == [1, 2, 4]
    assert float(rows[0][2]) == 1
    sweep = json.loads(Path("out.json").read_text())["sweep"]
    assert [row["threads"] for row in sweep] == [1, 2, 4]
    assert sweep[2]["fps"] > 2 * sweep[0]["fps"]  # the stand-in only sleeps
    assert fakes.Runner.created == 4


# ---- --check


def faults(app, capsys):
    code = app.main(["--check", "--json", "out.json"])
    out = capsys.readouterr().out
    report = json.loads(Path("out.json").read_text())
    assert (code == 0) == (not report["check"]["faults"])
    return report["check"]["faults"], out


def test_check_finds_nothing(app, golden, capsys):
    found, out = faults(app, capsys)
    assert found == []
    assert "Check preprocessing: 2 images, 0 differences" in out
    assert "Check outputs: 3 vectors, 0 differences" in out
    assert "Check: 0 differences\n" in out


def test_check_blames_preprocessing(app, golden, capsys):
    cv2.imwrite("images/1_image1.png", cv2.imread("images/1_image1.png") ^ 16)
    found, out = faults(app, capsys)
    assert found == ["preprocessing"]
    assert "Check: at fault: preprocessing\n" in out


def test_check_blames_the_model(app, golden, card, capsys):
    with open("mobilenet.xmodel", "a") as file:
        file.write(" ")
    assert faults(app, capsys)[0] == ["model"]


def test_check_blames_the_board(app, golden, fakes, monkeypatch, capsys):
    truth = fakes.logits
    monkeypatch.setattr(fakes, "logits", lambda image, classes: truth(image, classes) ^ 1)
    found, out = faults(app, capsys)
    assert found == ["board"]
    assert "Check outputs: 3 vectors, 30 differences" in out


def test_check_works_with_a_batch_and_says_where_in_it(app, golden, card, capsys):
    write_model(card, batch=4)
    text = json.loads((golden / "golden.json").read_text())
    text["model_sha256"] = hashlib.sha256(Path("mobilenet.xmodel").read_bytes()).hexdigest()
    (golden / "golden.json").write_text(json.dumps(text))
    assert faults(app, capsys)[0] == []


# ---- bad input: one line, exit code 1


def no_images(card):
    for path in (card / "images").iterdir():
        path.unlink()


def no_label(card):
    (card / "images" / "0_image0.png").rename(card / "images" / "sneaker.png")


def no_number(card):
    (card / "images" / "0_image0.png").rename(card / "images" / "cat_image0.png")


def no_image(card):
    (card / "images" / "3_image3.png").write_text("not an image")


def empty_image(card):
    (card / "images" / "3_image3.png").write_bytes(b"")


BAD = {
    "empty folder": (no_images, [], "no images in images"),
    "folder missing": (None, ["-d", "nowhere"], "no such folder: nowhere"),
    "no image": (no_image, [], "3_image3.png is not an image"),
    "no image, in a thread": (no_image, ["--end_to_end"], "3_image3.png is not an image"),
    "empty image": (empty_image, [], "3_image3.png is not an image"),
    "no label": (no_label, [], "no label in the name of images/sneaker.png"),
    "label is no number": (no_number, [], "no label in the name of images/cat_image0.png"),
    "no threads": (None, ["-t", "0"], "number of threads must be 1 to 20 for 20 images, got 0"),
    "negative threads": (None, ["-t", "-1"], "got -1"),
    "more threads than images": (None, ["-t", "21"], "must be 1 to 20 for 20 images, got 21"),
    "sweep beyond the images": (None, ["--sweep", "1,40"], "got 40"),
    "model missing": (None, ["-m", "other.xmodel"], "no such model: other.xmodel"),
    "model empty": (lambda card: (card / "mobilenet.xmodel").write_bytes(b""), [], "mobilenet.xmodel is empty"),
    "model broken": (lambda card: (card / "mobilenet.xmodel").write_text("{"), [], "mobilenet.xmodel cannot be read"),
    "no DPU subgraph": (lambda card: write_model(card, devices=["USER", "CPU"]), [], "has no DPU subgraphs"),
    "no subgraph at all": (lambda card: write_model(card, devices=[]), [], "has no DPU subgraphs"),
    "grey input": (lambda card: write_model(card, shape=[12, 12, 1]), [], "feeds one colour image"),
    "no golden": (None, ["--check"], "--check needs golden/golden.json"),
    "bad fit": (lambda card: (card / "preprocess.json").write_text('{"fit": "x"}'), [], "fit must be stretch"),
    "bad json": (lambda card: (card / "preprocess.json").write_text("{"), [], "preprocess.json is no JSON object"),
    "failing device": (lambda card: write_model(card, fail=True), [], "the run failed: the device is on fire"),
    "json to nowhere": (None, ["--json", "no/where.json"], "no/where.json"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_line(app, card, capsys, name):
    change, arguments, message = BAD[name]
    if change:
        change(card)
    assert app.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_software_xmodel_on_a_board_says_to_rebuild(app, card, fakes, capsys, monkeypatch):
    write_model(card, library="libvart-softdpu-runner.so")
    assert app.main([]) == 1
    error = capsys.readouterr().err
    assert "holds no DPU instructions" in error and "`toolchain: vitis-ai`" in error and error.count("\n") == 1
    assert fakes.Runner.created == 0  # VART itself would end the process
    monkeypatch.setattr(fakes, "__softdpu__", True, raising=False)
    assert app.main([]) == 0


# ---- as a program


def test_runs_as_a_program(card):
    process = start(card, "-t", "2")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "Found 20 images - processing 20 of them" in out


@pytest.mark.parametrize("arguments", [["--seconds", "60"], ["--seconds", "60", "--end_to_end", "-t", "4"]])
@pytest.mark.parametrize("delay", [0.001, 5.0])
def test_ctrl_c_ends_within_a_second(card, arguments, delay):
    write_model(card, delay=delay)
    process = start(card, *arguments)
    for line in process.stdout:
        if line.startswith("Starting"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    begin = time.time()
    out, err = process.communicate(timeout=30)
    assert time.time() - begin < 1
    assert process.returncode == 130
    assert err == "interrupted\n"
    assert "Accuracy" not in out


IMPORTS = {
    APP: {"numpy", "card"},
    APP.with_name("app_raw.py"): {"numpy", "card"},
    APP.with_name("app_seg.py"): {"numpy", "cv2", "card"},
    HELPER: {"numpy", "cv2", "arrays", "checking", "runners"},
    APP.with_name("arrays.py"): {"numpy", "runners"},
    CHECKING: {"numpy", "runners"},
    RUNNERS: {"numpy", "xir", "vart", "vitis_ai_library"},
}


@pytest.mark.parametrize(
    "changes",
    [{"devices": ["USER", "DPU", "CPU", "DPU", "CPU"]}, {"cpu_ops": ["fix2float", "elu"]}],
    ids=["two DPU subgraphs", "an ELU behind"],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_in_pieces_runs_by_the_graph_runner(app, card, fakes, capsys, changes, batch):
    write_model(card, batch=batch, **changes)
    assert app.main(["--threads", "3", "--json", "result.json"]) == 0
    classes = expected_classes(fakes, card)
    assert json.loads((card / "result.json").read_text())["classes"] == classes
    assert f"Correct:{right(classes)}, Wrong:{20 - right(classes)}" in capsys.readouterr().out


def test_a_board_without_the_graph_runner_is_named(app, card, monkeypatch, capsys):
    write_model(card, devices=["DPU", "CPU", "DPU"])
    monkeypatch.setitem(sys.modules, "vitis_ai_library", None)
    assert app.main([]) == 1
    assert capsys.readouterr().err == (
        "error: this model is in several pieces, which needs the module vitis_ai_library\n"
    )


@pytest.mark.parametrize("path", IMPORTS, ids=lambda path: path.stem)
def test_speaks_python_3_7_and_imports_only_what_a_board_has(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == IMPORTS[path]
    newer = {"removeprefix", "removesuffix", "NamedExpr", "bit_count", "is_relative_to", "prod", "cached_property"}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert used & newer <= {"prod"}  # numpy's, not math's
    keywords = {word.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
    assert not keywords & {"strict", "dirs_exist_ok", "missing_ok", "stacklevel"}


def test_stays_readable():
    assert len(APP.read_text().splitlines()) < 150
